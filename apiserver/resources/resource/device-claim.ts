// What ResourceClaims and their templates ask for.
// Upstream: pkg/apis/resource/validation.
import { dns1123LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateDriverName } from '../formats.ts';
import { asObject, at, integer, invalidAll, invalidField, isObject, objects, oneOf, required, setEmpty, strings, text, tooLong } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateFullAttributeName, validateList, validateToleration } from './names.ts';
import { validateSelectors } from './selectors.ts';

const most = { requests: 32, constraints: 32, config: 32, firstAvailable: 8 } as const;
const modes = ['All', 'ExactCount'];
const badReference = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

export function defaultDeviceClaim(spec: unknown): void {
  const requests = objects(asObject(asObject(spec)?.['devices'])?.['requests']);
  for (const request of requests) {
    const exactly = asObject(request['exactly']);
    for (const one of [...(exactly ? [exactly] : []), ...objects(request['firstAvailable'])]) {
      defaultCount(one);
      defaultTolerations(one);
    }
  }
}
export function defaultCount(request: Obj): void {
  setEmpty(request, 'allocationMode', 'ExactCount');
  if (request['allocationMode'] === 'ExactCount') setEmpty(request, 'count', 1);
}
export function defaultTolerations(owner: Obj): void {
  for (const toleration of objects(owner['tolerations'])) setEmpty(toleration, 'operator', 'Equal');
}

export function validateDeviceClaim(spec: Obj, path: string): FieldError[] {
  const claim = asObject(spec['devices']) ?? {};
  const here = `${path}.devices`;
  const names = requestNames(claim);
  return [
    ...validateList(objects(claim['requests']), most.requests, `${here}.requests`, validateRequest, (one) => text(one['name'])),
    ...validateList(objects(claim['constraints']), most.constraints, `${here}.constraints`, (one, at) => validateConstraint(one, names, at)),
    ...validateList(objects(claim['config']), most.config, `${here}.config`, (one, at) => [...validateReferences(one['requests'], names, `${at}.requests`), ...validateConfiguration(one, at)]),
  ];
}
export function requestNames(claim: Obj): ReadonlySet<string> {
  return new Set(objects(claim['requests']).flatMap((request) => [text(request['name']), ...objects(request['firstAvailable']).map((one) => `${text(request['name'])}/${text(one['name'])}`)]));
}

function validateRequest(request: Obj, path: string): FieldError[] {
  const name = text(request['name']);
  const [exactly, alternatives] = [asObject(request['exactly']), objects(request['firstAvailable'])];
  const errors = validateName(name, `${path}.name`);
  const which = 'exactly one of `exactly` or `firstAvailable` is required';
  if (exactly && alternatives.length > 0) return [...errors, invalidField(path, null, `${which}, but multiple fields are set`)];
  if (exactly) return [...errors, ...validateDevices(exactly, `${path}.exactly`)];
  if (alternatives.length === 0) return [...errors, required(path, which)];
  return [...errors, ...validateList(alternatives, most.firstAvailable, `${path}.firstAvailable`,
    (one, at) => [...validateName(text(one['name']), `${at}.name`), ...validateDevices(one, at)], (one) => text(one['name']))];
}
function validateName(name: string, path: string): FieldError[] {
  return invalidAll(path, name, dns1123LabelErrors(name));
}

function validateDevices(request: Obj, path: string): FieldError[] {
  const className = text(request['deviceClassName']);
  const [mode, count] = [text(request['allocationMode']), integer(request['count']) ?? 0];
  const errors = className === '' ? [required(`${path}.deviceClassName`)] : invalidAll(`${path}.deviceClassName`, className, dns1123SubdomainErrors(className));
  errors.push(...validateSelectors(request['selectors'], `${path}.selectors`));
  if (mode === 'All' && count !== 0) errors.push(invalidField(`${path}.count`, count, "must not be specified when allocationMode is 'All'"));
  else if (mode === 'ExactCount' && count <= 0) errors.push(invalidField(`${path}.count`, count, 'must be greater than zero'));
  else errors.push(...oneOf(`${path}.allocationMode`, mode, modes));
  return [...errors, ...objects(request['tolerations']).flatMap((toleration, index) => validateToleration(toleration, `${path}.tolerations[${index}]`))];
}

function validateConstraint(constraint: Obj, names: ReadonlySet<string>, path: string): FieldError[] {
  const errors = validateReferences(constraint['requests'], names, `${path}.requests`);
  for (const field of ['matchAttribute', 'distinctAttribute']) {
    if (constraint[field] !== undefined) return [...errors, ...validateFullAttributeName(text(constraint[field]), `${path}.${field}`)];
  }
  return [...errors, required(path, 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set')];
}
export function validateReferences(value: unknown, names: ReadonlySet<string>, path: string): FieldError[] {
  return validateList(strings(value), most.requests, path, (name, at) => validateReference(name, names, at), (name) => name);
}
export function validateReference(name: string, names: ReadonlySet<string>, path: string): FieldError[] {
  const parts = name.split('/');
  if (parts.length > 2) return [invalidField(path, name, badReference)];
  return [...parts.flatMap((part) => invalidAll(path, part, dns1123LabelErrors(part))), ...(names.has(name) ? [] : [invalidField(path, name, badReference)])];
}

/** Also for classes; what is stored already may be longer than new ones. */
export function validateConfiguration(config: Obj, path: string, stored = false): FieldError[] {
  const opaque = asObject(config['opaque']);
  if (!opaque) return [required(`${path}.opaque`)];
  return [
    ...validateDriverName(`${path}.opaque.driver`, text(opaque['driver'])),
    ...validateRaw(opaque['parameters'], `${path}.opaque.parameters`, stored),
  ];
}
/** Whether there are expressions to compile. */
export function hasSelectors(spec: unknown): boolean {
  return objects(at(spec, 'devices', 'requests')).some((request) => [request['exactly'], ...objects(request['firstAvailable'])].some((one) => objects(at(one, 'selectors')).length > 0));
}

/** An object of any shape, of at most 10 KiB. */
export function validateRaw(value: unknown, path: string, stored = false): FieldError[] {
  if (value === undefined) return [required(path)];
  if (!stored && Buffer.byteLength(JSON.stringify(value)) > 10 * 1024) return [tooLong(path, 10 * 1024)];
  if (value === null) return [required(path)];
  return isObject(value) ? [] : [invalidField(path, '<value omitted>', 'must be a valid JSON object')];
}
