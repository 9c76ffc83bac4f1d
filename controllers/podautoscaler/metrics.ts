// Numbers from the three metrics APIs (metrics.k8s.io, custom.metrics.k8s.io, external.metrics.k8s.io), as the autoscaler asks for them.
// Upstream: pkg/controller/podautoscaler/metrics.
import { quantityMilli } from '#machinery/api/quantity.ts';
import type { Client } from '#machinery/client/types.ts';

export interface PodMetric { milli: number; at: number; windowMs: number }
interface PodMetrics { metadata: { name: string }; timestamp: string; window: string; containers?: { name: string; usage: Record<string, string> }[] }

/** By pod. `container` '' is all of a pod. Throws with a text for people. */
export async function podMetrics(client: Client, namespace: string, selector: string, resource: string, container: string, signal: AbortSignal): Promise<Map<string, PodMetric>> {
  const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  const items = await ask<PodMetrics>(client, 'resource', path, 'get pods.metrics.k8s.io', signal);
  const found = new Map<string, PodMetric>();
  for (const { metadata, timestamp, window, containers = [] } of items) {
    const usages = containers.filter(({ name }) => container === '' || name === container).map(({ usage }) => usage[resource]);
    if (usages.length === 0 || usages.includes(undefined)) continue; // a part of a pod says nothing of all of it
    found.set(metadata.name, { milli: usages.reduce((sum, usage) => sum + quantityMilli(usage ?? '0'), 0), at: Date.parse(timestamp), windowMs: goDurationMs(window) });
  }
  return found;
}

/** What the custom and external metrics APIs are asked with; selectors as text, '' for none. */
export interface MetricsSource {
  /** A custom metric of the pods that `selector` takes, by pod. */
  ofPods(namespace: string, selector: string, metric: string, metricSelector: string, signal: AbortSignal): Promise<Map<string, PodMetric>>;
  /** Milli-units of a custom metric of one object. `resource` is qualified (`ingresses.networking.k8s.io`); undefined: the namespace itself. */
  ofObject(namespace: string, resource: string | undefined, name: string, metric: string, metricSelector: string, signal: AbortSignal): Promise<number>;
  /** Milli-units of each series of an external metric. */
  external(namespace: string, metric: string, metricSelector: string, signal: AbortSignal): Promise<number[]>;
}

/** Versions of the custom metrics API come with whoever serves it: asked for once in a while. */
const versionMaxAgeMs = 600_000;
const spokenVersions = ['v1beta2', 'v1beta1'];

export function createMetricsSource(client: Client, now: () => number): MetricsSource {
  let known: { version: string; at: number } | undefined;
  async function customRoot(signal: AbortSignal): Promise<string> {
    if (!known || now() - known.at > versionMaxAgeMs) {
      const answer = await client.raw('GET', '/apis/custom.metrics.k8s.io', signal, undefined, { accept: 'application/json' }).catch((error: unknown) => {
        throw failed('custom', error instanceof Error ? error.message : String(error));
      });
      const group = answer.status === 200 ? parse<ApiGroup>(answer.body) : undefined;
      const preferred = group?.preferredVersion?.version ?? '';
      const version = [preferred, ...spokenVersions].find((each) => spokenVersions.includes(each) && group?.versions?.some((served) => served.version === each));
      if (version === undefined) throw failed('custom', 'no custom metrics API (custom.metrics.k8s.io) registered');
      known = { version, at: now() };
    }
    return `/apis/custom.metrics.k8s.io/${known.version}`;
  }
  return {
    async ofPods(namespace, selector, metric, metricSelector, signal) {
      const path = `${await customRoot(signal)}/namespaces/${namespace}/pods/*/${metric}${query({ labelSelector: selector, metricLabelSelector: metricSelector })}`;
      const items = await ask<MetricValue>(client, 'custom', path, `get pods.custom.metrics.k8s.io *`, signal);
      return new Map(items.map(({ describedObject, timestamp, windowSeconds, window, value }) =>
        [describedObject?.name ?? '', { milli: quantityMilli(value), at: Date.parse(timestamp ?? ''), windowMs: (windowSeconds ?? window ?? 60) * 1000 }]));
    },
    async ofObject(namespace, resource, name, metric, metricSelector, signal) {
      const object = resource === undefined ? 'metrics' : `${resource}/${name}`;
      const path = `${await customRoot(signal)}/namespaces/${namespace}/${object}/${metric}${query({ metricLabelSelector: metricSelector })}`;
      const items = await ask<MetricValue>(client, 'custom', path, `get ${resource ?? 'namespaces'}.custom.metrics.k8s.io ${name}`, signal);
      const [item] = items;
      if (!item || items.length !== 1) throw failed('custom', `the custom metrics API server returned ${items.length} results when we asked for exactly one`);
      return quantityMilli(item.value);
    },
    async external(namespace, metric, metricSelector, signal) {
      const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/${metric}${query({ labelSelector: metricSelector })}`;
      return (await ask<MetricValue>(client, 'external', path, `get ${metric}.external.metrics.k8s.io`, signal)).map(({ value }) => quantityMilli(value));
    },
  };
}

interface ApiGroup { versions?: { version: string }[]; preferredVersion?: { version: string } }
/** A value of the custom or the external metrics API, in any of their versions. */
interface MetricValue { describedObject?: { name?: string }; timestamp?: string; windowSeconds?: number; window?: number; value: string }

type Api = 'resource' | 'custom' | 'external';
const failed = (api: Api, why: string): Error => new Error(`unable to fetch metrics from ${api} metrics API: ${why}`);

/** The items of a list, at least one. `what` names what was asked for when nobody serves it. */
async function ask<T>(client: Client, api: Api, path: string, what: string, signal: AbortSignal): Promise<T[]> {
  const { status, body } = await client.raw('GET', path, signal, undefined, { accept: 'application/json' }).catch((error: unknown) => {
    throw failed(api, error instanceof Error ? error.message : String(error));
  });
  const answer = parse<{ message?: string; items?: T[] }>(body);
  if (status !== 200) throw failed(api, answer?.message ?? (status === 404 ? `the server could not find the requested resource (${what})` : `${status}: ${body}`));
  if (!answer?.items?.length) throw new Error(`no metrics returned from ${api} metrics API`);
  return answer.items;
}
function query(values: Record<string, string>): string {
  const text = Object.entries(values).filter(([, value]) => value !== '').map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return text === '' ? '' : `?${text}`;
}

function parse<T>(body: string): T | undefined {
  try {
    return JSON.parse(body) as T; // what the path serves, or a Status
  } catch {
    return undefined;
  }
}

/** Go's notation: `15s`, `1m0.5s`. */
function goDurationMs(text: string): number {
  const units: Record<string, number> = { h: 3600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 };
  return [...text.matchAll(/([\d.]+)(ms|us|µs|ns|h|m|s)/g)].reduce((sum, [, number, unit]) => sum + Number(number) * (units[unit ?? ''] ?? 0), 0);
}
