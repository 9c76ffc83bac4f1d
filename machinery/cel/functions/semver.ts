// Semantic versions, with the messages of the library that upstream reads them with.

import type { Implementation, Implementations } from '../registry.ts';
import { isUint64 } from '../operations.ts';
import { Failure, Opaque } from '../values.ts';
import type { Value } from '../values.ts';
import { goQuote } from './_go-quote.ts';

class VersionError extends Error {}

export class Semver extends Opaque {
  readonly typeName = 'kubernetes.Semver';
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly prerelease: readonly (bigint | string)[];
  constructor(numbers: readonly [bigint, bigint, bigint], prerelease: readonly (bigint | string)[]) {
    super();
    this.numbers = numbers;
    this.prerelease = prerelease;
  }
  equals(other: Value): boolean { return other instanceof Semver && compareVersions(this, other) === 0; }
}

function compareVersions(a: Semver, b: Semver): number {
  for (const i of [0, 1, 2] as const) if (a.numbers[i] !== b.numbers[i]) return a.numbers[i] > b.numbers[i] ? 1 : -1;
  // A version with a prerelease comes before the one without.
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return Math.sign(b.prerelease.length - a.prerelease.length);
  for (const [i, left] of a.prerelease.entries()) {
    const right = b.prerelease[i];
    if (right === undefined) return 1;
    if (left === right) continue;
    if (typeof left !== typeof right) return typeof left === 'bigint' ? -1 : 1;
    return left > right ? 1 : -1;
  }
  return Math.sign(a.prerelease.length - b.prerelease.length);
}

function parse(text: string): Semver {
  if (text === '') throw new VersionError('Version string empty');
  const parts = splitThree(text);
  if (parts.length !== 3) throw new VersionError('No Major.Minor.Patch elements found');
  const major = number('major', parts[0]!);
  const minor = number('minor', parts[1]!);
  let patch = parts[2]!;
  const plus = patch.indexOf('+');
  const build = plus === -1 ? [] : patch.slice(plus + 1).split('.');
  if (plus !== -1) patch = patch.slice(0, plus);
  const dash = patch.indexOf('-');
  const prerelease = dash === -1 ? [] : patch.slice(dash + 1).split('.');
  if (dash !== -1) patch = patch.slice(0, dash);
  const last = number('patch', patch);
  const identifiers = prerelease.map(readPrerelease);
  for (const part of build) {
    if (part === '') throw new VersionError('Build meta data is empty');
    if (!/^[0-9A-Za-z-]+$/.test(part)) throw new VersionError(`Invalid character(s) found in build meta data ${goQuote(part)}`);
  }
  return new Semver([major, minor, last], identifiers);
}

function splitThree(text: string): string[] {
  const parts = text.split('.');
  return parts.length <= 3 ? parts : [parts[0]!, parts[1]!, parts.slice(2).join('.')];
}

function number(name: string, text: string): bigint {
  if (!/^\d*$/.test(text)) throw new VersionError(`Invalid character(s) found in ${name} number ${goQuote(text)}`);
  if (/^0./.test(text)) throw new VersionError(`${name[0]!.toUpperCase()}${name.slice(1)} number must not contain leading zeroes ${goQuote(text)}`);
  return unsigned(text);
}

function unsigned(text: string): bigint {
  if (text === '') throw new VersionError('strconv.ParseUint: parsing "": invalid syntax');
  if (!isUint64(BigInt(text))) throw new VersionError(`strconv.ParseUint: parsing ${goQuote(text)}: value out of range`);
  return BigInt(text);
}

function readPrerelease(text: string): bigint | string {
  if (text === '') throw new VersionError('Prerelease is empty');
  if (/^\d+$/.test(text)) {
    if (/^0./.test(text)) throw new VersionError(`Numeric PreRelease version must not contain leading zeroes ${goQuote(text)}`);
    return unsigned(text);
  }
  if (!/^[0-9A-Za-z-]+$/.test(text)) throw new VersionError(`Invalid character(s) found in prerelease ${goQuote(text)}`);
  return text;
}

/** "v1.02" and the like, made a full version first. */
function normalize(text: string): string {
  // Leading zeros go, but for the one that stands alone or before what is no digit.
  const parts = splitThree(text.replace(/^v/, '')).map(part => part.length > 1 ? part.replace(/^0*(?=\d)/, '').replace(/^(?!\d)/, '0') : part);
  if (parts.length < 3) {
    if (/[+-]/.test(parts.at(-1)!)) throw new VersionError('short version cannot contain PreRelease/Build meta data');
    while (parts.length < 3) parts.push('0');
  }
  return parts.join('.');
}

function read([text, lenient]: readonly Value[]): Value {
  try {
    return parse(lenient === true ? normalize(text as string) : text as string);
  } catch (error) {
    if (error instanceof VersionError) return new Failure(error.message);
    throw error;
  }
}

export function parseSemver(text: string): Value {
  return read([text]);
}

const part = (i: 0 | 1 | 2): Implementation => ([version]) => BigInt.asIntN(64, (version as Semver).numbers[i]);
const order = ([a, b]: readonly Value[]) => compareVersions(a as Semver, b as Semver);
const isRead: Implementation = args => !(read(args) instanceof Failure);

export const semverFunctions: Implementations = {
  string_to_semver: read,
  string_bool_to_semver: read,
  is_semver_string: isRead,
  is_semver_string_bool: isRead,
  semver_is_greater_than: args => order(args) === 1,
  semver_is_less_than: args => order(args) === -1,
  semver_compare_to: args => BigInt(order(args)),
  semver_major: part(0),
  semver_minor: part(1),
  semver_patch: part(2),
};
