// The table of built-in resources: one row per group, version and resource that is served. Routes, discovery, RBAC
// names and OpenAPI paths are derived from it. Names and verbs are data (api-resources.json), rules are strategies.ts.
import data from './api-resources.json' with { type: 'json' };
import { storagePrefix } from '../storage/keys.ts';
import { clusterTables } from './columns/cluster.ts';
import { coreTables } from './columns/core.ts';
import { workloadTables } from './columns/workloads.ts';
import { conversions } from './conversions.ts';
import { resourceId } from './resource.ts';
import type { ResourceRow, Strategy, SubresourceRow } from './resource.ts';
import { isSwitchedOn, sameShape } from './runtime-config.ts';
import type { RuntimeConfig } from './runtime-config.ts';
import { strategies } from './strategies.ts';

export interface RegistryOptions {
  /** Takes cluster IPs and node ports for Services; without it they are stored as they come. */
  allocateService?: NonNullable<Strategy['allocate']>;
  /** How long Events are kept. */
  eventTtlSeconds?: number;
  /** Versions and resources that are switched on or off. */
  runtimeConfig?: RuntimeConfig;
}

export interface GroupInfo {
  group: string;
  /** Served versions, preferred first. */
  versions: readonly string[];
  preferred: string;
  /** As in the APIService objects; discovery lists groups by it, highest first. */
  groupPriorityMinimum: number;
  versionPriority: Readonly<Record<string, number>>;
}

interface RowFacts {
  group: string;
  version: string;
  kind: string;
  plural: string;
  singular: string;
  namespaced: boolean;
  verbs: string[];
  shortNames?: string[];
  categories?: string[];
  subresources?: Record<string, { verbs: string[]; kind?: string; groupVersion?: string; connect?: boolean }>;
  storageVersionHash?: string;
}

// The JSON module's inferred type is a union of every row's own shape; this is the common one.
const facts = data as unknown as { groups: GroupInfo[]; resources: RowFacts[] };

/** Kinds that are not here have the plain table of name and creation time. */
const tables = { ...coreTables, ...workloadTables, ...clusterTables };

/** Groups in the order of discovery. The core group comes first, and `/apis` leaves it out. */
export function groups(): readonly GroupInfo[] {
  return facts.groups;
}

/** Stable versions, and those of their shape, as far as they are switched on. */
function servedFacts(config: RuntimeConfig): (RowFacts & { storedAs?: string })[] {
  const stable = facts.resources.filter((row) => isSwitchedOn(config, row));
  const others = sameShape.flatMap(({ group, version, resources }) => stable
    .filter((row) => row.group === group && row.version === 'v1' && resources.includes(row.plural) && isSwitchedOn(config, { group, version, plural: row.plural }))
    .map((row) => ({ ...row, version, storedAs: resourceId({ group, resource: row.plural }) })));
  return [...stable, ...others];
}

/** Every served built-in row. Rows are made anew by each call, so that servers in one process share no allocator. */
export function builtinRows(options: RegistryOptions = {}): ResourceRow[] {
  const rules = strategies(options);
  return servedFacts(options.runtimeConfig ?? {}).map((row): ResourceRow => {
    const id = resourceId({ group: row.group, resource: row.plural });
    const conversion = conversions[`${id}/${row.version}`] ?? (row.storedAs === undefined ? undefined : { storedAs: row.storedAs });
    const stored = conversion === undefined && row.verbs.includes('list') && id !== 'componentstatuses';
    return {
      group: row.group,
      version: row.version,
      resource: row.plural,
      singular: row.singular,
      kind: row.kind,
      listKind: `${row.kind}List`,
      namespaced: row.namespaced,
      verbs: row.verbs,
      shortNames: row.shortNames ?? [],
      categories: row.categories ?? [],
      subresources: Object.entries(row.subresources ?? {}).map(([name, subresource]): SubresourceRow => ({ name, ...subresource })),
      ...(row.storageVersionHash === undefined ? {} : { storageVersionHash: row.storageVersionHash }),
      ...(stored ? { storagePrefix: storagePrefix(row.group, row.plural) } : {}),
      ...(conversion === undefined ? {} : conversion),
      strategy: { ...(rules[`${id}/${row.version}`] ?? rules[id]), ...tables[id] },
    };
  });
}
