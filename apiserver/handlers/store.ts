// The generic store: the order of steps of every write, the same for all kinds. What is special to a kind is in its strategy.
// Upstream: apiserver's registry/generic/registry/store.go and registry/rest; clients see the same order and texts.
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '#machinery/base/clock.ts';
import { pathSegmentErrors } from '#machinery/api/names.ts';
import type { KubeObject, ObjectMeta } from '#machinery/api/object.ts';
import { alreadyExists, badRequest, conflict, invalid, notFound, staleConflict, StatusError } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import type { AdmissionAttributes, AdmissionPlugin, Operation } from '../admission/admission.ts';
import { runAdmission } from '../admission/chain.ts';
import type { AdmissionMetrics } from '../metrics/admission.ts';
import { keepManagersValid, sameButForTimes } from '../fieldmanager/managed.ts';
import type { RequestContext } from '../request.ts';
import { validateObjectMeta, validateObjectMetaUpdate } from '../resources/meta.ts';
import type { Reservation, WriteContext } from '../resources/resource.ts';
import { invalidAll } from '../resources/values.ts';
import { objectKey } from '../storage/keys.ts';
import { StorageUnavailableError, type Storage, type StoredValue } from '../storage/storage.ts';
import { dedupeOwners, generateName, wipeSystemFields } from './metadata.ts';
import type { DeleteOptions } from './options.ts';
import type { Served } from './served.ts';
import { decodeStored } from './served.ts';
import { copyJson } from '../patch/json-value.ts';

export const maxObjectBytes = 1.5 * 1024 * 1024;
const maxNameAttempts = 8;
const maxUpdateAttempts = 200;

export interface StoreDeps {
  readonly storage: Storage;
  readonly admission: readonly AdmissionPlugin[];
  readonly admissionMetrics: AdmissionMetrics | undefined;
  readonly now: () => number;
  /** Resolves when the cache reflects everything committed before the call. */
  latest(signal: AbortSignal): Promise<void>;
  lookup: WriteContext['lookup'];
  list: WriteContext['list'];
}

/** An object with metadata, in the version of the request. */
export type Writable = KubeObject & { metadata: ObjectMeta };
/** What a write left behind. `bytes` is the object as JSON. */
export interface Written { object: Writable; bytes: Buffer; created: boolean; deleted: boolean }

export interface WriteRequest {
  context: RequestContext;
  namespace: string;
  /** '' on create: the object's own, or generated. */
  name: string;
  subresource: string;
  dryRun: boolean;
  /** CreateOptions and the like, for admission. */
  options: Record<string, unknown>;
  /** Admission was asked in another form (a Binding, a Scale) and is not asked again. */
  admitted?: boolean;
  /**
   * Records in the object who changed what; `live` is undefined on create. 'done': whoever made the object has recorded it. Absent:
   * the managers stay as they are, for writes of the server itself.
   */
  track?: ((live: Readonly<Writable> | undefined, object: Writable) => void) | 'done';
}

interface Current { object: Writable; bytes: Buffer | undefined; revision: bigint }

export class ObjectStore {
  readonly #served: Served;
  readonly #deps: StoreDeps;

  constructor(served: Served, deps: StoreDeps) {
    this.#served = served;
    this.#deps = deps;
  }

  get served(): Served {
    return this.#served;
  }

