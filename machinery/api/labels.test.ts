import { expect } from 'chai';
import { parseFieldSelector } from './fields.ts';
import { labelSelectorFromObject, parseLabelSelector, SelectorError } from './labels.ts';

describe('parseLabelSelector()', () => {
  for (const [text, labels, matches] of [
    ['', { a: '1' }, true], ['a=1', { a: '1' }, true], ['a==1', { a: '2' }, false], ['a!=1', {}, true], ['a', { a: '' }, true], ['!a', { a: '' }, false],
    ['a in (1,2)', { a: '2' }, true], ['a notin (1,2)', {}, true], ['a in (,1)', { a: '' }, true], ['a>1', { a: '2' }, true], ['a<1', { a: 'x' }, false],
    ['a=1,b=2', { a: '1' }, false], ['in=notin', { in: 'notin' }, true], ['a=', { a: '' }, true], [' a = 1 , b ', { a: '1', b: 'x' }, true],
  ] as const) it(`"${text}" on ${JSON.stringify(labels)} is ${matches}`, () => expect(parseLabelSelector(text).matches(labels)).to.equal(matches));
  for (const [text, why] of [
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"], ['a,', "found '', expected: identifier after ','"], [',a', "found ',', expected: !, identifier, or 'end of string'"],
    ['a in 1', "unable to parse requirement: found '1' expected: '('"], ['a=b=c', "found '=', expected: ',' or 'end of string'"], ['a>b', 'must be an integer'], ['-a=b', 'Invalid value: "-a"'],
  ] as const) it(`refuses "${text}"`, () => expect(() => parseLabelSelector(text)).to.throw(SelectorError, why));
  it('knows no inherited members', () => expect(parseLabelSelector('constructor').matches({})).to.equal(false));
});

describe('labelSelectorFromObject()', () => {
  it('matches nothing when absent, everything when empty', () => {
    expect(labelSelectorFromObject(undefined).matches({})).to.equal(false);
    expect(labelSelectorFromObject({}).matches({})).to.equal(true);
  });
  it('refuses an operator that is none', () => expect(() => labelSelectorFromObject({ matchExpressions: [{ key: 'a', operator: 'Is' }] })).to.throw(SelectorError));
});

describe('parseFieldSelector()', () => {
  const values: Record<string, string> = { 'a.b': 'x,y', c: '' };
  const matches = (text: string): boolean => parseFieldSelector(text).matches((field) => values[field] ?? '');
  it('compares, escapes, and passes over empty terms', () => {
    expect(matches('a.b=x\\,y')).to.equal(true);
    expect(matches('a.b!=x\\,y')).to.equal(false);
    expect(matches('c=,,missing==')).to.equal(true);
  });
  for (const text of ['x', 'a=b=c', 'a=\\z']) it(`refuses "${text}"`, () => expect(() => parseFieldSelector(text)).to.throw(SelectorError));
});
