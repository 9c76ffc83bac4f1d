// Rules for metadata, the same for every kind. Order and texts: apimachinery's api/validation/objectmeta.go; the values in
// errors are what upstream shows.
import { dns1123LabelErrors, dns1123SubdomainErrors, labelValueErrors, maskTrailingDash, pathSegmentErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { ObjectMeta } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, entries, forbiddenField, invalidAll, invalidField, notNegative, objects, required, same, strings, text, tooLong } from './values.ts';

export type NameFunction = (name: string, prefix: boolean) => string[];

export const nameIsSubdomain: NameFunction = (name, prefix) => dns1123SubdomainErrors(prefix ? maskTrailingDash(name) : name);
export const nameIsLabel: NameFunction = (name, prefix) => dns1123LabelErrors(prefix ? maskTrailingDash(name) : name);
export const pathSegmentName: NameFunction = (name, prefix) => pathSegmentErrors(name, prefix);

const annotationBytes = 256 * 1024;
/** Those without a slash. */
export const standardFinalizers: ReadonlySet<string> = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

export interface MetaRules {
  namespaced: boolean;
  /** Default: a DNS subdomain. */
  nameFn?: NameFunction;
  /** Custom resources may have finalizers without a slash. */
  customResource?: boolean;
}

/** The name has been generated already. */
export function validateObjectMeta(meta: Readonly<ObjectMeta> | undefined, { namespaced, nameFn = nameIsSubdomain, customResource = false }: MetaRules, path = 'metadata'): FieldError[] {
  const errors: FieldError[] = [];
  const { name = '', generateName = '', namespace = '' } = meta ?? {};
  if (generateName !== '') errors.push(...invalidAll(`${path}.generateName`, generateName, nameFn(generateName, true)));
  if (name === '') errors.push(required(`${path}.name`, 'name or generateName is required'));
  else errors.push(...invalidAll(`${path}.name`, name, nameFn(name, false)));
  if (!namespaced) {
    if (namespace !== '') errors.push(forbiddenField(`${path}.namespace`, 'not allowed on this type'));
  } else if (namespace === '') errors.push(required(`${path}.namespace`));
  else errors.push(...invalidAll(`${path}.namespace`, namespace, dns1123LabelErrors(namespace)));
  errors.push(
    ...notNegative(`${path}.generation`, meta?.generation),
    ...validateLabels(meta?.labels, `${path}.labels`),
    ...validateAnnotations(meta?.annotations, `${path}.annotations`),
    ...validateOwnerReferences(meta?.ownerReferences, `${path}.ownerReferences`),
    ...validateFinalizers(meta?.finalizers, `${path}.finalizers`),
    ...validateManagedFields(meta?.managedFields, `${path}.managedFields`),
    ...(customResource ? [] : validateShortFinalizers(meta?.finalizers, `${path}.finalizers`)),
  );
  return errors;
}

/** What comes on top on updates. The handler has put back what clients cannot change (uid when missing, creationTimestamp). */
export function validateObjectMetaUpdate(meta: Readonly<ObjectMeta>, old: Readonly<ObjectMeta>, path = 'metadata'): FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp !== undefined) {
    const before = new Set(old.finalizers);
    const added = [...new Set(meta.finalizers)].filter((finalizer) => !before.has(finalizer)).sort();
    if (added.length > 0) {
      errors.push(forbiddenField(`${path}.finalizers`,
        `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((one) => JSON.stringify(one)).join(', ')}}`));
    }
  }
  const show = (value: unknown): unknown => value ?? null;
  for (const field of ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const) {
    if (!same(meta[field], old[field])) errors.push(invalidField(`${path}.${field}`, show(meta[field]), 'field is immutable'));
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0)) errors.push(invalidField(`${path}.generation`, meta.generation ?? 0, 'must not be decremented'));
  return errors;
}

/** Also for selectors and templates: paths name the map, bad values are the key or the value. */
export function validateLabels(labels: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of entries(labels)) {
    errors.push(...invalidAll(path, key, qualifiedNameErrors(key)), ...invalidAll(path, value, labelValueErrors(text(value))));
  }
  return errors;
}

export function validateAnnotations(annotations: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of entries(annotations)) {
    errors.push(...invalidAll(path, key, qualifiedNameErrors(key.toLowerCase())));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(text(value));
  }
  if (bytes > annotationBytes) errors.push(tooLong(path, annotationBytes));
  return errors;
}