  /** `object` is decoded, defaulted and ours to change. */
  async create(request: WriteRequest, object: Writable): Promise<Written> {
    const { row, name: resource } = this.#served;
    const writing = this.#context(request);
    const { metadata } = object;
    wipeSystemFields(metadata);
    matchNamespace(row.namespaced ? request.namespace : '', metadata);
    if (metadata.resourceVersion === '' || metadata.resourceVersion === '0') delete metadata.resourceVersion;
    warnOf(dedupeOwners(metadata), request.context);
    track(request, undefined, object);
    const managers = metadata.managedFields;
    await this.#admit('CREATE', request, writing, request.name || (metadata.name ?? ''), object, undefined);
    wipeSystemFields(metadata);
    matchNamespace(row.namespaced ? request.namespace : '', metadata);
    warnOf(keepManagersValid(metadata, managers), request.context);
    warnOf(dedupeOwners(metadata), request.context);

    const generated = !metadata.name && !!metadata.generateName;
    const template = generated ? JSON.stringify(object) : '';
    for (let attempt = 1; ; attempt += 1) {
      const candidate = attempt === 1 ? object : JSON.parse(template) as Writable; // our own text
      const written = await this.#tryCreate(request, writing, candidate);
      if (written) return written;
      if (generated && attempt < maxNameAttempts) continue;
      const name = candidate.metadata.name ?? '';
      const error = alreadyExists(resource, name);
      if (candidate.metadata.generateName) {
        throw new StatusError(409, 'AlreadyExists', `${error.message}, the server was not able to generate a unique name for the object`, { ...error.status.details, retryAfterSeconds: 1 });
      }
      const standing = await this.#read(request, name);
      throw standing?.object.metadata.deletionTimestamp === undefined ? error
        : new StatusError(409, 'AlreadyExists', `object is being deleted: ${error.message}`, error.status.details);
    }
  }

