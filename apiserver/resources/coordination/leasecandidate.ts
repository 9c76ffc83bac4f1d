// LeaseCandidates: who could hold a lease, and in which version. Upstream: pkg/apis/coordination/validation.
import { configKeyErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { asObject, at, invalidAll, invalidField, notSupported, required, text, unchanged } from '../values.ts';

export const leaseCandidateStrategy = kindStrategy({ createOnUpdate: true, unconditionalUpdate: false }, {
  validateName: (name) => configKeyErrors(name),
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const [emulated, binary, strategy] = [text(spec['emulationVersion']), text(spec['binaryVersion']), text(spec['strategy'])];
    const [emulation, version] = [parseVersion(emulated), parseVersion(binary)];
    const invalidVersion = 'must be a valid semantic version';
    const errors: FieldError[] = text(spec['leaseName']) === '' ? [required('spec.leaseName')] : [];
    if (emulated !== '' && !emulation) errors.push(invalidField('spec.emulationVersion', emulated, invalidVersion));
    if (binary === '') errors.push(required('spec.binaryVersion'));
    else if (!version) errors.push(invalidField('spec.binaryVersion', binary, invalidVersion));
    // What cannot be read counts as version zero.
    if (binary !== '' && emulated !== '' && isBelow(version ?? zero, emulation ?? zero)) errors.push(invalidField('spec.binaryVersion', binary, 'must be greater than or equal to `emulationVersion`'));
    if (strategy === '') return [...errors, required('spec.strategy')];
    if (strategy === 'OldestEmulationVersion' && isSame(emulation ?? zero, zero)) errors.push(required('spec.emulationVersion', "must be specified when `strategy` is 'OldestEmulationVersion'"));
    return [...errors, ...validateStrategy(strategy)];
  },
  validateUpdate: (object, old) => unchanged('spec.leaseName', at(object, 'spec', 'leaseName'), at(old, 'spec', 'leaseName')),
  fieldLabels: { 'spec.leaseName': (object) => text(at(object, 'spec', 'leaseName')) },
});

/** Kubernetes' own have a plain name. The field stands twice in the path, as upstream. */
function validateStrategy(strategy: string): FieldError[] {
  const path = 'spec.strategy.strategy';
  if (strategy.includes('/')) return invalidAll(path, strategy, qualifiedNameErrors(strategy));
  return strategy === 'OldestEmulationVersion' ? [] : [notSupported(path, strategy, ['OldestEmulationVersion'])];
}

interface Version { numbers: readonly bigint[]; pre: readonly string[] }
const zero: Version = { numbers: [0n, 0n, 0n], pre: [] };

/** As blang/semver reads it: three numbers, what comes before a release, what is of a build only. */
function parseVersion(given: string): Version | undefined {
  const found = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/.exec(given);
  if (!found) return undefined;
  const pre = found[4]?.split('.') ?? [];
  if (pre.some((part) => /^0\d+$/.test(part))) return undefined;
  return { numbers: [found[1], found[2], found[3]].map((part) => BigInt(part ?? 0)), pre };
}
function isSame(a: Version, b: Version): boolean {
  return a.numbers.join('.') === b.numbers.join('.') && a.pre.join('.') === b.pre.join('.');
}
function isBelow(a: Version, b: Version): boolean {
  for (const [index, number] of a.numbers.entries()) {
    const other = b.numbers[index] ?? 0n;
    if (number !== other) return number < other;
  }
  if (a.pre.length === 0 || b.pre.length === 0) return a.pre.length > 0 && b.pre.length === 0;
  for (const [index, part] of a.pre.entries()) {
    const other = b.pre[index];
    if (other === undefined) return false;
    if (part === other) continue;
    const numeric = [part, other].map((one) => /^\d+$/.test(one));
    if (numeric[0] !== numeric[1]) return numeric[0] === true; // numbers come before words
    return numeric[0] === true ? BigInt(part) < BigInt(other) : part < other;
  }
  return a.pre.length < b.pre.length;
}
