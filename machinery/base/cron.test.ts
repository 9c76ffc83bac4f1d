import { expect } from 'chai';
import { isTimeZone, parseSchedule } from './cron.ts';

const next = (spec: string, after: string, zone = 'UTC'): string | undefined => {
  const at = parseSchedule(spec, zone).next(Date.parse(after));
  return at === undefined ? undefined : new Date(at).toISOString().slice(0, 19);
};

describe('parseSchedule()', () => {
  const rows: [spec: string, after: string, next: string | undefined, zone?: string][] = [
    ['* * * * *', '2026-01-01T00:00:00Z', '2026-01-01T00:01:00'],
    ['* * * * *', '2026-01-01T00:00:59.9Z', '2026-01-01T00:01:00'],
    ['*/15 * * * *', '2026-01-01T00:46:00Z', '2026-01-01T01:00:00'],
    ['5/20 * * * *', '2026-01-01T00:05:00Z', '2026-01-01T00:25:00'],
    ['10-12/2,40 3 ? * ?', '2026-01-01T03:12:00Z', '2026-01-01T03:40:00'],
    ['0 0 29 2 *', '2026-01-01T00:00:00Z', '2028-02-29T00:00:00'],
    ['0 0 31 2 *', '2026-01-01T00:00:00Z', undefined],
    ['0 12 * JAN-mar Mon-FRI', '2026-01-02T12:00:00Z', '2026-01-05T12:00:00'],
    ['0 0 13 * 5', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00'], // either day field
    ['0 0 13 * *', '2026-01-01T00:00:00Z', '2026-01-13T00:00:00'],
    ['0 0 */2 * 5', '2026-01-02T01:00:00Z', '2026-01-03T00:00:00'], // a step is a restriction: either
    ['@hourly', '2026-01-01T00:30:00Z', '2026-01-01T01:00:00'],
    ['@weekly', '2026-01-01T00:00:00Z', '2026-01-04T00:00:00'],
    ['@yearly', '2026-01-01T00:00:00Z', '2027-01-01T00:00:00'],
    ['@every 1h30m', '2026-01-01T00:00:00.5Z', '2026-01-01T01:30:00'],
    ['@every 10ms', '2026-01-01T00:00:00Z', '2026-01-01T00:00:01'],
    ['TZ=Asia/Tokyo 0 9 * * *', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00'],
    ['0 9 * * *', '2026-07-01T07:00:00Z', '2026-07-02T07:00:00', 'Europe/Berlin'],
    ['0 0 1 * *', '2026-01-15T00:00:00Z', '2026-01-31T15:00:00', 'Asia/Tokyo'],
    ['30 2 * * *', '2026-03-29T00:00:00Z', '2026-03-30T00:30:00', 'Europe/Berlin'], // no 02:30 that night
    ['30 2 * * *', '2026-10-25T00:30:00Z', '2026-10-25T01:30:00', 'Europe/Berlin'], // 02:30 twice that night
    ['30 2 * * *', '2026-10-25T01:30:00Z', '2026-10-26T01:30:00', 'Europe/Berlin'],
    ['0 12 * * *', '2018-11-03T15:00:00Z', '2018-11-04T14:00:00', 'America/Sao_Paulo'], // a day without midnight
    ['0 0 1 5 *', '2026-04-03T00:00:00Z', '2026-04-30T13:30:00', 'Australia/Lord_Howe'], // a half-hour change in between
  ];
  for (const [spec, after, expected, zone] of rows) {
    it(`${spec} ${zone ?? ''} after ${after}`, () => expect(next(spec, after, zone)).to.equal(expected));
  }
  for (const bad of ['', '   ', '* * * *', '* * * * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * * 13 *', '* * * * 7', '5-3 * * * *', '*/0 * * * *',
    '1-2-3 * * * *', '1/2/3 * * * *', 'x * * * *', '-1 * * * *', '1.5 * * * *', '* * * foo *', '- * * * *', '@reboot', '@every', '@every 5', '@every x', 'TZ=No/Where * * * * *']) {
    it(`refuses ${JSON.stringify(bad)}`, () => expect(() => parseSchedule(bad)).to.throw(Error));
  }
});

it('isTimeZone() knows names, not offsets', () => {
  expect(['Europe/Berlin', 'UTC', 'Etc/GMT+5'].every(isTimeZone)).to.equal(true);
  expect(['+01:00', 'Mars/Olympus', '5'].some(isTimeZone)).to.equal(false);
});
