// Sets of completion indexes as a Job's status writes them: `1,3-5,7`. Upstream: pkg/controller/job/indexed_job_utils.go.
/** Ordered, disjoint and not adjacent. */
export type Intervals = readonly (readonly [first: number, last: number])[];

const whole = /^\d+$/;

/** Parts that are no numbers are skipped; indexes from `completions` on are left out. */
export function parseIndexes(text: string | undefined, completions: number): Intervals {
  const found: [number, number][] = [];
  for (const part of (text ?? '').split(',')) {
    const [low = '', high = low] = part.split('-');
    if (!whole.test(low) || !whole.test(high)) continue;
    if (Number(low) >= completions) break;
    found.push([Number(low), Math.min(Number(high), completions - 1)]);
  }
  return mergeIndexes(found, []);
}
export function formatIndexes(intervals: Intervals): string {
  return intervals.map(([first, last]) => (first === last ? `${first}` : `${first}${last === first + 1 ? ',' : '-'}${last}`)).join(',');
}
export function mergeIndexes(a: Intervals, b: Intervals): Intervals {
  const result: [number, number][] = [];
  for (const [first, last] of [...a, ...b].sort((left, right) => left[0] - right[0])) {
    const previous = result.at(-1);
    if (!previous || first > previous[1] + 1) result.push([first, last]);
    else previous[1] = Math.max(previous[1], last);
  }
  return result;
}
export function addIndexes(intervals: Intervals, indexes: Iterable<number>): Intervals {
  return mergeIndexes(intervals, [...indexes].map((index) => [index, index] as const));
}
export function countIndexes(intervals: Intervals): number {
  return intervals.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}
export function hasIndex(intervals: Intervals, index: number): boolean {
  let [low, high] = [0, intervals.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (intervals[middle]![1] >= index) high = middle;
    else low = middle + 1;
  }
  return low < intervals.length && intervals[low]![0] <= index;
}
/** How many indexes are in both. */
export function countCommon(a: Intervals, b: Intervals): number {
  let common = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [firstA, lastA] = a[i]!;
    const [firstB, lastB] = b[j]!;
    common += Math.max(0, Math.min(lastA, lastB) - Math.max(firstA, firstB) + 1);
    if (lastA < lastB) i += 1;
    else j += 1;
  }
  return common;
}
/** The lowest `count` indexes below `completions` that are not in `taken`. */
export function lowestMissing(taken: Intervals, count: number, completions: number): number[] {
  const result: number[] = [];
  let candidate = 0;
  for (const [first, last] of [...taken, [completions, completions] as const]) {
    for (; candidate < Math.min(first, completions) && result.length < count; candidate++) result.push(candidate);
    candidate = Math.max(candidate, last + 1);
  }
  return result;
}
