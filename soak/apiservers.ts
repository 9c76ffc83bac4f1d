// Several API servers on one etcd are one API: what one acknowledged the others show at once, a watch goes on at another server where
// it ended, nothing that must be unique is given out twice, and Service kubernetes names the servers that live.
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import { sleep } from '#machinery/base/clock.ts';
import type { ConfigMap, Service } from '#machinery/api/object.ts';
import { isAlreadyExists, isConflict, isExpired, isNotFound, StatusError } from '#machinery/api/status.ts';
import { configMaps, endpoints, endpointSlices, ipAddresses, services } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import { EtcdCluster, installedEtcd, type EtcdBinary } from '../apiserver/storage/etcd-fixture.ts';
import { createFleet, type FleetServer } from './apiserver-fleet.ts';
import type { Soak, SoakRun } from './soak.ts';

const forms = {
  short: { servers: 2, members: 1, services: 200, faults: 2, awayMs: 500 },
  long: { servers: 3, members: 3, services: 200, faults: 12, awayMs: 5000 },
};
const namespace = 'default';
const names = Array.from({ length: 8 }, (_, index) => `k${index}`);
/** A lease of 15 s, looked at every 10 s. */
const deadAfterMs = 28_000;

export const apiservers: Soak = {
  name: 'apiservers',
  summary: 'API servers on one etcd, killed and stopped under racing clients: one state, the same watches, no number given out twice',
  missing: () => (installedEtcd() ? undefined : 'etcd is not installed'),
  async run(soak) {
    const binary = installedEtcd() as EtcdBinary; // `missing` asked
    const form = soak.short ? forms.short : forms.long;
    await using cluster = await EtcdCluster.onLoopback({ binary, members: form.members });
    await cluster.waitHealthy();
    // All of them compact, far more often than usual.
    const fleet = await createFleet({ folder: soak.folder, etcd: cluster.urls, size: form.servers, flags: ['--etcd-compaction-interval', '20s'] });
    try {
      await Promise.all(fleet.map((server) => server.start()));
      soak.say(`${fleet.length} API servers are ready`);
      return [await checkUnique(fleet, form.services), await checkOneState(fleet, form, soak), await checkEndpoints(fleet, soak)];
    } finally {
      await Promise.all(fleet.map((server) => server.stop('SIGKILL')));
      for (const { client } of fleet) client.close();
    }
  },
};

const within = (ms = 30_000): AbortSignal => AbortSignal.timeout(ms);
const at = <T>(list: readonly T[], index: number): T => list[index % list.length] as T; // no list here is empty

async function checkUnique(fleet: readonly FleetServer[], count: number): Promise<string> {
  const created = await Promise.all(Array.from({ length: count }, (_, index) => at(fleet, index).client.create<Service>(services, namespace, {
    apiVersion: 'v1', kind: 'Service', metadata: { name: `s${index}` }, spec: { type: index % 2 === 0 ? 'NodePort' : 'LoadBalancer', ports: [{ name: 'a', port: 80 }, { name: 'b', port: 81 }] },
  }, within(60_000))));
  const ports = created.flatMap(({ spec }) => (spec?.ports ?? []).map(({ nodePort }) => nodePort));
  const addresses = created.map(({ spec }) => spec?.clusterIP);
  expect(new Set(ports).size, 'node ports').to.equal(count * 2);
  expect(new Set(addresses).size, 'cluster IPs').to.equal(count);
  const first = at(fleet, 0).client;
  expect((await first.list(ipAddresses, '', {}, within())).items, 'IPAddress objects').to.have.length(count + 1);
  // Deleted at another server than they were made at; then every number can be had again by asking for it.
  await Promise.all(created.map(({ metadata }, index) => at(fleet, index + 1).client.delete(services, namespace, metadata.name ?? '', {}, within(60_000))));
  expect((await first.list(ipAddresses, '', {}, within())).items, 'IPAddress objects that are left').to.have.length(1);
  const again = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'again' }, spec: { type: 'NodePort', ports: ports.slice(0, 100).map((nodePort, index) => ({ name: `p${index}`, port: 1000 + index, nodePort })) } };
  await at(fleet, 1).client.create(services, namespace, again, within(60_000));
  await first.delete(services, namespace, 'again', {}, within());
  return `${count} Services created at once at ${fleet.length} servers: ${ports.length} node ports and ${addresses.length} cluster IPs, none twice, all free again afterwards`;
}

interface Written { acknowledged: number; refused: number; unknown: number; reads: number }
type Outcome = { kind: 'ok'; version: string } | { kind: 'refused' | 'unknown' };

