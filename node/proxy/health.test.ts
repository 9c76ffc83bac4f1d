// Health as load balancers see it, over loopback.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import type { Clock } from '#machinery/base/clock.ts';
import type { Node } from '#machinery/api/object.ts';
import { checkedServices, HealthServers, isEligible, ProxyHealth, type CheckedService } from './health.ts';
import { servicePorts } from './services.ts';

function createTime(): { clock: Clock; advance: (ms: number) => void } {
  let now = Date.UTC(2026, 0, 1);
  return { clock: { now: () => now, sleep: () => new Promise(() => undefined) }, advance: (ms) => { now += ms; } };
}
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => void server.close(resolve));
  return port;
}
const nodes = [{ name: 'a', ip: '127.0.0.1' }, { name: 'b', ip: '127.0.0.2' }];
const service = (port: number, local: Record<string, number>): CheckedService => ({ namespace: 'default', name: 'web', port, local: new Map(Object.entries(local)) });

describe('ProxyHealth', () => {
  it('is well while it starts, and until a change is late', () => {
    const { clock, advance } = createTime();
    const health = new ProxyHealth(60_000, clock);
    health.pending();
    advance(100_000);
    expect(health.healthy, 'before the first rules').to.equal(true);
    health.updated();
    health.pending();
    advance(59_999);
    expect(health.healthy).to.equal(true);
    health.pending(); // the oldest change counts
    advance(1);
    expect(health.page()).to.deep.equal({ status: 503, body: '{"lastUpdated":"2026-01-01T00:01:40.000Z","currentTime":"2026-01-01T00:02:40.000Z","healthy":false,"status":{"IPv4":{"lastUpdated":"2026-01-01T00:01:40.000Z","healthy":false}}}' });
    health.updated();
    expect(health.page().status).to.equal(200);
  });
  it('answers for a node that may get traffic only', () => {
    const health = new ProxyHealth(1);
    expect(health.page(false).status).to.equal(503);
    expect(JSON.parse(health.page(true).body)).to.include({ nodeEligible: true, healthy: true });
    const node = (more: Partial<Node>): Node => ({ metadata: { name: 'n' }, ...more });
    expect([undefined, node({}), node({ spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] } }), node({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })].map(isEligible)).to.deep.equal([false, true, false, false]);
  });
});

describe('checkedServices()', () => {
  const ports = (type: string, externalTrafficPolicy: string) => servicePorts(
    [{ metadata: { namespace: 'default', name: 'web' }, spec: { type, externalTrafficPolicy, clusterIP: '10.0.0.1', healthCheckNodePort: 30_001, ports: [{ name: 'x', port: 80 }, { name: 'y', port: 81 }] } }],
    [{ metadata: { name: 's', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } }, addressType: 'IPv4', ports: [{ name: 'x', port: 8080, protocol: 'TCP' }, { name: 'y', port: 8081, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.1.0.1'], nodeName: 'a' }, { addresses: ['10.1.0.2'], nodeName: 'a' }, { addresses: ['10.1.0.3'], nodeName: 'a', conditions: { ready: false } }, { addresses: ['10.1.1.1'], nodeName: 'b', conditions: { ready: false, serving: true, terminating: true } }] }], 'IPv4');
  it('counts the ready pods of each node once, whatever their ports', () => {
    expect(checkedServices(ports('LoadBalancer', 'Local'))).to.deep.equal([{ namespace: 'default', name: 'web', port: 30_001, local: new Map([['a', 2]]) }]);
  });
  it('leaves out Services that spread traffic over all nodes, and those without a load balancer', () => {
    expect([...checkedServices(ports('LoadBalancer', 'Cluster')), ...checkedServices(ports('NodePort', 'Local'))]).to.deep.equal([]);
  });
});

describe('HealthServers', () => {
  it('says for each node whether it has an endpoint, follows changes, and lets the port go', async () => {
    const health = new ProxyHealth(1000);
    const servers = new HealthServers({ nodes, health, onFailure: (_service, _node, message) => expect.fail(message) });
    const port = await freePort();
    try {
      await servers.sync([service(port, { a: 2 })]);
      const [a, b] = await Promise.all(nodes.map(({ ip }) => fetch(`http://${ip}:${port}/anything`)));
      expect([a?.status, b?.status]).to.deep.equal([200, 503]);
      expect(a?.headers.get('x-load-balancing-endpoint-weight')).to.equal('2');
      expect(await a?.text()).to.equal('{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}');
      await servers.sync([service(port, { b: 1 })]);
      expect(await Promise.all(nodes.map(async ({ ip }) => (await fetch(`http://${ip}:${port}/`)).status))).to.deep.equal([503, 200]);
      await servers.sync([]);
      expect(await fetch(`http://127.0.0.1:${port}/`).then(() => 'answered', () => 'refused')).to.equal('refused');
    } finally {
      await servers.close();
    }
  });
  it('says once that a port is taken, and takes it when it is free', async () => {
    const port = await freePort();
    const other = createServer();
    await new Promise<void>((resolve) => void other.listen(port, '127.0.0.1', resolve));
    const failures: string[] = [];
    const servers = new HealthServers({ nodes: nodes.slice(0, 1), health: new ProxyHealth(1000), onFailure: (_service, _node, message) => failures.push(message) });
    try {
      await servers.sync([service(port, { a: 1 })]);
      await servers.sync([service(port, { a: 1 })]);
      expect(failures).to.deep.equal([`node a failed to start healthcheck "default/web" on port ${port}: listen EADDRINUSE: address already in use 127.0.0.1:${port}`]);
      await new Promise((resolve) => void other.close(resolve));
      await servers.sync([service(port, { a: 1 })]);
      expect((await fetch(`http://127.0.0.1:${port}/`)).status).to.equal(200);
    } finally {
      await servers.close();
    }
  });
});
