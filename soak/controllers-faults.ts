// The controllers with an API server behind a bad network, killed at any moment and running twice. However it comes about, the end is
// the one of a run in which nothing went wrong (workloads.ts), and no queue keeps anything.
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { mkdirSync, writeFileSync } from 'node:fs';
import { sleep } from '#machinery/base/clock.ts';
import { createClient } from '#machinery/client/client.ts';
import { pods } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import type { Pod } from '#machinery/api/object.ts';
import { startCluster, type Cluster } from '../cluster/cluster.ts';
import { isLeading, isReady, startComponent, type ComponentProcess } from './component-process.ts';
import { createRandom, startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import type { Soak, SoakRun } from './soak.ts';
import { asSeenTwice, begin, change, hasBegun, hasEnded, metricsOf, outcome } from './workloads.ts';

export const controllersFaults: Soak = {
  name: 'controllers-faults',
  summary: 'errors, lost answers, broken and late watches, kills, cuts, two at once: the end is as if nothing had happened; 20 seeds (short: one)',
  run,
};

/** How the controllers live while things go wrong. */
type Life = 'undisturbed' | 'one, killed again and again' | 'two, one leads, the leader is killed' | 'two, one leads, the leader is cut off' | 'two at once, both killed now and then';
const lives: readonly Life[] = ['two, one leads, the leader is killed', 'one, killed again and again', 'two, one leads, the leader is cut off', 'two at once, both killed now and then'];
const leaseFlags = ['--leader-elect-lease-duration', '2s', '--leader-elect-renew-deadline', '1500ms', '--leader-elect-retry-period', '300ms'];
const baseFlags = ['--allocate-node-cidrs', '--cluster-cidr', '10.42.0.0/16', '--horizontal-pod-autoscaler-sync-period', '1s', '--horizontal-pod-autoscaler-cpu-initialization-period', '0s'];

async function run({ short, folder, signal, say }: SoakRun): Promise<string[]> {
  const seeds = short ? 1 : 20;
  const first = scenario(join(folder, 'undisturbed'), 'undisturbed', 0, undefined, 0, signal);
  const lines: string[] = [];
  for (let seed = 1; seed <= seeds; seed += 1) {
    const life = lives[(seed - 1) % lives.length]!; // never empty
    const { faults, kills, created } = await scenario(join(folder, `seed-${seed}`), life, seed, first.then(({ end }) => end), short ? 8_000 : 45_000, signal);
    const usual = (await first).created;
    const most = usual * (life.startsWith('two at once') ? 2 : 1.3);
    if (created > most) throw new Error(`seed ${seed}, ${life}: ${created} pods were made where ${usual} are enough`);
    const happened = Object.entries(faults).map(([fault, count]) => `${fault} ${count}`).join(', ');
    lines.push(`seed ${seed}, ${life}: the same end after ${kills} ends, ${created} pods (${usual} without faults); ${happened}`);
    say(lines.at(-1) ?? '');
  }
  return lines;
}

interface Result { end: unknown; faults: Record<string, number>; kills: number; created: number }

/** `expected` undefined: nothing goes wrong, and what comes of it is the result. */
export async function scenario(folder: string, life: Life, seed: number, expected: Promise<unknown> | undefined, faultyMs: number, signal: AbortSignal): Promise<Result> {
  mkdirSync(folder, { recursive: true });
  const random = createRandom(seed);
  const cluster: Cluster = await startCluster({ runtime: 'hollow', nodes: 2, disable: ['controllers'], dataDir: join(folder, 'data') });
  const client = createClient(cluster.client);
  const created = await countPods(client, signal);
  let latest: readonly Pod[] = [];
  // One for each process, so that one can be cut off.
  const proxies = await Promise.all([0, 1].map(() => startFaultProxy({
    server: cluster.client, user: 'system:kube-controller-manager', random,
    local: (path) => metricsOf(path, latest),
  })));
  const refresh = setInterval(() => {
    client.list(pods, 'work', {}, AbortSignal.timeout(2000)).then(({ items }) => (latest = items), () => undefined); // the next round sees them
  }, 300);
  const ca = join(folder, 'ca.crt');
  writeFileSync(ca, cluster.client.ca ?? '');
  const keeper = keepRunning({ folder, proxies, random, life, flags: [...baseFlags, ...leaseFlags, '--root-ca-file', ca] });
  try {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(240_000)]);
    await keeper.start();
    for (const proxy of proxies) proxy.broken = life !== 'undisturbed';
    await begin(client, bound);
    await until(() => hasBegun(client, bound), bound, () => keeper.describe());
    await change(client, bound);
    const asShown = (state: unknown): unknown => (life.startsWith('two at once') ? asSeenTwice(state) : state);
    const wanted = expected && asShown(await expected);
    let end: unknown;
    if (wanted === undefined) {
      await until(() => hasEnded(client, bound), bound, () => keeper.describe());
      end = await steady(client, bound);
    } else {
      const isSame = async (): Promise<boolean> => isDeepStrictEqual(end = asShown(JSON.parse(JSON.stringify(await outcome(client, bound)))), wanted);
      await within(isSame, faultyMs, bound); // with faults it may come, and has to without
      for (const proxy of proxies) proxy.broken = false;
      keeper.calm();
      if (!(await within(isSame, 75_000, bound))) throw new Error(`seed ${seed}, ${life}: another end\n${difference(wanted, end)}\n${keeper.describe()}`);
      await until(async () => (await keeper.queued()).length === 0, bound, async () => `queues keep ${(await keeper.queued()).join(', ')}`);
      await sleep(1000, bound);
      if (!(await isSame())) throw new Error(`seed ${seed}, ${life}: the end did not stay\n${difference(wanted, end)}`);
    }
    return { end: JSON.parse(JSON.stringify(end)), faults: sumOf(proxies), kills: keeper.kills(), created: created.count() };
  } finally {
    clearInterval(refresh);
    created.stop();
    await keeper.stop();
    await Promise.all(proxies.map(async (proxy) => proxy.close()));
    client.close();
    await cluster.stop();
  }
}

