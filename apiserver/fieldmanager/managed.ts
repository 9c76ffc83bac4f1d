// metadata.managedFields: entries as objects carry them, and the same by manager while a write is worked out.
// Upstream: apimachinery's managedfields/internal/managedfields.go and capmanagers.go.
import type { ObjectMeta } from '#machinery/api/object.ts';
import { canonicalFields, isEmpty, noFields, union } from './fields.ts';
import type { Fields } from './fields.ts';
import { compareText } from './path-element.ts';
import { sameJson } from './typed.ts';

export type Entry = NonNullable<ObjectMeta['managedFields']>[number];
export type ManagerOperation = 'Apply' | 'Update';

/** One manager's part. Never changed: a write puts another in its place. */
export interface Managed {
  readonly manager: string;
  readonly operation: ManagerOperation;
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: Fields;
}

/** By identifier: who, how and where, and for updates in which version. */
export type ManagedSets = Map<string, Managed>;

/** Also the order in which conflicts name managers. */
export function identifierOf({ manager, operation, apiVersion, subresource }: Pick<Managed, 'manager' | 'operation' | 'apiVersion' | 'subresource'>): string {
  return JSON.stringify({
    ...(manager === '' ? {} : { manager }), operation, ...(operation === 'Apply' || apiVersion === '' ? {} : { apiVersion }), ...(subresource === '' ? {} : { subresource }),
  });
}

export class ManagedFieldsError extends Error {
  override name = 'ManagedFieldsError';
}

/**
 * Throws ManagedFieldsError for entries that upstream cannot read either. Sets that were stored are in their one form, those of
 * clients are brought to it.
 */
export function readEntries(entries: readonly Entry[] | undefined, from: 'store' | 'client'): ManagedSets {
  const sets: ManagedSets = new Map();
  for (const [index, entry] of (entries ?? []).entries()) {
    const { manager = '', operation, apiVersion = '', subresource = '', time, fieldsType = '', fieldsV1 } = entry;
    if (operation !== 'Apply' && operation !== 'Update') throw new ManagedFieldsError('operation must be `Apply` or `Update`');
    if (apiVersion === '') throw new ManagedFieldsError('apiVersion must not be empty');
    if (fieldsType !== 'FieldsV1') {
      throw new ManagedFieldsError(fieldsType === '' ? `missing fieldsType in managed fields entry ${index}` : `invalid fieldsType ${JSON.stringify(fieldsType)} in managed fields entry ${index}`);
    }
    let fields: Fields;
    try {
      fields = fieldsV1 === undefined || fieldsV1 === null ? noFields : from === 'store' ? fieldsV1 as Fields : canonicalFields(fieldsV1); // written by us or by another API server
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new ManagedFieldsError(`error decoding versioned set: error decoding set: ${error.message}`);
    }
    const managed: Managed = { manager, operation, apiVersion, subresource, time: time ?? undefined, fields };
    sets.set(identifierOf(managed), managed);
  }
  return sets;
}

/** In upstream's order; undefined when there are none. */
export function writeEntries(sets: ManagedSets): Entry[] | undefined {
  if (sets.size === 0) return undefined;
  return [...sets.values()].sort(compareManaged).map(({ manager, operation, apiVersion, time, fields, subresource }) => ({
    ...(manager === '' ? {} : { manager }), operation, apiVersion, ...(time === undefined ? {} : { time }), fieldsType: 'FieldsV1', fieldsV1: fields,
    ...(subresource === '' ? {} : { subresource }),
  }));
}

function compareManaged(a: Managed, b: Managed): number {
  return compareText(a.operation, b.operation) || secondsOf(a) - secondsOf(b) || compareText(a.manager, b.manager)
    || compareText(a.apiVersion, b.apiVersion) || compareText(a.subresource, b.subresource);
}
const secondsOf = ({ time }: Managed): number => time === undefined ? 0 : Date.parse(time) / 1000;

/** What clients send to have managers forgotten: no entries, or one that says nothing. */
export function isReset(entries: readonly Entry[] | undefined): boolean {
  return entries !== undefined && (entries.length === 0 || (entries.length === 1 && isEmpty(entries[0] as Fields))); // looked at for members only
}

/** More update managers than this are folded, the oldest first, into one a version. */
export const maxUpdateManagers = 10;
const oldUpdates = 'ancient-changes';

export function capUpdateManagers(sets: ManagedSets): void {
  const updaters = [...sets].filter(([, { operation }]) => operation === 'Update')
    .sort(([a, left], [b, right]) => secondsOf(left) - secondsOf(right) || compareText(a, b));
  let count = updaters.length;
  const firsts = new Map<string, string>();
  for (const [id, { apiVersion, fields, time }] of updaters) {
    if (count <= maxUpdateManagers) return;
    const about = { manager: oldUpdates, operation: 'Update', apiVersion, subresource: '' } as const;
    const bucket = identifierOf(about);
    const first = firsts.get(apiVersion);
    if (first === undefined) {
      firsts.set(apiVersion, id);
      continue;
    }
    const before = sets.get(bucket) ?? sets.get(first);
    if (!sets.has(bucket)) sets.delete(first);
    sets.delete(id);
    sets.set(bucket, { ...about, time, fields: union(fields, before?.fields ?? noFields) });
    count -= 1;
  }
}

/** Admission plugins that break the managers of an object do not get away with it; returns the warning, if any. */
export function keepManagersValid(metadata: ObjectMeta, before: ObjectMeta['managedFields']): string | undefined {
  if (metadata.managedFields === before) return undefined;
  try {
    readEntries(metadata.managedFields, 'client');
    return undefined;
  } catch (error) {
    if (!(error instanceof ManagedFieldsError)) throw error;
    if (before) metadata.managedFields = before;
    else delete metadata.managedFields;
    return `.metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: ${error.message}`;
  }
}

/** A write that changes nothing but the times of managers changes nothing. */
export function sameButForTimes(object: Readonly<{ metadata: ObjectMeta }>, old: Readonly<{ metadata: ObjectMeta }>): boolean {
  const { metadata: { managedFields: now = [], ...metadata }, ...rest } = object;
  const { metadata: { managedFields: before = [], ...oldMetadata }, ...oldRest } = old;
  if (now.length !== before.length || !sameJson(metadata, oldMetadata) || !sameJson(rest, oldRest)) return false;
  return now === before || now.every(({ time: _time, ...entry }, index) => {
    const { time: _before, ...same } = before[index] ?? {};
    return sameJson(entry, same);
  });
}
