// What the server says of its resources: legacy discovery and aggregated discovery, derived from the served rows.
import { createHash } from 'node:crypto';
import { apiVersionOf, parseApiVersion } from '#machinery/api/object.ts';
import type { ServedResources } from '../handlers/served.ts';
import { groups } from '../resources/registry.ts';
import type { ResourceRow } from '../resources/resource.ts';

export interface Group { group: string; versions: string[]; preferred: string }

/** Groups that have rows, in the order of discovery; custom groups follow the built-in ones by name. */
export function servedGroups(resources: ServedResources): Group[] {
  const present = new Map<string, Set<string>>();
  for (const { row } of resources.all()) {
    const versions = present.get(row.group) ?? new Set();
    present.set(row.group, versions.add(row.version));
  }
  const known = groups().filter(({ group }) => present.has(group)).map(({ group, versions, preferred }): Group => {
    const have = present.get(group) ?? new Set();
    const listed = versions.filter((version) => have.has(version));
    return { group, versions: [...listed, ...[...have].filter((version) => !versions.includes(version)).sort(byVersion)], preferred: have.has(preferred) ? preferred : listed[0] ?? [...have][0] ?? '' };
  });
  const builtin = new Set(known.map(({ group }) => group));
  const custom = [...present].filter(([group]) => !builtin.has(group)).sort(([a], [b]) => (a < b ? -1 : 1)).map(([group, have]): Group => {
    const versions = [...have].sort(byVersion);
    return { group, versions, preferred: versions[0] ?? '' };
  });
  return [...known, ...custom];
}

/** Stable before beta before alpha, newer first: apimachinery's version priority. */
export function byVersion(a: string, b: string): number {
  const rank = (version: string): [number, number, number] => {
    const found = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
    if (!found) return [0, 0, 0];
    return [found[2] === undefined ? 3 : found[2] === 'beta' ? 2 : 1, Number(found[1]), Number(found[3] ?? 0)];
  };
  const [x, y] = [rank(a), rank(b)];
  return y[0] - x[0] || y[1] - x[1] || y[2] - x[2] || (a < b ? -1 : 1);
}

function rowsOf(resources: ServedResources, group: string, version: string): ResourceRow[] {
  return resources.rows().filter((row) => row.group === group && row.version === version).sort((a, b) => (a.resource < b.resource ? -1 : 1));
}

/** `/api`. */
export function apiVersions(address: string): object {
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }] };
}

function groupOf({ group, versions, preferred }: Group): object {
  const named = (version: string) => ({ groupVersion: apiVersionOf(group, version), version });
  return { name: group, versions: versions.map(named), preferredVersion: named(preferred) };
}
/** `/apis`. */
export function apiGroupList(resources: ServedResources): object {
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: servedGroups(resources).filter(({ group }) => group !== '').map(groupOf) };
}
/** `/apis/GROUP`; undefined when it is not served. */
export function apiGroup(resources: ServedResources, group: string): object | undefined {
  const found = servedGroups(resources).find((one) => one.group === group && group !== '');
  return found && { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(found) };
}
/** `/api/v1`, `/apis/GROUP/VERSION`; undefined when it is not served. */
export function apiResourceList(resources: ServedResources, group: string, version: string): object | undefined {
  const rows = rowsOf(resources, group, version);
  if (rows.length === 0) return undefined;
  const entries = rows.flatMap((row) => [
    {
      name: row.resource, singularName: row.singular, namespaced: row.namespaced, kind: row.kind, verbs: row.verbs,
      ...(row.shortNames.length > 0 ? { shortNames: row.shortNames } : {}), ...(row.categories.length > 0 ? { categories: row.categories } : {}),
      ...(row.storageVersionHash === undefined ? {} : { storageVersionHash: row.storageVersionHash }),
    },
    ...row.subresources.map((sub) => ({
      name: `${row.resource}/${sub.name}`, singularName: '', namespaced: row.namespaced, ...(sub.groupVersion === undefined ? {} : parseApiVersion(sub.groupVersion)), kind: sub.kind ?? row.kind, verbs: sub.verbs,
    })),
  ]).sort((a, b) => (a.name < b.name ? -1 : 1));
  return { kind: 'APIResourceList', ...(group === '' ? {} : { apiVersion: 'v1' }), groupVersion: apiVersionOf(group, version), resources: entries };
}

export interface Document { body: Buffer; etag: string }

/** Aggregated discovery of `/api` (the core group) or `/apis` (all others). */
export function aggregated(resources: ServedResources, core: boolean): Document {
  const items = servedGroups(resources).filter(({ group }) => (group === '') === core).map(({ group, versions }) => ({
    metadata: group === '' ? {} : { name: group },
    versions: versions.map((one) => ({ version: one, resources: rowsOf(resources, group, one).map(describe), freshness: 'Current' })),
  }));
  const body = Buffer.from(JSON.stringify({ kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2', metadata: {}, items }));
  return { body, etag: `"${createHash('sha512').update(body).digest('hex').toUpperCase()}"` };
}

/** Group and version of a kind are told only where they differ from those of the list. */
function describe(row: ResourceRow): object {
  const kindOf = (kind: string, groupVersion?: string): object => ({ ...(groupVersion === undefined ? { group: '', version: '' } : parseApiVersion(groupVersion)), kind });
  return {
    resource: row.resource, responseKind: kindOf(row.kind), scope: row.namespaced ? 'Namespaced' : 'Cluster', singularResource: row.singular, verbs: row.verbs,
    ...(row.shortNames.length > 0 ? { shortNames: row.shortNames } : {}), ...(row.categories.length > 0 ? { categories: row.categories } : {}),
    ...(row.subresources.length > 0 ? {
      subresources: row.subresources.map((sub) => ({ subresource: sub.name, responseKind: kindOf(sub.kind ?? row.kind, sub.groupVersion), verbs: sub.verbs })),
    } : {}),
  };
}
