// Who manages which fields: every write says whose the changed fields are now; an apply merges a configuration into the object and
// takes away what its manager no longer names. Upstream: apimachinery's managedfields and structured-merge-diff's merge/update.go.
import { rfc3339 } from '#machinery/base/clock.ts';
import type { KubeObject, ObjectMeta } from '#machinery/api/object.ts';
import { badRequest, StatusError } from '#machinery/api/status.ts';
import { deducedAtom, isMap, memberOf } from './atom.ts';
import type { Atom } from './atom.ts';
import { conflictError } from './conflict.ts';
import type { Conflicts } from './conflict.ts';
import { difference, fieldsOf, intersection, isEmpty, noFields, union } from './fields.ts';
import type { Fields, Growing } from './fields.ts';
import { capUpdateManagers, identifierOf, isReset, ManagedFieldsError, readEntries, writeEntries } from './managed.ts';
import type { ManagedSets, ManagerOperation } from './managed.ts';
import { compareText, goJson } from './path-element.ts';
import type { FieldsFilter } from './reset-fields.ts';
import { compare, mentioned, merge, remove, sameJson, TypedError, validate, withNamedFields } from './typed.ts';
import type { Difference } from './typed.ts';
import { copyJson } from '../patch/json-value.ts';

type Tracked = KubeObject & { metadata: ObjectMeta };

/** A kind in the version of the request, seen through the subresource of the request. */
export interface TrackedKind {
  readonly apiVersion: string;
  readonly kind: string;
  /** '' for the resource itself. */
  readonly subresource: string;
  readonly atom: Atom;
  readonly reset: FieldsFilter | undefined;
  /** The object in another version and that version's atom; undefined when there is no such version. */
  inVersion(object: Readonly<KubeObject>, apiVersion: string): { object: Readonly<KubeObject>; atom: Atom } | undefined;
}

/**
 * Records in `object` what a write other than apply changes, before admission sees it. `live` is undefined on create. Managers that
 * the object brings are taken over where a client may set them.
 */
export function trackUpdate(kind: TrackedKind, live: Readonly<Tracked> | undefined, object: Tracked, manager: string, now: number): void {
  const given = object.metadata.managedFields;
  delete object.metadata.managedFields;
  const entries = chosenEntries(kind, live, given);
  // What was not tracked from the start is tracked from its first apply on.
  if (entries.size === 0 && live?.metadata.uid) return;
  let sets: ManagedSets;
  try {
    sets = updated(kind, live ?? emptyObject(kind), object, entries, manager, now);
  } catch (error) {
    // As upstream: the write goes through, and nothing wrong is said of its fields.
    if (error instanceof TypedError) return;
    throw error;
  }
  setEntries(object, sets);
}

function setEntries(object: Tracked, sets: ManagedSets): void {
  const entries = writeEntries(sets);
  if (entries) object.metadata.managedFields = entries;
  else delete object.metadata.managedFields;
}

function emptyObject({ apiVersion, kind }: TrackedKind): Tracked {
  return { apiVersion, kind, metadata: {} };
}

function chosenEntries({ subresource }: TrackedKind, live: Readonly<Tracked> | undefined, given: ObjectMeta['managedFields']): ManagedSets {
  const ofLive = (): ManagedSets => readOrNone(live?.metadata.managedFields, 'store');
  if (subresource !== '') return ofLive();
  if (isReset(given)) return new Map();
  // Clients that do not know the field, or garble it, do not lose it.
  const own = given === undefined || given === live?.metadata.managedFields ? undefined : readOrNone(given, 'client');
  return own === undefined || own.size === 0 ? ofLive() : own;
}

function readOrNone(entries: ObjectMeta['managedFields'], from: 'store' | 'client'): ManagedSets {
  try {
    return readEntries(entries, from);
  } catch (error) {
    if (error instanceof ManagedFieldsError) return new Map();
    throw error;
  }
}

/** The managers after an update. Throws TypedError. */
function updated(kind: TrackedKind, live: Readonly<Tracked>, object: Readonly<Tracked>, entries: ManagedSets, manager: string, now: number): ManagedSets {
  const sets = reconciled(kind, live, entries);
  const own = filtered(kind, compare(kind.atom, live, object));
  takeAway(kind, live, object, own, sets, undefined);
  const changed = difference(own.changed, notTracked);
  if (!isEmpty(changed)) {
    const about = aboutManager(kind, manager, 'Update');
    const id = identifierOf(about);
    sets.set(id, { ...about, time: rfc3339(now), fields: union(changed, sets.get(id)?.fields ?? noFields) });
  }
  capUpdateManagers(sets);
  return sets;
}

