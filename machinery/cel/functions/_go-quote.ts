// Text in double quotes as Go's %q prints it.

const escapes: Readonly<Record<string, string>> = {
  '\u0007': '\\a', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\v': '\\v', '\\': '\\\\', '"': '\\"',
};

export function goQuote(text: string): string {
  let quoted = '';
  for (const character of text) {
    const escape = escapes[character];
    const code = character.codePointAt(0)!;
    if (escape !== undefined) quoted += escape;
    else if (code === 0x20 || (code > 0x20 && code < 0x7f) || (code > 0xa0 && /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(character))) quoted += character;
    else if (code < 0x80) quoted += `\\x${code.toString(16).padStart(2, '0')}`;
    else if (code < 0x10000) quoted += `\\u${code.toString(16).padStart(4, '0')}`;
    else quoted += `\\U${code.toString(16).padStart(8, '0')}`;
  }
  return `"${quoted}"`;
}
