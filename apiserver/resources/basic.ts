// The part of a strategy that only differs in data: what is cleared on create, what stays on updates of the object and of
// its status, generation, and the flags for PUT. Kinds add their defaults and rules to it.
import type { KubeObject } from '#machinery/api/object.ts';
import type { Strategy } from './resource.ts';
import { isObject, need, setMissing } from './values.ts';
import { copyJson } from '../patch/json-value.ts';

export interface Basics {
  /** Has a status subresource: clients of the main resource cannot set status. */
  status?: boolean;
  /** Which metadata a status write may change; the rest of the object never changes by it. Default: all but nothing. */
  statusMayChange?: readonly ('labels' | 'annotations' | 'finalizers' | 'ownerReferences')[];
  /** Status of a new object. */
  initialStatus?: (object: KubeObject, now: number) => unknown;
  generation?: 'spec' | 'none';
  createOnUpdate?: boolean;
  unconditionalUpdate?: boolean;
}

const usual = ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const;

export function basicStrategy({ status = false, statusMayChange = usual, initialStatus, generation = 'none', createOnUpdate, unconditionalUpdate }: Basics): Strategy {
  return {
    generation,
    ...(createOnUpdate === undefined ? {} : { createOnUpdate }),
    ...(unconditionalUpdate === undefined ? {} : { unconditionalUpdate }),
    prepareForCreate(object, { now }) {
      if (status) object['status'] = initialStatus?.(object, now) ?? {};
      setFirstGeneration(object, generation);
    },
    ...(status ? {
      prepareForUpdate: keepStatus,
      status: { prepareForUpdate: (object: KubeObject, old: Readonly<KubeObject>) => keepAllButStatus(object, old, statusMayChange) },
    } : {}),
  };
}

/** The common part and what a kind has of its own; its own prepareForCreate comes on top of the common one. */
export function kindStrategy(basics: Basics, own: Partial<Strategy>): Strategy {
  const basic = basicStrategy(basics);
  const { prepareForCreate } = own;
  return {
    ...basic, ...own,
    ...(prepareForCreate ? { prepareForCreate: (object, context) => {
      basic.prepareForCreate?.(object, context);
      prepareForCreate(object, context);
    } } : {}),
    ...(own.status ? { status: { ...basic.status, ...own.status } } : {}),
  };
}

export function setFirstGeneration(object: KubeObject, generation: 'spec' | 'none'): void {
  const metadata = object.metadata ??= {};
  if (generation === 'spec') metadata.generation = 1;
  else delete metadata.generation;
}

/** Fields of a status that are always written, even when they are zero. */
export function zeroStatus(object: Record<string, unknown>, fields: readonly string[]): void {
  const status = need(object, 'status');
  for (const field of fields) setMissing(status, field, 0);
}

/** For writes of the main resource. */
export function keepStatus(object: KubeObject, old: Readonly<KubeObject>): void {
  keepField(object, old, 'status');
}

/** For writes of the status: everything else as it was, but for the metadata that may change. */
export function keepAllButStatus(object: KubeObject, old: Readonly<KubeObject>, mayChange: readonly string[] = usual): void {
  for (const name of Object.keys(object)) {
    if (name !== 'status' && name !== 'metadata' && name !== 'apiVersion' && name !== 'kind' && !(name in old)) delete object[name];
  }
  for (const name of Object.keys(old)) {
    if (name !== 'status' && name !== 'metadata' && name !== 'apiVersion' && name !== 'kind') keepField(object, old, name);
  }
  const metadata: Record<string, unknown> = { ...object.metadata };
  const before: Record<string, unknown> = { ...old.metadata };
  for (const name of usual) {
    if (mayChange.includes(name)) continue;
    if (before[name] === undefined) delete metadata[name];
    else metadata[name] = copyJson(before[name]);
  }
  object.metadata = metadata;
}

/** A copy, because what comes from the cache is shared. */
export function keepField(object: Record<string, unknown>, old: Readonly<Record<string, unknown>>, name: string): void {
  const value = old[name];
  if (value === undefined) delete object[name];
  else object[name] = isObject(value) || Array.isArray(value) ? copyJson(value) : value;
}
