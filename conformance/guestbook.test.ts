// The main job: a multi-tier application applied from a manifest, its tiers talking to each other, users reaching it.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1NodeList, V1Pod, V1PodList, V1Service } from '@kubernetes/client-node';
import { assert } from 'chai';
import { needsHost, sharedCluster, skipUnless, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import { nginxImage, redisImage } from './fixtures/images.ts';

const isReady = (pod: V1Pod): boolean => pod.status?.phase === 'Running' && (pod.status.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True');
async function allReady(k: Kubectl, count: number): Promise<V1Pod[]> {
  let pods: V1Pod[] = [];
  await until(`${count} pods Running and Ready`, async () => {
    pods = (await k.json<V1PodList>('get pods')).items;
    assert.lengthOf(pods.filter(isReady), count, pods.map((pod) => `${pod.metadata?.name} ${pod.status?.phase} ${JSON.stringify(pod.status?.containerStatuses?.[0]?.state)}`).join('; '));
  }, 60_000, 300);
  return pods;
}
const named = (pods: V1Pod[], prefix: string): string[] => pods.map((pod) => pod.metadata?.name ?? '').filter((name) => name.startsWith(prefix));

/** A page over a forwarded port; kubectl picks the local port. */
async function throughPortForward({ host }: Cluster, k: Kubectl, target: string): Promise<string> {
  const forward = k.start(`port-forward ${target} :80`);
  try {
    let port = '';
    await until('a forwarded port', () => {
      port = /127\.0\.0\.1:(\d+) ->/.exec(forward.output())?.[1] ?? '';
      return port !== '';
    }, 10_000);
    return await host.must('curl', ['-sS', '-m', '5', `http://127.0.0.1:${port}/`]);
  } finally {
    await forward.stop();
  }
}

describe('[sig-cli] Kubectl client Guestbook application', function () {
  before(needsHost);

  it('should create and stop a working application [Conformance]', async () => {
    const cluster = await sharedCluster(redisImage, nginxImage);
    const { host } = cluster;
    const k = await cluster.namespace('guestbook');
    await k.apply(readFileSync(join(import.meta.dirname, 'testdata/guestbook.yaml'), 'utf8'));
    const pods = await allReady(k, 6);

    const [leader = ''] = named(pods, 'leader-');
    const replicas = named(pods, 'replica-');
    assert.lengthOf(replicas, 2);
    assert.equal((await k(`exec ${leader} -- redis-cli set entry hello`)).trim(), 'OK');
    for (const replica of replicas) {
      await until('the entry on the replica', async () => assert.equal((await k(`exec ${replica} -- redis-cli get entry`)).trim(), 'hello'));
      assert.include(await k(`exec ${replica} -- redis-cli info replication`), 'master_host:leader');
    }

    const service = await k.json<V1Service>('get service frontend');
    const { clusterIP } = service.spec ?? {};
    const nodePort = service.spec?.ports?.[0]?.nodePort ?? 0;
    assert.isAtLeast(nodePort, 30_000);
    const frontends = named(pods, 'frontend-');
    const seen = new Set<string>();
    for (let attempt = 0; attempt < 60 && seen.size < 3; attempt += 1) seen.add((await host.must('curl', ['-sS', '-m', '5', `http://${clusterIP}/`])).trim());
    assert.sameMembers([...seen], frontends, 'the cluster IP reaches every frontend from the host');
    assert.include(frontends, (await k(`exec ${leader} -- wget -q -O - http://frontend/`)).trim(), 'by name from a pod');
    const nodes = await cluster.kubectl.json<V1NodeList>('get nodes');
    const nodeIp = nodes.items[0]?.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
    assert.include(frontends, (await host.must('curl', ['-sS', '-m', '5', `http://${nodeIp}:${nodePort}/`])).trim(), 'on the NodePort');
    assert.include(frontends, (await throughPortForward(cluster, k, 'service/frontend')).trim(), 'through kubectl port-forward');

    await k('delete --wait=true -f', join(import.meta.dirname, 'testdata/guestbook.yaml'));
    await until('all pods gone', async () => (await k.json<V1PodList>('get pods')).items.length === 0);
    assert.notEqual((await host.run('curl', ['-sS', '-m', '2', `http://${clusterIP}/`])).code, 0, 'nobody answers on the cluster IP any more');
  });

  describe('with the manifest as kubernetes/examples has it', () => {
    const path = join(import.meta.dirname, '../../shared/manifests/web-guestbook-all-in-one-guestbook-all-in-one.yaml');
    before(function () {
      return skipUnless(this, () => existsSync(path) ? undefined : 'kubernetes/examples is not beside this repository');
    });

    it('runs unchanged', async () => {
      const cluster = await sharedCluster(redisImage, nginxImage);
      const { host } = cluster;
      const manifest = readFileSync(path, 'utf8');
      // Stand-ins under the names the manifest uses; the replica's image follows redis-master, as the original's script does.
      const images = [...manifest.matchAll(/^\s*image:\s*(\S+)/gm)].map(([, image = '']) => image);
      assert.lengthOf(images, 3);
      for (const image of images) {
        if (/frontend/.test(image)) await host.docker('tag', nginxImage, image);
        else if (/slave|replica|follower/.test(image)) await asReplicaImage(cluster, image);
        else await host.docker('tag', redisImage, image);
      }
      const k = await cluster.namespace('examples');
      await k('apply -f', path);
      const pods = await allReady(k, 6);
      const [leader = ''] = named(pods, 'redis-master-');
      assert.equal((await k(`exec ${leader} -- redis-cli set guest book`)).trim(), 'OK');
      for (const replica of named(pods, 'redis-replica-')) {
        await until('the entry on the replica', async () => assert.equal((await k(`exec ${replica} -- redis-cli get guest`)).trim(), 'book'));
      }
      const service = await k.json<V1Service>('get service frontend');
      const frontends = named(pods, 'frontend-');
      assert.include(frontends, (await host.must('curl', ['-sS', '-m', '5', `http://${service.spec?.clusterIP}/`])).trim());
      assert.include(frontends, (await throughPortForward(cluster, k, 'svc/frontend')).trim());
      await k('delete --wait=false -f', path);
    });
  });
});

/** An image that starts a redis which follows `redis-master`. */
async function asReplicaImage({ host }: Cluster, image: string): Promise<void> {
  const container = (await host.docker('create', redisImage)).trim();
  const command = JSON.stringify(['redis-server', '--protected-mode', 'no', '--save', '', '--replicaof', 'redis-master', '6379']);
  await host.docker('commit', '--change', `CMD ${command}`, container, image);
  await host.docker('rm', container);
}
