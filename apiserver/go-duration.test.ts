import { expect } from 'chai';
import { parseGoDuration } from './go-duration.ts';

describe('parseGoDuration()', () => {
  for (const [text, ms] of [['0', 0], ['60s', 60_000], ['1h15m30.5s', 4_530_500], ['1.5h', 5_400_000], ['-250ms', -250], ['+1us', 0.001], ['.5s', 500], ['2m1s', 121_000]] as const) {
    it(`reads ${text}`, () => expect(parseGoDuration(text)).to.equal(ms));
  }
  for (const [text, message] of [
    ['', 'time: invalid duration ""'], ['5', 'time: missing unit in duration "5"'], ['5x', 'time: unknown unit "x" in duration "5x"'],
    ['abc', 'time: invalid duration "abc"'], ['1s-', 'time: unknown unit "s-" in duration "1s-"'], ['-', 'time: invalid duration "-"'],
    ['1constructor', 'time: unknown unit "constructor" in duration "1constructor"'], ['9999999999999h', 'time: invalid duration "9999999999999h"'],
  ] as const) {
    it(`refuses "${text}" in Go's words`, () => expect(() => parseGoDuration(text)).to.throw(Error, message));
  }
});
