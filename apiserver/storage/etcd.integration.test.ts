// The external engine against a real etcd: the common contract, and what happens when etcd is killed, stopped or away.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import { createCa, issueCertificate } from '#machinery/pki/pki.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { startTestServer, type Answer } from '../testing.ts';
import { openEtcd } from './etcd.ts';
import { CompactedError, StorageUnavailableError, type Storage, type StorageEvent } from './storage.ts';
import { collect, describeStorage, rejection } from './suite.ts';
import { EtcdCluster, freePort, installedEtcd, newerEtcd, type EtcdMember } from './etcd-fixture.ts';
import { Etcd, isEtcdInstalled as isInstalled } from './testing-etcd.ts';
import { createWatchCache } from './watch-cache.ts';

async function write(storage: Storage, key: string, text: string, expected = 0n): Promise<bigint> {
  const result = await storage.put(key, Buffer.from(text), { expected });
  if (!result.ok) throw new Error(`put ${key}: not as expected`);
  return result.revision;
}

const binaries = [installedEtcd() ?? 'no etcd on PATH', await newerEtcd()];
for (const binary of binaries) (typeof binary === 'string' ? describe.skip : describe)(`etcd (${typeof binary === 'string' ? `skipped: ${binary}` : binary.version})`, () => {
  let cluster: EtcdCluster;
  let etcd: { url: string };
  before(async () => {
    if (typeof binary === 'string') return;
    cluster = await EtcdCluster.onLoopback({ binary });
    await cluster.waitHealthy();
    etcd = cluster.members[0] as EtcdMember; // one was asked for
  });
  after(() => cluster?.[Symbol.asyncDispose]());

  let tests = 0;
  describeStorage('etcd', async () => ({ storage: await openEtcd({ servers: [etcd.url] }), prefix: `/registry/suite${(tests += 1)}/` }));
  if (binary !== binaries[0]) return; // what follows is about us, whatever etcd's version

  it('openEtcd() refuses an unreachable server within a few seconds, in one line', async () => {
    const startedAt = Date.now();
    const error = await rejection(openEtcd({ servers: [`http://127.0.0.1:${await freePort()}`] }));
    expect(error).to.be.instanceOf(StorageUnavailableError);
    expect((error as Error).message).to.match(/cannot be reached/).and.not.contain('\n');
    expect(Date.now() - startedAt).to.be.lessThan(6000);
  });

  it('openEtcd() refuses a server that accepts and never answers within a few seconds', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const startedAt = Date.now();
    const error = await rejection(openEtcd({ servers: [`http://127.0.0.1:${(silent.address() as AddressInfo).port}`] }));
    expect(error).to.be.instanceOf(StorageUnavailableError);
    expect(Date.now() - startedAt).to.be.lessThan(10_000);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  it('openEtcd() refuses what is no address, and TLS without readable files', async () => {
    for (const options of [{ servers: [] }, { servers: ['nonsense'] }, { servers: ['ftp://127.0.0.1:1'] }, { servers: ['https://127.0.0.1:1'], caFile: '/missing/ca.crt' }]) {
      expect(await rejection(openEtcd(options))).to.be.instanceOf(StorageUnavailableError);
    }
  });

  it('goes to the next server when the first is away', async () => {
    const storage = await openEtcd({ servers: [`http://127.0.0.1:${await freePort()}`, etcd.url] });
    await write(storage, '/registry/failover/a', 'x');
    await storage.close();
  });

  it('a prefix of its own keeps two clusters apart', async () => {
    const plain = await openEtcd({ servers: [etcd.url] });
    const other = await openEtcd({ servers: [etcd.url], prefix: '/other' });
    const start = await other.revision();
    await write(plain, '/registry/apart/a', 'plain');
    await write(other, '/registry/apart/a', 'other');
    const [event] = await collect(other.watch('/registry/', start, new AbortController().signal), 1);
    expect(event).to.include({ key: '/registry/apart/a' });
    expect((await other.range({ prefix: '/registry/' })).items.map(({ key, value }) => `${key} ${value.toString()}`)).to.deep.equal(['/registry/apart/a other']);
    expect((await plain.get('/other/apart/a')).value?.value.toString()).to.equal('other');
    await Promise.all([plain.close(), other.close()]);
  });

  it('two clients compare-and-set one counter: no update is lost', async () => {
    const clients = await Promise.all([1, 2, 3].map(() => openEtcd({ servers: [etcd.url] })));
    const key = '/registry/counter/a';
    const rounds = 15;
    await Promise.all(
      clients.map(async (client) => {
        for (let done = 0; done < rounds; ) {
          const { value } = await client.get(key);
          const next = Number(value?.value.toString() ?? 0) + 1;
          if ((await client.put(key, Buffer.from(String(next)), { expected: value?.modRevision ?? 0n })).ok) done += 1;
        }
      }),
    );
    expect((await clients[0]?.get(key))?.value?.value.toString()).to.equal(String(rounds * clients.length));
    await Promise.all(clients.map((client) => client.close()));
  }).timeout(20_000);

  it('keys of one time to live share leases', async () => {
    const storage = await openEtcd({ servers: [etcd.url] });
    await Promise.all(Array.from({ length: 50 }, (_, i) => storage.put(`/registry/leased/${i}`, Buffer.from('x'), { expected: 0n, ttlSeconds: 3600 })));
    const answer = await fetch(`${etcd.url}/v3/lease/leases`, { method: 'POST', body: '{}' });
    const { leases } = (await answer.json()) as { leases?: unknown[] }; // etcd's JSON gateway
    expect(leases?.length).to.be.lessThan(5);
    await storage.close();
  });

  it('over TLS: with a client certificate, not without one, nor when etcd shows one of another CA', async () => {
    if (typeof binary === 'string') return;
    const folder = mkdtempSync(join(tmpdir(), 'proa-etcd-tls-'));
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const [ca, stranger] = await Promise.all([createCa('etcd-ca'), createCa('stranger')]);
    const [server, client] = await Promise.all([
      issueCertificate(ca, { commonName: 'etcd', usages: ['server', 'client'], ips: ['127.0.0.1'] }), issueCertificate(ca, { commonName: 'apiserver', usages: ['client'] }),
    ]);
    const caFile = file('ca.crt', ca.cert);
    const flags = [`--cert-file=${file('server.crt', server.cert)}`, `--key-file=${file('server.key', server.key)}`, `--trusted-ca-file=${caFile}`, '--client-cert-auth'];
    try {
      await using secure = await EtcdCluster.onLoopback({ binary, scheme: 'https', flags });
      const own = { servers: secure.urls, caFile, certFile: file('client.crt', client.cert), keyFile: file('client.key', client.key) };
      const storage = await eventually(AbortSignal.timeout(20_000), () => openEtcd(own).catch((error: unknown) => {
        if (error instanceof StorageUnavailableError) return undefined; // not yet
        throw error;
      }));
      await write(storage, '/registry/tls/a', 'x');
      await storage.close();
      for (const wrong of [{ servers: secure.urls, caFile }, { ...own, caFile: file('stranger.crt', stranger.cert) }, { servers: secure.urls.map((url) => url.replace('https', 'http')) }]) {
        expect(await rejection(openEtcd(wrong))).to.be.instanceOf(StorageUnavailableError);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }).timeout(60_000);

  it('calls and watches end with StorageUnavailableError after close()', async () => {
    const storage = await openEtcd({ servers: [etcd.url] });
    const waiting = collect(storage.watch('/registry/', await storage.revision(), new AbortController().signal), 1);
    waiting.catch(() => undefined); // looked at below
    await new Promise((resolve) => setTimeout(resolve, 50));
    await storage.close();
    expect(await rejection(waiting)).to.be.instanceOf(StorageUnavailableError);
    expect(await rejection(storage.revision())).to.be.instanceOf(StorageUnavailableError);
  });
});

(isInstalled ? describe : describe.skip)('etcd in trouble', () => {
  let etcd: Etcd;
  let storage: Storage;
  let controller: AbortController;
  beforeEach(async () => {
    controller = new AbortController();
    etcd = new Etcd();
    await etcd.start();
    storage = await openEtcd({ servers: [etcd.url], livenessMs: 500 });
  });
  afterEach(async () => {
    controller.abort();
    await storage.close();
    await etcd[Symbol.asyncDispose]();
  });

  it('killed and restarted under a running watch: acknowledged writes are there, events come once each', async () => {
    const start = await storage.revision();
    const events: StorageEvent[] = [];
    const watching = (async () => {
      for await (const batch of storage.watch('/registry/', start, controller.signal)) events.push(...batch.events);
    })();
    const written: bigint[] = [];
    for (let i = 0; i < 20; i += 1) written.push(await write(storage, `/registry/a/${i}`, String(i)));
    await etcd.kill();
    expect(await rejection(storage.put('/registry/a/away', Buffer.from('x'), { expected: 0n }))).to.be.instanceOf(StorageUnavailableError);
    await etcd.start();
    for (let i = 20; i < 40; i += 1) {
      await eventually(AbortSignal.timeout(10_000), async () => {
        try {
          written.push(await write(storage, `/registry/a/${i}`, String(i)));
          return true;
        } catch (error) {
          if (error instanceof StorageUnavailableError) return false;
          throw error;
        }
      });
    }
    await eventually(AbortSignal.timeout(10_000), () => events.length >= written.length);
    expect(events.map(({ modRevision }) => modRevision)).to.deep.equal(written);
    expect((await storage.range({ prefix: '/registry/a/' })).items).to.have.length(40);
    controller.abort();
    await watching;
  });

  it('stopped for a while (partition): the watch catches up, and calls fail in time', async () => {
    const start = await storage.revision();
    const events: StorageEvent[] = [];
    const watching = (async () => {
      for await (const batch of storage.watch('/registry/', start, controller.signal)) events.push(...batch.events);
    })();
    await write(storage, '/registry/a/1', 'x');
    await eventually(AbortSignal.timeout(5000), () => events.length === 1);
    etcd.signal('SIGSTOP');
    const startedAt = Date.now();
    expect(await rejection(storage.get('/registry/a/1'))).to.be.instanceOf(StorageUnavailableError);
    expect(Date.now() - startedAt).to.be.lessThan(10_000);
    etcd.signal('SIGCONT');
    await eventually(AbortSignal.timeout(10_000), async () => {
      try {
        await write(storage, '/registry/a/2', 'x');
        return true;
      } catch (error) {
        if (error instanceof StorageUnavailableError) return false;
        throw error;
      }
    });
    await eventually(AbortSignal.timeout(10_000), () => events.length === 2);
    controller.abort();
    await watching;
  });

  it('a connection that hangs without an error is given up for a new one', async () => {
    const upstream = new URL(etcd.url);
    const sockets = new Set<Socket>();
    let hung = new Set<Socket>();
    const proxy = createServer((client) => {
      const server = connect(Number(upstream.port), upstream.hostname);
      for (const [from, to] of [[client, server], [server, client]] as const) {
        sockets.add(from);
        from.on('data', (chunk) => hung.has(from) || to.write(chunk));
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
      }
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const through = await openEtcd({ servers: [`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`], livenessMs: 500 });
    const events: StorageEvent[] = [];
    const start = await through.revision();
    const watching = (async () => {
      for await (const batch of through.watch('/registry/', start, controller.signal)) events.push(...batch.events);
    })();
    await write(storage, '/registry/a/1', 'x');
    await eventually(AbortSignal.timeout(5000), () => events.length === 1);
    hung = new Set(sockets);
    await write(storage, '/registry/a/2', 'x');
    await eventually(AbortSignal.timeout(12_000), () => events.length === 2);
    controller.abort();
    await watching;
    await through.close();
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });

  it('a write whose answer is lost is a 5xx, never a conflict or a success; it is not repeated, and what it took is kept', async () => {
    const upstream = new URL(etcd.url);
    const sockets = new Set<Socket>();
    let isMute = false;
    const proxy = createServer((client) => {
      const server = connect(Number(upstream.port), upstream.hostname);
      for (const socket of [client, server]) sockets.add(socket.on('error', () => undefined));
      client.on('data', (chunk) => server.write(chunk)).on('close', () => server.destroy());
      server.on('data', (chunk) => isMute || client.write(chunk)).on('close', () => client.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const api = await startTestServer({ storage: { engine: 'etcd', servers: [`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`] } });
    const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'lost' }, spec: {} };
    const post = (): Promise<Answer> => api.call('POST', path, { body });
    expect((await api.call('GET', path)).status).to.equal(200);
    // From the very moment of the write on: reads that come before it in the same request still get their answers.
    const key = '/registry/leases/default/lost';
    for (const socket of sockets) socket.on('data', (chunk: Buffer) => { isMute ||= chunk.includes(key); });
    const lost = await post();
    expect(lost.status, lost.text).to.be.within(500, 504);
    const { value } = await storage.get(key);
    expect(value?.createRevision, 'it happened, once').to.equal(value?.modRevision);
    expect(value).to.not.equal(undefined);
    for (const socket of sockets) socket.destroy();
    isMute = false;
    const again = await eventually(AbortSignal.timeout(20_000), async () => {
      const answer = await post();
      return answer.status < 500 && answer;
    });
    expect([again.status, again.body['reason']]).to.deep.equal([409, 'AlreadyExists']);
    await api.stop();
    for (const socket of sockets) socket.destroy();
    proxy.close();
  }).timeout(60_000);

  it('away too long: the watch gives up with StorageUnavailableError', async () => {
    const watching = collect(storage.watch('/registry/', await storage.revision(), controller.signal), 1);
    watching.catch(() => undefined); // looked at below
    await new Promise((resolve) => setTimeout(resolve, 100));
    await etcd.kill();
    expect(await rejection(watching)).to.be.instanceOf(StorageUnavailableError);
  });

  it('compacted while the watch was away: CompactedError', async () => {
    const first = await write(storage, '/registry/a/1', 'x');
    const second = await write(storage, '/registry/a/1', 'y', first);
    const third = await write(storage, '/registry/a/1', 'z', second);
    await storage.compact(third);
    expect(await rejection(collect(storage.watch('/registry/', first, controller.signal), 1))).to.be.instanceOf(CompactedError);
  });

  it('the watch cache lives through a restart of etcd with a compaction in it', async () => {
    const decode = (value: Buffer, revision: bigint): KubeObject => ({ ...(JSON.parse(value.toString()) as KubeObject), revision: String(revision) });
    const cache = createWatchCache(storage);
    const running = cache.run(controller.signal);
    const pods = await cache.add({ id: 'pods', prefix: '/registry/pods/', decode });
    const watch = pods.watch({ afterRevision: cache.revision() }, controller.signal)[Symbol.asyncIterator]();
    await write(storage, '/registry/pods/a/1', '{}');
    await cache.waitForLatest(AbortSignal.timeout(5000));
    expect((await watch.next()).value).to.have.length(1);
    await etcd.kill();
    await etcd.start();
    const other = await openEtcd({ servers: [etcd.url] });
    await other.delete('/registry/pods/a/1', { expected: (await other.get('/registry/pods/a/1')).value?.modRevision ?? 0n });
    await write(other, '/registry/pods/a/2', '{}');
    await other.compact(await other.revision());
    await other.close();
    await cache.waitForLatest(AbortSignal.timeout(15_000));
    expect(pods.list().map(({ name }) => name)).to.deep.equal(['2']);
    const seen: string[] = [];
    while (seen.length < 2) for (const event of ((await watch.next()).value ?? []) as { type: string }[]) seen.push(event.type);
    expect(seen.sort((a, b) => a.localeCompare(b))).to.deep.equal(['delete', 'put']);
    controller.abort();
    await running;
  });
});