function validateOwnerReferences(references: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  let controller = '';
  for (const reference of objects(references)) {
    const [apiVersion, kind, name, uid] = [text(reference['apiVersion']), text(reference['kind']), text(reference['name']), text(reference['uid'])];
    if (apiVersion === '' || apiVersion.endsWith('/') || apiVersion.split('/').length > 2) errors.push(invalidField(`${path}.apiVersion`, apiVersion, 'version must not be empty'));
    if (kind === '') errors.push(invalidField(`${path}.kind`, kind, 'must not be empty'));
    if (name === '') errors.push(invalidField(`${path}.name`, name, 'must not be empty'));
    if (uid === '') errors.push(invalidField(`${path}.uid`, uid, 'must not be empty'));
    if (apiVersion === 'v1' && kind === 'Event') errors.push(invalidField(path, reference, '/v1, Kind=Event is disallowed from being an owner'));
    if (reference['controller'] !== true) continue;
    if (controller === '') controller = `${kind}/${name}`;
    else {
      errors.push(invalidField(path, references,
        `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${kind}/${name}`));
    }
  }
  return errors;
}

function validateFinalizers(value: unknown, path: string): FieldError[] {
  const finalizers = strings(value);
  const errors: FieldError[] = [];
  for (const finalizer of finalizers) errors.push(...invalidAll(path, finalizer, qualifiedNameErrors(finalizer)));
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    errors.push(invalidField(path, finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'));
  }
  return errors;
}

/** Without a slash only the server's own finalizers may be named. */
function validateShortFinalizers(value: unknown, path: string): FieldError[] {
  return strings(value).flatMap((finalizer, index) => (finalizer.includes('/') || standardFinalizers.has(finalizer) ? []
    : [invalidField(`${path}[${index}]`, finalizer, 'name is neither a standard finalizer name nor is it fully qualified')]));
}

function validateManagedFields(value: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  objects(value).forEach((entry, index) => {
    const operation = text(entry['operation']);
    const here = `${path}[${index}]`;
    if (operation !== 'Apply' && operation !== 'Update') errors.push(invalidField(`${here}.operation`, operation, 'must be `Apply` or `Update`'));
    const fieldsType = text(entry['fieldsType']);
    if (fieldsType !== '' && fieldsType !== 'FieldsV1') errors.push(invalidField(`${here}.fieldsType`, fieldsType, 'must be `FieldsV1`'));
    errors.push(...validateFieldManager(text(entry['manager']), `${here}.manager`));
    if (Buffer.byteLength(text(entry['subresource'])) > 256) errors.push(tooLong(`${here}.subresource`, 256));
  });
  return errors;
}

/** Also for the query parameter fieldManager. */
export function validateFieldManager(manager: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (Buffer.byteLength(manager) > 128) errors.push(tooLong(path, 128));
  let position = 0;
  for (const character of manager) {
    if (!/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character)) {
      const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
      errors.push(invalidField(path, manager, `invalid character U+${code} (at position ${position})`));
    }
    position += Buffer.byteLength(character);
  }
  return errors;
}

/** Label selectors of specs. */
export function validateLabelSelector(selector: unknown, path: string): FieldError[] {
  const { matchLabels, matchExpressions } = asObject(selector) ?? {};
  const errors = validateLabels(matchLabels, `${path}.matchLabels`);
  objects(matchExpressions).forEach((expression, index) => {
    const here = `${path}.matchExpressions[${index}]`;
    const values = strings(expression['values']);
    const key = text(expression['key']);
    switch (expression['operator']) {
      case 'In': case 'NotIn':
        if (values.length === 0) errors.push(required(`${here}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
        break;
      case 'Exists': case 'DoesNotExist':
        if (values.length > 0) errors.push(forbiddenField(`${here}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        break;
      default: errors.push(invalidField(`${here}.operator`, text(expression['operator']), 'not a valid selector operator'));
    }
    errors.push(...invalidAll(`${here}.key`, key, qualifiedNameErrors(key)));
    values.forEach((value, at) => errors.push(...invalidAll(`${here}.values[${at}]`, value, labelValueErrors(value))));
  });
  return errors;
}

/** The metadata of a pod template: no name, and paths without `metadata`. */
export function validateTemplateMeta(meta: unknown, path: string): FieldError[] {
  const { labels, annotations } = asObject(meta) ?? {};
  return [...validateLabels(labels, `${path}.labels`), ...validateAnnotations(annotations, `${path}.annotations`)];
}

