// Usage of pods from the resource metrics API (metrics.k8s.io), as the autoscaler asks for it. Upstream: pkg/controller/podautoscaler/metrics.
import { quantityMilli } from '#machinery/api/quantity.ts';
import type { Client } from '#machinery/client/types.ts';

export interface PodMetric { milli: number; at: number; windowMs: number }
interface PodMetricsList { message?: string; items?: { metadata: { name: string }; timestamp: string; window: string; containers?: { name: string; usage: Record<string, string> }[] }[] }

/** By pod. `container` '' is all of a pod. Throws with a text for people. */
export async function podMetrics(client: Client, namespace: string, selector: string, resource: string, container: string, signal: AbortSignal): Promise<Map<string, PodMetric>> {
  const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  const failed = (why: string): Error => new Error(`unable to fetch metrics from resource metrics API: ${why}`);
  const { status, body } = await client.raw('GET', path, signal, undefined, { accept: 'application/json' }).catch((error: unknown) => {
    throw failed(error instanceof Error ? error.message : String(error));
  });
  const answer = parse(body);
  if (status !== 200) throw failed(answer?.message ?? (status === 404 ? 'the server could not find the requested resource (get pods.metrics.k8s.io)' : `${status}: ${body}`));
  if (!answer?.items?.length) throw new Error('no metrics returned from resource metrics API');
  const found = new Map<string, PodMetric>();
  for (const { metadata, timestamp, window, containers = [] } of answer.items) {
    const usages = containers.filter(({ name }) => container === '' || name === container).map(({ usage }) => usage[resource]);
    if (usages.length === 0 || usages.includes(undefined)) continue; // a part of a pod says nothing of all of it
    found.set(metadata.name, { milli: usages.reduce((sum, usage) => sum + quantityMilli(usage ?? '0'), 0), at: Date.parse(timestamp), windowMs: goDurationMs(window) });
  }
  return found;
}

function parse(body: string): PodMetricsList | undefined {
  try {
    return JSON.parse(body) as PodMetricsList; // what the path serves, or a Status
  } catch {
    return undefined;
  }
}

/** Go's notation: `15s`, `1m0.5s`. */
function goDurationMs(text: string): number {
  const units: Record<string, number> = { h: 3600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 };
  return [...text.matchAll(/([\d.]+)(ms|us|µs|ns|h|m|s)/g)].reduce((sum, [, number, unit]) => sum + Number(number) * (units[unit ?? ''] ?? 0), 0);
}
