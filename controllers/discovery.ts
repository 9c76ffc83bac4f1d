// What resources the API server has, for the controllers that work on all of them: namespace deletion, garbage collection.
import { parseApiVersion } from '#machinery/api/object.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Client, Resource } from '#machinery/client/types.ts';

export interface DiscoveredResource extends Resource<KubeObject> {
  readonly verbs: readonly string[];
  /** The group's preferred version of this resource. */
  readonly preferred: boolean;
  /** Names without the resource: `status`, `scale`. */
  readonly subresources: readonly string[];
}
export interface Discovery {
  resources: DiscoveredResource[];
  /** Group versions that could not be asked (an aggregated API that is down), with the reason. */
  failures: Map<string, string>;
}

interface AggregatedList {
  kind?: string;
  items?: {
    metadata?: { name?: string };
    versions?: {
      version: string;
      freshness?: string;
      resources?: { resource: string; responseKind?: { kind?: string }; scope?: string; verbs?: string[]; subresources?: { subresource: string }[] }[];
    }[];
  }[];
}
const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';

/** Two requests where the server speaks aggregated discovery, one per group version otherwise. Throws when discovery itself fails. */
export async function discover(client: Client, signal: AbortSignal): Promise<Discovery> {
  const discovery: Discovery = { resources: [], failures: new Map() };
  for (const root of ['/api', '/apis']) {
    const { status, body } = await client.raw('GET', root, signal, undefined, { accept });
    if (status !== 200) throw new Error(`GET ${root}: ${status}`);
    const answer = JSON.parse(body) as AggregatedList & LegacyRoot; // told apart by kind
    if (answer.kind === 'APIGroupDiscoveryList') readAggregated(answer, discovery);
    else await readLegacy(client, root, answer, discovery, signal);
  }
  return discovery;
}

function readAggregated(list: AggregatedList, discovery: Discovery): void {
  for (const { metadata, versions } of list.items ?? []) {
    const group = metadata?.name ?? '';
    const seen = new Set<string>();
    for (const { version, freshness, resources } of versions ?? []) {
      if (freshness === 'Stale') discovery.failures.set(`${group}/${version}`, 'stale discovery');
      for (const { resource, responseKind, scope, verbs, subresources } of resources ?? []) {
        const below = (subresources ?? []).map(({ subresource }) => subresource);
        discovery.resources.push({ group, version, resource, kind: responseKind?.kind ?? '', namespaced: scope === 'Namespaced', verbs: verbs ?? [], preferred: !seen.has(resource), subresources: below });
        seen.add(resource);
      }
    }
  }
}

interface LegacyRoot { versions?: string[]; groups?: { name: string; versions: { version: string }[]; preferredVersion?: { version: string } }[] }
async function readLegacy(client: Client, root: string, answer: LegacyRoot, discovery: Discovery, signal: AbortSignal): Promise<void> {
  const groups = root === '/api' ? [{ name: '', versions: (answer.versions ?? []).map((version) => ({ version })), preferredVersion: undefined }] : (answer.groups ?? []);
  for (const { name: group, versions, preferredVersion } of groups) {
    const sorted = [...versions].sort((a, b) => Number(b.version === preferredVersion?.version) - Number(a.version === preferredVersion?.version));
    const seen = new Set<string>();
    for (const { version } of sorted) {
      const path = group === '' ? `${root}/${version}` : `${root}/${group}/${version}`;
      const { status, body } = await client.raw('GET', path, signal);
      if (status !== 200) {
        discovery.failures.set(`${group}/${version}`, `GET ${path}: ${status}`);
        continue;
      }
      const list = JSON.parse(body) as { resources?: { name: string; kind: string; namespaced: boolean; verbs: string[]; group?: string; version?: string }[] }; // an APIResourceList
      for (const { name, kind, namespaced, verbs } of list.resources ?? []) {
        if (name.includes('/')) continue;
        const subresources = (list.resources ?? []).filter((each) => each.name.startsWith(`${name}/`)).map((each) => each.name.slice(name.length + 1));
        discovery.resources.push({ group, version, resource: name, kind, namespaced, verbs, preferred: !seen.has(name), subresources });
        seen.add(name);
      }
    }
  }
}

/** The resource of an ownerReference's kind; undefined when the server does not have it. */
export function resourceOfKind(discovery: Discovery, apiVersion: string, kind: string): DiscoveredResource | undefined {
  const { group, version } = parseApiVersion(apiVersion);
  return discovery.resources.find((each) => each.group === group && each.version === version && each.kind === kind && each.verbs.includes('get'));
}
