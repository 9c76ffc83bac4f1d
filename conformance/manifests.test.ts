// Manifests of workloads as people have them reach the state they ask for, with local images under the names that they use.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1NodeList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { parseAllDocuments } from 'yaml';
import { clusterOf, freeHost, needsHost, skipUnless, startServer, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import type { Host } from './fixtures/host.ts';
import { busyboxImage } from './fixtures/images.ts';

interface Manifest { kind: string; metadata: { name: string; labels?: Record<string, string> }; spec?: { replicas?: number; template?: { spec?: Record<string, { image?: string; imagePullPolicy?: string }[]> }; volumeClaimTemplates?: { metadata: { annotations?: Record<string, string> } }[] } }
const workloads = ['StatefulSet', 'ReplicationController', 'Deployment'];
const beta = 'volume.beta.kubernetes.io/storage-class';

const read = (path: string): Manifest[] => parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS() as Manifest | null).filter((one) => one !== null);
const containersOf = ({ spec }: Manifest): { image?: string; imagePullPolicy?: string }[] => [...spec?.template?.spec?.['initContainers'] ?? [], ...spec?.template?.spec?.['containers'] ?? []];

/** Programs that the manifests call, and a process that ends when it is told to: enough to be started, probed and stopped. */
async function standIn(host: Host, image: string, made: Set<string>): Promise<void> {
  if (made.has(image)) return;
  made.add(image);
  const container = (await host.docker('create', busyboxImage)).trim();
  const folder = join(host.folder, 'stand-in');
  if (!existsSync(folder)) {
    mkdirSync(join(folder, 'bin'), { recursive: true });
    for (const [file, text] of [['ready-probe.sh', '#!/bin/sh\nexit 0\n'], ['bin/nodetool', '#!/bin/sh\nexit 0\n'], ['bin/bash', '#!/bin/sh\nexec /bin/sh "$@"\n']] as const) writeFileSync(join(folder, file), text, { mode: 0o755 });
  }
  await host.must('docker', ['-H', host.dockerHost, 'cp', `${folder}/.`, `${container}:/`]);
  await host.docker('commit', '--change', `CMD ${JSON.stringify(['sh', '-c', "trap 'exit 0' TERM; sleep 36000 & wait"])}`, container, image);
  await host.docker('rm', container);
}

describe('manifests of workloads', function () {
  let host: Host;
  let cluster: Cluster;
  const made = new Set<string>();
  before(needsHost);
  before(async () => {
    host = await freeHost();
    cluster = await clusterOf(host, await startServer(host, ['--nodes', '2', '--stop-pods']));
    await until('two Ready nodes', async () => {
      assert.lengthOf((await cluster.kubectl.json<V1NodeList>('get nodes')).items.filter(({ status }) => status?.conditions?.some(({ type, status: state }) => type === 'Ready' && state === 'True')), 2);
    });
  });
  after(async () => void await cluster?.server.stop());

  /** Applies one file, and waits until each workload in it is as it asks to be. */
  async function reaches(path: string, more: readonly string[], timeoutMs: number): Promise<number> {
    const objects = read(path);
    const k: Kubectl = await cluster.namespace('manifests');
    for (const container of objects.flatMap(containersOf)) {
      if (container.image !== undefined) await standIn(host, container.image, made);
      container.imagePullPolicy = 'IfNotPresent'; // what stands in is here and nowhere else
    }
    // Claims of a class that nobody provisions for find volumes that somebody made by hand.
    for (const { metadata, spec } of objects) {
      for (const template of spec?.volumeClaimTemplates ?? []) {
        for (let n = 0; n < (spec?.replicas ?? 1); n += 1) {
          await k.apply(JSON.stringify({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: `${metadata.name}-${n}` }, spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], storageClassName: template.metadata.annotations?.[beta] ?? '', hostPath: { path: join(host.folder, `${metadata.name}-${n}`), type: 'DirectoryOrCreate' } } }));
        }
      }
    }
    for (const file of more) await k(`apply -f`, file);
    await k.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
    const asked = objects.filter(({ kind }) => workloads.includes(kind));
    await Promise.all(asked.map(({ kind, metadata, spec }) => until(`${kind} ${metadata.name} of ${path}`, async () => {
      const { status = {} } = await k.json<{ status?: Record<string, number> }>(`get ${kind} ${metadata.name}`);
      assert.include(status, { replicas: spec?.replicas ?? 1, readyReplicas: spec?.replicas ?? 1 }, await k('get pods,pvc'));
    }, timeoutMs, 500)));
    await k('delete pod,rc,deployment,statefulset --all --grace-period=1 --wait=false');
    return asked.length;
  }

  it('of our own reach their desired state', async () => {
    assert.equal(await reaches(join(import.meta.dirname, 'testdata/workloads.yaml'), [], 60_000), 3);
  });

  describe('as kubernetes/examples has them', () => {
    const folder = join(import.meta.dirname, '../../shared/manifests');
    const mapCount = '/proc/sys/vm/max_map_count';
    let mapCountBefore = '';
    before(function () {
      return skipUnless(this, () => existsSync(folder) ? undefined : 'kubernetes/examples is not beside this repository');
    });
    before(() => { mapCountBefore = readFileSync(mapCount, 'utf8'); });
    after(() => mapCountBefore !== '' && writeFileSync(mapCount, mapCountBefore)); // one of them sets it for the whole machine

    it('all with StatefulSets, ReplicationControllers and Deployments reach their desired state', async () => {
      const files = readdirSync(folder).filter((file) => /\.(yaml|json)$/.test(file)).map((file) => join(folder, file)).filter((path) => read(path).some(({ kind }) => workloads.includes(kind)));
      assert.isAtLeast(files.length, 16);
      const account = (path: string): string[] => (path.includes('elasticsearch-production') ? [join(folder, 'elasticsearch-production_cluster-service-account.yaml')] : path.includes('elasticsearch') ? [join(folder, 'elasticsearch-service-account.yaml')] : []);
      // The one that waits longest runs beside the others, which come one after the other.
      const slow = files.filter((path) => path.includes('cassandra'));
      const counts = await Promise.all([...slow.map((path) => reaches(path, [], 120_000)), (async () => {
        let sum = 0;
        for (const path of files.filter((one) => !slow.includes(one))) sum += await reaches(path, account(path), 60_000);
        return sum;
      })()]);
      assert.isAtLeast(counts.reduce((sum, count) => sum + count, 0), 18);
    });
  });
});
