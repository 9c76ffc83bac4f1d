// One mapping of a configuration file, read field by field: wrong types, unknown fields and bad values are collected with their
// paths, so that a user sees all of them at once.
import { parseDurationMs } from '#machinery/base/flags.ts';

export class Section {
  readonly path: string;
  readonly problems: string[];
  readonly #fields: Record<string, unknown>;
  readonly #known = new Set<string>();

  constructor(value: unknown, path: string, problems: string[]) {
    this.path = path;
    this.problems = problems;
    const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (value !== undefined && value !== null && !isMapping) problems.push(`${path || 'configuration'}: must be a mapping`);
    this.#fields = isMapping ? (value as Record<string, unknown>) : {};
  }

  at(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }
  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }
  raw(name: string): unknown {
    this.#known.add(name);
    return this.#fields[name] ?? undefined;
  }
  section(name: string): Section {
    return new Section(this.raw(name), this.at(name), this.problems);
  }
  sections(name: string): Section[] {
    return this.#list(name).map((value, index) => new Section(value, `${this.at(name)}[${index}]`, this.problems));
  }
  strings(name: string): string[] {
    return this.#list(name).flatMap((value, index) => {
      if (typeof value === 'string') return [value];
      this.problems.push(`${this.at(name)}[${index}]: must be a string`);
      return [];
    });
  }
  string<T extends string | undefined>(name: string, fallback: T): string | T {
    return this.#take(name, 'string', fallback) as string | T; // #take looked
  }
  boolean(name: string, fallback: boolean): boolean {
    return this.#take(name, 'boolean', fallback) as boolean; // as above
  }
  number<T extends number | undefined>(name: string, fallback: T): number | T {
    const value = this.#take(name, 'number', fallback) as number | T; // as above
    if (value !== undefined && !Number.isInteger(value)) {
      this.invalid(name, value, 'must be a whole number');
      return fallback;
    }
    return value;
  }
  /** `15s`, `1m30s`. */
  durationMs(name: string, fallback: number): number {
    const text = this.#take(name, 'string', undefined);
    if (typeof text !== 'string') return fallback;
    const value = parseDurationMs(text);
    if (value === undefined) this.invalid(name, text, 'must be a duration such as 15s');
    return value ?? fallback;
  }
  invalid(name: string, value: unknown, why: string): void {
    this.problems.push(`${this.at(name)}: Invalid value: ${JSON.stringify(value)}: ${why}`);
  }
  problem(name: string, text: string): void {
    this.problems.push(`${name === '' ? this.path : this.at(name)}: ${text}`);
  }
  /** After all fields were asked for: what is left is unknown. */
  done(): void {
    for (const name of Object.keys(this.#fields)) if (!this.#known.has(name)) this.problems.push(`unknown field "${this.at(name)}"`);
  }

  #take(name: string, type: 'string' | 'boolean' | 'number', fallback: unknown): unknown {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    if (typeof value === type) return value;
    this.invalid(name, value, `must be a ${type}`);
    return fallback;
  }
  #list(name: string): unknown[] {
    const value = this.raw(name);
    if (value === undefined) return [];
    if (Array.isArray(value)) return value;
    this.problems.push(`${this.at(name)}: must be a list`);
    return [];
  }
}
