// What others answered, for as long as that may be believed. Who asks the same while an answer is under way waits for that one.

interface Entry<T> { value: T; until: number }

export class AnswerCache<T> {
  readonly #entries = new Map<string, Entry<T>>(); // oldest use first
  readonly #asking = new Map<string, Promise<T>>();
  readonly #limit: number;
  readonly #ttlMs: (value: T) => number;
  readonly #now: () => number;

  /** `ttlMs` of an answer; 0: it is not kept. Failures never are. The least recently used go beyond `limit`. */
  constructor(limit: number, ttlMs: (value: T) => number, now: () => number) {
    this.#limit = limit;
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  /** Without a promise when the answer is known. */
  get(key: string, ask: () => Promise<T>): T | Promise<T> {
    const known = this.#entries.get(key);
    if (known) {
      this.#entries.delete(key);
      if (known.until > this.#now()) {
        this.#entries.set(key, known);
        return known.value;
      }
    }
    const under = this.#asking.get(key);
    if (under) return under;
    const asking = ask().then((value) => {
      this.#keep(key, value);
      return value;
    }).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }

  #keep(key: string, value: T): void {
    const ttlMs = this.#ttlMs(value);
    if (ttlMs <= 0) return;
    if (this.#entries.size >= this.#limit) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    this.#entries.set(key, { value, until: this.#now() + ttlMs });
  }
}
