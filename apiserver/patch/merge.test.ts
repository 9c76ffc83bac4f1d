import { expect } from 'chai';
import fc from 'fast-check';
import { StatusError } from '#machinery/api/status.ts';
import { equalJson, isObject } from './json-value.ts';
import { applyMergePatch } from './merge.ts';

describe('applyMergePatch()', () => {
  // Appendix A of RFC 7386, as far as document and patch are objects.
  const cases: [object, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    // Beyond the RFC, as upstream: nulls of objects in new lists go.
    [{}, { a: [{ b: null, c: 1 }, null] }, { a: [{ c: 1 }, null] }],
  ];
  for (const [document, patch, expected] of cases) {
    it(`makes ${JSON.stringify(expected)} of ${JSON.stringify(document)} and ${JSON.stringify(patch)}`, () => {
      expect(applyMergePatch(document, patch)).to.deep.equal(expected);
    });
  }

  const anyObject = fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__', 'toString'), fc.jsonValue({ maxDepth: 3 }));
  // Nulls in lists are left out here: what upstream does to them depends on what stood there before.
  const scalarLists = (value: unknown): unknown => Array.isArray(value) ? value.map((item) => JSON.stringify(item))
    : isObject(value) ? Object.fromEntries(Object.entries(value).map(([key, member]) => [key, scalarLists(member)])) : value;
  it('applied twice is applied once', () => {
    fc.assert(fc.property(anyObject, anyObject.map(scalarLists), (document, patch) => {
      const once = applyMergePatch(document, patch);
      return equalJson(applyMergePatch(once, patch), once);
    }), { numRuns: 200 });
  });
  it('sets every scalar of the patch and keeps what the patch does not name', () => {
    fc.assert(fc.property(anyObject, anyObject, (document, patch) => {
      const result = applyMergePatch(document, patch);
      for (const [key, value] of Object.entries(patch)) {
        if (value === null) expect(Object.hasOwn(result, key)).to.equal(false);
        else if (!isObject(value) && !Array.isArray(value)) expect(Object.entries(result)).to.deep.include([key, value]);
      }
      for (const [key, value] of Object.entries(document)) {
        if (!Object.hasOwn(patch, key)) expect(equalJson(Object.getOwnPropertyDescriptor(result, key)?.value, value)).to.equal(true);
      }
    }), { numRuns: 200 });
  });
  it('leaves both arguments alone', () => {
    const document = { a: { b: [1] } };
    const patch = { c: { d: [1] } };
    const result: { a?: { b: number[] }; c?: { d: number[] } } = applyMergePatch(document, patch);
    result.a?.b.push(2);
    result.c?.d.push(2);
    expect([document, patch]).to.deep.equal([{ a: { b: [1] } }, { c: { d: [1] } }]);
  });
  it('answers 400 to a patch that is no object', () => {
    for (const patch of [null, [], 'x', 1, true]) {
      expect(() => applyMergePatch({}, patch)).to.throw(StatusError).with.nested.property('status.code', 400);
    }
  });
});
