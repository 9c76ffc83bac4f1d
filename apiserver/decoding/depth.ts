// How deep what clients send may be nested: everything behind this walks through objects on its stack.
import { badRequest } from '#machinery/api/status.ts';

/** No object has a tenth of it. */
export const maxDepth = 1000;

/** Members of all objects in a value. Throws RangeError for what is nested too deep. */
export function countMembers(value: unknown, depth = 0): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth > maxDepth) throw tooDeep();
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item, depth + 1);
    return count;
  }
  for (const key in value) count += 1 + countMembers((value as Record<string, unknown>)[key], depth + 1);
  return count;
}

export function tooDeep(): RangeError {
  return new RangeError('exceeded max depth');
}

/** Throws 400 when a value is nested deeper than anything that is real. */
export function checkDepth(value: unknown): void {
  shallow(() => countMembers(value));
}

/** Nesting that no stack can hold is the client's mistake. */
export function shallow<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) throw badRequest('exceeded max depth');
    throw error;
  }
}
