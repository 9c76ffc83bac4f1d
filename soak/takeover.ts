// Two controller managers, or two schedulers, and one lease: when the one that works is killed, cut off from the API server or told to stop, the other one
// works within the lease's time, and never do both.
import { join } from 'node:path';
import { eventually } from '#machinery/base/abort.ts';
import { createClient } from '#machinery/client/client.ts';
import { leases, namespaces, nodes, pods, serviceAccounts } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import { startCluster } from '../cluster/cluster.ts';
import { isLeading, startComponent, type ComponentProcess } from './component-process.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import type { Soak, SoakRun } from './soak.ts';

const leaseMs = 2000;
const renewMs = 1500;
const retryMs = 300;
/** Attempts come `retryMs` apart, up to 2.2 times that. */
const longestTakeoverMs = leaseMs + 2.2 * retryMs;
/** For the test's own questions, and a machine that does other things too. */
const roomMs = 3000;

interface Component {
  name: 'controllers' | 'scheduler';
  lease: string;
  /** Shows that whoever leads works; another one each time. */
  works: (admin: Client, round: number, signal: AbortSignal) => Promise<void>;
}

export const controllersTakeover: Soak = {
  name: 'controllers-takeover',
  summary: 'two controller managers: the leader is killed, cut off, stopped, 20 times (short: once each)',
  run: (of) => run(of, {
    name: 'controllers', lease: 'kube-controller-manager',
    async works(admin, round, signal) {
      const name = `round-${round}`;
      await admin.create(namespaces, '', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }, signal);
      await eventually(signal, () => admin.get(serviceAccounts, name, 'default', signal).catch(() => undefined));
    },
  }),
};

export const schedulerTakeover: Soak = {
  name: 'scheduler-takeover',
  summary: 'two schedulers: the leader is killed, cut off, stopped, 20 times (short: once each); every pod is bound once',
  run: (of) => run(of, {
    name: 'scheduler', lease: 'kube-scheduler',
    async works(admin, round, signal) {
      if (round === 1) {
        await admin.create(serviceAccounts, 'default', { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } }, signal);
        await admin.create(nodes, '', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' }, status: { allocatable: { cpu: '8', memory: '8Gi', pods: '110' } } }, signal);
      }
      const name = `round-${round}`;
      const spec = { containers: [{ name: 'c', image: 'none' }], tolerations: [{ operator: 'Exists' }] };
      await admin.create(pods, 'default', { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec }, signal);
      await eventually(signal, async () => (await admin.get(pods, 'default', name, signal)).spec?.nodeName === 'n');
    },
  }),
};

type End = 'kill -9' | 'cut off' | 'SIGTERM';
interface Candidate { proxy: FaultProxy; process: ComponentProcess }

async function run({ short, folder, signal, say }: SoakRun, { name, lease, works }: Component): Promise<string[]> {
  const cluster = await startCluster({ nodes: 0, disable: ['controllers', 'scheduler'], dataDir: join(folder, 'data') });
  const admin = createClient(cluster.client);
  const candidates: Candidate[] = [];
  const slowest = new Map<End, number>();
  const start = async (index: number): Promise<void> => {
    const proxy = candidates[index]?.proxy ?? await startFaultProxy({ server: cluster.client, user: `system:${lease}`, random: () => 1 });
    proxy.cutOff = false;
    const times = ['--leader-elect-lease-duration', `${leaseMs}ms`, '--leader-elect-renew-deadline', `${renewMs}ms`, '--leader-elect-retry-period', `${retryMs}ms`];
    candidates[index] = { proxy, process: await startComponent({ component: name, folder, name: `candidate-${index}`, server: proxy.url, flags: times }) };
  };
  const leader = async (): Promise<Candidate> => eventually(AbortSignal.any([signal, AbortSignal.timeout(20_000)]), async () => {
    const leading = await Promise.all(candidates.map(async ({ process }) => process.ended() === undefined && isLeading(process)));
    if (leading.filter(Boolean).length > 1) throw new Error('both lead');
    return candidates[leading.indexOf(true)];
  }, 25);
  let worked = 0;
  const expectWork = (): Promise<void> => works(admin, (worked += 1), AbortSignal.any([signal, AbortSignal.timeout(10_000)]));
  try {
    await start(0);
    await leader();
    await start(1);
    await expectWork();
    const ends: End[] = ['kill -9', 'cut off', 'SIGTERM'];
    for (let round = 0; round < (short ? 1 : 20) * ends.length; round += 1) {
      const end = ends[round % ends.length]!; // of three
      const first = await leader();
      const other = candidates.find((candidate) => candidate !== first);
      if (!other) throw new Error('there is no second candidate');
      await eventually(AbortSignal.any([signal, AbortSignal.timeout(20_000)]), () => other.process.page('/healthz').catch(() => undefined));
      const renewed = (await admin.get(leases, 'kube-system', lease, signal)).metadata.resourceVersion;
      await eventually(AbortSignal.any([signal, AbortSignal.timeout(5000)]), async () => (await admin.get(leases, 'kube-system', lease, signal)).metadata.resourceVersion !== renewed, 20);
      const at = Date.now();
      if (end === 'cut off') first.proxy.cutOff = true;
      else await first.process.stop(end === 'kill -9' ? 'SIGKILL' : 'SIGTERM');
      await eventually(AbortSignal.any([signal, AbortSignal.timeout(20_000)]), () => isLeading(other.process), 25);
      const tookMs = Date.now() - at;
      slowest.set(end, Math.max(slowest.get(end) ?? 0, tookMs));
      const allowedMs = end === 'SIGTERM' ? 2.2 * retryMs : longestTakeoverMs;
      if (tookMs > allowedMs + roomMs) throw new Error(`${end}: the other one leads after ${tookMs} ms, not ${allowedMs} ms`);
      if (end === 'cut off' && await isLeading(first.process)) throw new Error('the leader that was cut off still leads when the other one does');
      if (end === 'cut off') {
        const code = await eventually(AbortSignal.any([signal, AbortSignal.timeout(10_000)]), () => first.process.ended());
        if (code !== 1) throw new Error(`the leader that was cut off ended with ${code}`);
        if (!first.process.log().includes('was not renewed')) throw new Error('the leader that was cut off does not say why it ended');
      }
      await expectWork();
      await start(candidates.indexOf(first));
      say(`${end}: the other one leads after ${tookMs} ms`);
    }
    return [...slowest].map(([end, ms]) => `${end}: the other one leads after ${ms} ms at most (lease ${leaseMs} ms, renewed every ${retryMs} ms), and works`);
  } finally {
    await Promise.all(candidates.map(async ({ process }) => process.stop('SIGKILL')));
    await Promise.all(candidates.map(async ({ proxy }) => proxy.close()));
    admin.close();
    await cluster.stop();
  }
}