async function checkOneState(fleet: readonly FleetServer[], form: typeof forms.long, { say, signal }: SoakRun): Promise<string> {
  const stop = new AbortController();
  const clients = fleet.map(({ client }) => client);
  const outcomes = new Map<string, Outcome>();
  const written: Written = { acknowledged: 0, refused: 0, unknown: 0, reads: 0 };
  const watchers = clients.map((_, index) => new Watcher(clients, index));
  for (const watcher of watchers) await watcher.list();
  const running = watchers.map((watcher) => watcher.run(stop.signal));
  const writing = new AbortController();
  const writers = clients.flatMap((_, index) => [0, 1].map((half) => write(`w${index}${half}`, clients, index, outcomes, written, writing.signal)));
  const failed = new Promise<never>((_, reject) => {
    for (const work of [...running, ...writers]) work.catch(reject);
  });
  const faults = async (): Promise<void> => {
    await sleep(form.awayMs, signal);
    for (let fault = 0; fault < form.faults; fault++) {
      const server = at(fleet, fault + 1);
      const how = fault % 2 === 0 ? 'SIGKILL' : 'SIGTERM';
      await server.stop(how);
      await sleep(form.awayMs, signal);
      await server.start();
      say(`server ${(fault + 1) % fleet.length} ended by ${how} and is back; ${written.acknowledged} writes so far`);
      await sleep(form.awayMs, signal);
    }
    writing.abort();
    await Promise.all(writers);
  };
  await Promise.race([faults(), failed]);
  const final = await at(clients, 0).list<ConfigMap>(configMaps, namespace, {}, within());
  const wanted = describeMaps(final.items);
  for (const client of clients) expect(describeMaps((await client.list<ConfigMap>(configMaps, namespace, {}, within())).items)).to.equal(wanted);
  await Promise.race([eventually(within(20_000), () => watchers.every(({ state }) => describeMaps([...state.values()]) === wanted)), failed]);
  stop.abort();
  await Promise.all(running);
  const complete = watchers.filter(({ relists }) => relists === 0);
  expect(new Set(complete.map(({ versions }) => versions.join())).size, 'sequences that watchers saw').to.be.at.most(1);
  const seen = new Map(watchers.flatMap(({ ids }) => [...ids]));
  for (const [id, outcome] of outcomes) {
    const version = seen.get(id);
    if (outcome.kind === 'refused') expect(version, `${id} was refused, and happened`).to.equal(undefined);
    if (outcome.kind === 'ok' && complete.length > 0) expect(version, `${id} was acknowledged`).to.equal(outcome.version);
  }
  const moves = watchers.reduce((sum, watcher) => sum + watcher.moves, 0);
  return `${form.faults} servers killed or stopped: ${written.acknowledged} writes acknowledged, ${written.refused} refused, ${written.unknown} with a lost answer, ${written.reads} reads at other servers; `
    + `${watchers.length} watchers moved ${moves} times to another server and saw the same ${watchers[0]?.versions.length} events`;
}

/** Races for a few objects until the signal aborts; what is acknowledged has to be seen at another server at once. */
async function write(writer: string, clients: readonly Client[], home: number, outcomes: Map<string, Outcome>, written: Written, signal: AbortSignal): Promise<void> {
  for (let turn = 0, where = home; !signal.aborted; turn++) {
    const client = at(clients, where);
    const name = at(names, Math.floor(Math.random() * names.length));
    const id = `${writer}/${turn}`;
    try {
      const current = await client.get<ConfigMap>(configMaps, namespace, name, within(5000)).catch((error: unknown) => {
        if (isNotFound(error)) return undefined;
        throw error;
      });
      if (current && Math.random() < 0.2) {
        await client.delete(configMaps, namespace, name, { preconditions: { resourceVersion: current.metadata.resourceVersion ?? '' } }, within(5000));
        continue;
      }
      const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...(current ? { resourceVersion: current.metadata.resourceVersion } : {}) }, data: { id } };
      outcomes.set(id, { kind: 'unknown' });
      const made = current ? await client.update<ConfigMap>(configMaps, namespace, name, object, within(5000)) : await client.create<ConfigMap>(configMaps, namespace, object, within(5000));
      const version = made.metadata.resourceVersion ?? '';
      outcomes.set(id, { kind: 'ok', version });
      written.acknowledged += 1;
      await readElsewhere(at(clients, where + 1), name, version, written);
    } catch (error) {
      if (isConflict(error) || isAlreadyExists(error) || isNotFound(error)) {
        if (outcomes.has(id)) outcomes.set(id, { kind: 'refused' });
        written.refused += 1;
      } else {
        if (!isAwayError(error)) throw error;
        written.unknown += outcomes.get(id)?.kind === 'unknown' ? 1 : 0;
        where += 1;
        await sleep(50, new AbortController().signal);
      }
    }
    await sleep(5, new AbortController().signal);
  }
}

