// Rules of metadata that hold for every kind. Upstream: apimachinery's api/validation/objectmeta.go, apiserver's registry/rest.
import { randomInt } from 'node:crypto';
import { dns1123LabelErrors, labelValueErrors, pathSegmentErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import { parseApiVersion } from '#machinery/api/object.ts';
import type { ObjectMeta } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import type { ResourceRow } from '../resources/resource.ts';

const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const maxBaseLength = 63 - 5;

/** The base, cut so that the result is a label, and five characters that spell no words. */
export function generateName(base: string): string {
  let suffix = '';
  for (let i = 0; i < 5; i += 1) suffix += alphabet.charAt(randomInt(alphabet.length));
  return base.slice(0, maxBaseLength) + suffix;
}

/** What the server alone may set on a new object. */
export function wipeSystemFields(metadata: ObjectMeta): void {
  for (const field of ['creationTimestamp', 'uid', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink'] as const) {
    if (field in metadata) delete metadata[field];
  }
}

const annotationsLimitBytes = 262_144;

export function metadataErrors(metadata: ObjectMeta, row: ResourceRow): FieldError[] {
  const errors: FieldError[] = [];
  const add = (type: FieldError['type'], field: string, value: unknown, detail: string): void => {
    errors.push({ type, field: `metadata.${field}`, value, detail });
  };
  const nameErrors = (name: string, prefix: boolean): string[] => row.strategy.validateName?.(name, prefix) ?? pathSegmentErrors(name, prefix);
  if (metadata.generateName) for (const text of nameErrors(metadata.generateName, true)) add('Invalid', 'generateName', metadata.generateName, text);
  if (!metadata.name) add('Required', 'name', undefined, 'name or generateName is required');
  else {
    const texts = [...nameErrors(metadata.name, false), ...(row.strategy.validateName ? pathSegmentErrors(metadata.name, false) : [])];
    for (const text of texts) add('Invalid', 'name', metadata.name, text);
  }
  if (row.namespaced) {
    if (!metadata.namespace) add('Required', 'namespace', undefined, '');
    else for (const text of dns1123LabelErrors(metadata.namespace)) add('Invalid', 'namespace', metadata.namespace, text);
  } else if (metadata.namespace) add('Forbidden', 'namespace', undefined, 'not allowed on this type');
  if (metadata.generation !== undefined && metadata.generation < 0) add('Invalid', 'generation', metadata.generation, 'must be greater than or equal to 0');
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    for (const text of qualifiedNameErrors(key)) add('Invalid', 'labels', key, text);
    for (const text of labelValueErrors(value)) add('Invalid', 'labels', value, text);
  }
  let size = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
    for (const text of qualifiedNameErrors(key.toLowerCase())) add('Invalid', 'annotations', key, text);
  }
  if (size > annotationsLimitBytes) add('TooLong', 'annotations', undefined, `may not be more than ${annotationsLimitBytes} bytes`);
  if (metadata.ownerReferences) ownerErrors(metadata.ownerReferences, add);
  if (metadata.finalizers) finalizerErrors(metadata.finalizers, add);
  return errors;
}

type Add = (type: FieldError['type'], field: string, value: unknown, detail: string) => void;

function ownerErrors(owners: NonNullable<ObjectMeta['ownerReferences']>, add: Add): void {
  let controller = '';
  for (const owner of owners) {
    const { group, version } = parseApiVersion(owner.apiVersion ?? '');
    if (version === '') add('Invalid', 'ownerReferences.apiVersion', owner.apiVersion ?? '', 'version must not be empty');
    for (const field of ['kind', 'name', 'uid'] as const) if (!owner[field]) add('Invalid', `ownerReferences.${field}`, owner[field] ?? '', 'must not be empty');
    if (group === '' && version === 'v1' && owner.kind === 'Event') add('Invalid', 'ownerReferences', owner, '/v1, Kind=Event is disallowed from being an owner');
    if (owner.controller === true) {
      const name = `${owner.kind}/${owner.name}`;
      if (controller !== '') {
        add('Invalid', 'ownerReferences', owners, `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`);
      } else controller = name;
    }
  }
}

const standardFinalizers = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

function finalizerErrors(finalizers: readonly string[], add: Add): void {
  finalizers.forEach((finalizer, index) => {
    for (const text of qualifiedNameErrors(finalizer)) add('Invalid', 'finalizers', finalizer, text);
    if (!finalizer.includes('/') && !standardFinalizers.has(finalizer)) {
      add('Invalid', `finalizers[${index}]`, finalizer, 'name is neither a standard finalizer name nor is it fully qualified');
    }
  });
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    add('Invalid', 'finalizers', finalizers, 'finalizer orphan and foregroundDeletion cannot be both set');
  }
}

/** What comes on top of metadataErrors when `old` is replaced. */
export function metadataUpdateErrors(metadata: ObjectMeta, old: Readonly<ObjectMeta>): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp !== undefined) {
    const extra = (metadata.finalizers ?? []).filter((finalizer) => !old.finalizers?.includes(finalizer)).sort();
    if (extra.length > 0) {
      errors.push({ type: 'Forbidden', field: 'metadata.finalizers', detail: `no new finalizers can be added if the object is being deleted, found new finalizers []string{${extra.map((one) => JSON.stringify(one)).join(', ')}}` });
    }
  }
  if ((metadata.generation ?? 0) < (old.generation ?? 0)) {
    errors.push({ type: 'Invalid', field: 'metadata.generation', value: metadata.generation ?? 0, detail: 'must not be decremented' });
  }
  for (const field of ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const) {
    if (metadata[field] !== old[field]) errors.push({ type: 'Invalid', field: `metadata.${field}`, value: metadata[field] ?? null, detail: 'field is immutable' });
  }
  return errors;
}

/** The same owner twice is kept once; upstream warns of it. Returns the warning, if any. */
export function dedupeOwners(metadata: ObjectMeta): string | undefined {
  const owners = metadata.ownerReferences;
  if (!owners || owners.length < 2) return undefined;
  const seen = new Set<string>();
  const repeated: string[] = [];
  metadata.ownerReferences = owners.filter((owner) => {
    const key = JSON.stringify([owner.apiVersion, owner.kind, owner.name, owner.uid, owner.controller ?? null, owner.blockOwnerDeletion ?? null]);
    if (!seen.has(key)) return seen.add(key);
    repeated.push(owner.uid);
    return false;
  });
  return repeated.length === 0 ? undefined
    : `.metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${repeated.join(', ')}`;
}
