// Text that has to be JSON, with what Go's decoder says when it is not.

/** Of what is broken deep inside, the words are not told to the letter. */
export function parseGoJson(text: string): { value: unknown } | { error: string } {
  const first = text.trimStart()[0];
  if (first === undefined) return { error: 'unexpected end of JSON input' };
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const after = /non-whitespace character after JSON at position (\d+)/.exec(error.message);
    if (after) return { error: `invalid character ${quote(text[Number(after[1])] ?? '')} after top-level value` };
    return { error: /[[{"tfn0-9-]/.test(first) ? 'unexpected end of JSON input' : `invalid character ${quote(first)} looking for beginning of value` };
  }
}
function quote(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return `'\\x${code.toString(16).padStart(2, '0')}'`;
  return character === "'" ? "'\\''" : `'${character}'`;
}
