import { readFileSync, readdirSync } from 'node:fs';
import { expect } from 'chai';
import { runCase } from './_test-cases.ts';
import type { Case, Outcome } from './_test-cases.ts';

/** Expressions over the same variables. */
type Group = Omit<Case, 'expr'> & { readonly cases: readonly { readonly expr: string; readonly want: Outcome }[] };

const folder = new URL('testdata/', import.meta.url);

describe('compile() answers as the reference implementation', () => {
  for (const file of readdirSync(folder).toSorted()) {
    describe(file, () => {
      const groups = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as readonly Group[];
      for (const { cases, ...shared } of groups) {
        for (const { expr, want } of cases) {
          it(expr.slice(0, 200), () => {
            expect(runCase({ expr, ...shared })).to.deep.equal(want);
          });
        }
      }
    });
  }
});
