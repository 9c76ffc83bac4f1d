// Command-line flags from one table: parsing, checking and the --help text all come from the same rows.
import { parseArgs } from 'node:util';

/** A flag that cannot be taken; the message says which and what would be right. Exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export type FlagKind = 'string' | 'boolean' | 'number' | 'list';
export interface Flag {
  kind: FlagKind;
  /** Shown as `--name PLACEHOLDER`. */
  placeholder?: string;
  default?: string | boolean | number | readonly string[];
  /** One sentence for --help. */
  help: string;
  /** Allowed values of a string flag. */
  oneOf?: readonly string[];
  /** Bounds of a number flag. */
  min?: number;
  max?: number;
}
export type FlagTable = Record<string, Flag>;

type ValueOf<F extends Flag> = F['kind'] extends 'boolean' ? boolean
  : F['kind'] extends 'number' ? number
  : F['kind'] extends 'list' ? string[]
  : string;
/** Keys are the flag names as written, without dashes; a flag without default may be undefined. */
export type FlagValues<T extends FlagTable> = {
  [K in keyof T]: T[K] extends { default: unknown } ? ValueOf<T[K]> : ValueOf<T[K]> | undefined;
};

/** Throws UsageError on an unknown flag, a missing value, a bad number, a value out of range or a stray argument. */
export function parseFlags<const T extends FlagTable>(table: T, args: readonly string[]): FlagValues<T> {
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries<Flag>(table)) values[name] = Array.isArray(flag.default) ? [...flag.default] : flag.default;
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(Object.entries<Flag>(table).map(([name, f]) => [name, { type: f.kind === 'boolean' ? 'boolean' : 'string' }])),
  });
  for (const token of tokens) {
    if (token.kind === 'positional') throw new UsageError(`unexpected argument "${token.value}"; flags start with --`);
    if (token.kind !== 'option') continue;
    const flag = (table as FlagTable)[token.name];
    if (!flag || !token.rawName.startsWith('--')) throw new UsageError(`unknown flag ${token.rawName}; --help lists the flags`);
    values[token.name] = read(token.name, flag, token.value, values[token.name]);
  }
  return values as FlagValues<T>; // every row was set above, by its own kind
}

/** The value of a duration flag: `15s`, `500ms`, `1m30s`, `0`; UsageError otherwise. */
export function durationMs(flag: string, text: string): number {
  const value = parseDurationMs(text);
  if (value === undefined) throw new UsageError(`--${flag} takes a duration such as 15s, not "${text}"`);
  return value;
}

/** A duration as Go spells it, without sign; undefined when it is none. */
export function parseDurationMs(text: string): number | undefined {
  const units: Record<string, number> = { ns: 1e-6, us: 1e-3, 'µs': 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, amount = '0', unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) sum += Number(amount) * (units[unit] ?? 0);
  return sum;
}

function read(name: string, flag: Flag, text: string | undefined, before: unknown): unknown {
  if (flag.kind === 'boolean') {
    if (text === undefined || text === 'true') return true;
    if (text === 'false') return false;
    throw new UsageError(`--${name} takes true or false, not "${text}"`);
  }
  if (text === undefined || text === '') throw new UsageError(`--${name} needs a value${flag.placeholder ? `: --${name} ${flag.placeholder}` : ''}`);
  if (flag.kind === 'number') {
    const number = Number(text);
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = flag;
    if (!/^-?\d+$/.test(text) || number < min || number > max) {
      throw new UsageError(`--${name} takes a whole number${max < Number.MAX_SAFE_INTEGER ? ` from ${min} to ${max}` : ` of at least ${min}`}, not "${text}"`);
    }
    return number;
  }
  if (flag.kind === 'list') {
    const parts = text.split(',').map((part) => part.trim()).filter(Boolean);
    return before === undefined || before === flag.default || !Array.isArray(before) || sameList(before, flag.default) ? parts : [...before, ...parts];
  }
  if (flag.oneOf && !flag.oneOf.includes(text)) throw new UsageError(`--${name} is one of ${flag.oneOf.join(', ')}, not "${text}"`);
  return text;
}

function sameList(a: unknown[], b: unknown): boolean {
  return Array.isArray(b) && a.length === b.length && a.every((value, index) => value === b[index]);
}

/** The flags of a table as aligned --help lines. */
export function describeFlags(table: FlagTable): string {
  const rows = Object.entries(table).map(([name, flag]) => {
    const left = `  --${name}${flag.kind === 'boolean' ? '' : ` ${flag.placeholder ?? flag.oneOf?.join('|') ?? flag.kind.toUpperCase()}`}`;
    const value = Array.isArray(flag.default) ? flag.default.join(',') : flag.default;
    const shown = value === undefined || value === '' || value === false ? '' : ` (default ${String(value)})`;
    return [left, `${flag.help}${shown}`] as const;
  });
  const width = Math.min(34, Math.max(...rows.map(([left]) => left.length)));
  return rows.map(([left, right]) => (left.length > width ? `${left}\n${' '.repeat(width)}  ${right}` : `${left.padEnd(width)}  ${right}`)).join('\n');
}
