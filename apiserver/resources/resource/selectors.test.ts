// What upstream says of expressions that select devices: whether they compile, what they give, what they may cost.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { fieldErrorBody } from '#machinery/api/status.ts';
import { loadSelectors, validateSelectors } from './selectors.ts';

const cases = JSON.parse(readFileSync(new URL('testdata/selectors.json', import.meta.url), 'utf8')) as { expression: string; errors: string[] }[]; // our own file
const errorsOf = (expression: string): string[] => validateSelectors([{ cel: { expression } }], 'spec.selectors').map(fieldErrorBody);

describe('validateSelectors()', () => {
  before(loadSelectors);
  it(`says of ${cases.length} expressions what upstream says`, () => {
    for (const { expression, errors } of cases) expect(errorsOf(expression), expression).to.deep.equal(errors);
  });
  it('does not compile what is too long', () => {
    expect(errorsOf(`"${'x'.repeat(10 * 1024)}" == ""`)).to.deep.equal(['Too long: may not be more than 10240 bytes']);
  });
});
