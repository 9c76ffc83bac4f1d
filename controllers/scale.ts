// The scale of an object of any kind that has one: its replicas, and who it is. Upstream: client-go/scale.
import { apiVersionOf } from '#machinery/api/object.ts';
import type { ObjectMeta } from '#machinery/api/object.ts';
import { StatusError, isNotFound } from '#machinery/api/status.ts';
import type { Status } from '#machinery/api/status.ts';
import type { Client } from '#machinery/client/types.ts';
import { discover } from './discovery.ts';
import type { DiscoveredResource, Discovery } from './discovery.ts';

export interface Scale {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec?: { replicas?: number };
  status?: { replicas?: number; selector?: string };
}
export interface Scales {
  /** The resource of a kind; the group's preferred version when none is given. Throws when the server has no such kind. */
  resourceOf(group: string, version: string, kind: string, signal: AbortSignal): Promise<DiscoveredResource>;
  /** Throws StatusError; not-found may also mean that the resource has no scale. */
  get(resource: DiscoveredResource, namespace: string, name: string, signal: AbortSignal): Promise<Scale>;
  update(resource: DiscoveredResource, scale: Scale, signal: AbortSignal): Promise<Scale>;
}

/** Kinds come and go with custom resources: what is not known is asked for again, but not more often than this. */
const discoveryMaxAgeMs = 30_000;

export function createScales(client: Client, now: () => number): Scales {
  let known: { discovery: Discovery; at: number } | undefined;
  async function lookUp(group: string, version: string, kind: string, signal: AbortSignal): Promise<DiscoveredResource | undefined> {
    const find = (): DiscoveredResource | undefined =>
      known?.discovery.resources.find((each) => each.group === group && each.kind === kind && (version === '' ? each.preferred : each.version === version));
    const found = find();
    if (found || (known && now() - known.at < discoveryMaxAgeMs)) return found;
    known = { discovery: await discover(client, signal), at: now() };
    return find();
  }
  async function request(method: string, resource: DiscoveredResource, namespace: string, name: string, signal: AbortSignal, body?: unknown): Promise<Scale> {
    const root = resource.group === '' ? '/api' : '/apis';
    const path = `${root}/${apiVersionOf(resource.group, resource.version)}/namespaces/${namespace}/${resource.resource}/${name}/scale`;
    const answer = await client.raw(method, path, signal, body, { accept: 'application/json' });
    const parsed = parse(answer.body);
    if (answer.status < 300) return parsed as Scale; // what this subresource answers with
    const { reason = '', message = answer.body, details } = (parsed ?? {}) as Partial<Status>;
    throw new StatusError(answer.status, reason, message, details);
  }
  return {
    async resourceOf(group, version, kind, signal) {
      const found = await lookUp(group, version, kind, signal);
      if (!found) throw new Error(`no matches for kind "${kind}" in ${version === '' ? `group "${group}"` : `version "${apiVersionOf(group, version)}"`}`);
      return found;
    },
    get: (resource, namespace, name, signal) => request('GET', resource, namespace, name, signal),
    update: (resource, scale, signal) => request('PUT', resource, scale.metadata.namespace ?? '', scale.metadata.name ?? '', signal, scale),
  };
}

/** As get(); undefined when the object is gone, an Error in plain words when its kind has no scale. */
export async function scaleOrGone(scales: Scales, resource: DiscoveredResource, namespace: string, name: string, signal: AbortSignal): Promise<Scale | undefined> {
  try {
    return await scales.get(resource, namespace, name, signal);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    if (resource.subresources.includes('scale')) return undefined;
    throw new Error(`${resource.resource}${resource.group === '' ? '' : `.${resource.group}`} does not implement the scale subresource`, { cause: error });
  }
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined; // a proxy's page: the caller shows it as it is
  }
}
