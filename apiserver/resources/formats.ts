// Formats that kinds of several groups share, as field errors. Upstream: apimachinery's util/validation and core's validation.
import { dns1123LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { invalidAll, invalidField, required, tooLong } from './values.ts';

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

/** Signer names: a domain, and below it at most 5 path parts, each a subdomain. */
export function validateLabelParts(path: string, value: string): FieldError[] {
  return value.split('.').flatMap((label) => invalidAll(path, label, dns1123LabelErrors(label)));
}

/** Names of CSI drivers: subdomains of at most 63 bytes, whatever the case of their letters. */
export function validateDriverName(path: string, value: string): FieldError[] {
  const errors: FieldError[] = [];
  if (value === '') errors.push(required(path));
  if (Buffer.byteLength(value) > 63) errors.push(tooLong(path, 63));
  return [...errors, ...invalidAll(path, value, dns1123SubdomainErrors(value.toLowerCase()))];
}