interface Keeper {
  start(): Promise<void>;
  /** No more kills; all that should run does. */
  calm(): void;
  stop(): Promise<void>;
  kills(): number;
  describe(): string;
  /** Queues that are not empty, of whoever works. */
  queued(): Promise<string[]>;
}

function keepRunning({ folder, proxies, random, life, flags }: { folder: string; proxies: readonly FaultProxy[]; random: () => number; life: Life; flags: readonly string[] }): Keeper {
  const stop = new AbortController();
  let isCalm = life === 'undisturbed';
  let kills = 0;
  const running: (ComponentProcess | undefined)[] = [];
  const size = life.startsWith('two') ? 2 : 1;
  const elect = life.startsWith('two, one leads');
  const startOne = async (index: number): Promise<void> => {
    running[index] = await startComponent({ component: 'controllers', folder, name: `controllers-${index}`, server: proxies[index]!.url, flags: [...flags, `--leader-elect=${elect}`] });
  };
  const end = async (index: number, one: ComponentProcess): Promise<void> => {
    const proxy = proxies[index]!; // one for each
    if (life === 'two, one leads, the leader is cut off') {
      proxy.cutOff = true;
      if (!(await within(async () => one.ended() !== undefined, 15_000, stop.signal))) throw new Error(`${one.name} is cut off and goes on`);
      proxy.cutOff = false;
    } else await one.stop('SIGKILL');
  };
  const tend = async (index: number): Promise<void> => {
    for (;;) {
      // Some are killed while they start; if all were, nothing would ever be done.
      if (random() < 0.7) await within(async () => running[index] === undefined || isReady(running[index]), 20_000, stop.signal);
      await sleep(500 + random() * 5000, stop.signal);
      const one = running[index];
      if (!isCalm && one && (!elect || (await isLeading(one)))) {
        await end(index, one);
        kills += 1;
      }
      if (one?.ended() !== undefined) await startOne(index);
    }
  };
  const tending: Promise<void>[] = [];
  return {
    async start() {
      for (let index = 0; index < size; index += 1) {
        await startOne(index);
        tending.push(tend(index).catch((error: unknown) => {
          if (!stop.signal.aborted) throw error;
        }));
      }
    },
    calm: () => void (isCalm = true),
    async stop() {
      stop.abort();
      await Promise.all(tending);
      await Promise.all(running.map(async (one) => one?.stop('SIGKILL')));
    },
    kills: () => kills,
    describe: () => running.map((one) => `${one?.name}: ${one?.ended() ?? 'runs'}\n${one?.log().slice(-800)}`).join('\n'),
    async queued() {
      const texts = await Promise.all(running.map(async (one) => (one ? one.page('/metrics') : '')));
      if (!texts.some((text) => text.includes('workqueue_depth{name="deployment"}'))) throw new Error('nobody counts queues');
      return texts.flatMap((text) => [...text.matchAll(/^workqueue_depth\{name="(.*)"\} ([1-9]\d*)$/gm)].map(([, name, depth]) => `${name} ${depth}`));
    },
  };
}

function sumOf(proxies: readonly FaultProxy[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const { counts } of proxies) for (const [fault, count] of Object.entries(counts)) sum[fault] = (sum[fault] ?? 0) + count;
  return sum;
}

/** Counts pods by UID from now on; the watch goes past the proxy. */
async function countPods(client: Client, parent: AbortSignal): Promise<{ count: () => number; stop: () => void }> {
  const stop = new AbortController();
  const seen = new Set<string>();
  const { metadata } = await client.list(pods, '', {}, parent);
  const counting = (async () => {
    for await (const event of client.watch(pods, '', { resourceVersion: metadata.resourceVersion ?? '' }, stop.signal)) {
      if (event.type === 'ADDED' && event.object.metadata.namespace === 'work') seen.add(event.object.metadata.uid ?? '');
    }
  })();
  counting.catch(() => undefined); // ended by stop, or with the server
  return { count: () => seen.size, stop: () => stop.abort() };
}

/** The outcome once it has not changed for two seconds. */
async function steady(client: Client, signal: AbortSignal): Promise<unknown> {
  let before: unknown;
  let since = Date.now();
  for (;;) {
    const now = await outcome(client, signal);
    if (!isDeepStrictEqual(before, now)) since = Date.now();
    before = now;
    if (Date.now() - since > 2000) return now;
    await sleep(250, signal);
  }
}

async function within(check: () => Promise<boolean>, ms: number, signal: AbortSignal): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(300, signal)) if (await check()) return true;
  return false;
}
async function until(check: () => Promise<boolean>, signal: AbortSignal, describe: () => string | Promise<string>): Promise<void> {
  if (!(await within(check, 90_000, signal))) throw new Error(`not within 90 s:\n${await describe()}`);
}
/** The parts that differ. */
function difference(wanted: unknown, found: unknown): string {
  const [left, right] = [wanted, JSON.parse(JSON.stringify(found))] as Record<string, unknown>[]; // outcomes
  return Object.keys(left ?? {}).filter((key) => !isDeepStrictEqual(left?.[key], right?.[key])).map((key) => `${key}:\n  wanted ${JSON.stringify(left?.[key])}\n  found  ${JSON.stringify(right?.[key])}`).join('\n');
}
