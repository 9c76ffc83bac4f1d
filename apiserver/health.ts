// /livez, /readyz and /healthz: named checks, `?verbose`, `?exclude=`, and one path per check. Texts as upstream's healthz package.
import type { ServerResponse } from 'node:http';
import { createLogger } from '#machinery/base/log.ts';
import type { RequestState } from './filters/context.ts';
import type { Registry } from '#machinery/base/metrics.ts';

const log = createLogger('health');

export interface Check {
  name: string;
  /** Throws or rejects with the reason. */
  check(signal: AbortSignal): Promise<void> | void;
  /** Which of the three show it. */
  on: readonly ('livez' | 'readyz' | 'healthz')[];
}

const roots = ['livez', 'readyz', 'healthz'] as const;
type Root = (typeof roots)[number];

export class Health {
  readonly #checks: Check[] = [];
  readonly #last;
  readonly #total;
  /** What the checks said is counted there, as /metrics/slis shows it. */
  constructor(slis: Registry) {
    this.#last = slis.gauge({ name: 'kubernetes_healthcheck', help: 'What a check said last: 1 for well.', stability: 'STABLE', labels: ['name', 'type'] });
    this.#total = slis.counter({ name: 'kubernetes_healthchecks_total', help: 'What checks said.', stability: 'STABLE', labels: ['name', 'type', 'status'] });
  }
  add(check: Check): void {
    this.#checks.push(check);
  }
  /** The names that fail right now. */
  async failing(root: Root, signal: AbortSignal): Promise<string[]> {
    const results = await this.#run(this.#checks.filter(({ on }) => on.includes(root)), signal);
    return results.filter(({ error }) => error !== undefined).map(({ name }) => name);
  }

  /** False: not a path of ours. */
  async serve(context: RequestState, response: ServerResponse): Promise<boolean> {
    const { path } = context.info;
    const root = roots.find((one) => path === `/${one}` || path.startsWith(`/${one}/`));
    if (!root) return false;
    const mine = this.#checks.filter(({ on }) => on.includes(root));
    const single = path.slice(root.length + 2);
    if (single !== '') {
      const check = mine.find(({ name }) => name === single);
      if (!check) return false;
      const [result] = await this.#run([check], context.signal);
      answer(response, result?.error === undefined ? 200 : 500, result?.error === undefined ? 'ok' : `internal server error: ${result.error}\n`);
      return true;
    }
    const excluded = new Set(context.query.getAll('exclude'));
    const results = await this.#run(mine.filter(({ name }) => !excluded.has(name)), context.signal);
    for (const { name, error } of results) {
      this.#last.with(name, root).value = error === undefined ? 1 : 0;
      this.#total.with(name, root, error === undefined ? 'success' : 'error').add();
    }
    const failed = results.filter(({ error }) => error !== undefined);
    if (failed.length > 0) log.info('health check failed', { root, failed: Object.fromEntries(failed.map(({ name, error }) => [name, error])) });
    let text = '';
    for (const { name } of mine) {
      if (excluded.delete(name)) text += `[+]${name} excluded: ok\n`;
      else text += results.find((one) => one.name === name)?.error === undefined ? `[+]${name} ok\n` : `[-]${name} failed: reason withheld\n`;
    }
    if (excluded.size > 0) text += `warn: some health checks cannot be excluded: no matches for ${[...excluded].sort().map((name) => JSON.stringify(name)).join(',')}\n`;
    if (failed.length > 0) answer(response, 500, `${text}${root} check failed\n`);
    else answer(response, 200, context.query.has('verbose') ? `${text}${root} check passed\n` : 'ok');
    return true;
  }

  #run(checks: readonly Check[], signal: AbortSignal): Promise<{ name: string; error: string | undefined }[]> {
    return Promise.all(checks.map(async (one) => {
      const { name } = one;
      try {
        await one.check(signal);
        return { name, error: undefined };
      } catch (error) {
        return { name, error: error instanceof Error ? error.message : String(error) };
      }
    }));
  }
}

function answer(response: ServerResponse, code: number, text: string): void {
  if (response.destroyed) return;
  response.statusCode = code;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}
