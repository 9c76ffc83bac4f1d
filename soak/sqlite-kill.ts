// The embedded engine under `kill -9`: a child writes, watches and compacts without rest and is killed again and again. What it
// acknowledged has to be there, revisions only rise, and what watchers saw before and after adds up to what a list says.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createInterface } from 'node:readline';
import { sleep } from '#machinery/base/clock.ts';
import { openSqlite } from '../apiserver/storage/sqlite.ts';
import type { Storage, StorageBatch, StorageEvent } from '../apiserver/storage/storage.ts';
import type { Soak, SoakRun } from './soak.ts';

const writers = 24;
const watchers = 3;
const keysOfWriter = 12;
const prefix = '/registry/soak/';
/** Revisions that stay readable: more than a check can be behind. */
const kept = 40_000n;

export const sqliteKill: Soak = {
  name: 'sqlite-kill',
  summary: 'kill -9 of the embedded store under write load: 100 times (short: 6)',
  run,
};

/** What the child says, a line each. */
type Message =
  | { ready: string }
  | { write: string; key: string; value: string | null; revision: string }
  | { watcher: number; revision: string; events: [key: string, value: string | null, modRevision: string][] };

interface Replica {
  revision: bigint;
  values: Map<string, string>;
}

async function run({ short, folder, signal, say }: SoakRun): Promise<string[]> {
  const path = join(folder, 'state.db');
  const kills = short ? 6 : 100;
  const replicas = Array.from({ length: watchers }, (): Replica => ({ revision: 0n, values: new Map() }));
  const acknowledged = new Map<string, { key: string; value: string | null }>();
  const seen = new Map<string, { key: string; value: string | null }>();
  const total = { writes: 0, events: 0, lateStarts: 0, checks: 0, unacknowledged: 0, bytes: 0, wal: 0, slowestStartMs: 0 };
  let newest = 0n;

  const hear = (message: Message): void => {
    if ('write' in message) {
      acknowledged.set(message.revision, { key: message.key, value: message.value });
      newest = BigInt(message.revision) > newest ? BigInt(message.revision) : newest;
      total.writes += 1;
    } else if ('watcher' in message) {
      const events = message.events.map(([key, value, revision]) => ({ key, value, revision: BigInt(revision) }));
      apply(replicas[message.watcher], events, BigInt(message.revision), message.watcher === 0 ? seen : undefined);
      total.events += events.length;
    }
  };

  for (let kill = 1; kill <= kills; kill += 1) {
    signal.throwIfAborted();
    const startedAt = performance.now();
    const child = spawn(process.execPath, [import.meta.filename, path, ...replicas.map(({ revision }) => String(revision))], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await lifeOf(child, (message) => {
        if ('ready' in message) {
          total.slowestStartMs = Math.max(total.slowestStartMs, performance.now() - startedAt);
          if (BigInt(message.ready) < newest) throw new Error(`the revision went back: ${message.ready} after ${newest} was acknowledged`);
        } else hear(message);
      }, 20 + Math.random() * (kill % 10 === 0 ? 1500 : 300), signal);
    } finally {
      child.kill('SIGKILL');
    }
    total.bytes = Math.max(total.bytes, statSync(path).size);
    total.wal = Math.max(total.wal, statSync(`${path}-wal`).size);
    // Every other time the child itself finds what its predecessor left.
    if (kill % 2 === 1 && kill !== kills) continue;

    const storage = await openSqlite({ path });
    try {
      const revision = await storage.revision();
      if (revision < newest) throw new Error(`the revision went back: ${revision} after ${newest} was acknowledged`);
      newest = revision;
      await compare(storage, replicas, seen);
    } finally {
      await storage.close();
    }
    for (const [at, { key, value }] of acknowledged) {
      const found = seen.get(at);
      if (!found || found.key !== key || found.value !== value) throw new Error(`revision ${at} was acknowledged as ${key}=${value}, watchers saw ${JSON.stringify(found)}`);
    }
    total.unacknowledged += [...seen].filter(([at, { key }]) => !acknowledged.has(at) && !key.includes('/short/')).length;
    acknowledged.clear();
    seen.clear();
    checkIntegrity(path);
    total.checks += 1;
    if (kill % 10 === 0) say(`${kill} kills, ${total.writes} writes acknowledged, revision ${newest}`);
  }
  return [
    `${kills} kills, ${total.checks} full checks (every other kill left to the next start): no acknowledged write lost, revision never back, integrity_check ok`,
    `${total.writes} writes acknowledged, ${total.unacknowledged} that were not acknowledged had happened all the same`,
    `${watchers} watchers, ${total.events} events: resumed from where they were, each adds up to the final list; every acknowledged write was seen`,
    `file at most ${mb(total.bytes)}, log at most ${mb(total.wal)}; slowest start after a kill ${Math.round(total.slowestStartMs)} ms, the process included`,
  ];
}

