// Warning headers: all texts while they are short together, the beginnings of them otherwise. Upstream: endpoints/filters/warning.go.
import type { ServerResponse } from 'node:http';

const maxAll = 4096;
const maxOne = 256;

/** Sets the headers for all that was warned of so far, in the order in which it came. Limits count characters. */
export function writeWarnings(response: Pick<ServerResponse, 'setHeader'>, warnings: readonly string[]): void {
  if (warnings.length === 0) return;
  const texts = warnings.map((text) => Array.from(text));
  const cut = texts.reduce((sum, text) => sum + text.length, 0) > maxAll;
  const headers: string[] = [];
  let written = 0;
  for (const text of texts) {
    if (cut && written >= maxAll) break;
    const shown = cut ? text.slice(0, maxOne) : text;
    written += shown.length;
    headers.push(`299 - ${quote(shown.join(''))}`);
  }
  response.setHeader('Warning', headers);
}

/** A quoted string of RFC 7230; what no header can carry is left out. */
function quote(text: string): string {
  return `"${text.replace(/[^\t\x20-\x7e\x80-\xff]/g, '').replace(/["\\]/g, '\\$&')}"`;
}
