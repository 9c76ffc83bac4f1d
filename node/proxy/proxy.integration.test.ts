// The proxy on a node of its own: a network namespace with a bridge, two pods and a client outside, and real packets.
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { EndpointSlice, KubeList, Service } from '#machinery/api/object.ts';
import type { Client, Resource, WatchEvent } from '#machinery/client/types.ts';
import { defaultConfig } from './config.ts';
import { cleanup, runWith } from './main.ts';

const execute = promisify(execFile);
const id = `px${process.pid % 10_000}`;
const nodeNs = `${id}-node`;
const pods = [{ ns: `${id}-a`, ip: '10.42.0.11' }, { ns: `${id}-b`, ip: '10.42.0.12' }] as const;
const outside = `${id}-out`;
const nodeIp = '10.41.0.2';

/** Why this cannot run here; undefined when it can. */
function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const tool of ['ip', 'iptables-restore', 'busybox']) {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' });
    } catch {
      return `needs ${tool}`;
    }
  }
  return undefined;
}

async function inside(ns: string, ...words: string[]): Promise<string> {
  return (await execute('ip', ['netns', 'exec', ns, ...words])).stdout;
}
/** What an HTTP request answers; undefined when it fails within two seconds. */
async function fetchFrom(ns: string, url: string): Promise<string | undefined> {
  try {
    return (await inside(ns, 'timeout', '2', 'busybox', 'wget', '-q', '-O', '-', url)).trim();
  } catch {
    return undefined; // refused or timed out: both are answers here
  }
}

/** Services and slices in memory; `put` tells the watchers. */
function createFakeClient(): { client: Client; put: (resource: 'services' | 'endpointslices', object: unknown) => void } {
  const objects = { services: new Map<string, unknown>(), endpointslices: new Map<string, unknown>(), nodes: new Map<string, unknown>() };
  const watchers: ((resource: string, object: unknown) => void)[] = [];
  let version = 1;
  const client = {
    async list<T>(resource: Resource<T>) {
      return { metadata: { resourceVersion: String(version) }, items: [...objects[resource.resource as keyof typeof objects].values()] } as KubeList<T>;
    },
    async *watch<T>(resource: Resource<T>, _namespace: string, options: { sendInitialEvents?: boolean }, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
      const queue: WatchEvent<T>[] = [];
      let wake: () => void = () => undefined;
      watchers.push((name, object) => {
        if (name !== resource.resource) return;
        queue.push({ type: 'MODIFIED', object: object as T });
        wake();
      });
      signal.addEventListener('abort', () => wake());
      if (options.sendInitialEvents) {
        for (const object of objects[resource.resource as keyof typeof objects].values()) queue.push({ type: 'ADDED', object: object as T });
        queue.push({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(version), annotations: { 'k8s.io/initial-events-end': 'true' } } } });
      }
      while (!signal.aborted) {
        const event = queue.shift();
        if (event) yield event;
        else await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  } as unknown as Client; // informers use nothing else
  return {
    client,
    put(resource, object) {
      const copy = structuredClone(object) as { metadata: { name: string; resourceVersion?: string } };
      copy.metadata.resourceVersion = String((version += 1));
      objects[resource].set(copy.metadata.name, copy);
      for (const notify of watchers) notify(resource, copy);
    },
  };
}