/** Until it is killed, `afterMs` after its first word. */
async function lifeOf(child: ChildProcess, hear: (message: Message) => void, afterMs: number, signal: AbortSignal): Promise<void> {
  if (!child.stdout) throw new Error('the child has no output');
  const exited = once(child, 'exit');
  let isReady = false;
  let failure: unknown;
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
  // The last line may be cut short; JSON then does not parse, and nothing had been heard.
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    if (failure !== undefined) return;
    let message: Message;
    try {
      message = JSON.parse(line) as Message; // our own child
    } catch {
      return;
    }
    try {
      hear(message);
    } catch (error) {
      failure = error;
    }
    if (isReady || !('ready' in message)) return;
    isReady = true;
    sleep(afterMs, signal).catch(() => undefined).finally(() => child.kill('SIGKILL'));
  });
  const ended = once(lines, 'close');
  const [code, name] = await exited as [number | null, string | null]; // as Node has them
  await ended;
  clearTimeout(timer);
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error(JSON.stringify(failure));
  if (!isReady || name !== 'SIGKILL') throw new Error(`the child ended by itself (${code ?? name})`);
}

function apply(replica: Replica | undefined, events: { key: string; value: string | null; revision: bigint }[], revision: bigint, seen: Map<string, { key: string; value: string | null }> | undefined): void {
  if (!replica) throw new Error('an unknown watcher');
  for (const event of events) {
    if (event.revision <= replica.revision) throw new Error(`a watcher saw revision ${event.revision} after ${replica.revision}`);
    replica.revision = event.revision;
    if (event.value === null) {
      if (!replica.values.delete(event.key)) throw new Error(`a watcher saw ${event.key} deleted that it did not know`);
    } else replica.values.set(event.key, `${event.value} ${event.revision}`);
    seen?.set(String(event.revision), { key: event.key, value: event.value });
  }
  if (revision > replica.revision) replica.revision = revision;
}

/** Each replica goes on from where its watcher was when it was killed; then all must be what a list says. */
async function compare(storage: Storage, replicas: Replica[], seen: Map<string, { key: string; value: string | null }>): Promise<void> {
  const { items, revision } = await storage.range({ prefix });
  for (const [number, replica] of replicas.entries()) {
    const stop = new AbortController();
    for await (const batch of storage.watch(prefix, replica.revision, stop.signal)) {
      apply(replica, batch.events.map((event) => ({ key: event.key, value: textOf(event), revision: event.modRevision })), batch.revision, number === 0 ? seen : undefined);
      if (batch.revision >= revision) stop.abort();
    }
    const expected = new Map(items.map(({ key, value, modRevision }) => [key, `${value.toString()} ${modRevision}`]));
    for (const [key, value] of expected) if (replica.values.get(key) !== value) throw new Error(`watcher ${number} has ${replica.values.get(key)} for ${key}, the list ${value}`);
    if (expected.size !== replica.values.size) throw new Error(`watcher ${number} has ${replica.values.size} keys, the list ${expected.size}`);
  }
}

function checkIntegrity(path: string): void {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const found = database.prepare('PRAGMA integrity_check').all().map((row) => String(row.integrity_check));
    if (found.join() !== 'ok') throw new Error(`integrity_check: ${found.join('; ')}`);
  } finally {
    database.close();
  }
}

function textOf(event: StorageEvent): string | null {
  return event.type === 'put' ? event.value.toString() : null;
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** The child: opens the store, resumes the watches, writes until it is killed. */
async function write(path: string, positions: string[]): Promise<never> {
  const say = (message: Message): void => void process.stdout.write(`${JSON.stringify(message)}\n`);
  const storage = await openSqlite({ path });
  say({ ready: String(await storage.revision()) });
  const known = new Map((await storage.range({ prefix })).items.map(({ key, modRevision }) => [key, modRevision]));
  const never = new AbortController().signal;
  const watch = async (watcher: number, from: bigint): Promise<never> => {
    for await (const { events, revision } of storage.watch(prefix, from, never) as AsyncIterable<StorageBatch>) {
      say({ watcher, revision: String(revision), events: events.map((event) => [event.key, textOf(event), String(event.modRevision)]) });
    }
    throw new Error('the watch ended');
  };
  const work = async (writer: number): Promise<never> => {
    for (let n = 0; ; n += 1) {
      const key = `${prefix}${writer}/${Math.floor(Math.random() * keysOfWriter)}`;
      const expected = known.get(key) ?? 0n;
      const value = expected !== 0n && n % 5 === 0 ? null : `${process.pid} ${writer} ${n} ${'x'.repeat(Math.random() < 0.02 ? 40_000 : 300)}`;
      const result = value === null ? await storage.delete(key, { expected }) : await storage.put(key, Buffer.from(value), { expected });
      if (!result.ok) throw new Error(`${key} is not at ${expected}`);
      known.set(key, value === null ? 0n : result.revision);
      say({ write: `${writer}`, key, value, revision: String(result.revision) });
      if (n % 50 === 7) await storage.put(`${prefix}short/${process.pid}-${writer}-${n}`, Buffer.from('{}'), { expected: 0n, ttlSeconds: 1 });
    }
  };
  const compact = async (): Promise<never> => {
    for (;;) {
      const revision = await storage.revision();
      if (revision > kept) await storage.compact(revision - kept);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  };
  return Promise.race([compact(), ...positions.map((position, watcher) => watch(watcher, BigInt(position))), ...Array.from({ length: writers }, (_, writer) => work(writer))]);
}

if (import.meta.main) {
  const [path = '', ...positions] = process.argv.slice(2);
  await write(path, positions);
}