function aboutManager({ apiVersion, subresource }: TrackedKind, manager: string, operation: ManagerOperation) {
  return { manager: manager === '' ? 'unknown' : manager, operation, apiVersion, subresource };
}

/** What every object has and nobody owns. */
const notTracked = fieldsOf(['f:apiVersion'], ['f:kind'], ['f:metadata'],
  ...['name', 'namespace', 'creationTimestamp', 'selfLink', 'uid', 'clusterName', 'generation', 'managedFields', 'resourceVersion'].map((name) => ['f:metadata', `f:${name}`]));

function filtered({ reset }: TrackedKind, { changed, removed }: Difference): Difference {
  return reset ? { changed: reset(changed), removed: reset(removed) } : { changed, removed };
}

/** Takes what changed and went from every manager but `applier`. Without `force`, what changed belongs to who had it: throws Conflicts. */
function takeAway(kind: TrackedKind, live: Readonly<KubeObject>, object: Readonly<KubeObject>, own: Difference, sets: ManagedSets, applier: { id: string; force: boolean } | undefined): void {
  const versions = new Map<string, Difference | undefined>([[kind.apiVersion, own]]);
  const conflicts: Conflicts = new Map();
  const left: [string, Fields][] = [];
  for (const [id, { apiVersion, fields }] of sets) {
    if (id === applier?.id) continue;
    if (!versions.has(apiVersion)) versions.set(apiVersion, differenceIn(kind, live, object, apiVersion));
    const found = versions.get(apiVersion);
    if (found && applier && !applier.force) {
      const conflict = intersection(fields, found.changed);
      if (!isEmpty(conflict)) conflicts.set(id, conflict);
    }
    left.push([id, found ? difference(difference(fields, found.changed), found.removed) : noFields]);
  }
  if (conflicts.size > 0) throw new ConflictsFound(conflicts);
  for (const [id, fields] of left) {
    const managed = sets.get(id);
    if (managed && !isEmpty(fields)) sets.set(id, { ...managed, fields });
    else sets.delete(id);
  }
}

class ConflictsFound extends Error {
  readonly conflicts: Conflicts;
  constructor(conflicts: Conflicts) {
    super('fields are managed by others');
    this.conflicts = conflicts;
  }
}

function differenceIn(kind: TrackedKind, live: Readonly<KubeObject>, object: Readonly<KubeObject>, apiVersion: string): Difference | undefined {
  const old = kind.inVersion(live, apiVersion);
  const now = kind.inVersion(object, apiVersion);
  return old && now && filtered(kind, compare(old.atom, old.object, now.object));
}

// ---- types that changed

/** Sets as today's types have them: what became one whole is owned as one. Managers of versions that are gone are forgotten. */
function reconciled(kind: TrackedKind, live: Readonly<KubeObject>, entries: ManagedSets): ManagedSets {
  const sets: ManagedSets = new Map();
  for (const [id, managed] of entries) {
    const atom = managed.apiVersion === kind.apiVersion ? kind.atom : kind.inVersion(live, managed.apiVersion)?.atom;
    if (!atom) continue;
    const fields = reconcile(atom, managed.fields);
    sets.set(id, fields === managed.fields ? managed : { ...managed, fields });
  }
  return sets;
}

function reconcile(atom: Atom, node: Fields): Fields {
  if (atom === deducedAtom || isEmpty(node)) return node;
  if (atom.map) {
    const { map } = atom;
    return map.atomic ? noFields : reconcileChildren(node, (element) => memberOf(map, element.slice(2)));
  }
  if (atom.scalar || !atom.list) return node;
  const { list } = atom;
  return list.atomic ? noFields : reconcileChildren(node, () => list.items);
}

function reconcileChildren(node: Fields, atomOf: (element: string) => Atom | undefined): Fields {
  let made: Growing | undefined;
  for (const element in node) {
    const child = node[element] ?? noFields;
    const atom = element === '.' ? undefined : atomOf(element);
    const reconciledChild = atom ? reconcile(atom, child) : child;
    if (reconciledChild !== child) (made ??= { ...node })[element] = reconciledChild;
  }
  return made ?? node;
}

// ---- apply