const makeService = (name: string, clusterIP: string, spec: Service['spec'] = {}): Service => ({
  apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec: { clusterIP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
});
const makeSlice = (service: string, ips: readonly string[], nodeName = 'here'): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4',
  metadata: { name: `${service}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': service } },
  endpoints: ips.map((ip) => ({ addresses: [ip], conditions: { ready: true }, nodeName })),
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
});

const reason = missing();

describe(`proxy in a network namespace${reason === undefined ? '' : ` (skipped: ${reason})`}`, function () {
  this.timeout(60_000);
  const servers: ChildProcess[] = [];
  const stop = new AbortController();
  const fake = createFakeClient();
  let folder: string | undefined;
  let running: Promise<void> | undefined;

  before(async function () {
    if (reason !== undefined) {
      if (this.test?.parent) this.test.parent.title += ` (skipped: ${reason})`;
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'proxy-test-'));
    for (const ns of [nodeNs, outside, ...pods.map((pod) => pod.ns)]) await execute('ip', ['netns', 'add', ns]);
    await inside(nodeNs, 'sh', '-c', `ip link set lo up && ip addr add ${nodeIp}/32 dev lo && ip link add cbr0 type bridge && ip addr add 10.42.0.1/24 dev cbr0 && ip link set cbr0 up && echo 1 > /proc/sys/net/ipv4/ip_forward`);
    for (const [i, { ns, ip }] of pods.entries()) {
      await inside(nodeNs, 'ip', 'link', 'add', `v${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns);
      await inside(nodeNs, 'sh', '-c', `ip link set v${i} master cbr0 up && echo 1 > /sys/class/net/v${i}/brport/hairpin_mode`);
      await inside(ns, 'sh', '-c', `ip link set lo up && ip addr add ${ip}/24 dev eth0 && ip link set eth0 up && ip route add default via 10.42.0.1`);
      const root = join(folder, ns);
      execFileSync('mkdir', ['-p', `${root}/cgi-bin`]);
      writeFileSync(join(root, 'index.html'), ip);
      writeFileSync(join(root, 'cgi-bin', 'client'), '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n%s" "${REMOTE_ADDR#*ffff:}"\n', { mode: 0o755 });
      servers.push(spawn('ip', ['netns', 'exec', ns, 'busybox', 'httpd', '-f', '-p', '8080', '-h', root], { stdio: 'ignore' }));
    }
    await inside(nodeNs, 'ip', 'link', 'add', 'ext', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside);
    await inside(nodeNs, 'sh', '-c', 'ip addr add 192.0.2.1/24 dev ext && ip link set ext up && iptables -P FORWARD DROP && iptables -A FORWARD -i cbr0 -j ACCEPT && iptables -A FORWARD -o cbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT');
    await inside(outside, 'sh', '-c', 'ip link set lo up && ip addr add 192.0.2.2/24 dev eth0 && ip link set eth0 up && ip route add default via 192.0.2.1');

    const both = pods.map((pod) => pod.ip);
    fake.put('services', makeService('web', '10.43.0.20', { type: 'NodePort', externalIPs: ['192.0.2.1'], ports: [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30080 }] }));
    fake.put('endpointslices', makeSlice('web', both));
    fake.put('services', makeService('self', '10.43.0.21'));
    fake.put('endpointslices', makeSlice('self', [pods[0].ip]));
    fake.put('services', makeService('empty', '10.43.0.22'));
    fake.put('services', makeService('sticky', '10.43.0.23', { sessionAffinity: 'ClientIP' }));
    fake.put('endpointslices', makeSlice('sticky', both));
    fake.put('services', makeService('local', '10.43.0.24', { type: 'NodePort', externalTrafficPolicy: 'Local', ports: [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30084 }] }));
    fake.put('endpointslices', makeSlice('local', [pods[1].ip]));
    fake.put('services', makeService('remote', '10.43.0.25', { internalTrafficPolicy: 'Local' }));
    fake.put('endpointslices', makeSlice('remote', [pods[1].ip], 'elsewhere'));
    const config = { ...defaultConfig, nodes: [{ name: 'here', ip: nodeIp }], clusterCidr: '10.42.0.0/16', serviceCidr: '10.43.0.0/16', syncPeriodMs: 300, netns: nodeNs };
    const ready = Promise.withResolvers<void>();
    running = runWith(fake.client, config, stop.signal, ready.resolve);
    await Promise.race([ready.promise, running]);
    await eventually(AbortSignal.timeout(5000), async () => (await Promise.all(pods.map((pod) => fetchFrom(pod.ns, 'http://127.0.0.1:8080/')))).every(Boolean));
  });

  after(async () => {
    stop.abort();
    await running;
    for (const server of servers) server.kill('SIGKILL');
    if (reason === undefined) for (const ns of [nodeNs, outside, ...pods.map((pod) => pod.ns)]) await execute('ip', ['netns', 'delete', ns]).catch(() => undefined); // a failed before() made only some
    if (folder) rmSync(folder, { recursive: true });
  });

  async function answers(ns: string, url: string, times = 20): Promise<Set<string | undefined>> {
    const found = new Set<string | undefined>();
    for (let i = 0; i < times; i += 1) found.add(await fetchFrom(ns, url));
    return found;
  }

  it('balances a cluster IP, from a pod and from the node', async () => {
    expect([...(await answers(pods[0].ns, 'http://10.43.0.20/'))]).to.have.members(['10.42.0.11', '10.42.0.12']);
    expect([...(await answers(nodeNs, 'http://10.43.0.20/'))]).to.have.members(['10.42.0.11', '10.42.0.12']);
  });
  it('shows a pod\'s own address to the endpoint, and lets a pod reach itself', async () => {
    expect(await fetchFrom(pods[1].ns, 'http://10.43.0.21/cgi-bin/client')).to.contain('10.42.0.12');
    expect(await fetchFrom(pods[0].ns, 'http://10.43.0.21/')).to.equal('10.42.0.11');
  });
  it('refuses at once where no endpoint is', async () => {
    const startedAt = Date.now();
    expect(await fetchFrom(pods[0].ns, 'http://10.43.0.22/')).to.equal(undefined);
    expect(Date.now() - startedAt).to.be.lessThan(1500);
  });
  it('refuses at once where no endpoint is, from the node too', async () => {
    const startedAt = Date.now();
    expect(await fetchFrom(nodeNs, 'http://10.43.0.22/')).to.equal(undefined);
    expect(Date.now() - startedAt).to.be.lessThan(1500);
  });
  it('keeps a client with its endpoint', async () => expect((await answers(pods[0].ns, 'http://10.43.0.23/')).size).to.equal(1));
  it('answers a NodePort from outside, on the node\'s addresses and on localhost', async () => {
    for (const [ns, url] of [[outside, 'http://192.0.2.1:30080/'], [nodeNs, `http://${nodeIp}:30080/`], [nodeNs, 'http://127.0.0.1:30080/'], [outside, 'http://192.0.2.1/'], [pods[0].ns, `http://${nodeIp}:30080/`]] as const) {
      expect(await fetchFrom(ns, url), url).to.match(/^10\.42\.0\.1[12]$/);
    }
  });
  it('keeps the client\'s address with externalTrafficPolicy Local, and hides it with Cluster', async () => {
    expect(await fetchFrom(outside, 'http://192.0.2.1:30080/cgi-bin/client')).to.match(/^10\.42\.0\.1\b/);
    await inside(nodeNs, 'iptables', '-I', 'FORWARD', '-i', 'ext', '-o', 'cbr0', '-j', 'ACCEPT');
    expect(await fetchFrom(outside, 'http://192.0.2.1:30084/cgi-bin/client')).to.contain('192.0.2.2');
  });
  it('drops internal traffic with policy Local and no endpoint here', async () => expect(await fetchFrom(pods[0].ns, 'http://10.43.0.25/')).to.equal(undefined));
  it('follows a change of endpoints, and writes only what changed', async () => {
    fake.put('endpointslices', makeSlice('empty', [pods[1].ip]));
    await eventually(AbortSignal.timeout(3000), async () => (await fetchFrom(pods[0].ns, 'http://10.43.0.22/')) === '10.42.0.12');
    fake.put('endpointslices', makeSlice('empty', []));
    await eventually(AbortSignal.timeout(3000), async () => (await fetchFrom(pods[0].ns, 'http://10.43.0.22/')) === undefined);
    expect(await inside(nodeNs, 'iptables-save', '-t', 'nat')).to.not.contain('default/empty');
  });
  it('has a route for service addresses', async () => expect(await inside(nodeNs, 'ip', 'route')).to.match(/^10\.43\.0\.0\/16 dev kube-svc0/m));
  it('comes back after another program flushed the tables', async () => {
    await inside(nodeNs, 'sh', '-c', 'iptables -t nat -F && iptables -t nat -X');
    expect(await fetchFrom(pods[0].ns, 'http://10.43.0.20/')).to.equal(undefined);
    await eventually(AbortSignal.timeout(5000), async () => (await fetchFrom(pods[0].ns, 'http://10.43.0.20/')) !== undefined);
  });
  it('stays before what others accept', async () => {
    await inside(nodeNs, 'iptables', '-I', 'FORWARD', '-i', 'elsewhere0', '-j', 'ACCEPT');
    const forward = async (): Promise<string[]> => (await inside(nodeNs, 'iptables', '-S', 'FORWARD')).split('\n').filter((line) => line.startsWith('-A'));
    await eventually(AbortSignal.timeout(5000), async () => (await forward())[0]?.includes('-j KUBE-'));
    const rules = await forward();
    expect(rules.filter((rule) => rule.includes('-j KUBE-')), 'each jump once').to.have.lengthOf(4);
    expect(rules.findIndex((rule) => rule.includes('elsewhere0'))).to.equal(4);
    await inside(nodeNs, 'iptables', '-D', 'FORWARD', '-i', 'elsewhere0', '-j', 'ACCEPT');
  });
  it('cleanup() leaves nothing of ours and everything of others', async () => {
    stop.abort();
    await running;
    await inside(nodeNs, 'iptables', '-t', 'nat', '-N', 'SOMEBODY');
    await cleanup(AbortSignal.timeout(5000), nodeNs);
    const saved = await inside(nodeNs, 'sh', '-c', 'iptables-save; ip route');
    expect(saved).to.not.contain('KUBE-').and.to.not.contain('10.43.0.0/16');
    expect(saved).to.contain('SOMEBODY').and.to.contain('-A FORWARD -i cbr0 -j ACCEPT');
  });
});