  /** Undefined: the name is taken. */
  async #tryCreate(request: WriteRequest, writing: WriteContext, object: Writable): Promise<Written | undefined> {
    const { row } = this.#served;
    const { metadata } = object;
    if (!metadata.name && metadata.generateName) metadata.name = generateName(metadata.generateName);
    metadata.uid = randomUUID();
    metadata.creationTimestamp = rfc3339(writing.now);
    const { strategy } = row;
    if (strategy.generation === 'spec') metadata.generation = 1;
    if (strategy.prepareForCreate) strategy.prepareForCreate(object, writing);
    else if (hasStatus(this.#served)) delete object['status'];
    const loading = strategy.load?.(object);
    if (loading) await loading;
    const reservation = await strategy.allocate?.(object, undefined, writing);
    return this.#reserved(reservation, async () => {
      const nameFn = (name: string, prefix: boolean): string[] => strategy.validateName?.(name, prefix) ?? [];
      const name = metadata.name ?? '';
      this.#refuse(name, [...validateObjectMeta(metadata, { namespaced: row.namespaced, nameFn }), ...(strategy.validate?.(object, writing) ?? [])]);
      // Whatever the kind allows, the name has to fit into a path.
      this.#refuse(name, invalidAll('metadata.name', name, pathSegmentErrors(name)));
      for (const text of strategy.warnings?.(object, undefined) ?? []) warnOf(text, request.context);
      await this.#validate('CREATE', request, writing, metadata.name ?? '', object, undefined);
      // As late as upstream's store looks at it: admission refuses first.
      if (metadata.resourceVersion) throw new StatusError(500, '', 'resourceVersion should not be set on objects to be created');
      const key = this.#key(request.namespace, metadata.name ?? '');
      if (request.dryRun) {
        const { value } = await this.#deps.storage.get(key);
        return value ? undefined : { ...finished(object), created: true, deleted: false };
      }
      const result = await this.#put(key, object, 0n, request.track === 'done');
      return result && { ...result, created: true, deleted: false };
    });
  }

  /**
   * Reads, lets `change` make the new object of its own (never touching `old`), writes; again when somebody else was
   * faster, unless the new object names a resourceVersion. `createMissing`: what to create when there is nothing.
   */
  async update(request: WriteRequest, change: (old: Readonly<Writable>) => Promise<Writable> | Writable, how: {
    createMissing?: () => Promise<Writable> | Writable;
    /** Precondition of a caller who read the object before. */
    onCreate?: () => Promise<void>;
  } = {}): Promise<Written> {
    const { name: resource } = this.#served;
    for (let attempt = 1; attempt <= maxUpdateAttempts; attempt += 1) {
      request.context.signal.throwIfAborted();
      const current = attempt === 1 ? await this.#readCached(request, request.name) : await this.#read(request, request.name);
      if (!current) {
        if (!how.createMissing) throw notFound(resource, request.name);
        await how.onCreate?.();
        return this.create({ ...request, options: { ...request.options, kind: 'CreateOptions' } }, await how.createMissing());
      }
      const written = await this.#tryUpdate(request, current, await change(current.object));
      if (written) return written;
    }
    throw new StatusError(409, 'Conflict', staleConflict(resource, request.name).message, staleConflict(resource, request.name).status.details);
  }

  /** Undefined: somebody else wrote in between. */
  async #tryUpdate(request: WriteRequest, current: Current, object: Writable): Promise<Written | undefined> {
    const { row, name: resource } = this.#served;
    const { strategy } = row;
    const old = current.object;
    const writing = this.#context(request);
    const given = object.metadata;
    const main = request.subresource === '';
    matchNamespace(row.namespaced ? request.namespace : '', given);
    if (given.uid && given.uid !== old.metadata.uid) {
      throw conflict(resource, request.name, `Precondition failed: UID in precondition: ${given.uid}, UID in object meta: ${old.metadata.uid}`);
    }
    warnOf(dedupeOwners(given), request.context);
    track(request, old, object);
    const managers = given.managedFields;
    if (!request.admitted) await this.#admit('UPDATE', request, writing, request.name, object, old);
    matchNamespace(row.namespaced ? request.namespace : '', given);
    warnOf(keepManagersValid(given, managers), request.context);
    warnOf(dedupeOwners(given), request.context);

    const version = given.resourceVersion ?? '';
    if (version === '' || version === '0') {
      if (strategy.unconditionalUpdate === false) {
        throw invalid({ group: row.group, kind: row.resource }, request.name, [{ type: 'Invalid', field: 'metadata.resourceVersion', value: 0, detail: 'must be specified for an update' }]);
      }
      given.resourceVersion = old.metadata.resourceVersion ?? '';
    } else if (version !== old.metadata.resourceVersion) throw staleConflict(resource, request.name);

    keep(given, old.metadata, 'generation');
    if (main) {
      if (strategy.prepareForUpdate) strategy.prepareForUpdate(object, old, writing);
      else if (hasStatus(this.#served)) keepField(object, old, 'status');
      if (strategy.generation === 'spec' && specChanged(object, old)) object.metadata.generation = (old.metadata.generation ?? 0) + 1;
    } else if (request.subresource === 'status') {
      if (strategy.status?.prepareForUpdate) strategy.status.prepareForUpdate(object, old, writing);
      else for (const field of new Set([...Object.keys(object), ...Object.keys(old)])) if (field !== 'status' && field !== 'metadata') keepField(object, old, field);
    } else strategy.subresources?.[request.subresource]?.prepareForUpdate(object, old, writing);
    const { metadata } = object; // strategies may have put another in its place
    metadata.uid ||= old.metadata.uid ?? '';
    keep(metadata, old.metadata, 'creationTimestamp');
    if (old.metadata.deletionTimestamp !== undefined) keep(metadata, old.metadata, 'deletionTimestamp');
    if (metadata.deletionGracePeriodSeconds === undefined) keep(metadata, old.metadata, 'deletionGracePeriodSeconds');

    const loading = main ? strategy.load?.(object) : undefined;
    if (loading) await loading;
    const reservation = main ? await strategy.allocate?.(object, old, writing) : undefined;
    return this.#reserved(reservation, async () => {
      // Names of old objects may break rules that came later.
      const errors = [...validateObjectMeta(metadata, { namespaced: row.namespaced, nameFn: pathSegmentErrors }), ...validateObjectMetaUpdate(metadata, old.metadata)];
      if (main) errors.push(...(strategy.validate?.(object, writing, old) ?? []), ...(strategy.validateUpdate?.(object, old, writing) ?? []));
      else if (request.subresource === 'status') errors.push(...(strategy.status?.validateUpdate?.(object, old, writing) ?? []));
      else errors.push(...(strategy.subresources?.[request.subresource]?.validateUpdate?.(object, old, writing) ?? []));
      this.#refuse(request.name, errors);
      const warnings = main ? strategy.warnings?.(object, old) : request.subresource === 'status' ? strategy.status?.warnings?.(object, old) : undefined;
      for (const text of warnings ?? []) warnOf(text, request.context);
      if (!request.admitted) await this.#validate('UPDATE', request, writing, request.name, object, old);

      const key = this.#key(request.namespace, request.name);
      if (emptied(this.#served, object, old)) {
        if (!request.dryRun) {
          const result = await this.#deps.storage.delete(key, { expected: current.revision });
          if (!result.ok && result.current) return undefined;
          await this.#freed(old, writing);
        }
        return { ...finished(object), created: false, deleted: true };
      }
      if (current.bytes && sameButForTimes(object, old) && !(this.#deps.storage.isStale && await this.#deps.storage.isStale(key))) {
        return { object: copyJson(old) as Writable, bytes: current.bytes, created: false, deleted: false };
      }
      if (request.dryRun) return { ...finished(object), created: false, deleted: false };
      const put = await this.#put(key, object, current.revision, request.track === 'done');
      return put && { ...put, created: false, deleted: false };
    });
  }

  /** Deletes, or marks for deletion what has to wait. */
  async delete(request: WriteRequest, options: DeleteOptions): Promise<Written> {
    const { row, name: resource } = this.#served;
    const preconditions = { uid: options.uid, resourceVersion: options.resourceVersion };
    for (let attempt = 1; attempt <= maxUpdateAttempts; attempt += 1) {
      request.context.signal.throwIfAborted();
      const current = attempt === 1 ? await this.#readCached(request, request.name) : await this.#read(request, request.name);
      if (!current) throw notFound(resource, request.name);
      const writing = this.#context(request);
      const old = current.object;
      checkPreconditions(row, old, preconditions);
      if (!request.admitted) {
        await this.#admit('DELETE', request, writing, request.name, undefined, old);
        await this.#validate('DELETE', request, writing, request.name, undefined, old);
      }

      const object = copyJson(old);
      const step = nextDeletionStep(this.#served, object, options, writing.now);
      if (step === 'nothing') return { ...finished(old), created: false, deleted: false };
      const key = this.#key(request.namespace, request.name);
      if (step === 'mark') {
        // Marked before: a kubelet asks again whenever such a pod changes, and a write would be the next change.
        if (request.dryRun || isDeepStrictEqual(object, old)) return { ...finished(object), created: false, deleted: false };
        const put = await this.#put(key, object, current.revision);
        if (!put) continue;
        return { ...put, created: false, deleted: false };
      }
      if (!request.dryRun) {
        const result = await this.#deps.storage.delete(key, { expected: current.revision });
        if (!result.ok) {
          if (result.current) continue;
          throw notFound(resource, request.name);
        }
        await this.#freed(old, writing);
        object.metadata.resourceVersion = String(result.revision);
      }
      return { ...finished(object), created: false, deleted: true };
    }
    throw staleConflict(resource, request.name);
  }

  /** The stored object as this version shows it, linearizable. */
  async get(request: WriteRequest): Promise<Writable> {
    const current = await this.#readCached(request, request.name);
    if (!current) throw notFound(this.#served.name, request.name);
    return current.object;
  }

  /** Asks admission about something that is not written as it is: a Binding, an Eviction, the options of a connection. */
  async admission(operation: Operation, request: WriteRequest, object: KubeObject, old?: Readonly<KubeObject>): Promise<void> {
    const writing = this.#context(request);
    await this.#admit(operation, request, writing, request.name, object, old);
    await this.#validate(operation, request, writing, request.name, object, old);
  }

  /** From the cache once it reflects all that was committed. */
  async #readCached(request: WriteRequest, name: string): Promise<Current | undefined> {
    const { stored } = this.#served;
    if (!stored) throw new Error(`${this.#served.id} is not stored`);
    await this.#deps.latest(request.context.signal);
    const cached = stored.cache.get(this.#namespace(request.namespace), name);
    if (!cached) return undefined;
    const view = this.#served.view(cached);
    return { object: view.object as Writable, bytes: view.bytes, revision: cached.revision }; // everything stored has metadata
  }

  async #read(request: WriteRequest, name: string): Promise<Current | undefined> {
    const { value } = await this.#deps.storage.get(this.#key(request.namespace, name));
    return value && this.#decode(value);
  }

  #decode(value: StoredValue): Current {
    const { stored } = this.#served;
    if (!stored) throw new Error(`${this.#served.id} is not stored`);
    const { row } = stored;
    const object = decodeStored(row, row.group === '' ? row.version : `${row.group}/${row.version}`, value.value, value.modRevision);
    return { object: this.#served.fromStored(object) as Writable, bytes: undefined, revision: value.modRevision }; // everything stored has metadata
  }

  #namespace(namespace: string): string {
    return this.#served.row.namespaced ? namespace : '';
  }
  #key(namespace: string, name: string): string {
    const { stored } = this.#served;
    if (!stored) throw new Error(`${this.#served.id} is not stored`);
    return objectKey(stored.prefix, this.#namespace(namespace), name);
  }

  /** The object in its new version; undefined when the key was not as expected. */
  async #put(key: string, object: Writable, expected: bigint, applied = false): Promise<{ object: Writable; bytes: Buffer } | undefined> {
    const toStore = this.#served.toStored(object);
    const { metadata } = toStore;
    if (metadata) delete metadata.resourceVersion;
    let text = JSON.stringify(toStore);
    let value = Buffer.from(text);
    if (value.length > maxObjectBytes && metadata?.managedFields && !applied) {
      // Who manages what may be large, and is not worth refusing a write for.
      delete metadata.managedFields;
      text = JSON.stringify(toStore);
      value = Buffer.from(text);
    }
    // Upstream hands on what etcd says, which clients look for.
    if (value.length > maxObjectBytes) throw new StatusError(500, '', 'etcdserver: request is too large');
    const { ttlSeconds } = this.#served.stored?.row.strategy ?? {};
    const result = await this.#deps.storage.put(key, value, { expected, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) });
    if (!result.ok) return undefined;
    object.metadata.resourceVersion = String(result.revision);
    return { object, bytes: toStore === object ? withVersion(text, result.revision) : Buffer.from(JSON.stringify(object)) };
  }

  async #freed(old: Readonly<Writable>, writing: WriteContext): Promise<void> {
    const reservation = await this.#served.row.strategy.allocate?.(undefined, old, writing);
    await reservation?.commit();
  }

  /** Runs a write under what was allocated for it; gives it back when the write did not happen. */
  async #reserved(reservation: Reservation | undefined, write: () => Promise<Written | undefined>): Promise<Written | undefined> {
    if (!reservation) return write();
    let written: Written | undefined;
    try {
      written = await write();
    } catch (error) {
      // A write whose answer was lost may have happened: the object then holds what it was given. If not, the repair finds it.
      if (!(error instanceof StorageUnavailableError)) await reservation.release();
      throw error;
    }
    await (written ? reservation.commit() : reservation.release());
    return written;
  }

  #refuse(name: string, errors: readonly FieldError[]): void {
    if (errors.length > 0) throw invalid(this.#served.row, name, errors);
  }

  #context({ context, dryRun }: WriteRequest): WriteContext {
    return { request: context, now: this.#deps.now(), dryRun, lookup: this.#deps.lookup, list: this.#deps.list };
  }

  async #admit(operation: Operation, request: WriteRequest, context: WriteContext, name: string, object: KubeObject | undefined, old: Readonly<KubeObject> | undefined): Promise<void> {
    await runAdmission(this.#deps.admission, 'admit', this.#attributes(operation, request, context, name, object, old), this.#deps.admissionMetrics);
  }
  async #validate(operation: Operation, request: WriteRequest, context: WriteContext, name: string, object: KubeObject | undefined, old: Readonly<KubeObject> | undefined): Promise<void> {
    await runAdmission(this.#deps.admission, 'validate', this.#attributes(operation, request, context, name, object, old), this.#deps.admissionMetrics);
  }
  #attributes(operation: Operation, request: WriteRequest, context: WriteContext, name: string, object: KubeObject | undefined, oldObject: Readonly<KubeObject> | undefined): AdmissionAttributes {
    return {
      operation, row: this.#served.row, subresource: request.subresource, namespace: request.namespace, name, object, oldObject,
      options: request.options, dryRun: request.dryRun, user: request.context.user ?? { name: '', groups: [] }, context,
    };
  }
}

