import { expect } from 'chai';
import fc from 'fast-check';
import { canonicalFields, difference, fieldsOf, has, intersection, isEmpty, matching, printPaths, recursiveDifference, sameFields, union } from './fields.ts';
import type { Fields } from './fields.ts';
import { canonicalElement, compareElements, keyElement, printElement, valueElement } from './path-element.ts';

describe('path elements', () => {
  const written: [string, string, string][] = [
    ['f:name', '.name', 'f:name'],
    [keyElement([['name', 'a<b>&']]), '[name="a<b>&"]', String.raw`k:{"name":"a\u003cb\u003e\u0026"}`],
    [keyElement([['containerPort', 80], ['protocol', 'TCP']]), '[containerPort=80,protocol="TCP"]', 'k:{"containerPort":80,"protocol":"TCP"}'],
    [valueElement('x'), '[="x"]', 'v:"x"'],
    [valueElement(true), '[=true]', 'v:true'],
    ['i:3', '[3]', 'i:3'],
  ];
  for (const [element, shown, text] of written) {
    it(`${text} shows as ${shown}`, () => {
      expect([element, printElement(element), canonicalElement(element)]).to.deep.equal([text, shown, text]);
    });
  }
  it('are written in one way', () => {
    expect(canonicalElement('k:{"protocol": "TCP", "port":80}')).to.equal('k:{"port":80,"protocol":"TCP"}');
    expect(canonicalElement('v:1.0')).to.equal('v:1');
    expect(canonicalElement('x:new')).to.equal(undefined);
  });
  for (const wrong of ['k:{', 'k:[]', 'v:', 'v:{', 'i:x', 'f', '', 'name']) {
    it(`${JSON.stringify(wrong)} is none`, () => expect(() => canonicalElement(wrong)).to.throw(SyntaxError));
  }
  it('stand in upstream\'s order: names, keys, values, places; numbers by size', () => {
    const order = ['f:Z', 'f:a', 'f:\u{ff5e}', 'f:\u{1f600}', 'k:{"a":2}', 'k:{"a":10}', 'k:{"a":"x"}', 'k:{"a":"x","b":1}', 'k:{"a":"x!"}', 'k:{"b":1}', 'v:2', 'v:10', 'v:"a"', 'v:"b"', 'v:false', 'v:true', 'i:2', 'i:10'];
    expect([...order].reverse().sort(compareElements)).to.deep.equal(order);
  });
});

describe('sets of fields', () => {
  it('that clients write in another way are brought to the one way', () => {
    expect(JSON.stringify(canonicalFields({ 'f:b': { 'k:{"y":1, "x":2}': { 'f:c': {}, '.': {} } }, 'f:a': { '.': {} }, 'z:?': {} })))
      .to.equal('{"f:a":{},"f:b":{"k:{\\"x\\":2,\\"y\\":1}":{".":{},"f:c":{}}}}');
  });
  it('in the one way stay the very same', () => {
    const fields = { 'f:a': { '.': {}, 'f:b': {} }, 'f:c': {} };
    expect(canonicalFields(fields)).to.equal(fields);
  });
  for (const wrong of [7, [], 'x', null, { 'f:a': 7 }, { 'f:a': null }, { bad: {} }]) {
    it(`${JSON.stringify(wrong)} is none`, () => expect(() => canonicalFields(wrong)).to.throw(SyntaxError));
  }
  it('keep a parent whose child goes, and a child whose parent goes', () => {
    const both: Fields = { 'f:a': { '.': {}, 'f:b': {} } };
    expect(difference(both, { 'f:a': { 'f:b': {} } })).to.deep.equal({ 'f:a': {} });
    expect(difference(both, { 'f:a': {} })).to.deep.equal({ 'f:a': { 'f:b': {} } });
    expect(recursiveDifference(both, { 'f:a': {} })).to.deep.equal({});
  });
  it('are filtered by patterns', () => {
    const fields = fieldsOf(['f:spec', 'f:containers', 'k:{"name":"a"}', 'f:resources', 'f:limits'], ['f:spec', 'f:containers', 'k:{"name":"a"}', 'f:image'], ['f:metadata', 'f:labels']);
    expect(matching(fields, [['f:spec', 'f:containers', '*', 'f:resources']])).to.deep.equal({ 'f:spec': { 'f:containers': { 'k:{"name":"a"}': { 'f:resources': { 'f:limits': {} } } } } });
  });
  it('print the members of a level before what is below them', () => {
    expect(printPaths({ 'f:a': { '.': {}, 'f:x': {} }, 'f:b': {} })).to.deep.equal(['.a', '.b', '.a.x']);
  });

  const element = fc.constantFrom('f:a', 'f:b', 'f:c', 'k:{"n":"x"}', 'k:{"n":"y"}', 'v:1', 'v:2');
  const path = fc.array(element, { minLength: 1, maxLength: 4 });
  const set = fc.array(path, { maxLength: 8 }).map((paths) => fieldsOf(...paths));
  it('behave as sets of paths', () => {
    fc.assert(fc.property(set, set, path, (a, b, one) => {
      expect(has(union(a, b), one)).to.equal(has(a, one) || has(b, one));
      expect(has(intersection(a, b), one)).to.equal(has(a, one) && has(b, one));
      expect(has(difference(a, b), one)).to.equal(has(a, one) && !has(b, one));
      expect(isEmpty(difference(a, a))).to.equal(true);
      for (const made of [union(a, b), intersection(a, b), difference(a, b), recursiveDifference(a, b)]) {
        const again = JSON.parse(JSON.stringify(made)) as unknown;
        expect(JSON.stringify(canonicalFields(again))).to.equal(JSON.stringify(made));
      }
      expect(sameFields(union(a, b), union(b, a))).to.equal(true);
    }), { numRuns: 500 });
  });
});
