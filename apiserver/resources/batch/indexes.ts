// Sets of a job's indexes as text: `0,3-5,9`, in increasing order.

/** The message is what upstream says. */
export class IndexesError extends Error {
  override name = 'IndexesError';
}

export interface Indexes { total: number; intervals: [from: number, to: number][] }

export function parseIndexes(text: string, completions: number): Indexes {
  const intervals: [number, number][] = [];
  let total = 0;
  let last: number | undefined;
  for (const part of text === '' ? [] : text.split(',')) {
    const [from, to] = parseInterval(part, completions);
    if (last !== undefined && last >= from) throw new IndexesError(`non-increasing order, previous: ${last}, current: ${from}`);
    total += to - from + 1;
    last = to;
    intervals.push([from, to]);
  }
  return { total, intervals };
}

function parseInterval(text: string, completions: number): [number, number] {
  const parts = text.split('-');
  if (parts.length > 2) throw new IndexesError(`the fragment ${JSON.stringify(text)} violates the requirement that an index interval can have at most two parts separated by '-'`);
  const [first = '', second] = parts;
  const from = parseIndex(first, completions);
  if (second === undefined) return [from, from];
  const to = parseIndex(second, completions);
  if (from >= to) throw new IndexesError(`non-increasing order, previous: ${from}, current: ${to}`);
  return [from, to];
}
function parseIndex(text: string, completions: number): number {
  if (!/^[+-]?[0-9]+$/.test(text)) throw new IndexesError(`cannot convert string to integer for index: ${JSON.stringify(text)}`);
  const index = Number(text);
  if (index >= completions) throw new IndexesError(`too large index: ${JSON.stringify(text)}`);
  return index;
}

/** As far as it can be read: intervals that make no sense are left out. */
export function readableIndexes(text: string, completions: number): Indexes {
  const intervals = (text === '' ? [] : text.split(',')).flatMap((part) => {
    try {
      return [parseInterval(part, completions)];
    } catch (error) {
      if (error instanceof IndexesError) return [];
      throw error;
    }
  });
  return { total: 0, intervals };
}

/** The first index that both hold. */
export function overlap(a: Indexes, b: Indexes): number | undefined {
  for (const [from, to] of a.intervals) {
    const other = b.intervals.find(([low, high]) => from <= high && low <= to);
    if (other) return Math.max(from, other[0]);
  }
  return undefined;
}
