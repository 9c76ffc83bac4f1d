// How controllers name what they make from a template: JSON with one order, and hashes as words that are no words.
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** Each digit becomes a letter or digit that spells nothing (upstream's SafeEncodeString). */
export function safeEncode(number: number): string {
  return String(number).replace(/\d/g, (digit) => alphabet.charAt(digit.charCodeAt(0) % alphabet.length));
}

/** JSON with sorted keys and without absent or null fields. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, each]) => each !== undefined && each !== null).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, each]) => `${JSON.stringify(key)}:${canonical(each)}`).join(',')}}`;
}
