import { expect } from 'chai';
import type { ControllerRevision } from '#machinery/api/object.ts';
import { encode, nextRevision, revisionData, revisionHash, revisionName, sameData, sortRevisions, templateOf } from './revisions.ts';

const revision = (name: string, number: number, created = '2026-01-01T00:00:00Z'): ControllerRevision => ({ metadata: { name, creationTimestamp: created }, revision: number });

describe('ControllerRevisions', () => {
  it('encode as a Go encoder does', () => {
    expect(encode({ b: null, a: { z: '<&>', y: [1, undefined] }, $patch: 'replace' })).to.equal('{"$patch":"replace","a":{"y":[1,null],"z":"\\u003c\\u0026\\u003e"}}');
  });
  it('hash by FNV-32, not 32a', () => {
    // The offset basis is 2166136261; multiplied, then xor "{" and "}".
    expect(revisionHash({}, undefined)).to.equal(String(fnv32('{}')).replace(/\d/g, (digit) => '456789bcdf'.charAt(Number(digit))));
    expect(revisionHash({}, 0)).to.equal(String(fnv32('{}0')).replace(/\d/g, (digit) => '456789bcdf'.charAt(Number(digit))));
  });
  it('hash to another name with every collision', () => expect(new Set([undefined, 0, 1, 12].map((count) => revisionHash({ a: 1 }, count)))).to.have.length(4));
  it('cut long names', () => expect(revisionName('x'.repeat(300), 'abc')).to.equal(`${'x'.repeat(223)}-abc`));
  it('give the template back', () => {
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [] } };
    expect(templateOf({ ...revision('a', 1), data: revisionData(template) } as ControllerRevision)).to.deep.equal(template);
    expect(templateOf(revision('a', 1))).to.equal(undefined);
  });
  it('are the same whatever the order of keys', () => {
    expect(sameData({ a: 1, b: [{ c: 2, d: 3 }] }, { b: [{ d: 3, c: 2 }], a: 1 })).to.equal(true);
    expect(sameData({ a: [1, 2] }, { a: [2, 1] })).to.equal(false);
  });
  it('sort by number, age and name', () => {
    const sorted = sortRevisions([revision('new', 3), revision('late', 2, '2026-01-02T00:00:00Z'), revision('b', 2), revision('a', 2)]);
    expect(sorted.map(({ metadata }) => metadata.name)).to.deep.equal(['a', 'b', 'late', 'new']);
    expect([nextRevision(sorted), nextRevision([])]).to.deep.equal([4, 1]);
  });
});

/** The definition, in exact arithmetic. */
function fnv32(text: string): bigint {
  let hash = 2166136261n;
  for (const byte of Buffer.from(text)) hash = ((hash * 16777619n) % 2n ** 32n) ^ BigInt(byte);
  return hash;
}
