// An API server in a process of its own with pods in it, for runs that load it: the load must not share its event loop.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadKubeconfig } from '#machinery/client/kubeconfig.ts';
import { createLoad, repeat } from '../bench/load.ts';
import type { Load } from '../bench/load.ts';
import { expect, podBody } from '../bench/requests.ts';
import { apiserverOnly, startServer } from '../bench/server.ts';

export interface PodServer {
  load: Load;
  kubeconfig: string;
  pid: number;
  /** `/api/v1/namespaces/soak/pods` */
  pods: string;
  stop(): Promise<void>;
}

/** Pods `pod-0` and so on, of 3.2 kB each, spread over `nodes` node names. */
export async function startWithPods({ folder, pods, nodes }: { folder: string; pods: number; nodes: number }): Promise<PodServer> {
  const server = await startServer(apiserverOnly, { folder: join(folder, 'data') });
  let load: Load | undefined;
  const stop = async (): Promise<void> => {
    load?.close();
    await server.stop();
  };
  try {
    const own = load = createLoad(await loadKubeconfig(server.kubeconfig), 32);
    const namespace = '/api/v1/namespaces/soak';
    await expect(own.request('POST', '/api/v1/namespaces', { body: '{"metadata":{"name":"soak"}}' }), 201);
    await expect(own.request('POST', `${namespace}/serviceaccounts`, { body: '{"metadata":{"name":"default"}}' }), 201); // no controller makes it
    await repeat(pods, 32, async (n) => {
      const pod = JSON.parse(podBody(n)) as { spec: Record<string, unknown> };
      pod.spec['nodeName'] = `node-${n % nodes}`;
      await expect(own.request('POST', `${namespace}/pods`, { body: JSON.stringify(pod) }), 201);
    });
    return { load: own, kubeconfig: server.kubeconfig, pid: server.pid, pods: `${namespace}/pods`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What a process holds in memory of its own, in MB. */
export function residentMb(pid: number): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}

/** Durations in whole milliseconds. */
export class Durations {
  readonly #counts = new Uint32Array(60_001);
  count = 0;
  add(ms: number): void {
    const step = Math.min(Math.max(0, Math.round(ms)), this.#counts.length - 1);
    this.#counts[step] = (this.#counts[step] ?? 0) + 1;
    this.count += 1;
  }
  /** The duration that this share of them does not exceed. */
  quantile(share: number): number {
    let sum = 0;
    for (const [ms, count] of this.#counts.entries()) {
      sum += count;
      if (sum >= share * this.count) return ms;
    }
    return 0;
  }
  toString(): string {
    return `p50 ${this.quantile(0.5)}, p99 ${this.quantile(0.99)}, longest ${this.quantile(1)} ms of ${this.count}`;
  }
}
