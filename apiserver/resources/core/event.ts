// Events: the old ones of core/v1 are checked little, those of events.k8s.io/v1 strictly. Both are stored as core Events, so
// rules here read core field names whatever version came in. Upstream: pkg/apis/core/validation/events.go.
import { dns1123SubdomainErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import { nameIsSubdomain, pathSegmentName } from '../meta.ts';
import type { NameFunction } from '../meta.ts';
import type { Strategy } from '../resource.ts';
import { at, integer, invalidAll, invalidField, isEmpty, isObject, required, same, text, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';

/** events.k8s.io name -> core name, where they differ. */
const coreNames: Readonly<Record<string, string>> = {
  regarding: 'involvedObject', note: 'message', reportingController: 'reportingComponent', deprecatedSource: 'source',
  deprecatedFirstTimestamp: 'firstTimestamp', deprecatedLastTimestamp: 'lastTimestamp', deprecatedCount: 'count',
};
/** The event by core field names; `strict` when it came by the newer group. */
function read(object: Readonly<KubeObject>): { event: Obj; strict: boolean } {
  if (object.apiVersion !== 'events.k8s.io/v1') return { event: object, strict: false };
  return { event: Object.fromEntries(Object.entries(object).map(([name, value]) => [coreNames[name] ?? name, value])), strict: true };
}

function validateCommon(event: Obj, strict: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const namespace = text(at(event, 'metadata', 'namespace'));
  const about = text(at(event, 'involvedObject', 'namespace'));
  const mismatch = (): void => void errors.push(invalidField('involvedObject.namespace', about, 'does not match event.namespace'));
  if (isEmpty(event['eventTime'])) {
    if (about === '' ? namespace !== '' && namespace !== 'default' : namespace !== about) mismatch();
  } else {
    if (about === '' && namespace !== 'default' && namespace !== 'kube-system') mismatch();
    const controllerField = strict ? 'reportingController' : 'reportingComponent';
    const controller = text(event['reportingComponent']);
    if (controller === '') errors.push(required(controllerField));
    errors.push(...invalidAll(controllerField, controller, qualifiedNameErrors(controller)));
    for (const field of ['reportingInstance', 'action', 'reason']) {
      const value = text(event[field]);
      if (value === '') errors.push(required(field));
      if (Buffer.byteLength(value) > 128) errors.push(invalidField(field, '', 'can have at most 128 characters'));
    }
    if (Buffer.byteLength(text(event['message'])) > 1024) errors.push(invalidField('message', '', 'can have at most 1024 characters'));
  }
  errors.push(...invalidAll('namespace', namespace, dns1123SubdomainErrors(namespace)));
  return errors;
}

function validateSeries(event: Obj): FieldError[] {
  const series = event['series'];
  if (!isObject(series)) return [];
  return [
    ...((integer(series['count']) ?? 0) < 2 ? [invalidField('series.count', '', 'should be at least 2')] : []),
    ...(isEmpty(series['lastObservedTime']) ? [required('series.lastObservedTime')] : []),
  ];
}

function validateNew(event: Obj): FieldError[] {
  const errors = validateSeries(event);
  if (isEmpty(event['eventTime'])) errors.push(required('eventTime'));
  const type = text(event['type']);
  if (type !== 'Normal' && type !== 'Warning') errors.push(invalidField('type', '', `has invalid value: ${type}`));
  for (const field of ['firstTimestamp', 'lastTimestamp', 'count']) {
    if (!isEmpty(event[field])) errors.push(invalidField(field, '', 'needs to be unset'));
  }
  if (!isEmpty(at(event, 'source', 'component')) || !isEmpty(at(event, 'source', 'host'))) errors.push(invalidField('source', '', 'needs to be unset'));
  return errors;
}

/** What an event said once; the reason is looked at twice upstream, and its error comes twice. */
const fixed = ['involvedObject', 'reason', 'message', 'source', 'firstTimestamp', 'lastTimestamp', 'count', 'reason', 'type', 'eventTime', 'action', 'related'] as const;
/** Plain strings in Go: what is gone shows as an empty one. */
const strings = new Set<string>(['reason', 'message', 'type', 'action', 'reportingComponent', 'reportingInstance']);

function fixedField(name: string, value: unknown, old: unknown, path = name): FieldError[] {
  return strings.has(name) ? unchanged(path, text(value), text(old)) : unchanged(path, value, old);
}

/** `validate` runs on updates as well; the strict rules for new events must not, so the old event tells which it is. */
export function eventStrategy(ttlSeconds: number, group: '' | 'events.k8s.io'): Strategy {
  const names = group === '' ? ['involvedObject', 'reportingComponent'] as const : ['regarding', 'reportingController'] as const;
  const [about, controller] = names;
  const field = (object: Readonly<KubeObject>, ...path: string[]): string => {
    const { event } = read(object);
    return text(at(event, ...path));
  };
  const nameFn: NameFunction = group === '' ? pathSegmentName : nameIsSubdomain;
  return {
    ...basicStrategy({ createOnUpdate: true }),
    ttlSeconds,
    validateName: nameFn,
    default(object) {
      // Plain structs and strings upstream: they are in every Event that is read.
      object['metadata'] ??= {};
      if (group !== '') {
        for (const name of ['regarding', 'deprecatedSource']) if (!isObject(object[name])) object[name] = {};
        for (const name of ['eventTime', 'deprecatedFirstTimestamp', 'deprecatedLastTimestamp']) object[name] ??= null;
        return;
      }
      if (!isObject(object['involvedObject'])) object['involvedObject'] = {};
      if (!isObject(object['source'])) object['source'] = {};
      for (const name of ['firstTimestamp', 'lastTimestamp', 'eventTime']) object[name] ??= null;
      for (const name of ['reportingComponent', 'reportingInstance']) object[name] ??= '';
    },
    validate(object, _, old) {
      const { event, strict } = read(object);
      return [...validateCommon(event, strict), ...(strict && !old ? validateNew(event) : [])];
    },
    validateUpdate(object, old) {
      const { event, strict } = read(object);
      if (!strict) return [];
      const before = read(old).event;
      return [
        ...(same(event['series'], before['series']) ? [] : validateSeries(event)),
        ...fixed.flatMap((name) => fixedField(name, event[name], before[name])),
        ...fixedField('reportingComponent', event['reportingComponent'], before['reportingComponent'], 'reportingController'),
        ...fixedField('reportingInstance', event['reportingInstance'], before['reportingInstance']),
      ];
    },
    fieldLabels: {
      ...Object.fromEntries(['apiVersion', 'fieldPath', 'kind', 'name', 'namespace', 'resourceVersion', 'uid'].map((name) =>
        [`${about}.${name}`, (object: Readonly<KubeObject>) => field(object, 'involvedObject', name)])),
      reason: (object) => field(object, 'reason'),
      type: (object) => field(object, 'type'),
      [controller]: (object) => field(object, 'reportingComponent'),
      ...(group === '' ? { source: (object: Readonly<KubeObject>) => field(object, 'source', 'component') || field(object, 'reportingComponent') } : {}),
    },
    fieldLabelError: (label) => `field label not supported: ${label}`,
  };
}
