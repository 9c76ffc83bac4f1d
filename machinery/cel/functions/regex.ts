// Patterns in RE2's syntax, matched in linear time: users write them, and their own data is matched.

import { createRequire } from 'node:module';
import type { RE2JS } from 're2js';
import { Failure, noSuchOverload, ValueList } from '../values.ts';
import type { Value } from '../values.ts';
import type { Implementations } from '../registry.ts';

let library: typeof import('re2js') | undefined;

/** Patterns compiled last: policies use the same few again and again. */
const cache = new Map<string, RE2JS | Failure>();
const maxCached = 256;

/** The pattern, or why it is none, in Go's words. Loads the library when first called: few expressions have patterns. */
export function compilePattern(pattern: string): RE2JS | Failure {
  const known = cache.get(pattern);
  if (known !== undefined) return known;
  library ??= createRequire(import.meta.url)('re2js') as typeof import('re2js');
  let compiled: RE2JS | Failure;
  try {
    compiled = library.RE2JS.compile(pattern);
  } catch (error) {
    if (!(error instanceof library.RE2JSException)) throw error;
    // The library leaves out what is empty.
    compiled = new Failure(error.message.endsWith('at end of expression') ? `${error.message}: \`\`` : error.message);
  }
  if (cache.size >= maxCached) cache.delete(cache.keys().next().value!);
  cache.set(pattern, compiled);
  return compiled;
}

/** Whether the pattern is found in the text. */
function matches([text, pattern]: readonly Value[]): Value {
  if (typeof text !== 'string' || typeof pattern !== 'string') return noSuchOverload;
  const compiled = compilePattern(pattern);
  return compiled instanceof Failure ? compiled : compiled.matcher(text).find();
}

function findAll(text: string, pattern: string, limit: number): string[] | Failure {
  const compiled = compilePattern(pattern);
  if (compiled instanceof Failure) return new Failure(`Illegal regex: ${compiled.message}`);
  const found: string[] = [];
  const matcher = compiled.matcher(text);
  let lastEnd = -1;
  while ((limit < 0 || found.length < limit) && matcher.find()) {
    // An empty match right after a match does not count.
    if (matcher.end() === matcher.start() && matcher.start() === lastEnd) continue;
    lastEnd = matcher.end();
    found.push(matcher.group()!);
  }
  return found;
}

export const regexFunctions: Implementations = {
  matches,
  string_find_string: args => {
    const found = findAll(args[0] as string, args[1] as string, 1);
    return found instanceof Failure ? found : found[0] ?? '';
  },
  string_find_all_string: args => all(findAll(args[0] as string, args[1] as string, -1)),
  string_find_all_string_int: args => all(findAll(args[0] as string, args[1] as string, Number(args[2]))),
};

function all(found: string[] | Failure): Value {
  return found instanceof Failure ? found : new ValueList(found);
}
