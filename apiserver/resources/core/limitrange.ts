// LimitRanges: what a container's limits leave out is filled in from the others. Upstream: ValidateLimitRange.
import { qualifiedNameErrors } from '#machinery/api/names.ts';
import { compareQuantities, isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { Quantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, duplicate, entries, forbiddenField, invalidAll, invalidField, need, objects, required, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { defaultResourceList } from './pod-defaults.ts';
import { mayOvercommit, validateContainerResourceName, validateResourceName } from './resource-names.ts';

const lists = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const;
const types = new Set(['Pod', 'Container', 'PersistentVolumeClaim']);

function validateType(type: string, path: string): FieldError[] {
  const errors = invalidAll(path, type, qualifiedNameErrors(type));
  return errors.length > 0 || type.includes('/') || types.has(type) ? errors : [invalidField(path, type, 'must be a standard limit type or fully qualified')];
}

/** Numbers of one resource in the lists that have it. */
function validateNumbers(limit: Obj, name: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const of = (list: typeof lists[number]): { text: string; value: Quantity } | undefined => {
    const value = asObject(limit[list])?.[name];
    return isQuantity(value) ? { text: String(value), value: parseQuantity(value) } : undefined;
  };
  const [max, min, usual, request, ratio] = lists.map(of);
  const above = (a: typeof max, b: typeof max): boolean => a !== undefined && b !== undefined && compareQuantities(a.value, b.value) > 0;
  const refuse = (list: typeof lists[number], value: typeof max, detail: string): void => void errors.push(invalidField(`${path}.${list}[${name}]`, value?.text, detail));
  if (above(min, max)) refuse('min', min, `min value ${min?.text} is greater than max value ${max?.text}`);
  if (above(min, request)) refuse('defaultRequest', request, `min value ${min?.text} is greater than default request value ${request?.text}`);
  if (above(request, max)) refuse('defaultRequest', request, `default request value ${request?.text} is greater than max value ${max?.text}`);
  if (above(request, usual)) refuse('defaultRequest', request, `default request value ${request?.text} is greater than default limit value ${usual?.text}`);
  if (above(min, usual)) refuse('default', min, `min value ${min?.text} is greater than default value ${usual?.text}`);
  if (above(usual, max)) refuse('default', max, `default value ${usual?.text} is greater than max value ${max?.text}`);
  if (ratio && ratio.value.nanos < 1_000_000_000n) refuse('maxLimitRequestRatio', ratio, `ratio ${ratio.text} is less than 1`);
  if (ratio && min && max) {
    const most = milli(max.value) / milli(min.value);
    if (milli(ratio.value) / 1000 > most) refuse('maxLimitRequestRatio', ratio, `ratio ${ratio.text} is greater than max/min = ${showFloat(most)}`);
  }
  if (!mayOvercommit(name) && usual && request && compareQuantities(usual.value, request.value) !== 0) {
    refuse('defaultRequest', request, `default value ${usual.text} must equal to defaultRequest value ${request.text} in ${name}`);
  }
  return errors;
}
const milli = ({ nanos }: Quantity): number => Number(nanos) / 1e6;
const showFloat = (value: number): string => (Number.isNaN(value) ? 'NaN' : Number.isFinite(value) ? value.toFixed(6) : value > 0 ? '+Inf' : '-Inf');

function validateLimit(limit: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const type = text(limit['type']);
  const nameRule = type === 'Pod' || type === 'Container' ? validateContainerResourceName : validateResourceName;
  const names = new Set<string>();
  for (const list of lists) {
    const given = entries(limit[list]);
    if (type === 'Pod' && (list === 'default' || list === 'defaultRequest')) {
      if (given.length > 0) errors.push(forbiddenField(`${path}.${list}`, "may not be specified when `type` is 'Pod'"));
      continue;
    }
    if (list === 'maxLimitRequestRatio' && type === 'PersistentVolumeClaim' && at(limit, 'min', 'storage') === undefined && at(limit, 'max', 'storage') === undefined) {
      errors.push(required(`${path}.limits`, 'either minimum or maximum storage value is required, but neither was provided'));
    }
    for (const [name] of given) {
      errors.push(...nameRule(name, `${path}.${list}[${name}]`));
      names.add(name);
    }
  }
  const compared = type === 'Pod' ? { ...limit, default: undefined, defaultRequest: undefined } : limit;
  return [...errors, ...[...names].flatMap((name) => validateNumbers(compared, name, path))];
}

export const limitRangeStrategy: Strategy = {
  ...basicStrategy({ createOnUpdate: true }),
  default(object) {
    for (const limit of objects(at(object, 'spec', 'limits'))) {
      for (const field of lists) defaultResourceList(limit[field]);
      if (limit['type'] !== 'Container') continue;
      fill(limit, 'default', limit['max']);
      fill(limit, 'defaultRequest', limit['default']);
      fill(limit, 'defaultRequest', limit['min']);
    }
  },
  validate(object) {
    const seen = new Set<string>();
    return objects(at(object, 'spec', 'limits')).flatMap((limit, index) => {
      const path = `spec.limits[${index}]`;
      const type = text(limit['type']);
      const errors = validateType(type, `${path}.type`);
      if (seen.has(type)) errors.push(duplicate(`${path}.type`, type));
      seen.add(type);
      return [...errors, ...validateLimit(limit, path)];
    });
  },
};

function fill(object: Obj, field: string, from: unknown): void {
  for (const [name, value] of entries(from)) setMissing(need(object, field), name, value);
}
