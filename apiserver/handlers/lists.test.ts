// What lists and watches are asked for and how bad questions are answered: options, versions by verb, tokens, kept pages. Upstream:
// meta/internalversion/validation, storage/continue.go, storage/interfaces.go.
import { expect } from 'chai';
import { StatusError } from '#machinery/api/status.ts';
import type { CachedObject } from '../storage/cache.ts';
import { parseResourceVersion, unexpected } from './freshness.ts';
import { decodeContinue, encodeContinue, Snapshots } from './list.ts';
import { listOptions } from './options.ts';

function refusal(work: () => unknown): { code: number; message: string } {
  try {
    work();
  } catch (error) {
    if (error instanceof StatusError) return { code: error.status.code, message: error.message };
    throw error;
  }
  throw new Error('nothing was refused');
}
const options = (query: string): ReturnType<typeof listOptions> => listOptions(new URLSearchParams(query));
const about = 'ListOptions.meta.k8s.io "" is invalid: ';
const forbidden = (detail: string, field = 'resourceVersionMatch'): string => `${field}: Forbidden: ${detail}`;
const unsupported = (value: string, supported: string): string => `resourceVersionMatch: Unsupported value: "${value}": supported values: ${supported}`;
const withoutVersion = forbidden('resourceVersionMatch is forbidden unless resourceVersion is provided');
const withContinue = forbidden('resourceVersionMatch is forbidden when continue is provided');
const needsNotOlderThan = forbidden('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
const needsInitial = forbidden('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');

describe('listOptions()', () => {
  const refusals: [query: string, code: number, message: string][] = [
    ['resourceVersionMatch=Exact', 422, `${about}${withoutVersion}`],
    ['resourceVersionMatch=NotOlderThan', 422, `${about}${withoutVersion}`],
    ['resourceVersionMatch=Exact&resourceVersion=0', 422, `${about}${forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')}`],
    ['resourceVersionMatch=Exact&resourceVersion=5&continue=x', 422, `${about}${withContinue}`],
    ['resourceVersionMatch=exact&resourceVersion=5', 422, `${about}${unsupported('exact', '"Exact", "NotOlderThan", ""')}`],
    ['resourceVersionMatch=No&continue=x', 422, `${about}[${withoutVersion}, ${withContinue}, ${unsupported('No', '"Exact", "NotOlderThan", ""')}]`],
    ['sendInitialEvents=false', 422, `${about}${forbidden('sendInitialEvents is forbidden for list', 'sendInitialEvents')}`],
    ['watch=1&sendInitialEvents=true', 422, `${about}${needsNotOlderThan}`],
    ['watch=1&sendInitialEvents=false&resourceVersion=0', 422, `${about}${needsNotOlderThan}`],
    ['watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=5', 422, `${about}${needsInitial}`],
    ['watch=1&resourceVersionMatch=Exact', 422, `${about}[${needsInitial}, ${unsupported('Exact', '"NotOlderThan"')}]`],
    ['watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&continue=x', 422, `${about}${withContinue}`],
    ['limit=', 400, 'strconv.ParseInt: parsing "": invalid syntax'],
    ['limit=1.5', 400, 'strconv.ParseInt: parsing "1.5": invalid syntax'],
    ['limit=9223372036854775808', 400, 'strconv.ParseInt: parsing "9223372036854775808": value out of range'],
    ['timeoutSeconds=1m', 400, 'strconv.ParseInt: parsing "1m": invalid syntax'],
    ['labelSelector=a+in', 400, "unable to parse requirement: found '' expected: '('"],
    ['labelSelector=a%3D1%2C', 400, "found '', expected: identifier after ','"],
    ['labelSelector=a%3E1x', 400, 'unable to parse requirement: values[0]: Invalid value: "1x": for \'Gt\', \'Lt\' operators, the value must be an integer'],
    ['fieldSelector=a', 400, "invalid selector: 'a'; can't understand 'a'"],
    ['fieldSelector=a%3Db%5Cc', 400, 'invalid field selector: invalid escape sequence: \\c'],
  ];
  for (const [query, code, message] of refusals) {
    it(`refuses ?${query}`, () => {
      expect(refusal(() => options(query))).to.deep.equal({ code, message });
    });
  }

  it('reads booleans as Go does: only false in any case and 0 are false', () => {
    for (const text of ['', '1', 'true', 'yes', 'FALSE ', 'no']) expect(options(`watch=${encodeURIComponent(text)}`).watch, text).to.equal(true);
    for (const text of ['false', 'False', '0']) expect(options(`watch=${text}`).watch, text).to.equal(false);
  });
  it('takes a limit below 0 for none, a sign and leading zeros', () => {
    expect([options('limit=-3').limit, options('limit=%2B07').limit, options('').limit]).to.deep.equal([0, 7, 0]);
  });
  it('a watch of any version begins with what exists, others do not', () => {
    expect(options('watch=1')).to.include({ sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' });
    expect(options('watch=1&resourceVersion=0').sendInitialEvents).to.equal(true);
    expect(options('watch=1&resourceVersion=7').sendInitialEvents).to.equal(undefined);
    expect(options('watch=1&resourceVersion=0&sendInitialEvents=0&resourceVersionMatch=NotOlderThan').sendInitialEvents).to.equal(false);
    expect(options('resourceVersion=0').sendInitialEvents).to.equal(undefined);
  });
});

describe('parseResourceVersion()', () => {
  it('takes what fits into 64 bits, zeros in front of it too', () => {
    for (const [text, revision] of [['', 0n], ['0', 0n], ['007', 7n], ['18446744073709551615', 2n ** 64n - 1n]] as const) expect(parseResourceVersion(text, unexpected), text).to.equal(revision);
  });
  for (const [text, why] of [['abc', 'invalid syntax'], ['-1', 'invalid syntax'], ['+1', 'invalid syntax'], ['1 ', 'invalid syntax'], ['0x1', 'invalid syntax'], ['18446744073709551616', 'value out of range']] as const) {
    it(`refuses ${text}`, () => {
      expect(refusal(() => parseResourceVersion(text, unexpected))).to.deep.equal({ code: 500, message: `resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": ${why}` });
    });
  }
});

describe('decodeContinue()', () => {
  const scope = '/registry/pods/a/';
  const token = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const of = (change: Record<string, unknown>): string => token({ v: 'meta.k8s.io/v1', rv: 5, start: 'x\0', ...change });

  it('reads what encodeContinue() wrote, and upstream writes', () => {
    expect(decodeContinue(encodeContinue(`${scope}x`, scope, 5n), scope)).to.deep.equal({ startKey: `${scope}x\0`, revision: 5n });
    expect(encodeContinue(`${scope}x`, scope, 5n)).to.equal(token('{"v":"meta.k8s.io/v1","rv":5,"start":"x\\u0000"}'));
    expect(decodeContinue(of({ rv: -1, start: '/x' }), scope)).to.deep.equal({ startKey: `${scope}x`, revision: -1n });
  });
  const outside = ['..', '../../secrets/x', 'x/../y', './x', 'x//y', 'x/', '//x', '/..'];
  const refusals: [given: string, why: string][] = [
    ['!', 'illegal base64 data at input byte 0'], ['abc=', 'illegal base64 data at input byte 3'], ['abcde', 'illegal base64 data at input byte 4'],
    ['abc', "invalid character 'i' looking for beginning of value"], [token('{}x'), "invalid character 'x' after top-level value"],
    [token([]), 'json: cannot unmarshal array into Go value of type storage.continueToken'],
    [token('null'), 'server does not recognize this encoded version '],
    [of({ v: 'meta.k8s.io/v2' }), 'server does not recognize this encoded version meta.k8s.io/v2'],
    [of({ rv: 0 }), 'incorrect encoded start resourceVersion (version meta.k8s.io/v1)'],
    [of({ rv: '5' }), 'json: cannot unmarshal string into Go struct field continueToken.rv of type int64'],
    [of({ rv: 1.5 }), 'json: cannot unmarshal number 1.5 into Go struct field continueToken.rv of type int64'],
    [of({ start: '' }), 'encoded start key empty (version meta.k8s.io/v1)'],
    ...outside.map((start): [string, string] => [of({ start }), start]),
  ];
  for (const [given, why] of refusals) {
    it(`refuses ${Buffer.from(given, 'base64url').toString() || given}: ${why}`, () => {
      expect(refusal(() => decodeContinue(given, scope))).to.deep.equal({ code: 400, message: `invalid continue token: continue key is not valid: ${why}` });
    });
  }
});

describe('Snapshots', () => {
  const items: CachedObject[] = [];
  it('keep a list for its time, however often it is kept again', () => {
    let now = 0;
    const snapshots = new Snapshots({ keepMs: 1000, clock: { now: () => now } });
    snapshots.keep('a', 5n, items);
    now = 900;
    snapshots.keep('a', 5n, items);
    expect(snapshots.get('a')).to.equal(items);
    now = 1001;
    expect(snapshots.get('a')).to.equal(undefined);
  });
  it('keep only so many, and none of a version that the store has forgotten', () => {
    const snapshots = new Snapshots({ limit: 2 });
    for (const [key, revision] of [['a', 1n], ['b', 2n], ['c', 3n]] as const) snapshots.keep(key, revision, items);
    expect(['a', 'b', 'c'].map((key) => snapshots.get(key) !== undefined)).to.deep.equal([false, true, true]);
    snapshots.forgetBefore(3n);
    expect(['b', 'c'].map((key) => snapshots.get(key) !== undefined)).to.deep.equal([false, true]);
  });
});
