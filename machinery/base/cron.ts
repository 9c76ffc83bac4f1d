// Cron schedules as CronJobs write them: five fields, names of months and days, @daily and the like, @every. The grammar,
// its oddities included, is that of the parser upstream uses (robfig/cron v3, ParseStandard): `?` is `*`, `5/10` means
// from 5 on, and a day must fit both day fields when one of them is `*`, else either.
export interface Schedule {
  /** The first time after `after` (milliseconds since the epoch); undefined when there is none within five years. */
  next(after: number): number | undefined;
}

interface Field { values: ReadonlySet<number>; star: boolean }
interface Bounds { name: string; min: number; max: number; names?: readonly string[] }

const minuteMs = 60_000;
const yearsAhead = 5;
const bounds: readonly Bounds[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, names: ['', 'jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] },
  { name: 'day of week', min: 0, max: 6, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
];
const descriptors: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *', '@annually': '0 0 1 1 *', '@monthly': '0 0 1 * *', '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *', '@midnight': '0 0 * * *', '@hourly': '0 * * * *',
};

/** Throws an Error that says what is wrong. Without a time zone, here or as a `TZ=` prefix, this process's own counts. */
export function parseSchedule(text: string, timeZone?: string): Schedule {
  let spec = text;
  let zone = timeZone;
  const prefix = /^(?:CRON_)?TZ=(\S*)(\s|$)/.exec(spec);
  if (prefix) {
    zone = prefix[1]!;
    spec = spec.slice(prefix[0].length).trim();
  }
  if (spec === '') throw new Error('empty schedule');
  if (spec.startsWith('@every ')) return every(spec.slice('@every '.length));
  if (spec.startsWith('@')) {
    const meaning = descriptors[spec];
    if (meaning === undefined) throw new Error(`unrecognized descriptor: ${spec}`);
    spec = meaning;
  }
  const parts = spec.split(/\s+/).filter((part) => part !== '');
  if (parts.length !== bounds.length) throw new Error(`expected exactly 5 fields, found ${parts.length}: [${parts.join(' ')}]`);
  const [minutes, hours, days, months, weekdays] = parts.map((part, position) => parseField(part, bounds[position]!)) as [Field, Field, Field, Field, Field];
  return byFields({ minutes, hours, days, months, weekdays }, wallClock(zone));
}

function parseField(text: string, of: Bounds): Field {
  const values = new Set<number>();
  let star = false;
  for (const part of text.split(',')) if (part !== '') star = addRange(part, of, values) || star;
  return { values, star };
}
/** Answers whether the part is an unrestricted `*`. */
function addRange(part: string, { name, min, max, names }: Bounds, values: Set<number>): boolean {
  const fail = (why: string): never => {
    throw new Error(`${name}: ${why}: ${part}`);
  };
  const number = (word: string, named: boolean): number => {
    const byName = named && word !== '' ? (names ?? []).indexOf(word.toLowerCase()) : -1;
    return byName >= 0 ? byName : /^\+?\d+$/.test(word) ? Number(word) : fail(`${JSON.stringify(word)} is no number`);
  };
  const [range = '', stepText, ...moreSteps] = part.split('/');
  const [low = '', high, ...moreEnds] = range.split('-');
  if (moreSteps.length > 0) fail('too many slashes');
  const any = low === '*' || low === '?';
  if (!any && moreEnds.length > 0) fail('too many hyphens');
  const step = stepText === undefined ? 1 : number(stepText, false);
  const first = any ? min : number(low, true);
  const openEnd = any || (high === undefined && stepText !== undefined);
  const last = openEnd ? max : high === undefined ? first : number(high, true);
  if (first < min) fail(`${first} is below the minimum ${min}`);
  if (last > max) fail(`${last} is above the maximum ${max}`);
  if (first > last) fail('the range ends before it begins');
  if (step === 0) fail('the step must not be 0');
  for (let value = first; value <= last; value += step) values.add(value);
  return any && step === 1;
}

const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A fixed distance, whole seconds, at least one. */
function every(duration: string): Schedule {
  if (!/^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.test(duration)) throw new Error(`failed to parse duration ${duration}`);
  let ms = 0;
  for (const [, number, unit] of duration.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) ms += Number(number) * units[unit!]!;
  if (duration.startsWith('-')) ms = 0;
  const distance = Math.max(1000, Math.floor(ms / 1000) * 1000);
  return { next: (after) => Math.floor(after / 1000) * 1000 + distance };
}

interface Wall { year: number; month: number; day: number; weekday: number; hour: number; minute: number }

/** The calendar and clock of a time zone. Throws on one that is not known. */
function wallClock(timeZone: string | undefined): (at: number) => Wall {
  if (timeZone !== undefined && !isTimeZone(timeZone)) throw new Error(`unknown time zone ${timeZone}`);
  const zone = timeZone === '' ? 'UTC' : timeZone === 'Local' ? undefined : timeZone;
  if (zone === 'UTC') {
    return (at) => {
      const date = new Date(at);
      return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(), weekday: date.getUTCDay(), hour: date.getUTCHours(), minute: date.getUTCMinutes() };
    };
  }
  if (zone === undefined) {
    return (at) => {
      const date = new Date(at);
      return { year: date.getFullYear(), month: date.getMonth() + 1, day: date.getDate(), weekday: date.getDay(), hour: date.getHours(), minute: date.getMinutes() };
    };
  }
  const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', calendar: 'iso8601', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' });
  return (at) => {
    const wall: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(at)) wall[type] = Number(value);
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0 } = wall;
    return { year, month, day, hour, minute, weekday: new Date(Date.UTC(year, month - 1, day)).getUTCDay() };
  };
}

/** A name of the time zone database; offsets like +01:00 are none. */
export function isTimeZone(name: string): boolean {
  if (name === '' || name === 'UTC' || name === 'Local') return true;
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

interface Fields { minutes: Field; hours: Field; days: Field; months: Field; weekdays: Field }

/**
 * Walks over real time and looks at the wall clock, so an hour that daylight saving leaves out is skipped and one that it
 * repeats counts twice.
 */
function byFields({ minutes, hours, days, months, weekdays }: Fields, wallAt: (at: number) => Wall): Schedule {
  const dayFits = ({ month, day, weekday }: Wall): boolean => {
    if (!months.values.has(month)) return false;
    const [byDate, byWeekday] = [days.values.has(day), weekdays.values.has(weekday)];
    return days.star || weekdays.star ? byDate && byWeekday : byDate || byWeekday;
  };
  const nextDay = (at: number, wall: Wall): number => {
    const landed = at + (24 * 60 - wall.hour * 60 - wall.minute) * minuteMs;
    const there = wallAt(landed);
    if (there.day === wall.day || (there.hour === 0 && there.minute === 0)) return landed;
    const back = landed - (there.hour * 60 + there.minute) * minuteMs; // the day had fewer than 24 hours
    return wallAt(back).day === there.day ? back : landed; // a day may begin at 1 o'clock
  };
  return {
    next(after) {
      let at = Math.floor(after / minuteMs) * minuteMs + minuteMs;
      let wall = wallAt(at);
      const lastYear = wall.year + yearsAhead;
      for (; wall.year <= lastYear; wall = wallAt(at)) {
        if (!dayFits(wall)) at = nextDay(at, wall);
        else if (!hours.values.has(wall.hour)) at += (60 - wall.minute) * minuteMs;
        else if (!minutes.values.has(wall.minute)) at += minuteMs;
        else return at;
      }
      return undefined;
    },
  };
}