function finished(object: Readonly<Writable>): { object: Writable; bytes: Buffer } {
  return { object: object as Writable, bytes: Buffer.from(JSON.stringify(object)) }; // written objects are ours; marked ones are clones
}

/** What was stored, as it is answered: a second JSON.stringify would cost more than all the rest of a write. */
function withVersion(text: string, revision: bigint): Buffer {
  // Only kind and apiVersion, which are ours, come before it.
  const at = text.indexOf(metadataBegins);
  if (at < 0) throw new Error('a stored object has metadata');
  const inside = at + metadataBegins.length;
  return Buffer.from(`${text.slice(0, inside)}"resourceVersion":"${revision}",${text.slice(inside)}`);
}
const metadataBegins = '"metadata":{';

function track({ track: record }: WriteRequest, live: Readonly<Writable> | undefined, object: Writable): void {
  if (typeof record === 'function') record(live, object);
  else if (record === undefined && live?.metadata.managedFields && !object.metadata.managedFields) object.metadata.managedFields = live.metadata.managedFields;
}

function warnOf(text: string | undefined, context: RequestContext): void {
  if (text !== undefined && !context.warnings.includes(text)) context.warnings.push(text);
}

export function matchNamespace(requested: string, metadata: ObjectMeta): void {
  const own = metadata.namespace ?? '';
  if (own === requested) {
    if (own === '' && 'namespace' in metadata) delete metadata.namespace;
  } else if (own === '') metadata.namespace = requested;
  else if (requested === '') delete metadata.namespace;
  else throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
}

