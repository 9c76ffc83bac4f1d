// Names of devices' attributes and capacities, of pools, and how taints and tolerations are written. Upstream: pkg/apis/resource/validation.
import { dns1123SubdomainErrors, labelValueErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateDriverName } from '../formats.ts';
import { duplicate, entries, invalidAll, invalidField, notSupported, required, text, tooLong, tooMany } from '../values.ts';
import type { Obj } from '../values.ts';

export const attributeKeyBytes = 63 + 1 + 32;
const effects = ['NoExecute', 'NoSchedule', 'None'];

/** The items of a list that is not too long, and what occurs twice by its key. */
export function validateList<T>(list: readonly T[], limit: number, path: string, item: (one: T, path: string) => FieldError[], key?: (one: T) => string): FieldError[] {
  if (list.length > limit) return [tooMany(path, list.length, limit)];
  const errors = list.flatMap((one, index) => item(one, `${path}[${index}]`));
  return key ? [...errors, ...duplicates(list.map(key), path)] : errors;
}
/** `shown`: what the error says instead of the key. */
export function duplicates(keys: readonly string[], path: string, shown: readonly unknown[] = keys): FieldError[] {
  return keys.flatMap((key, index) => (keys.indexOf(key) < index ? [duplicate(`${path}[${index}]`, shown[index])] : []));
}
/** Keys and values of a map that is not too large. Long keys are cut in the middle in paths. */
export function validateMap(value: unknown, { most, keyBytes, path }: { most: number; keyBytes: number; path: string },
  validateKey: (key: string, path: string) => FieldError[], validateValue: (value: unknown, path: string) => FieldError[]): FieldError[] {
  const all = entries(value);
  if (all.length > most) return [tooMany(path, all.length, most)];
  return all.flatMap(([key, one]) => [...validateKey(key, path), ...validateValue(one, `${path}[${shortened(key, keyBytes)}]`)]);
}
function shortened(key: string, most: number): string {
  const bytes = Buffer.from(key);
  if (bytes.length <= most) return key;
  const rest = most - 3;
  return `${bytes.subarray(0, Math.floor((rest + 1) / 2)).toString()}...${bytes.subarray(bytes.length - Math.floor(rest / 2)).toString()}`;
}

/** Rules that are declared on a type count in bytes, and say so. */
export function declaredSubdomainErrors(name: string): string[] {
  return dns1123SubdomainErrors(name).map((error) => error.replace(/^must be no more than (\d+) characters$/, 'must be no more than $1 bytes'));
}

export function validatePoolName(name: string, path: string): FieldError[] {
  if (name === '') return [required(path)];
  return [...(Buffer.byteLength(name) > 253 ? [tooLong(path, 253)] : []), ...name.split('/').flatMap((part) => invalidAll(path, part, dns1123SubdomainErrors(part)))];
}

/** A C identifier, with or without the domain of who defines it. More than one slash passes unseen, as upstream. */
export function validateAttributeName(name: string, path: string): FieldError[] {
  const [first = '', second, ...more] = name.split('/');
  if (more.length > 0) return [];
  if (second === undefined) return validateIdentifier(first, path);
  return [
    ...(first === '' ? [invalidField(path, '', 'the domain must not be empty')] : validateDriverName(path, first)),
    ...(second === '' ? [invalidField(path, '', 'the name must not be empty')] : validateIdentifier(second, path)),
  ];
}
export function validateFullAttributeName(name: string, path: string): FieldError[] {
  const errors = validateAttributeName(name, path);
  return name.includes('/') ? errors : [...errors, invalidField(path, name, 'a fully qualified name must be a domain and a name separated by a slash')];
}
const identifierText = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
function validateIdentifier(id: string, path: string): FieldError[] {
  return [...(Buffer.byteLength(id) > 32 ? [tooLong(path, 32)] : []), ...(/^[A-Za-z_][A-Za-z0-9_]*$/.test(id) ? [] : [invalidField(path, id, identifierText)])];
}

/** `oldEffect`: an effect that stays as it was is not looked at. */
export function validateTaint(taint: Obj, path: string, oldEffect?: unknown): FieldError[] {
  const [key, value, effect] = [text(taint['key']), text(taint['value']), text(taint['effect'])];
  const errors = [...invalidAll(`${path}.key`, key, qualifiedNameErrors(key)), ...(value === '' ? [] : invalidAll(`${path}.value`, value, labelValueErrors(value)))];
  if (oldEffect === effect) return errors;
  if (effect === '') return [...errors, required(`${path}.effect`)];
  return effects.includes(effect) ? errors : [...errors, notSupported(`${path}.effect`, effect, effects)];
}
export function validateToleration(toleration: Obj, path: string): FieldError[] {
  const [key, value, operator, effect] = [text(toleration['key']), text(toleration['value']), text(toleration['operator']), text(toleration['effect'])];
  const errors = key === '' ? [] : invalidAll(`${path}.key`, key, qualifiedNameErrors(key));
  if (operator === 'Exists') {
    if (value !== '') errors.push(invalidField(`${path}.value`, value, 'must be empty for operator `Exists`'));
  } else if (operator === 'Equal') errors.push(...invalidAll(`${path}.value`, value, labelValueErrors(value)));
  else errors.push(operator === '' ? required(`${path}.operator`) : notSupported(`${path}.operator`, operator, ['Equal', 'Exists']));
  if (effect !== '' && !effects.includes(effect)) errors.push(notSupported(`${path}.effect`, effect, effects));
  return errors;
}

/** Conditions that a device has to meet before pods are bound to it, and those that say it never will. */
export function validateBindingConditions(device: Obj, path: string): FieldError[] {
  const wanted = list(device['bindingConditions']);
  const failing = list(device['bindingFailureConditions']);
  const [good, bad] = [`${path}.bindingConditions`, `${path}.bindingFailureConditions`];
  const named = (name: string, here: string): FieldError[] => invalidAll(here, name, qualifiedNameErrors(name));
  const errors = [...validateList(wanted, 4, good, named), ...validateList(failing, 4, bad, named), ...duplicates(wanted, good)];
  failing.forEach((name, index) => {
    const here = `${bad}[${index}]`;
    if (failing.indexOf(name) < index) errors.push(duplicate(here, name));
    if (wanted.includes(name)) errors.push(invalidField(here, name, 'bindingFailureConditions must not overlap with bindingConditions'));
  });
  if (wanted.length === 0 && failing.length > 0) errors.push(invalidField(good, device['bindingConditions'] ?? null, 'bindingConditions are required to use bindingFailureConditions'));
  if (failing.length === 0 && wanted.length > 0) errors.push(invalidField(bad, device['bindingFailureConditions'] ?? null, 'bindingFailureConditions are required to use bindingConditions'));
  return errors;
}
function list(value: unknown): string[] {
  return Array.isArray(value) ? value.map(text) : [];
}
