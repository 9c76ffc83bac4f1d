// Formats that kinds of several groups share, as field errors. Upstream: apimachinery's util/validation and core's validation.
import { addressBits, cidrFamily, dns1123SubdomainErrors, pathSegmentErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import { parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { duplicate, integer, invalidAll, invalidField, objects, oneOf, required, text, tooLong } from './values.ts';

const pathText = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";

/** `example.com/anything`. */
export function validateDomainPrefixedPath(path: string, value: string): FieldError[] {
  if (value === '') return [required(path)];
  const slash = value.indexOf('/');
  if (slash <= 0 || slash === value.length - 1) return [invalidField(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  const [host, rest] = [value.slice(0, slash), value.slice(slash + 1)];
  const errors = invalidAll(path, host, dns1123SubdomainErrors(host));
  if (!/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(rest)) errors.push(invalidField(path, rest, pathText));
  return errors;
}

/** A subdomain with at least two labels. */
export function validateQualifiedDomain(path: string, value: string): FieldError[] {
  if (value === '') return [required(path)];
  const errors = invalidAll(path, value, dns1123SubdomainErrors(value));
  if (errors.length === 0 && !value.includes('.')) errors.push(invalidField(path, value, 'should be a domain with at least two segments separated by dots'));
  return errors;
}

/** Names of CSI drivers: subdomains of at most 63 bytes, whatever the case of their letters. */
export function validateDriverName(path: string, value: string): FieldError[] {
  if (value === '') return [required(path)];
  const errors: FieldError[] = Buffer.byteLength(value) > 63 ? [tooLong(path, 63)] : [];
  return [...errors, ...invalidAll(path, value, dns1123SubdomainErrors(value.toLowerCase()))];
}

export function isQuantityNegative(value: unknown): boolean {
  return (typeof value === 'string' || typeof value === 'number') && parseQuantity(value).nanos < 0n;
}

/** Whether `inner` is a part of `outer`, and smaller. Both must be valid. */
export function isStrictSubnet(inner: string, outer: string): boolean {
  const family = cidrFamily(outer);
  if (family !== cidrFamily(inner)) return false;
  const read = (cidr: string): { bits: bigint; length: number } => {
    const [address = '', length = ''] = cidr.split('/');
    return { bits: addressBits(address), length: Number(length) };
  };
  const [small, large] = [read(inner), read(outer)];
  const hostBits = BigInt((family === 'IPv4' ? 32 : 128) - large.length);
  return small.length > large.length && small.bits >> hostBits === large.bits >> hostBits;
}

/** The common shape of conditions (metav1.Condition). */
export function validateConditions(value: unknown, path: string): FieldError[] {
  const seen = new Set<string>();
  return objects(value).flatMap((condition, index) => {
    const here = `${path}[${index}]`;
    const [type, reason] = [text(condition['type']), text(condition['reason'])];
    const errors: FieldError[] = seen.has(type) ? [duplicate(`${here}.type`, type)] : [];
    seen.add(type);
    errors.push(...invalidAll(`${here}.type`, type, qualifiedNameErrors(type)), ...oneOf(`${here}.status`, condition['status'], ['False', 'True', 'Unknown']));
    const generation = integer(condition['observedGeneration']) ?? 0;
    if (generation < 0) errors.push(invalidField(`${here}.observedGeneration`, generation, 'must be greater than or equal to zero'));
    if (text(condition['lastTransitionTime']) === '') errors.push(required(`${here}.lastTransitionTime`));
    if (reason === '') errors.push(required(`${here}.reason`));
    else if (!/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/.test(reason)) {
      errors.push(invalidField(`${here}.reason`, reason, "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"));
    }
    if (Buffer.byteLength(reason) > 1024) errors.push(tooLong(`${here}.reason`, 1024));
    if (Buffer.byteLength(text(condition['message'])) > 32 * 1024) errors.push(tooLong(`${here}.message`, 32 * 1024));
    return errors;
  });
}

/** Kinds and names that end up in paths; `required` when there is none. */
export function validatePathSegment(path: string, value: unknown): FieldError[] {
  const segment = text(value);
  return segment === '' ? [required(path)] : invalidAll(path, segment, pathSegmentErrors(segment));
}
