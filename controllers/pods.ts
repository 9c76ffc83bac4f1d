// What several controllers ask of pods, ownership and errors. Upstream: pkg/controller/controller_utils.go, pkg/api/v1/pod.
import { apiVersionOf, controllerOf } from '#machinery/api/object.ts';
import type { KubeObject, ObjectMeta, OwnerReference, Pod, PodCondition } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import type { ParsedLabelSelector } from '#machinery/api/labels.ts';
import type { Informer, Resource } from '#machinery/client/types.ts';

export function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
}
/** Not finished and not being deleted. */
export function isActive(pod: Pod): boolean {
  return !isTerminal(pod) && pod.metadata.deletionTimestamp === undefined;
}
export function podCondition(pod: Pod, type: string): PodCondition | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}
export function isReady(pod: Pod): boolean {
  return podCondition(pod, 'Ready')?.status === 'True';
}
/** Milliseconds until the pod is available; 0 when it is, undefined when it is not ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, now: number): number | undefined {
  const ready = podCondition(pod, 'Ready');
  if (ready?.status !== 'True') return undefined;
  if (minReadySeconds === 0) return 0;
  const since = Date.parse(String(ready.lastTransitionTime ?? ''));
  if (Number.isNaN(since)) return undefined;
  return Math.max(0, since + minReadySeconds * 1000 - now);
}

export function controllerReference(owner: { metadata: ObjectMeta }, resource: Resource<unknown>): OwnerReference {
  const { name = '', uid = '' } = owner.metadata;
  return { apiVersion: apiVersionOf(resource.group, resource.version), kind: resource.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** Index of objects by the UID of their controller, and of those without one by namespace: `uid`, `orphan/namespace`. */
export function indexByController<T extends { metadata: ObjectMeta }>(informer: Informer<T>): void {
  informer.addIndex('controller', (object) => [controllerOf(object)?.uid ?? `orphan/${object.metadata.namespace ?? ''}`]);
}

/** The refusal of a create in a namespace that is going away: it will never succeed, and soon nobody asks. */
export function isNamespaceTerminating(error: unknown): boolean {
  return error instanceof StatusError && error.status.details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true;
}

export interface Claim<T extends { metadata: ObjectMeta }> {
  owner: { metadata: ObjectMeta };
  selector: ParsedLabelSelector;
  candidates: readonly T[];
  /** Reads the owner afresh; throws or answers false when it must not adopt any more. Asked once at most. */
  mayAdopt: () => Promise<boolean>;
  adopt: (object: T) => Promise<void>;
  release: (object: T) => Promise<void>;
}

/** The candidates that belong to the owner: matching ones without a controller are adopted, own ones that no longer match released. */
export async function claim<T extends { metadata: ObjectMeta }>({ owner, selector, candidates, mayAdopt, adopt, release }: Claim<T>): Promise<T[]> {
  const mine: T[] = [];
  let allowed: Promise<boolean> | undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    const matches = selector.matches(object.metadata.labels);
    if (controller) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (matches) mine.push(object);
      else if (owner.metadata.deletionTimestamp === undefined) await release(object);
      continue;
    }
    if (!matches || owner.metadata.deletionTimestamp !== undefined || object.metadata.deletionTimestamp !== undefined) continue;
    if (!(await (allowed ??= mayAdopt()))) continue;
    await adopt(object);
    mine.push(object);
  }
  return mine;
}

/** Bodies of the patches that claim() needs; the UID makes them fail on an object made anew under the name. */
export function adoptPatch(object: { metadata: ObjectMeta }, reference: OwnerReference): object {
  return { metadata: { uid: object.metadata.uid, ownerReferences: [reference] } };
}
export function releasePatch(object: { metadata: ObjectMeta }, ownerUid: string): object {
  return { metadata: { uid: object.metadata.uid, ownerReferences: [{ $patch: 'delete', uid: ownerUid }] } };
}

/** Equal as Go's semantic equality sees decoded objects: absent, null and empty lists are the same. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (isEmpty(a) && isEmpty(b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((value, index) => sameValue(value, b[index]));
  }
  const left = a as Record<string, unknown>; // objects, as checked
  const right = b as Record<string, unknown>;
  return Object.keys(left).every((key) => sameValue(left[key], right[key])) && Object.keys(right).every((key) => key in left || isEmpty(right[key]));
}
function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}
/** sameValue for labels and annotations, where an empty map is the same as none. */
export function sameMap(a: Record<string, string> | undefined, b: Record<string, string> | undefined): boolean {
  return sameValue(a ?? {}, b ?? {});
}

export function asObject(value: unknown): KubeObject {
  return value as KubeObject; // every API object is one
}
