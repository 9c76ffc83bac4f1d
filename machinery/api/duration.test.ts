import { expect } from 'chai';
import { humanDuration } from './duration.ts';

const second = 1, minute = 60, hour = 3600, day = 24 * hour, year = 365 * day;
const rows: [seconds: number, text: string][] = [
  [-2, '<invalid>'], [-1, '0s'], [0, '0s'], [0.9, '0s'], [119 * second, '119s'], [2 * minute, '2m'], [2 * minute + 5, '2m5s'], [10 * minute - 1, '9m59s'], [10 * minute + 5, '10m'],
  [3 * hour - 1, '179m'], [3 * hour, '3h'], [3 * hour + 5 * minute, '3h5m'], [8 * hour + minute, '8h'], [47 * hour, '47h'], [2 * day, '2d'], [2 * day + hour, '2d1h'],
  [8 * day, '8d'], [8 * day + hour, '8d'], [729 * day, '729d'], [2 * year, '2y'], [2 * year + day, '2y1d'], [8 * year + day, '8y'],
];
describe('humanDuration()', () => {
  for (const [seconds, text] of rows) it(`prints ${seconds} s as ${text}`, () => expect(humanDuration(seconds * 1000)).to.equal(text));
});
