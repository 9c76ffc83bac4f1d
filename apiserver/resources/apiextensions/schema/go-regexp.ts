// Patterns of schemas: RE2's, in linear time, with what Go says of bad ones.
import { compilePattern } from '#machinery/cel/functions/regex.ts';

export type Compiled = { readonly matches: (text: string) => boolean } | { readonly error: string };

export function goRegexp(pattern: string): Compiled {
  const compiled = compilePattern(pattern);
  return 'matcher' in compiled ? { matches: (text) => compiled.matcher(text).find() } : { error: compiled.message };
}
