// The table of built-in resources: one row per group, version and resource that is served. Routes, discovery, RBAC
// names and OpenAPI paths are derived from it. Names and verbs are data (api-resources.json), rules are strategies.ts.
import { apiVersionOf } from '#machinery/api/object.ts';
import data from './api-resources.json' with { type: 'json' };
import { storagePrefix } from '../storage/keys.ts';
import { clusterTables } from './columns/cluster.ts';
import type { Table } from './columns/column.ts';
import { coreTables } from './columns/core.ts';
import { workloadTables } from './columns/workloads.ts';
import { conversions } from './conversions.ts';
import { resourceId } from './resource.ts';
import type { Convert, ResourceRow, Strategy, SubresourceRow } from './resource.ts';
import { cellsOfStoredForm } from './stored-form.ts';
import { isSwitchedOn } from './runtime-config.ts';
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
  /** Releases since which it is deprecated, and in which it will be gone. */
  deprecated?: string[];
  /** What to use instead. */
  replacement?: string;
}
/** A further version of a kind, in the store of the version that it is like. */
type OtherFacts = Pick<RowFacts, 'group' | 'version' | 'plural' | 'deprecated' | 'replacement'> & { like: string };

// The JSON module's inferred type is a union of every row's own shape; this is the common one.
const facts = data as unknown as { groups: GroupInfo[]; resources: RowFacts[]; others: OtherFacts[] };

const apiMinor = 36;

/** Kinds that are not here have the plain table of name and creation time. */
const tables: Readonly<Record<string, Table>> = { ...coreTables, ...workloadTables, ...clusterTables };

function tableOf(id: string, convert: Convert | undefined): Partial<Strategy> {
  const found = tables[id];
  return found && convert ? { ...found, cells: cellsOfStoredForm(found.cells, convert) } : { ...found };
}

/** Groups in the order of discovery. The core group comes first, and `/apis` leaves it out. */
export function groups(): readonly GroupInfo[] {
  return facts.groups;
}

/** What is switched on, and what is only stored for it. */
function servedFacts(config: RuntimeConfig): (RowFacts & { storedAs?: string; unserved?: true })[] {
  const idOf = ({ group, plural }: { group: string; plural: string }): string => resourceId({ group, resource: plural });
  const others = facts.others.filter((row) => isSwitchedOn(config, row)).flatMap(({ like, ...row }) => {
    const base = facts.resources.find((one) => one.group === row.group && one.plural === row.plural && one.version === like);
    return base ? [{ ...base, ...row, storedAs: idOf(base) }] : [];
  });
  const own = facts.resources.filter((row) => isSwitchedOn(config, row));
  const needed = new Set([...others.map((row) => row.storedAs), ...own.map((row) => conversions[`${idOf(row)}/${row.version}`]?.storedAs)]);
  const stores = (row: RowFacts): boolean => needed.has(idOf(row)) && conversions[`${idOf(row)}/${row.version}`] === undefined;
  return [...facts.resources.flatMap((row) => (own.includes(row) ? [row] : stores(row) ? [{ ...row, unserved: true as const }] : [])), ...others];
}

/** From a lifecycle in the data, as upstream words it. */
function deprecationOf({ group, version, kind, deprecated, replacement }: RowFacts): string | undefined {
  const [since, until] = deprecated ?? [];
  if (since === undefined || Number(since.split('.')[1]) > apiMinor) return undefined;
  return `${apiVersionOf(group, version)} ${kind} is deprecated in v${since}+${until === undefined ? '' : `, unavailable in v${until}+`}${replacement === undefined ? '' : `; use ${replacement}`}`;
}

/** Every served built-in row. Rows are made anew by each call, so that servers in one process share no allocator. */
export function builtinRows(options: RegistryOptions = {}): ResourceRow[] {
  const rules = strategies(options);
  return servedFacts(options.runtimeConfig ?? {}).map((row): ResourceRow => {
    const id = resourceId({ group: row.group, resource: row.plural });
    const conversion = conversions[`${id}/${row.version}`] ?? (row.storedAs === undefined ? undefined : { storedAs: row.storedAs });
    const deprecation = deprecationOf(row);
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
      ...(row.unserved ? { unserved: true } : {}),
      ...(deprecation === undefined ? {} : { deprecation }),
      strategy: { ...(rules[`${id}/${row.version}`] ?? rules[id]), ...tableOf(id, conversions[`${id}/${row.version}`]?.convert) },
    };
  });
}
