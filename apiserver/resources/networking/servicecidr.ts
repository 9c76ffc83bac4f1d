// ServiceCIDRs: one range, or one of each family; a single one may later get its second. Upstream: pkg/apis/networking/validation.
import { cidrErrors, cidrFamily } from '#machinery/api/names.ts';
import { parseRange } from '#machinery/base/address-range.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { at, immutable, invalidAll, invalidField, required, setMissing, strings } from '../values.ts';

const path = 'spec.cidrs';
const cidrsOf = (object: unknown): string[] => strings(at(object, 'spec', 'cidrs'));

export const serviceCidrStrategy = kindStrategy({ status: true, statusMayChange: [] }, {
  default: (object) => setMissing(object, 'status', {}),
  validate: (object, _, old) => (old ? validateUpdate(cidrsOf(object), cidrsOf(old)) : validate(cidrsOf(object))),
});

function validate(cidrs: readonly string[]): FieldError[] {
  if (cidrs.length === 0) return [required(path, 'at least one CIDR required')];
  if (cidrs.length > 2) return [invalidField(path, { CIDRs: cidrs }, 'may only hold up to 2 values')]; // as Go prints the field
  const errors = cidrs.flatMap((cidr, index) => invalidAll(`${path}[${index}]`, cidr, strictCidrErrors(cidr)));
  const [first, second] = cidrs.map(cidrFamily);
  if (cidrs.length === 2 && first === second && first !== undefined) {
    errors.push(invalidField(path, cidrs, 'may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64'));
  }
  return errors;
}

function validateUpdate(cidrs: readonly string[], old: readonly string[]): FieldError[] {
  const kept = cidrs.length === old.length || (old.length === 1 && cidrs.length === 2);
  if (!kept) return [invalidField(path, cidrs, immutable)];
  const changed = old.flatMap((cidr, index) => (cidrs[index] === cidr ? [] : [invalidField(`${path}[${index}]`, cidrs[index], immutable)]));
  return cidrs.length === old.length ? changed : [...changed, ...validate(cidrs)];
}

/** As cidrErrors, and the spelling must be the canonical one. */
function strictCidrErrors(cidr: string): string[] {
  const errors = cidrErrors(cidr);
  if (errors.length > 0) return errors;
  const canonical = parseRange(cidr)?.cidr;
  return canonical === undefined || canonical === cidr ? [] : [`must be in canonical form ("${canonical}")`];
}