function hasStatus({ row }: Served): boolean {
  return row.subresources.some((one) => one.name === 'status');
}

function keep<K extends keyof ObjectMeta>(metadata: ObjectMeta, old: Readonly<ObjectMeta>, field: K): void {
  if (old[field] === undefined) delete metadata[field];
  else metadata[field] = old[field];
}
function keepField(object: KubeObject, old: Readonly<KubeObject>, field: string): void {
  if (old[field] === undefined) delete object[field];
  else object[field] = old[field];
}

function specChanged(object: KubeObject, old: Readonly<KubeObject>): boolean {
  for (const field of new Set([...Object.keys(object), ...Object.keys(old)])) {
    if (field === 'metadata' || field === 'status' || field === 'apiVersion' || field === 'kind') continue;
    if (!isDeepStrictEqual(object[field], old[field])) return true;
  }
  return false;
}

function finalizersOf(object: Readonly<KubeObject>): readonly string[] {
  return object.metadata?.finalizers ?? [];
}
/** Namespaces have finalizers of their own in spec. */
function namespaceFinalizers({ id }: Served, object: Readonly<KubeObject>): readonly string[] {
  return id === 'namespaces' ? (object['spec'] as { finalizers?: string[] } | undefined)?.finalizers ?? [] : [];
}

