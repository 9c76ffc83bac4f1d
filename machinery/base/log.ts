// Structured logs: a constant message plus keys, one JSON line each on stderr. `LOG=info,watch=debug` sets levels by area.
// Plain code instead of a library: base imports only node:, and this is on the path to "ready".

const levels = { debug: 10, info: 20, warn: 30, error: 40, silent: 99 } as const;
export type Level = keyof typeof levels;
export type Keys = Record<string, unknown>;

export interface Logger {
  debug(message: string, keys?: Keys): void;
  info(message: string, keys?: Keys): void;
  warn(message: string, keys?: Keys): void;
  error(message: string, keys?: Keys): void;
  /** A logger of the same area whose every line also carries `keys`. */
  child(keys: Keys): Logger;
}

/** Reads `info,watch=debug`; an unknown level is ignored in favour of the default (warn). */
export function parseLevels(text: string | undefined): { fallback: Level; areas: Map<string, Level> } {
  let fallback: Level = 'warn';
  const areas = new Map<string, Level>();
  for (const part of (text ?? '').split(',')) {
    const [left = '', right] = part.trim().split('=');
    if (right === undefined) {
      if (left in levels) fallback = left as Level; // checked by `in`
    } else if (right in levels) areas.set(left, right as Level); // checked by `in`
  }
  return { fallback, areas };
}

const configured = parseLevels(process.env.LOG);

/** `write` takes one finished line with its newline; tests pass their own. */
export function createLogger(
  area: string,
  keys: Keys = {},
  write: (line: string) => void = (line) => process.stderr.write(line),
): Logger {
  const threshold = levels[configured.areas.get(area) ?? configured.fallback];
  const at = (level: Exclude<Level, 'silent'>) => (message: string, more?: Keys) => {
    if (levels[level] < threshold) return;
    write(`${JSON.stringify({ time: new Date().toISOString(), level, area, message, ...keys, ...more }, plain)}\n`);
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (more) => createLogger(area, { ...keys, ...more }, write),
  };
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Error) {
    const cause = value.cause === undefined ? undefined : plain('', value.cause);
    return { name: value.name, message: value.message, ...(cause === undefined ? { stack: value.stack } : { cause }) };
  }
  return value;
}
