// Rules of claims, also where a pod or a StatefulSet carries the template of one. Upstream: ValidatePersistentVolumeClaimSpec
// and its update in pkg/apis/core/validation/validation.go.
import { dns1123SubdomainErrors, isNativeResource, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { compareQuantities, isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { nameIsLabel, validateLabelSelector } from '../meta.ts';
import { asObject, at, changedFields, entries, forbiddenField, invalidAll, invalidField, isEmpty, isObject, need, notSupported, required, strings, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateBasicQuantity, validatePositive, validateQuantityOf } from './resource-names.ts';

const modes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];

/** Of claims and volumes. */
export function validateAccessModes(given: readonly string[], path: string): FieldError[] {
  const errors = given.filter((mode) => !modes.includes(mode)).map((mode) => notSupported(path, mode, modes));
  const known = given.filter((mode) => modes.includes(mode));
  const mixed = known.includes('ReadWriteOncePod') && known.some((mode) => mode !== 'ReadWriteOncePod');
  return mixed ? [...errors, forbiddenField(path, 'may not use ReadWriteOncePod with other access modes')] : errors;
}
export function validateVolumeMode(mode: unknown, path: string): FieldError[] {
  return mode === undefined || mode === 'Block' || mode === 'Filesystem' ? [] : [notSupported(path, mode, ['Block', 'Filesystem'])];
}

function validateDataSource(source: Obj, path: string, anyGroup: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const [group, kind] = [text(source['apiGroup']), text(source['kind'])];
  for (const field of ['name', 'kind']) if (text(source[field]) === '') errors.push(required(`${path}.${field}`));
  if (group === '' && kind !== 'PersistentVolumeClaim') errors.push(invalidField(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
  if (group !== '' && !anyGroup) errors.push(...invalidAll(`${path}.apiGroup`, group, dns1123SubdomainErrors(group)));
  return errors;
}

/** `old`: what was wrong before may stay. */
export function validateClaimSpec(spec: Obj, path: string, old?: Obj): FieldError[] {
  const errors: FieldError[] = [];
  const accessModes = strings(spec['accessModes']);
  if (accessModes.length === 0) errors.push(required(`${path}.accessModes`, 'at least 1 access mode is required'));
  if (isObject(spec['selector'])) errors.push(...validateLabelSelector(spec['selector'], `${path}.selector`));
  errors.push(...validateAccessModes(accessModes, `${path}.accessModes`));
  const storage = at(spec, 'resources', 'requests', 'storage');
  const size = `${path}.resources[storage]`;
  if (storage === undefined) errors.push(required(size));
  else {
    const positive = validatePositive(storage, size);
    errors.push(...(positive.length > 0 ? positive : validateQuantityOf('storage', storage, size)));
  }
  const className = text(spec['storageClassName']);
  if (className !== '') errors.push(...invalidAll(`${path}.storageClassName`, className, dns1123SubdomainErrors(className)));
  errors.push(...validateVolumeMode(spec['volumeMode'], `${path}.volumeMode`));
  const anyGroup = at(old, 'dataSource', 'apiGroup') !== undefined || at(old, 'dataSourceRef', 'apiGroup') !== undefined;
  const [source, reference] = [asObject(spec['dataSource']), asObject(spec['dataSourceRef'])];
  if (source) errors.push(...validateDataSource(source, `${path}.dataSource`, anyGroup));
  if (reference) errors.push(...validateDataSource(reference, `${path}.dataSourceRef`, anyGroup));
  const namespace = text(reference?.['namespace']);
  if (namespace !== '') errors.push(...invalidAll(`${path}.dataSourceRef.namespace`, namespace, nameIsLabel(namespace, false)));
  if (source && reference) {
    // The bad value is a path upstream, whose JSON is empty.
    if (namespace !== '') errors.push(invalidField(path, {}, 'may not be specified when dataSourceRef.namespace is specified'));
    else if (['apiGroup', 'kind', 'name'].some((field) => source[field] !== reference[field])) errors.push(invalidField(path, {}, 'must match dataSourceRef'));
  }
  const attributes = text(spec['volumeAttributesClassName']);
  if (attributes !== '') errors.push(...invalidAll(`${path}.volumeAttributesClassName`, attributes, dns1123SubdomainErrors(attributes)));
  return errors;
}

const betaClass = 'volume.beta.kubernetes.io/storage-class';

/** `old` has its data sources completed, as older versions did not store them. */
export function validateClaimUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  const errors: FieldError[] = [];
  const [spec, before] = [structuredClone(asObject(object['spec']) ?? {}), structuredClone(asObject(old['spec']) ?? {})];
  const bound = at(object, 'status', 'phase') === 'Bound';
  const [size, oldSize, actual] = [at(spec, 'resources', 'requests', 'storage'), at(before, 'resources', 'requests', 'storage'), at(old, 'status', 'capacity', 'storage')];
  const [attributes, oldAttributes] = [spec['volumeAttributesClassName'], before['volumeAttributesClassName']];
  if (text(before['volumeName']) === '') before['volumeName'] = spec['volumeName'];
  const [annotation, oldAnnotation] = [object.metadata?.annotations?.[betaClass], old.metadata?.annotations?.[betaClass]];
  const [className, oldClass] = [spec['storageClassName'], before['storageClassName']];
  if (oldAnnotation !== undefined && oldClass === undefined && className === oldAnnotation && (annotation === undefined || annotation === oldAnnotation)) {
    delete spec['storageClassName'];
  } else {
    if ((annotation ?? '') !== (oldAnnotation ?? '')) errors.push(invalidField(`metadata.annotations[${betaClass}]`, annotation ?? '', 'field is immutable'));
    if (className !== undefined && oldClass === undefined && (oldAnnotation === undefined || className === oldAnnotation)) delete spec['storageClassName'];
  }
  if (bound) {
    if (isObject(at(spec, 'resources', 'requests'))) need(need(spec, 'resources'), 'requests')['storage'] = oldSize;
    spec['volumeAttributesClassName'] = oldAttributes;
  }
  const changed = changedFields(spec, before, 'spec');
  if (changed.length > 0) errors.push(forbiddenField('spec', `spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n${changed.join('\n')}`));
  const value = (quantity: unknown): ReturnType<typeof parseQuantity> => parseQuantity(isQuantity(quantity) ? quantity : '0');
  if (compareQuantities(value(size), value(oldSize)) < 0 && compareQuantities(value(size), value(actual)) <= 0) {
    errors.push(forbiddenField('spec.resources.requests.storage', 'field can not be less than status.capacity'));
  }
  errors.push(...unchanged('volumeMode', at(object, 'spec', 'volumeMode'), at(old, 'spec', 'volumeMode')));
  if (attributes !== oldAttributes && at(old, 'status', 'currentVolumeAttributesClassName') !== undefined && isEmpty(attributes)) {
    errors.push(forbiddenField('spec.volumeAttributesClassName', `update to ${attributes === undefined ? 'nil' : 'empty string'} is forbidden when status.currentVolumeAttributesClassName is not nil`));
  }
  return errors;
}

function validateStatusResource(name: string, path: string): FieldError[] {
  const errors = invalidAll(path, name, qualifiedNameErrors(name));
  return errors.length === 0 && isNativeResource(name) && name !== 'storage' ? [notSupported(path, name, ['storage'])] : errors;
}
const resizeStates = ['ControllerResizeInProgress', 'ControllerResizeInfeasible', 'NodeResizeInProgress', 'NodeResizeInfeasible', 'NodeResizePending'].sort();

export function validateClaimStatusUpdate(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (strings(at(object, 'spec', 'accessModes')).length === 0) errors.push(required('Spec.accessModes'));
  for (const [name, size] of entries(at(object, 'status', 'capacity'))) errors.push(...validateBasicQuantity(size, `status.capacity[${name}]`));
  for (const [name, state] of entries(at(object, 'status', 'allocatedResourceStatuses'))) {
    errors.push(...validateStatusResource(name, 'status.allocatedResourceStatuses'));
    if (!resizeStates.includes(text(state))) errors.push(notSupported('status.allocatedResourceStatuses', name, resizeStates));
  }
  for (const [name, size] of entries(at(object, 'status', 'allocatedResources'))) {
    const wrong = validateStatusResource(name, 'status.allocatedResources');
    const field = `status.allocatedResources[${name}]`;
    const basic = validateBasicQuantity(size, field);
    errors.push(...(wrong.length > 0 ? wrong : basic.length > 0 ? basic : validateQuantityOf('storage', size, field)));
  }
  return errors;
}
