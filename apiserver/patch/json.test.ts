import { expect } from 'chai';
import { StatusError } from '#machinery/api/status.ts';
import { applyJsonPatch } from './json.ts';

function refusal(document: object, patch: unknown): StatusError {
  try {
    applyJsonPatch(document, patch);
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('the patch was accepted');
}

describe('applyJsonPatch()', () => {
  const cases: [string, object, unknown, unknown][] = [
    ['adds a member', { a: 1 }, [{ op: 'add', path: '/b', value: { c: 2 } }], { a: 1, b: { c: 2 } }],
    ['adds at the end of a list', { a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }], { a: [1, 2] }],
    ['inserts into a list', { a: [1, 3] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2, 3] }],
    ['inserts at a negative index', { a: [1, 3] }, [{ op: 'add', path: '/a/-2', value: 2 }], { a: [1, 2, 3] }],
    ['removes members and items', { a: [1, 2], b: 1 }, [{ op: 'remove', path: '/b' }, { op: 'remove', path: '/a/0' }], { a: [2] }],
    ['replaces', { a: { b: 1 } }, [{ op: 'replace', path: '/a/b', value: null }], { a: { b: null } }],
    ['adds a member that replace does not find', { a: 1 }, [{ op: 'replace', path: '/b', value: 2 }], { a: 1, b: 2 }],
    ['replaces the whole document', { a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
    ['moves', { a: { b: 1 }, c: [] }, [{ op: 'move', from: '/a/b', path: '/c/0' }], { a: {}, c: [1] }],
    ['copies by value', { a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/c' }, { op: 'add', path: '/c/b', value: 2 }], { a: { b: 1 }, c: { b: 2 } }],
    ['decodes ~1 and ~0', { 'x/y~z': 1 }, [{ op: 'replace', path: '/x~1y~0z', value: 2 }], { 'x/y~z': 2 }],
    ['reads ~01 as ~1', { '~1': 1 }, [{ op: 'remove', path: '/~01' }], {}],
    ['passes equal tests', { a: { b: [1, { c: null }] } }, [{ op: 'test', path: '/a', value: { b: [1, { c: null }] } }], { a: { b: [1, { c: null }] } }],
    ['takes a missing member for null in a test', { a: 1 }, [{ op: 'test', path: '/b', value: null }], { a: 1 }],
    ['does nothing for an empty patch', { a: 1 }, [], { a: 1 }],
  ];
  for (const [title, document, patch, expected] of cases) {
    it(title, () => expect(applyJsonPatch(document, patch)).to.deep.equal(expected));
  }

  it('leaves both arguments alone and shares nothing with them', () => {
    const document = { a: { b: [1] } };
    const patch = [{ op: 'add', path: '/c', value: { d: 1 } }];
    const result = applyJsonPatch<Record<string, unknown>>(document, patch);
    (result['a'] as { b: number[] }).b.push(2);
    (result['c'] as { d: number }).d = 2;
    expect(document).to.deep.equal({ a: { b: [1] } });
    expect(patch[0]?.value).to.deep.equal({ d: 1 });
  });
  it('keeps __proto__ an ordinary member', () => {
    const result = applyJsonPatch({}, [{ op: 'add', path: '/__proto__', value: { polluted: true } }]);
    expect(Object.keys(result)).to.deep.equal(['__proto__']);
    expect(Object.getPrototypeOf(result)).to.equal(Object.prototype);
    expect(refusal({}, [{ op: 'add', path: '/constructor/prototype/x', value: 1 }]).status.code).to.equal(422);
  });

  const unfit: [string, object, unknown][] = [
    ['a test that fails', { a: 1 }, [{ op: 'test', path: '/a', value: 2 }]],
    ['a test of another number of items', { a: [1] }, [{ op: 'test', path: '/a', value: [1, 2] }]],
    ['removing what is not there', { a: 1 }, [{ op: 'remove', path: '/b' }]],
    ['a path through nothing', { a: 1 }, [{ op: 'add', path: '/b/c', value: 1 }]],
    ['a path through a scalar', { a: 1 }, [{ op: 'add', path: '/a/c', value: 1 }]],
    ['an index beyond the end', { a: [1] }, [{ op: 'add', path: '/a/2', value: 1 }]],
    ['replacing an item beyond the end', { a: [1] }, [{ op: 'replace', path: '/a/1', value: 1 }]],
    ['an index that is no number', { a: [1] }, [{ op: 'add', path: '/a/x', value: 1 }]],
    ['adding the document itself', { a: 1 }, [{ op: 'add', path: '', value: {} }]],
    ['an unknown op', { a: 1 }, [{ op: 'merge', path: '/a' }]],
    ['a missing op', { a: 1 }, [{ path: '/a' }]],
    ['a missing path', { a: 1 }, [{ op: 'add', value: 1 }]],
    ['moving from nowhere', { a: 1 }, [{ op: 'move', from: '/b', path: '/c' }]],
    ['a scalar in place of the document', { a: 1 }, [{ op: 'replace', path: '', value: 1 }]],
    ['copying more than the limit', { a: 'x'.repeat(1024 * 1024) }, [1, 2, 3].map((i) => ({ op: 'copy', from: '/a', path: `/b${i}` }))],
  ];
  for (const [title, document, patch] of unfit) {
    it(`answers 422 to ${title}`, () => {
      const { status } = refusal(document, patch);
      expect(status).to.deep.include({ code: 422, reason: 'Invalid', details: {}, message: 'the server rejected our request due to an error in our request' });
    });
  }

  it('answers 400 to a patch that is no list of operations', () => {
    expect(refusal({}, { op: 'add' }).status).to.deep.include({ code: 400, message: 'json: cannot unmarshal object into Go value of type jsonpatch.Patch' });
    expect(refusal({}, ['add']).status).to.deep.include({ code: 400, message: 'json: cannot unmarshal string into Go value of type jsonpatch.Operation' });
  });
  it('answers 413 to more than 10,000 operations', () => {
    const { status } = refusal({}, Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/a', value: null })));
    expect(status.code).to.equal(413);
    expect(status.message).to.include('10000, got 10001');
  });
});