export interface ApplyRequest {
  manager: string;
  force: boolean;
  now: number;
}

/**
 * The object with the configuration merged in and its managers recorded; `live` is undefined when there is none yet. Values are as
 * the configuration has them: the caller holds them to their type. Throws StatusError: 409 when others manage what it changes.
 */
export function applyConfiguration(kind: TrackedKind, live: Readonly<Tracked> | undefined, config: Readonly<KubeObject>, request: ApplyRequest): Tracked {
  const { apiVersion, kind: name } = config;
  if (apiVersion !== kind.apiVersion || name !== kind.kind) throw badRequest(`invalid object type: ${goKind(apiVersion, name)}`);
  if (config.metadata?.managedFields !== undefined && config.metadata.managedFields !== null) throw badRequest('metadata.managedFields must be nil');
  const about = describeObject(kind, config);
  const errors = validate(kind.atom, config);
  if (errors.length > 0) throw internal(`failed to create typed patch object (${about}): ${errors.length === 1 ? errors[0] ?? '' : ['errors:', ...errors.map((error) => `  ${error}`)].join('\n')}`);
  let entries: ManagedSets;
  try {
    entries = readEntries(live?.metadata.managedFields, 'store');
  } catch (error) {
    if (error instanceof ManagedFieldsError) throw internal(`failed to decode managed fields: ${error.message}`);
    throw error;
  }
  const base = live ?? emptyObject(kind);
  try {
    // What was there before anybody applied belongs to a manager of its own.
    if (entries.size === 0) entries = updated(kind, emptyObject(kind), base, entries, 'before-first-apply', request.now);
    return syncLastApplied(upgrading(kind, base, config, entries, request), config, request.manager);
  } catch (error) {
    if (error instanceof ConflictsFound) throw conflictError(error.conflicts);
    if (error instanceof TypedError) throw internal(`failed to create typed live object (${describeObject(kind, base)}): ${error.message}`);
    throw error;
  }
}

const internal = (message: string): StatusError => new StatusError(500, '', message);

/** As Go prints a kind: the core group leaves nothing before the slash, and what is no text counts as none. */
function goKind(apiVersion: unknown, kind: unknown): string {
  const version = typeof apiVersion === 'string' ? apiVersion : '';
  return `${version.includes('/') ? version : `/${version}`}, Kind=${typeof kind === 'string' ? kind : ''}`;
}

/** How messages name an object. */
export function describeObject({ apiVersion, kind }: Pick<TrackedKind, 'apiVersion' | 'kind'>, { metadata }: Readonly<KubeObject>): string {
  return `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}; ${goKind(apiVersion, kind)}`;
}

function applied(kind: TrackedKind, live: Readonly<Tracked>, config: Readonly<KubeObject>, entries: ManagedSets, { manager, force, now }: ApplyRequest): Tracked {
  const sets = reconciled(kind, live, entries);
  const about = aboutManager(kind, manager, 'Apply');
  const id = identifierOf(about);
  const last = sets.get(id);
  const named = mentioned(kind.atom, config);
  sets.set(id, { ...about, time: last?.time, fields: kind.reset?.(named) ?? named });
  const merged = pruned(kind, merge(kind.atom, live, config), sets, id, last);
  takeAway(kind, live, merged, filtered(kind, compare(kind.atom, live, merged)), sets, { id, force });
  const changed = !sameJson(live, merged);
  const own = sets.get(id);
  const fields = difference(own?.fields ?? noFields, notTracked);
  if (!own || isEmpty(fields)) sets.delete(id);
  else sets.set(id, { ...own, fields, time: changed ? rfc3339(now) : last?.time });
  const object = copyJson(changed ? merged : live) as Tracked; // the configuration and the cached object are not ours
  // A configuration without a name takes all of the metadata that it had; the caller finds the name missing.
  object.metadata ??= {};
  setEntries(object, sets);
  return object;
}

