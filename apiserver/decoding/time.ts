// Times as upstream reads and writes them: RFC 3339, whole seconds or exactly six digits, sent back in UTC.

type Result = { text: string } | { error: string };

const utc = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;

/** metav1.Time */
export function canonicalTime(text: string): Result {
  if (utc.test(text)) return { text };
  const error = check(text, '2006-01-02T15:04:05Z07:00', steps);
  if (error !== undefined) return { error };
  // A comma may stand before the fraction, which is cut off anyway.
  const ms = Date.parse(text.replace(/[.,]\d+/, ''));
  return { text: `${new Date(ms).toISOString().slice(0, 19)}Z` };
}

/** metav1.MicroTime */
export function canonicalMicroTime(text: string): Result {
  const error = check(text, '2006-01-02T15:04:05.000000Z07:00', microSteps);
  if (error !== undefined) return { error };
  if (text.endsWith('Z')) return { text };
  const whole = new Date(Date.parse(text.replace(/\.\d+/, ''))).toISOString().slice(0, 19);
  return { text: `${whole}${text.slice(19, 26)}Z` };
}

type Step = [element: string, pattern: RegExp];
const steps: readonly Step[] = [
  ['2006', /^\d{4}/], ['-', /^-/], ['01', /^\d\d/], ['-', /^-/], ['02', /^\d\d/], ['T', /^T/], ['15', /^\d\d/], [':', /^:/], ['04', /^\d\d/], [':', /^:/],
  ['05', /^\d\d(?:[.,]\d+)?/], ['Z07:00', /^(?:Z|[+-]\d\d:\d\d)/],
];
const microSteps: readonly Step[] = [...steps.slice(0, 10), ['05', /^\d\d/], ['.000000', /^\.\d{6}/], ...steps.slice(11)];

/** In the words of Go's time.Parse. */
function check(text: string, layout: string, expected: readonly Step[]): string | undefined {
  const found: Record<string, number> = {};
  const quoted = JSON.stringify(text);
  let rest = text;
  for (const [element, pattern] of expected) {
    const [match] = pattern.exec(rest) ?? [];
    if (match === undefined) return `parsing time ${quoted} as "${layout}": cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(element)}`;
    if (/^\d/.test(element)) found[element] = Number.parseInt(match, 10);
    const [, low, high, name] = ranges.find(([of]) => of === element) ?? [];
    const number = found[element] ?? 0;
    if (low !== undefined && high !== undefined && (number < low || number > high)) return `parsing time ${quoted}: ${name} out of range`;
    rest = rest.slice(match.length);
  }
  if (rest !== '') return `parsing time ${quoted}: extra text: ${JSON.stringify(rest)}`;
  const days = new Date(Date.UTC(found['2006'] ?? 0, found['01'] ?? 0, 0)).getUTCDate();
  return (found['02'] ?? 0) < 1 || (found['02'] ?? 0) > days ? `parsing time ${quoted}: day out of range` : undefined;
}

const ranges: readonly [element: string, low: number, high: number, name: string][] = [
  ['01', 1, 12, 'month'], ['15', 0, 23, 'hour'], ['04', 0, 59, 'minute'], ['05', 0, 59, 'second'],
];
