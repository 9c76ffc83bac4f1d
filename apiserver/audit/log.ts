// The log backend: one line for each event, in a file that is rotated by size, or on standard output.
import { chmodSync, closeSync, createReadStream, createWriteStream, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createLogger } from '#machinery/base/log.ts';
import { legacyLine } from './event.ts';
import type { AuditEvent } from './event.ts';

const log = createLogger('audit');

export interface LogFileOptions {
  /** `-` for standard output. */
  path: string;
  format: 'json' | 'legacy';
  /** Days that rotated files are kept; 0: for ever. */
  maxAgeDays: number;
  /** How many rotated files are kept; 0: all. */
  maxBackups: number;
  /** 0: never rotated. */
  maxSizeBytes: number;
  /** Rotated files are compressed. */
  compress: boolean;
}

export interface AuditLog {
  /** Throws when the line cannot be written. It is with the kernel when this returns. */
  write(events: readonly AuditEvent[]): void;
  close(): Promise<void>;
}

/** Throws when the file cannot be opened. */
export function openLog(options: LogFileOptions): AuditLog {
  const lines = (events: readonly AuditEvent[]): string =>
    events.map((event) => `${options.format === 'json' ? JSON.stringify(event) : legacyLine(event)}\n`).join('');
  if (options.path === '-') {
    return {
      write(events) {
        process.stdout.write(lines(events));
      },
      async close() {},
    };
  }
  const file = new RotatedFile(options);
  return { write: (events) => file.write(lines(events)), close: () => file.close() };
}

/** Names of rotated files as upstream's: `audit-2026-01-02T15-04-05.000.log` beside `audit.log`. */
class RotatedFile {
  readonly #options: LogFileOptions;
  #file: number;
  #size: number;
  #tidying: Promise<void> = Promise.resolve();

  constructor(options: LogFileOptions) {
    this.#options = options;
    mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
    this.#file = openSync(options.path, 'a', 0o600);
    this.#size = fstatSync(this.#file).size;
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    const { maxSizeBytes } = this.#options;
    if (maxSizeBytes > 0 && this.#size > 0 && this.#size + bytes.length > maxSizeBytes) this.#rotate();
    for (let from = 0; from < bytes.length;) from += writeSync(this.#file, bytes, from);
    this.#size += bytes.length;
  }
  async close(): Promise<void> {
    closeSync(this.#file);
    await this.#tidying;
  }

  #rotate(): void {
    const { path } = this.#options;
    const { mode } = fstatSync(this.#file);
    const end = extname(path);
    const time = new Date().toISOString().replaceAll(':', '-').replace('Z', '');
    renameSync(path, join(dirname(path), `${basename(path, end)}-${time}${end}`));
    closeSync(this.#file);
    this.#file = openSync(path, 'a', 0o600);
    chmodSync(path, mode & 0o777);
    this.#size = 0;
    this.#tidying = this.#tidying.then(() => this.#tidy()).catch((error: unknown) => log.warn('old audit logs cannot be tidied up', { path, error }));
  }

  async #tidy(): Promise<void> {
    const { path, maxBackups, maxAgeDays, compress } = this.#options;
    const folder = dirname(path);
    const end = extname(path);
    const prefix = `${basename(path, end)}-`;
    const pattern = /^(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\d\.\d{3})$/;
    const old = (await readdir(folder)).flatMap((name) => {
      const plain = name.endsWith('.gz') ? name.slice(0, -3) : name;
      const match = plain.startsWith(prefix) && plain.endsWith(end) ? pattern.exec(plain.slice(prefix.length, plain.length - end.length)) : null;
      return match ? [{ name, time: Date.parse(`${match[1]}${match[2]}:${match[3]}:${match[4]}Z`) }] : [];
    }).sort((a, b) => b.time - a.time);
    const oldest = maxAgeDays > 0 ? Date.now() - maxAgeDays * 86_400_000 : -Infinity;
    await Promise.all(old.map(async ({ name, time }, index) => {
      const file = join(folder, name);
      if (time < oldest || (maxBackups > 0 && index >= maxBackups)) await rm(file, { force: true });
      else if (compress && !name.endsWith('.gz')) await compressFile(file);
    }));
  }
}

async function compressFile(file: string): Promise<void> {
  const { createGzip } = await import('node:zlib');
  const part = `${file}.gz.part`;
  await pipeline(createReadStream(file), createGzip(), createWriteStream(part, { mode: 0o600 }));
  await rename(part, `${file}.gz`);
  await rm(file);
}