/** Without what the manager applied before and does not name any more, as far as nobody else owns it. */
function pruned(kind: TrackedKind, value: unknown, sets: ManagedSets, applier: string, last: { apiVersion: string; fields: Fields } | undefined): Tracked {
  const merged = value as Tracked; // two objects of a kind make one
  const own = sets.get(applier)?.fields ?? noFields;
  if (!last || isEmpty(difference(last.fields, own))) return merged;
  const before = view(kind, merged, last.apiVersion);
  if (!before) return merged;
  const fields = withNamedFields(before.atom, last.fields);
  let kept = cut(before, fields);
  // By version: what was pruned may be needed to convert at all, so the version that was pruned comes first.
  const owned = new Map<string, Fields>([[last.apiVersion, noFields]]);
  for (const managed of sets.values()) owned.set(managed.apiVersion, union(owned.get(managed.apiVersion) ?? noFields, managed.fields));
  let all = before;
  for (const [apiVersion, managed] of owned) {
    const [there, left] = [view(kind, all.object, apiVersion), view(kind, kept, apiVersion)];
    if (!there || !left) continue;
    const named = (object: unknown): Fields => withNamedFields(there.atom, mentioned(there.atom, object));
    all = there;
    kept = cut(there, difference(named(there.object), union(named(left.object), withNamedFields(there.atom, managed))));
  }
  const left = view(kind, kept, last.apiVersion);
  if (!left) return merged;
  // Items and fields that nobody owned, or only updaters, stay.
  const named = (object: unknown): Fields => withNamedFields(before.atom, mentioned(before.atom, object));
  const result = cut(before, intersection(difference(named(before.object), named(left.object)), fields));
  return (view(kind, result, kind.apiVersion)?.object ?? merged) as Tracked; // an object as `merged` is
}

interface View { object: Readonly<KubeObject>; atom: Atom }

const cut = ({ atom, object }: View, gone: Fields): KubeObject => (remove(atom, object, gone) ?? {}) as KubeObject; // part of an object

function view(kind: TrackedKind, object: Readonly<KubeObject>, apiVersion: string): View | undefined {
  return object.apiVersion === apiVersion ? { object, atom: apiVersion === kind.apiVersion ? kind.atom : kind.inVersion(object, apiVersion)?.atom ?? kind.atom }
    : kind.inVersion(object, apiVersion);
}

// ---- objects that kubectl applied on its own side before

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
const annotationBytes = 256 * 1024;

/** Conflicts over what kubectl's annotation says it applied itself are no conflicts for kubectl. */
function upgrading(kind: TrackedKind, live: Readonly<Tracked>, config: Readonly<KubeObject>, entries: ManagedSets, request: ApplyRequest): Tracked {
  try {
    return applied(kind, live, config, entries, request);
  } catch (error) {
    if (!(error instanceof ConflictsFound) || request.manager !== 'kubectl') throw error;
    const allowed = appliedBefore(kind, live);
    if (!allowed) throw error;
    const left: Conflicts = new Map();
    for (const [id, fields] of error.conflicts) {
      const rest = difference(fields, allowed);
      if (!isEmpty(rest)) left.set(id, rest);
    }
    if (left.size > 0) throw new ConflictsFound(left);
    return applied(kind, live, config, entries, { ...request, force: true });
  }
}

/** The fields of the annotation that still are as it says. */
function appliedBefore(kind: TrackedKind, live: Readonly<Tracked>): Fields | undefined {
  const text = live.metadata.annotations?.[lastApplied];
  if (!text) return undefined;
  let before: unknown;
  try {
    before = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof before !== 'object' || before === null || (before as KubeObject).apiVersion !== kind.apiVersion || validate(kind.atom, before).length > 0 || validate(kind.atom, live).length > 0) return undefined;
  const { changed, removed } = compare(kind.atom, before, live);
  return difference(difference(mentioned(kind.atom, before), changed), removed);
}

/** Keeps the annotation true for who goes back to client-side apply. */
function syncLastApplied(object: Tracked, config: Readonly<KubeObject>, manager: string): Tracked {
  const { annotations } = object.metadata;
  if (manager !== 'kubectl' || !annotations?.[lastApplied]) return object;
  const copy = copyJson(config) as KubeObject;
  delete copy.metadata?.annotations?.[lastApplied];
  if (copy.metadata?.annotations === null) delete copy.metadata.annotations;
  annotations[lastApplied] = `${sortedJson(copy)}\n`;
  let bytes = 0;
  for (const [name, value] of Object.entries(annotations)) bytes += Buffer.byteLength(name) + Buffer.byteLength(value ?? '');
  if (bytes > annotationBytes) delete annotations[lastApplied];
  return object;
}


/** As Go writes maps: members by name. */
function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  if (!isMap(value)) return goJson(value);
  return `{${Object.keys(value).sort(compareText).map((name) => `${goJson(name)}:${sortedJson(value[name])}`).join(',')}}`;
}
