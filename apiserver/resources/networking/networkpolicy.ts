// NetworkPolicies. Upstream: pkg/apis/networking/validation.
import { cidrErrors, cidrFamily, portNameErrors, portNumberErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { isStrictSubnet } from '../formats.ts';
import { validateLabelSelector } from '../meta.ts';
import { asObject, at, forbiddenField, integer, invalidAll, invalidField, items, need, objects, oneOf, required, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';

export const networkPolicyStrategy = kindStrategy({ generation: 'spec' }, {
  default(object) {
    const spec = need(object, 'spec');
    setMissing(spec, 'podSelector', {});
    if (items(spec['policyTypes']).length === 0) spec['policyTypes'] = items(spec['egress']).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
    for (const rule of [...objects(spec['ingress']), ...objects(spec['egress'])]) {
      for (const port of objects(rule['ports'])) setMissing(port, 'protocol', 'TCP');
    }
  },
  validate(object, _, old) {
    const spec = asObject(object['spec']) ?? {};
    // Ranges that are there already may break rules that came later, wherever in the policy they are now.
    const known = new Set(old ? rangesOf(asObject(old['spec']) ?? {}) : []);
    const errors = validateLabelSelector(spec['podSelector'], 'spec.podSelector');
    for (const [direction, side] of [['ingress', 'from'], ['egress', 'to']] as const) {
      objects(spec[direction]).forEach((rule, index) => {
        const path = `spec.${direction}[${index}]`;
        objects(rule['ports']).forEach((port, at) => errors.push(...validatePort(port, `${path}.ports[${at}]`)));
        objects(rule[side]).forEach((peer, at) => errors.push(...validatePeer(peer, known, `${path}.${side}[${at}]`)));
      });
    }
    const types = strings(spec['policyTypes']);
    if (types.length > 2) return [...errors, invalidField('spec.policyTypes', types, 'may not specify more than two policyTypes')];
    types.forEach((type, index) => errors.push(...oneOf(`spec.policyTypes[${index}]`, type, ['Ingress', 'Egress'])));
    return errors;
  },
});

function rangesOf(spec: Obj): string[] {
  const peers = [...objects(spec['ingress']).flatMap((rule) => objects(rule['from'])), ...objects(spec['egress']).flatMap((rule) => objects(rule['to']))];
  return peers.flatMap((peer) => [text(at(peer, 'ipBlock', 'cidr')), ...strings(at(peer, 'ipBlock', 'except'))]).filter((range) => range !== '');
}

function validatePort(rule: Obj, path: string): FieldError[] {
  const { port, endPort } = rule;
  const errors = oneOf(`${path}.protocol`, rule['protocol'], ['TCP', 'UDP', 'SCTP']);
  if (typeof port === 'number') {
    errors.push(...invalidAll(`${path}.port`, port, portNumberErrors(port)));
    const end = integer(endPort);
    if (end !== undefined) {
      if (end < port) errors.push(invalidField(`${path}.endPort`, port, 'must be greater than or equal to `port`'));
      errors.push(...invalidAll(`${path}.endPort`, end, portNumberErrors(end)));
    }
  } else if (typeof port === 'string') {
    if (endPort !== undefined) errors.push(invalidField(`${path}.endPort`, endPort, 'may not be specified when `port` is non-numeric'));
    errors.push(...invalidAll(`${path}.port`, port, portNameErrors(port)));
  } else if (endPort !== undefined) errors.push(invalidField(`${path}.endPort`, endPort, 'may not be specified when `port` is not specified'));
  return errors;
}

function validatePeer(peer: Obj, known: ReadonlySet<string>, path: string): FieldError[] {
  const selectors = ['podSelector', 'namespaceSelector'].filter((field) => asObject(peer[field]));
  const block = asObject(peer['ipBlock']);
  const errors = selectors.flatMap((field) => validateLabelSelector(peer[field], `${path}.${field}`));
  if (block) errors.push(...validateBlock(block, known, `${path}.ipBlock`));
  if (!block && selectors.length === 0) errors.push(required(path, 'must specify a peer'));
  if (block && selectors.length > 0) errors.push(forbiddenField(path, 'may not specify both ipBlock and another peer'));
  return errors;
}

function validateBlock(block: Obj, known: ReadonlySet<string>, path: string): FieldError[] {
  const cidr = text(block['cidr']);
  if (cidr === '') return [required(`${path}.cidr`)];
  const errors = known.has(cidr) ? [] : invalidAll(`${path}.cidr`, cidr, cidrErrors(cidr));
  if (cidrFamily(cidr) === undefined || errors.some((error) => error.detail?.startsWith('must be a valid CIDR'))) return errors;
  strings(block['except']).forEach((range, index) => {
    const here = `${path}.except[${index}]`;
    const wrong = cidrErrors(range);
    if (!known.has(range)) errors.push(...invalidAll(here, range, wrong));
    if (!wrong.some((detail) => detail.startsWith('must be a valid CIDR')) && !isStrictSubnet(range, cidr)) errors.push(invalidField(here, range, 'must be a strict subset of `cidr`'));
  });
  return errors;
}
