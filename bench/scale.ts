// Rows of everything at work on hollow nodes: a Deployment, a Job, doing nothing beside many objects, and a thousand nodes that come up
// with ten pods each. One process tree, so CPU and memory are those of all components.
import { loadKubeconfig } from '#machinery/client/kubeconfig.ts';
import { cpuMs, createLoad, memoryMb, repeat } from './load.ts';
import type { Load } from './load.ts';
import { expect } from './requests.ts';
import { startServer } from './server.ts';
import type { Table } from './table.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (from: number): number => (performance.now() - from) / 1000;
const json = async (load: Load, path: string): Promise<Record<string, unknown>> => JSON.parse((await load.request('GET', path, { keepBody: true })).body) as Record<string, unknown>;
const create = async (load: Load, path: string, body: object): Promise<void> => void await expect(load.request('POST', path, { body: JSON.stringify(body) }), 201);

/** Asks until it holds; throws with what was seen last. */
async function until(what: string, limitSeconds: number, look: () => Promise<{ done: boolean; seen: unknown }>, everyMs = 100): Promise<void> {
  const startedAt = performance.now();
  for (;;) {
    const { done, seen } = await look();
    if (done) return;
    if (seconds(startedAt) > limitSeconds) throw new Error(`${what}: not within ${limitSeconds} s, last seen: ${JSON.stringify(seen)}`);
    await pause(everyMs);
  }
}
async function untilStatus(load: Load, path: string, field: string, wanted: number, limitSeconds: number): Promise<void> {
  await until(`${field} of ${path}`, limitSeconds, async () => {
    const status = ((await json(load, path)).status ?? {}) as Record<string, unknown>;
    return { done: status[field] === wanted, seen: status };
  });
}
/** How many of them there are, without reading them. */
async function count(load: Load, path: string): Promise<number> {
  const list = await json(load, `${path}${path.includes('?') ? '&' : '?'}limit=1`) as { items?: unknown[]; metadata?: { remainingItemCount?: number } };
  return (list.items?.length ?? 0) + (list.metadata?.remainingItemCount ?? 0);
}

const podTemplate = (app: string, annotations: Record<string, string> = {}): object => ({
  metadata: { labels: { app }, annotations },
  spec: { automountServiceAccountToken: false, terminationGracePeriodSeconds: 1, containers: [{ name: 'app', image: 'example.test/app:1.0', resources: { requests: { cpu: '10m', memory: '16Mi' } } }] },
});
const deployment = (name: string, replicas: number): object => ({ metadata: { name }, spec: { replicas, selector: { matchLabels: { app: name } }, template: podTemplate(name) } });
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const jobs = '/apis/batch/v1/namespaces/default/jobs';

