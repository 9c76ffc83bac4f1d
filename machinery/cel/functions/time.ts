// Parts of timestamps and durations.

import { floorDivide, toDate, zoneOffset } from '../time.ts';
import type { Implementation, Implementations } from '../registry.ts';
import { Failure } from '../values.ts';
import type { Duration, Timestamp, Value } from '../values.ts';

/** A part of a time in UTC, and in the zone that a second argument names. */
function part(read: (date: Date, nanos: number) => number): Implementation {
  return ([time, zone]) => {
    const stamp = time as Timestamp;
    let offset = 0;
    try {
      if (zone !== undefined) offset = zoneOffset(zone as string, stamp);
    } catch (error) {
      return new Failure((error as Error).message);
    }
    const { date, nanos } = toDate(stamp, offset);
    return BigInt(read(date, nanos));
  };
}

/** Whole units of a duration, towards zero. */
function units(size: bigint): Implementation {
  return ([duration]: readonly Value[]) => (duration as Duration).nanos / size;
}

function dayOfYear(date: Date): number {
  const start = new Date(date);
  start.setUTCMonth(0, 1);
  return Number(floorDivide(BigInt(date.getTime() - start.getTime()), 86_400_000n));
}

const year = part(date => date.getUTCFullYear());
const month = part(date => date.getUTCMonth());
const day = part(dayOfYear);
const dayOfMonth = part(date => date.getUTCDate() - 1);
const date = part(time => time.getUTCDate());
const dayOfWeek = part(time => time.getUTCDay());
const hours = part(time => time.getUTCHours());
const minutes = part(time => time.getUTCMinutes());
const seconds = part(time => time.getUTCSeconds());
const milliseconds = part((_, nanos) => Math.floor(nanos / 1e6));

export const timeFunctions: Implementations = {
  timestamp_to_year: year, timestamp_to_year_with_tz: year,
  timestamp_to_month: month, timestamp_to_month_with_tz: month,
  timestamp_to_day_of_year: day, timestamp_to_day_of_year_with_tz: day,
  timestamp_to_day_of_month: dayOfMonth, timestamp_to_day_of_month_with_tz: dayOfMonth,
  timestamp_to_day_of_month_1_based: date, timestamp_to_day_of_month_1_based_with_tz: date,
  timestamp_to_day_of_week: dayOfWeek, timestamp_to_day_of_week_with_tz: dayOfWeek,
  timestamp_to_hours: hours, timestamp_to_hours_with_tz: hours,
  timestamp_to_minutes: minutes, timestamp_to_minutes_with_tz: minutes,
  timestamp_to_seconds: seconds, timestamp_to_seconds_tz: seconds,
  timestamp_to_milliseconds: milliseconds, timestamp_to_milliseconds_with_tz: milliseconds,
  duration_to_hours: units(3_600_000_000_000n),
  duration_to_minutes: units(60_000_000_000n),
  duration_to_seconds: units(1_000_000_000n),
  duration_to_milliseconds: units(1_000_000n),
};