/** The update took away the last finalizer of something that only waited for that. */
function emptied(served: Served, object: Readonly<Writable>, old: Readonly<Writable>): boolean {
  return old.metadata.deletionTimestamp !== undefined && (old.metadata.deletionGracePeriodSeconds ?? 0) === 0
    && finalizersOf(object).length === 0 && namespaceFinalizers(served, object).length === 0;
}

function checkPreconditions(row: Served['row'], old: Readonly<Writable>, { uid, resourceVersion }: { uid: string | undefined; resourceVersion: string | undefined }): void {
  const about = { group: row.group, resource: row.kind };
  const name = old.metadata.name ?? '';
  if (uid !== undefined && uid !== old.metadata.uid) {
    throw conflict(about, name, `the UID in the precondition (${uid}) does not match the UID in record (${old.metadata.uid}). The object might have been deleted and then recreated`);
  }
  if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion) {
    throw conflict(about, name, `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${old.metadata.resourceVersion}). The object might have been modified`);
  }
}

/** Changes `object` (a clone) to what it is while it waits. Upstream: rest.BeforeDelete and the store's updateForGracefulDeletionAndFinalizers. */
function nextDeletionStep(served: Served, object: Writable, options: DeleteOptions, now: number): 'nothing' | 'mark' | 'delete' {
  const { metadata } = object;
  const { strategy } = served.row;
  if (served.id === 'namespaces') return nextNamespaceStep(object, options, now, served);
  let graceful = false;
  const asked = options.gracePeriodSeconds !== undefined && options.gracePeriodSeconds < 0 ? 1 : options.gracePeriodSeconds;
  if (strategy.gracePeriodSeconds) {
    if (metadata.deletionTimestamp !== undefined) {
      const left = metadata.deletionGracePeriodSeconds ?? 0;
      if (left > 0) {
        // A second deletion can only shorten the first one's period.
        if (asked === undefined || asked >= left) return 'nothing';
        let period = asked;
        let at = Date.parse(metadata.deletionTimestamp) - left * 1000 + asked * 1000;
        if (at < now) {
          at = now;
          if (period !== 0) period = 1;
        }
        metadata.deletionTimestamp = rfc3339(at);
        metadata.deletionGracePeriodSeconds = period;
        graceful = true;
      }
    } else {
      const period = strategy.gracePeriodSeconds(object, asked);
      if (period !== undefined) {
        metadata.deletionTimestamp = rfc3339(now + period * 1000);
        metadata.deletionGracePeriodSeconds = period;
        if ((metadata.generation ?? 0) > 0) metadata.generation = (metadata.generation ?? 0) + 1;
        graceful = true;
      }
    }
  }
  applyPropagation(served, metadata, options);
  const waiting = finalizersOf(object).length > 0;
  if (graceful) return waiting || (metadata.deletionGracePeriodSeconds ?? 0) > 0 ? 'mark' : 'delete';
  if (!waiting) return 'delete';
  markDeleting(metadata, now);
  return 'mark';
}