/** A Deployment of 1,000, a Job of 1,000 completions, and what 10,000 objects cost while nothing happens. */
export async function measureWorkloads(table: Table, { pods = 1000, idleObjects = 10_000, idleSeconds = 30, column = 0, flags = [] as readonly string[] } = {}): Promise<void> {
  const server = await startServer(['--runtime', 'hollow', '--nodes', '20', ...flags]);
  const load = createLoad(await loadKubeconfig(server.kubeconfig), 16);
  try {
    let cpu = cpuMs(server.pid);
    let startedAt = performance.now();
    await create(load, deployments, deployment('thousand', pods));
    await untilStatus(load, `${deployments}/thousand`, 'readyReplicas', pods, 120);
    table.set(`Deployment of ${pods} to Ready, hollow`, '10 s', column, { measured: `${seconds(startedAt).toFixed(1)} s`, cpu: `${((cpuMs(server.pid) - cpu) / pods).toFixed(2)} ms` });
    startedAt = performance.now();
    await expect(load.request('DELETE', `${deployments}/thousand`), 200);
    await until('the Deployment\'s pods are gone', 120, async () => {
      const left = await count(load, '/api/v1/namespaces/default/pods');
      return { done: left === 0, seen: left };
    });
    table.set(`Deployment of ${pods} gone, hollow`, '', column, { measured: `${seconds(startedAt).toFixed(1)} s` });

    cpu = cpuMs(server.pid);
    startedAt = performance.now();
    await create(load, jobs, { metadata: { name: 'thousand' }, spec: { completions: pods, parallelism: 100, template: { ...podTemplate('job', { 'hollow.proa/exit-code': '0' }), spec: { ...(podTemplate('job') as { spec: object }).spec, restartPolicy: 'Never' } } } });
    let [most, active] = [0, 0];
    await until('the Job is complete', 180, async () => {
      const status = ((await json(load, `${jobs}/thousand`)).status ?? {}) as { succeeded?: number; active?: number; uncountedTerminatedPods?: { succeeded?: string[] } };
      most = Math.max(most, status.uncountedTerminatedPods?.succeeded?.length ?? 0);
      active = Math.max(active, status.active ?? 0);
      return { done: status.succeeded === pods, seen: status };
    });
    table.set(`Job of ${pods} completions, 100 at a time`, '', column, { measured: `${seconds(startedAt).toFixed(1)} s`, cpu: `${((cpuMs(server.pid) - cpu) / pods).toFixed(2)} ms` });
    table.set('its pods that ended and were not counted yet, at most', '500', column, { measured: `${most}` });
    table.set('its pods at a time, at most', '100', column, { measured: `${active}` });

    await repeat(idleObjects, 16, (n) => create(load, '/api/v1/namespaces/default/configmaps', { metadata: { name: `idle-${n}` }, data: { n: `${n}` } }));
    await pause(10_000);
    cpu = cpuMs(server.pid);
    await pause(idleSeconds * 1000);
    table.set(`all components idle beside ${idleObjects} objects, 20 nodes`, '', column, { measured: `${((cpuMs(server.pid) - cpu) / idleSeconds / 10).toFixed(2)} % of a core` });
  } finally {
    load.close();
    await server.stop();
  }
}

/** Nodes that come up together and fill with pods: from the process's start until every pod is Ready. */
export async function measureFleet(table: Table, { nodes = 1000, pods = 10_000, column = 0, flags = [] as readonly string[] } = {}): Promise<void> {
  const startedAt = performance.now();
  const server = await startServer(['--runtime', 'hollow', '--nodes', String(nodes), '--cluster-cidr', '10.64.0.0/10', ...flags]);
  const load = createLoad(await loadKubeconfig(server.kubeconfig), 16);
  try {
    table.set(`${nodes} hollow nodes registered`, '', column, { measured: `${seconds(startedAt).toFixed(1)} s` });
    const each = pods / 10;
    for (let n = 0; n < 10; n += 1) await create(load, deployments, deployment(`part-${n}`, each));
    let most = 0;
    for (let n = 0; n < 10; n += 1) {
      await until(`Deployment part-${n} is ready`, 600, async () => {
        most = Math.max(most, memoryMb(server.pid));
        const status = ((await json(load, `${deployments}/part-${n}`)).status ?? {}) as Record<string, unknown>;
        return { done: status.readyReplicas === each, seen: status };
      }, 1000);
    }
    table.set(`${nodes} hollow nodes and ${pods} pods up`, '120 s', column, { measured: `${seconds(startedAt).toFixed(1)} s`, cpu: `${(cpuMs(server.pid) / pods).toFixed(2)} ms a pod` });
    table.set('memory of everything then, at most', '600 MB', column, { measured: `${most.toFixed(0)} MB` });
    const cpu = cpuMs(server.pid);
    await pause(30_000);
    table.set(`${nodes} nodes and ${pods} pods, nothing happening`, '', column, { measured: `${((cpuMs(server.pid) - cpu) / 300).toFixed(1)} % of a core` });
  } finally {
    load.close();
    await server.stop();
  }
}
