// Many watchers while pods change all the time: everybody hears of everything that is meant for him, once, in one order and soon, and
// the server's memory stays where it was. Some watch all pods, as controllers do, the others those of one node, as kubelets do.
import { cpuMs } from '../bench/load.ts';
import type { Load } from '../bench/load.ts';
import { expect } from '../bench/requests.ts';
import { Durations, residentMb, startWithPods } from './pods.ts';
import type { Soak, SoakRun } from './soak.ts';

export const watchers: Soak = {
  name: 'watchers',
  summary: '1,000 watchers on 5,000 pods, 100 updates a second for a minute (short: 100 on 500 for four seconds)',
  run,
};

const forms = {
  long: { watchers: 1000, ofAll: 100, nodes: 1000, pods: 5000, updatesPerSecond: 100, seconds: 60, longestP99Ms: 250 },
  // Tests run beside others: only what a stall would exceed is held against it.
  short: { watchers: 100, ofAll: 20, nodes: 100, pods: 500, updatesPerSecond: 50, seconds: 4, longestP99Ms: 1000 },
};

async function run({ short, folder, signal, say }: SoakRun): Promise<string[]> {
  const form = short ? forms.short : forms.long;
  const updates = form.updatesPerSecond * form.seconds;
  const server = await startWithPods({ folder, pods: form.pods, nodes: form.nodes });
  const open: Watcher[] = [];
  try {
    say(`${form.pods} pods are there`);
    const { load, pid } = server;
    const list = await load.request('GET', `${server.pods}?limit=1`, { keepBody: true });
    const { metadata: { resourceVersion } } = JSON.parse(list.body) as { metadata: { resourceVersion: string } };
    const sentAt = new Float64Array(updates);
    const answeredAt = new Float64Array(updates);
    const durations = new Durations();
    const delivery = new Durations();
    const heard = (serial: number): void => {
      const now = performance.now();
      durations.add(now - (sentAt[serial] ?? 0));
      delivery.add(now - (answeredAt[serial] || now)); // many hear of it before the writer does
    };
    for (let n = 0; n < form.watchers; n += 1) {
      signal.throwIfAborted();
      const node = n < form.ofAll ? undefined : n % form.nodes;
      const watcher = new Watcher(updates, heard, node);
      await watcher.open(load, `${server.pods}?watch=1&allowWatchBookmarks=true&resourceVersion=${resourceVersion}${node === undefined ? '' : `&fieldSelector=spec.nodeName%3Dnode-${node}`}`);
      open.push(watcher);
    }
    say(`${form.watchers} watchers, ${form.ofAll} of them on all pods`);

    const cpuBefore = cpuMs(pid);
    const ownBefore = cpuMs(process.pid);
    let memoryEarly = 0;
    const began = performance.now();
    const writes: Promise<unknown>[] = [];
    for (let serial = 0; serial < updates; serial += 1) {
      signal.throwIfAborted();
      const due = began + serial * 1000 / form.updatesPerSecond;
      const wait = due - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      sentAt[serial] = performance.now();
      writes.push(expect(load.request('PATCH', `${server.pods}/pod-${serial % form.pods}`, { body: `{"metadata":{"annotations":{"soak":"${serial};"}}}`, contentType: 'application/merge-patch+json' }), 200).then(() => {
        answeredAt[serial] = performance.now();
      }));
      if (serial === Math.floor(updates / 4)) memoryEarly = residentMb(pid);
    }
    await Promise.all(writes);
    const took = performance.now() - began;
    for (const deadline = Date.now() + 10_000; Date.now() < deadline && open.some((watcher) => watcher.heard < expected(watcher)); ) await new Promise((resolve) => setTimeout(resolve, 50));
    const memoryLate = residentMb(pid);
    const cpu = cpuMs(pid) - cpuBefore;
    const ownCpu = cpuMs(process.pid) - ownBefore;

    function expected({ node }: Watcher): number {
      if (node === undefined) return updates;
      let sum = 0;
      for (let serial = 0; serial < updates; serial += 1) if (serial % form.pods % form.nodes === node) sum += 1;
      return sum;
    }
    const broken = open.filter((watcher) => watcher.ended || watcher.doubled > 0 || watcher.heard !== expected(watcher));
    if (broken.length > 0) {
      const [first] = broken;
      throw new Error(`${broken.length} watchers heard too little or too much; the first ${first?.heard} of ${first ? expected(first) : 0} updates, ${first?.doubled} of them twice${first?.ended ? ', and its watch ended' : ''}`);
    }
    const orders = new Set(open.filter(({ node }) => node === undefined).map(({ order }) => order));
    if (orders.size > 1) throw new Error(`watchers of all pods heard ${orders.size} different orders`);
    const measured = [
      `from the write's answer to the watcher: ${delivery.toString()}`,
      `from the request to the watcher: ${durations.toString()}`,
      `CPU of the server: ${(cpu / took * 100).toFixed(0)}% of a core, ${(cpu * 1000 / durations.count).toFixed(0)} us an event and watcher; of this load: ${(ownCpu / took * 100).toFixed(0)}%`,
      `memory of the server: ${memoryEarly.toFixed(0)} MB after a quarter, ${memoryLate.toFixed(0)} MB at the end`,
    ];
    if (delivery.quantile(0.99) > form.longestP99Ms) throw new Error(`updates arrive too late, at most ${form.longestP99Ms} ms are allowed at p99; ${measured.join('; ')}`);
    if (memoryLate > memoryEarly * 1.25 + 64) throw new Error(`memory rises; ${measured.join('; ')}`);
    return [`${updates} updates in ${(took / 1000).toFixed(1)} s came to ${form.watchers} watchers, ${form.ofAll} of them on all pods: none lost, none twice, one order`, ...measured];
  } finally {
    for (const watcher of open) watcher.close();
    await server.stop();
  }
}

const mark = Buffer.from('"soak":"');

/** One watch. Its bytes are only searched for the serial numbers of the updates: parsing them would take longer than sending. */
class Watcher {
  readonly node: number | undefined;
  heard = 0;
  doubled = 0;
  ended = false;
  /** The same for watchers that heard the same in the same order. */
  order = 0;
  readonly #seen: Uint8Array;
  readonly #onUpdate: (serial: number) => void;
  #rest: Buffer = Buffer.alloc(0);
  #stream: { close(): void } | undefined;
  #closing = false;

  constructor(updates: number, onUpdate: (serial: number) => void, node: number | undefined) {
    this.#seen = new Uint8Array(updates);
    this.#onUpdate = onUpdate;
    this.node = node;
  }

  async open(load: Load, path: string): Promise<void> {
    this.#stream = await load.stream(path, (chunk) => this.#take(chunk), () => {
      this.ended ||= !this.#closing;
    });
  }

  close(): void {
    this.#closing = true;
    this.#stream?.close();
  }

  #take(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let from = 0;
    for (;;) {
      const at = bytes.indexOf(mark, from);
      if (at < 0) break;
      const end = bytes.indexOf(';', at + mark.length);
      if (end < 0) {
        from = at;
        break;
      }
      const serial = Number(bytes.toString('latin1', at + mark.length, end));
      from = end;
      if (this.#seen[serial]) this.doubled += 1;
      this.#seen[serial] = 1;
      this.heard += 1;
      this.order = (Math.imul(this.order, 31) + serial) | 0;
      this.#onUpdate(serial);
    }
    // What may be the beginning of a mark, or of a number: numbers are short.
    this.#rest = Buffer.from(bytes.subarray(Math.max(from, bytes.length - mark.length - 12)));
  }
}
