import { readFileSync, readdirSync } from 'node:fs';
import { expect } from 'chai';
import { runCase } from './_test-cases.ts';
import type { Case, Outcome } from './_test-cases.ts';

const folder = new URL('testdata/', import.meta.url);

describe('compile() answers as the reference implementation', () => {
  for (const file of readdirSync(folder).toSorted()) {
    describe(file, () => {
      const cases = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as readonly (Case & { readonly want: Outcome })[];
      for (const { want, ...test } of cases) {
        it(`${test.expr}${test.vars === undefined ? '' : ` with ${test.vars.map(variable => variable.name).join(', ')}`}`, () => {
          expect(runCase(test)).to.deep.equal(want);
        });
      }
    });
  }
});