async function readElsewhere(client: Client, name: string, version: string, written: Written): Promise<void> {
  try {
    const { metadata, items } = await client.list<ConfigMap>(configMaps, namespace, {}, within(5000));
    expect(BigInt(metadata?.resourceVersion ?? '0') >= BigInt(version), `a list after ${version} answered as of ${metadata?.resourceVersion}`).to.equal(true);
    const found = items.find((item) => item.metadata.name === name);
    expect(found === undefined || BigInt(found.metadata.resourceVersion ?? '0') >= BigInt(version), `${name} is older than ${version} at another server`).to.equal(true);
    written.reads += 1;
  } catch (error) {
    if (!isAwayError(error)) throw error;
  }
}

/** No answer, or one that says that the server cannot. */
function isAwayError(error: unknown): boolean {
  if (error instanceof StatusError) return error.status.code >= 500 || error.status.code === 429;
  return !(error instanceof Error && error.name === 'AssertionError');
}

/** Lists at one server and watches at the next; goes on at yet another one when that ends, from where it was. */
class Watcher {
  readonly state = new Map<string, ConfigMap>();
  readonly versions: string[] = [];
  readonly ids = new Map<string, string>();
  relists = 0;
  moves = 0;
  readonly #clients: readonly Client[];
  #where: number;
  #version = '';

  constructor(clients: readonly Client[], where: number) {
    this.#clients = clients;
    this.#where = where;
  }

  async list(): Promise<void> {
    const { items, metadata } = await at(this.#clients, this.#where).list<ConfigMap>(configMaps, namespace, {}, within(5000));
    this.state.clear();
    for (const item of items) this.state.set(item.metadata.name ?? '', item);
    this.#version = metadata?.resourceVersion ?? '';
  }

  async run(signal: AbortSignal): Promise<void> {
    for (; !signal.aborted; this.#where += 1, this.moves += 1) {
      try {
        for await (const { type, object } of at(this.#clients, this.#where + 1).watch<ConfigMap>(configMaps, namespace, { resourceVersion: this.#version, allowWatchBookmarks: true, timeoutSeconds: 300 }, signal)) {
          const { metadata, data } = object as ConfigMap; // bookmarks have metadata only
          const version = metadata.resourceVersion ?? '';
          expect(BigInt(version) >= BigInt(this.#version), `${version} came after ${this.#version}`).to.equal(true);
          if (type !== 'BOOKMARK') {
            expect(version, 'an event that came twice').to.not.equal(this.#version);
            this.versions.push(version);
            const name = metadata.name ?? '';
            if (type === 'DELETED') this.state.delete(name);
            else {
              expect(this.state.has(name), `${type} of ${name}`).to.equal(type === 'MODIFIED');
              this.state.set(name, object as ConfigMap); // not a bookmark
              this.ids.set(data?.id ?? '', version);
            }
          }
          this.#version = version;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (isExpired(error)) {
          this.relists += 1;
          await this.list().catch(() => undefined); // tried again at the next server
        } else if (!isAwayError(error)) throw error;
        await sleep(50, new AbortController().signal);
      }
    }
  }
}

function describeMaps(items: readonly ConfigMap[]): string {
  return items.filter(({ metadata }) => names.includes(metadata.name ?? '')).map(({ metadata, data }) => `${metadata.name} ${metadata.resourceVersion} ${data?.id}`).sort().join('\n');
}

async function checkEndpoints(fleet: readonly FleetServer[], { short, say }: SoakRun): Promise<string> {
  const [first, last] = [at(fleet, 0), at(fleet, fleet.length - 1)];
  const published = async (): Promise<string> => {
    const { subsets } = await first.client.get(endpoints, 'default', 'kubernetes', within(5000));
    const slice = await first.client.get(endpointSlices, 'default', 'kubernetes', within(5000));
    return `${subsets?.flatMap(({ addresses }) => addresses?.map(({ ip }) => ip) ?? []).join()} ${slice.endpoints?.flatMap(({ addresses }) => addresses).join()}`;
  };
  const listed = (servers: readonly FleetServer[]): string => {
    const addresses = servers.map(({ advertised }) => advertised).join();
    return `${addresses} ${addresses}`;
  };
  const becomes = async (servers: readonly FleetServer[], ms: number): Promise<number> => {
    const startedAt = Date.now();
    await eventually(within(ms), async () => await published() === listed(servers), 100);
    return Date.now() - startedAt;
  };
  await becomes(fleet, deadAfterMs);
  await last.stop('SIGTERM');
  const stoppedMs = await becomes(fleet.slice(0, -1), 3000);
  await last.start();
  await becomes(fleet, 3000);
  const line = `Service kubernetes: ${fleet.length} endpoints; one that stops is gone ${stoppedMs} ms after its end`;
  if (short) return line;
  await last.stop('SIGKILL');
  const killedMs = await becomes(fleet.slice(0, -1), deadAfterMs);
  say(`the killed server left the endpoints after ${killedMs} ms`);
  return `${line}, one that is killed after ${killedMs} ms`;
}