function nextNamespaceStep(object: Writable, options: DeleteOptions, now: number, served: Served): 'nothing' | 'mark' | 'delete' {
  const { metadata } = object;
  if (metadata.deletionTimestamp === undefined) {
    metadata.deletionTimestamp = rfc3339(now);
    object['status'] = { ...(object['status'] as object | undefined), phase: 'Terminating' };
    applyPropagation(served, metadata, options);
    return 'mark';
  }
  if (namespaceFinalizers(served, object).length > 0) return 'nothing';
  applyPropagation(served, metadata, options);
  return finalizersOf(object).length > 0 ? 'nothing' : 'delete';
}

function markDeleting(metadata: ObjectMeta, now: number): void {
  if (metadata.deletionTimestamp === undefined && (metadata.generation ?? 0) > 0) metadata.generation = (metadata.generation ?? 0) + 1;
  if (metadata.deletionTimestamp === undefined || Date.parse(metadata.deletionTimestamp) > now) metadata.deletionTimestamp = rfc3339(now);
  metadata.deletionGracePeriodSeconds = 0;
}

/** Kinds whose dependents stay behind unless something else is asked (their v1 strategies upstream). */
const orphaning = new Set(['jobs.batch', 'replicationcontrollers']);
/** Kinds that the garbage collector leaves alone. */
const uncollected = new Set(['events', 'events.events.k8s.io']);

/** Finalizers for the garbage collector, by what the request asks, else what the object says, else the kind's default. */
function applyPropagation(served: Served, metadata: ObjectMeta, { orphanDependents, propagationPolicy }: DeleteOptions): void {
  if (uncollected.has(served.id)) return;
  const has = (name: string): boolean => metadata.finalizers?.includes(name) ?? false;
  let orphan: boolean;
  let foreground: boolean;
  if (orphanDependents !== undefined) {
    orphan = orphanDependents;
    foreground = false;
  } else if (propagationPolicy !== undefined) {
    orphan = propagationPolicy === 'Orphan';
    foreground = propagationPolicy === 'Foreground';
  } else {
    const first = metadata.finalizers?.find((name) => name === 'orphan' || name === 'foregroundDeletion');
    orphan = first === 'orphan' || (first === undefined && orphaning.has(served.id));
    foreground = first === 'foregroundDeletion';
  }
  if (orphan === has('orphan') && foreground === has('foregroundDeletion')) return;
  metadata.finalizers = [
    ...(metadata.finalizers ?? []).filter((name) => name !== 'orphan' && name !== 'foregroundDeletion'),
    ...(orphan ? ['orphan'] : []), ...(foreground ? ['foregroundDeletion'] : []),
  ];
  if (metadata.finalizers.length === 0) delete metadata.finalizers;
}
