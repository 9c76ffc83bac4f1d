// Rules into the kernel: through iptables-restore, waiting for its lock, only what changed; everything again when somebody flushed us.
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { createLogger } from '#machinery/base/log.ts';
import { canary, firewallChain, isServiceChain, jumps, restoreText, topChains, type Jump, type RuleSet, type Table } from './rules.ts';
import type { Family } from './services.ts';

const log = createLogger('proxy');
const execute = promisify(execFile);
const lockSeconds = 5;
/** Everything is written again after this time, whatever we believe to be there. */
const fullEveryMs = 3_600_000;
const maxOutputBytes = 256 * 1024 * 1024;

export class RuleWriter {
  readonly #prefix: 'iptables' | 'ip6tables';
  readonly #netns: string | undefined;
  #written: RuleSet | undefined;
  #fullAt = 0;

  /** `netns`: a named network namespace to work in instead of this process's (tests). */
  constructor(family: Family, netns?: string) {
    this.#prefix = family === 'IPv4' ? 'iptables' : 'ip6tables';
    this.#netns = netns;
  }

  /** Writes what differs; returns the number of chains written. After a failure the next write is a full one. */
  async apply(rules: RuleSet, signal: AbortSignal): Promise<number> {
    const full = !this.#written || Date.now() - this.#fullAt > fullEveryMs;
    if (full) this.#written = undefined;
    const existing = full ? await this.#inspect(signal) : { serviceChains: [], missingJumps: [], lateJumps: [] };
    const { text, chains } = restoreText(rules, { written: this.#written, ...existing });
    if (text === '') return 0;
    try {
      await this.#restore(text, signal);
    } catch (error) {
      this.#written = undefined;
      throw error;
    }
    this.#written = rules;
    if (full) this.#fullAt = Date.now();
    return chains;
  }

  /** False when another program took our chains or jumps away; the next `apply` then writes everything. */
  async intact(signal: AbortSignal): Promise<boolean> {
    if (!this.#written) return false;
    const { missingJumps, lateJumps, canaries } = await this.#inspect(signal);
    if (missingJumps.length === 0 && lateJumps.length === 0 && canaries === 2) return true;
    log.warn('rules were changed by another program, writing them again', { missingJumps: missingJumps.length, lateJumps: lateJumps.length });
    this.#written = undefined;
    return false;
  }

  /** Removes every chain and jump of ours, also those of an earlier process. */
  async cleanup(signal: AbortSignal): Promise<void> {
    this.#written = undefined;
    let text = '';
    for (const table of ['filter', 'nat'] as const) {
      const saved = await this.#save(table, signal);
      const ours = new Set<string>([...topChains[table], canary, ...(table === 'filter' ? [firewallChain] : [])]);
      const chains = chainsOf(saved).filter((chain) => ours.has(chain) || isServiceChain(chain));
      const lines = saved.split('\n').filter((line) => {
        const [, from = '', to = ''] = /^-A (\S+) .*-j (\S+)/.exec(line) ?? [];
        return to !== '' && ours.has(to) && !ours.has(from) && !isServiceChain(from);
      });
      if (chains.length === 0 && lines.length === 0) continue;
      text += [`*${table}`, ...chains.map((chain) => `:${chain} - [0:0]`), ...lines.map((line) => line.replace(/^-A/, '-D')),
        ...chains.map((chain) => `-X ${chain}`), 'COMMIT', ''].join('\n');
    }
    if (text !== '') await this.#restore(text, signal);
  }

  async #inspect(signal: AbortSignal): Promise<{ serviceChains: string[]; missingJumps: Jump[]; lateJumps: Jump[]; canaries: number }> {
    const saved: Record<Table, string> = { filter: await this.#save('filter', signal), nat: await this.#save('nat', signal) };
    const present = { filter: new Set<string>(), nat: new Set<string>() };
    let canaries = 0;
    for (const table of ['filter', 'nat'] as const) {
      for (const [, from, to] of saved[table].matchAll(/^-A (\S+) .*?-j (\S+)/gm)) present[table].add(`${from} ${to}`);
      if (chainsOf(saved[table]).includes(canary)) canaries += 1;
    }
    return {
      serviceChains: chainsOf(saved.nat).filter(isServiceChain),
      missingJumps: jumps.filter(({ table, from, to }) => !present[table].has(`${from} ${to}`)),
      lateJumps: lateJumps(saved),
      canaries,
    };
  }

  #command(program: string, ...args: string[]): [command: string, args: string[]] {
    return this.#netns === undefined ? [program, args] : ['ip', ['netns', 'exec', this.#netns, program, ...args]];
  }

  async #save(table: Table, signal: AbortSignal): Promise<string> {
    const [command, args] = this.#command(`${this.#prefix}-save`, '-t', table);
    const { stdout } = await execute(command, args, { signal, maxBuffer: maxOutputBytes });
    return stdout;
  }

  #restore(text: string, signal: AbortSignal): Promise<void> {
    const [command, args] = this.#command(`${this.#prefix}-restore`, '-w', String(lockSeconds), '--noflush', '--counters');
    return new Promise((resolve, reject) => {
      const child = spawn(command, args, { signal, stdio: ['pipe', 'ignore', 'pipe'] });
      let complaint = '';
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        if (complaint.length < 4096) complaint += chunk;
      });
      child.on('error', (cause) => reject(new Error(`${this.#prefix}-restore cannot run: ${cause.message}`, { cause })));
      child.on('close', (code) => {
        if (code === 0) resolve();
        else reject(new Error(`${this.#prefix}-restore failed (${code}): ${explain(complaint.trim(), text)}`));
      });
      child.stdin.on('error', () => undefined); // a child that ends early says why on stderr
      child.stdin.end(text);
    });
  }
}

/**
 * Jumps that stand behind somebody else's ACCEPT of new connections. Docker puts one for each network it makes at the top of
 * FORWARD; packets from that network's pods would then never meet our refusals.
 */
export function lateJumps(saved: Readonly<Record<Table, string>>): Jump[] {
  return jumps.filter(({ table, from, to }) => {
    const rules = saved[table].split('\n').filter((line) => line.startsWith(`-A ${from} `));
    const accept = rules.findIndex((rule) => rule.endsWith('-j ACCEPT') && !rule.includes('--ctstate RELATED,ESTABLISHED'));
    return accept >= 0 && rules.findIndex((rule) => rule.endsWith(`-j ${to}`)) > accept;
  });
}

function chainsOf(saved: string): string[] {
  return [...saved.matchAll(/^:(\S+) /gm)].map(([, chain = '']) => chain);
}

/** The complaint together with the line it is about. */
function explain(complaint: string, text: string): string {
  const line = /line:? (\d+)/i.exec(complaint)?.[1];
  const quoted = line === undefined ? undefined : text.split('\n')[Number(line) - 1];
  return quoted === undefined ? complaint : `${complaint}: ${quoted}`;
}
