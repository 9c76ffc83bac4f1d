// What survives kill -9 of the whole process tree, on sqlite and on etcd, and what a clean stop leaves behind: nothing.
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { V1ConfigMapList, V1PodList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { clusterOf, freeHost, needsHost, skipUnless, sleep, startServer, until } from './fixtures/cluster.ts';
import type { Kubectl } from './fixtures/cluster.ts';
import type { Host } from './fixtures/host.ts';
import { busyboxImage } from './fixtures/images.ts';
import { run, stop } from './fixtures/process.ts';
import { traces } from './fixtures/traces.ts';

const workload = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: steady }
spec:
  replicas: 2
  selector: { matchLabels: { app: steady } }
  template:
    metadata: { labels: { app: steady } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - { name: main, image: ${busyboxImage}, command: [sh, -c, "hostname > /tmp/index.html; exec httpd -f -p 80 -h /tmp"], volumeMounts: [{ name: scratch, mountPath: /scratch }, { name: token, mountPath: /token }] }
      volumes: [{ name: scratch, emptyDir: { medium: Memory } }, { name: token, secret: { secretName: token } }]
---
apiVersion: v1
kind: Secret
metadata: { name: token }
stringData: { value: hidden }
---
apiVersion: v1
kind: Service
metadata: { name: steady }
spec: { selector: { app: steady }, ports: [{ port: 80 }] }
`;

describe('kill -9 of the whole process tree', function () {
  before(needsHost);

  it('loses no acknowledged object and restarts no container (sqlite)', async () => {
    await survives(await freeHost(), []);
  });

  describe('on etcd', () => {
    before(async function () {
      await skipUnless(this, async () => (await run('sh', ['-c', 'command -v etcd'])).code === 0 ? undefined : 'etcd is not installed');
    });
    it('loses no acknowledged object and restarts no container', async () => {
      const host = await freeHost();
      const etcd = await startEtcd(host);
      try {
        await survives(host, ['--etcd-servers', 'http://127.0.0.1:2379']);
      } finally {
        await stop(etcd);
      }
    });
  });
});

async function survives(host: Host, flags: readonly string[]): Promise<void> {
  const clean = await traces(host, ['recovery', 'data']);
  const dataDir = mkdtempSync(join(host.folder, 'recovery-'));
  let server = await startServer(host, flags, { dataDir });
  let cluster = await clusterOf(host, server);
  const k = await cluster.namespace('recovery');
  await k.apply(workload);
  await k('rollout status deployment/steady --timeout=60s');
  const before = await containersOf(k);
  assert.lengthOf(before, 2);

  // Two writers, as people do it: one applies a file of 50 again and again, one creates one after the other.
  const acknowledged: string[] = [];
  let killed = false;
  const applied = (round: number): string => Array.from({ length: 50 }, (_, index) => `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: batch-${round}-${index} }\ndata: { round: "${round}" }\n`).join('---\n');
  const apply = (async () => {
    for (let round = 0; !killed; round += 1) {
      const { stdout } = await k.attempt('apply -f -', [], { input: applied(round) });
      for (const [, name = ''] of stdout.matchAll(/^configmap\/(\S+) created$/gm)) acknowledged.push(name);
    }
  })();
  const create = (async () => {
    for (let index = 0; !killed; index += 1) {
      if ((await k.attempt(`create configmap single-${index} --from-literal=a=b`)).code === 0) acknowledged.push(`single-${index}`);
    }
  })();
  await until('some rounds of writing', () => acknowledged.length > 120, 60_000);
  await sleep(300 * Math.random()); // somewhere in the middle of a batch
  await server.kill();
  killed = true;
  await Promise.all([apply, create]);
  assert.isAbove(acknowledged.filter((name) => name.startsWith('single-')).length, 0);

  server = await startServer(host, [...flags, '--stop-pods'], { dataDir });
  cluster = await clusterOf(host, server);
  const again = cluster.kubectl.in(k.namespace);
  const stored = new Set((await again.json<V1ConfigMapList>('get configmaps')).items.map(({ metadata }) => metadata?.name));
  assert.deepEqual(acknowledged.filter((name) => !stored.has(name)), [], 'acknowledged, and gone after the restart');
  await sleep(2000); // time enough to restart something by mistake
  assert.deepEqual(await containersOf(again), before, 'the same containers, never restarted');
  const running = (await host.docker('ps', '-q', '--no-trunc')).trim().split('\n');
  for (const { id } of before) assert.include(running, id.replace('docker://', ''));
  const clusterIp = await again('get service steady -o', 'jsonpath={.spec.clusterIP}');
  await until('the Service answers', async () => assert.match(await host.must('curl', ['-sS', '-m', '2', `http://${clusterIp}/`]), /^steady-/));
  await again('scale deployment steady --replicas=3');
  await again('rollout status deployment/steady --timeout=30s');

  await cluster.kubectl(`delete namespace ${k.namespace} --timeout=60s`);
  assert.equal(await server.stop(), 0, server.output().slice(-2000));
  assert.deepEqual(await traces(host, ['recovery', 'data']), clean, 'what is left after the namespace was deleted and the cluster stopped with --stop-pods');
}

async function containersOf(k: Kubectl): Promise<{ id: string; restarts: number }[]> {
  const { items } = await k.json<V1PodList>('get pods -l app=steady');
  return items.flatMap(({ status }) => status?.containerStatuses ?? []).map(({ containerID = '', restartCount }) => ({ id: containerID, restarts: restartCount })).sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function startEtcd(host: Host): Promise<ChildProcess> {
  const folder = mkdtempSync(join(host.folder, 'etcd-'));
  const child = host.spawn('etcd', ['--data-dir', folder, '--listen-client-urls', 'http://127.0.0.1:2379', '--advertise-client-urls', 'http://127.0.0.1:2379', '--listen-peer-urls', 'http://127.0.0.1:2380', '--initial-advertise-peer-urls', 'http://127.0.0.1:2380', '--initial-cluster', 'default=http://127.0.0.1:2380'], 'etcd.log');
  await until('etcd', async () => (await host.run('curl', ['-sf', '-m', '1', 'http://127.0.0.1:2379/health'])).code === 0, 20_000);
  return child;
}
