import { expect } from 'chai';
import { escapeField, unescapeField } from './escape.ts';

describe('escapeField() and unescapeField()', () => {
  const names: readonly (readonly [string, string | undefined])[] = [
    ['plain', 'plain'], ['a_b', 'a_b'], ['namespace', '__namespace__'], ['in', '__in__'], ['a.b', 'a__dot__b'], ['x-kubernetes', 'x__dash__kubernetes'],
    ['a/b', 'a__slash__b'], ['a__b', 'a__underscores__b'], ['___', '__underscores___'], ['.x', '__dot__x'],
    ['1a', undefined], ['', undefined], ['a b', undefined], ['é', undefined], ['a$', undefined],
  ];
  for (const [name, escaped] of names) {
    it(`${JSON.stringify(name)} is ${escaped ?? 'no name in expressions'}`, () => {
      expect(escapeField(name)).to.equal(escaped);
      if (escaped !== undefined) expect(unescapeField(escaped)).to.equal(name);
    });
  }

  for (const wrong of ['__x__', 'a__in__', '__dot__in__for__']) {
    it(`nothing is written ${wrong}`, () => {
      expect(unescapeField(wrong)).to.equal(undefined);
    });
  }
});
