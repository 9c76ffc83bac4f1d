// Volumes that need no storage of their own: what containers see in them, modes, sub-paths, and updates that appear.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1Pod } from '@kubernetes/client-node';
import { assert } from 'chai';
import { needsHost, sharedCluster, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';

const manifest = (folder: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { data-1: value-1, data-2: value-2 }
binaryData: { blob: AAEC/w== }
---
apiVersion: v1
kind: Secret
metadata: { name: hidden }
stringData: { password: s3cret }
---
apiVersion: v1
kind: Pod
metadata: { name: volumes, labels: { tier: one }, annotations: { build: "7" } }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: ${busyboxImage}
    command: [sh, -c, "while true; do sleep 0.2; done"]
    resources: { limits: { memory: 64Mi } }
    env: [{ name: PART, value: sub }]
    volumeMounts:
    - { name: settings, mountPath: /settings }
    - { name: chosen, mountPath: /chosen, readOnly: true }
    - { name: hidden, mountPath: /hidden }
    - { name: all, mountPath: /all }
    - { name: me, mountPath: /me }
    - { name: scratch, mountPath: /scratch }
    - { name: memory, mountPath: /memory }
    - { name: host, mountPath: /host }
    - { name: scratch, mountPath: /by-name, subPath: inner }
    - { name: scratch, mountPath: /by-expression, subPathExpr: $(PART) }
    - { name: settings, mountPath: /etc/one-file, subPath: data-1 }
  - name: neighbour
    image: ${busyboxImage}
    command: [sh, -c, "while true; do sleep 0.2; done"]
    volumeMounts: [{ name: scratch, mountPath: /scratch }]
  volumes:
  - { name: settings, configMap: { name: settings } }
  - { name: chosen, configMap: { name: settings, defaultMode: 0400, items: [{ key: data-2, path: path/to/two, mode: 0440 }] } }
  - { name: hidden, secret: { secretName: hidden, defaultMode: 0400 } }
  - name: all
    projected:
      sources:
      - { configMap: { name: settings, items: [{ key: data-1, path: one }] } }
      - { secret: { name: hidden, items: [{ key: password, path: two }] } }
      - { downwardAPI: { items: [{ path: name, fieldRef: { fieldPath: metadata.name } }] } }
      - { serviceAccountToken: { path: token, audience: somebody, expirationSeconds: 600 } }
  - name: me
    downwardAPI:
      items:
      - { path: labels, fieldRef: { fieldPath: metadata.labels } }
      - { path: annotations, fieldRef: { fieldPath: metadata.annotations } }
      - { path: limit, resourceFieldRef: { containerName: main, resource: limits.memory } }
  - { name: scratch, emptyDir: {} }
  - { name: memory, emptyDir: { medium: Memory, sizeLimit: 1Mi } }
  - { name: host, hostPath: { path: ${folder}, type: Directory } }
`;

describe('[sig-storage] volumes', function () {
  let cluster: Cluster;
  let k: Kubectl;
  let folder: string;
  before(needsHost);
  before(async () => {
    cluster = await sharedCluster();
    k = await cluster.namespace('volumes');
    folder = join(cluster.host.folder, 'given');
    mkdirSync(folder);
    writeFileSync(join(folder, 'from-host'), 'host\n');
    await k.apply(manifest(folder));
    await k('wait --for=condition=Ready pod/volumes --timeout=30s');
  });
  const sh = (script: string, container = 'main'): Promise<string> => k(`exec volumes -c ${container} -- sh -c`, script);

  it('ConfigMap and Secret volumes: files, chosen items, modes, binary data', async () => {
    assert.equal(await sh('cd /settings; ls; cat data-1 data-2; od -An -tx1 blob'), 'blob\ndata-1\ndata-2\nvalue-1value-2 00 01 02 ff\n');
    assert.equal(await sh('cat /chosen/path/to/two; stat -L -c " %a" /chosen/path/to/two'), 'value-2 440\n');
    assert.equal(await sh('cat /hidden/password; stat -L -c " %a" /hidden/password; ls -A /hidden | grep -c "^\\.\\."'), 's3cret 400\n2\n');
    assert.match((await k.attempt('exec volumes -c main -- sh -c', ['echo x > /settings/data-1'])).stderr, /Read-only file system/);
    assert.equal(await sh('cat /etc/one-file'), 'value-1');
  });

  it('projected and downward API volumes', async () => {
    assert.equal(await sh('cat /all/one; echo; cat /all/two; echo; cat /all/name'), 'value-1\ns3cret\nvolumes');
    const claims = JSON.parse(Buffer.from((await sh('cat /all/token')).split('.')[1] ?? '', 'base64url').toString()) as { aud: string[]; exp: number; iat: number; 'kubernetes.io': { pod: { name: string } } };
    assert.deepEqual(claims.aud, ['somebody']);
    assert.equal(claims.exp - claims.iat, 600);
    assert.equal(claims['kubernetes.io'].pod.name, 'volumes');
    assert.include(await sh('cat /me/labels'), 'tier="one"');
    assert.include(await sh('cat /me/annotations'), 'build="7"');
    assert.equal(await sh('cat /me/limit'), String(64 * 1024 * 1024));
  });

  it('emptyDir is shared between containers, in memory too; hostPath; subPath and subPathExpr', async () => {
    await sh('echo shared > /scratch/file');
    assert.equal(await sh('cat /scratch/file', 'neighbour'), 'shared\n');
    assert.match(await sh('grep " /memory " /proc/mounts'), /^tmpfs \/memory tmpfs .*size=1024k/);
    assert.equal(await sh('cat /host/from-host; echo pod > /host/from-pod'), 'host\n');
    assert.equal(readFileSync(join(folder, 'from-pod'), 'utf8'), 'pod\n');
    await sh('echo a > /by-name/f; echo b > /by-expression/f');
    assert.equal(await sh('cat /scratch/inner/f /scratch/sub/f', 'neighbour'), 'a\nb\n');
  });

  it('updates of ConfigMaps, Secrets, labels and annotations appear; emptyDir survives a restart of the container', async () => {
    await k('patch configmap settings --type=merge -p', '{"data":{"data-1":"changed","data-3":"new","data-2":null}}');
    await k('patch secret hidden --type=merge -p', '{"stringData":{"password":"rotated"}}');
    await k('label pod volumes --overwrite tier=two');
    await until('the updates', async () => {
      assert.equal(await sh('cat /settings/data-1 /settings/data-3; ls /settings/data-2 2>/dev/null || true'), 'changednew');
      assert.equal(await sh('cat /hidden/password /all/one'), 'rotatedchanged');
      assert.include(await sh('cat /me/labels'), 'tier="two"');
    }, 90_000, 500);
    assert.equal(await sh('cat /etc/one-file'), 'value-1', 'a sub-path keeps what it was');
    await k.attempt('exec volumes -c neighbour -- sh -c', ['kill -9 -1; kill -KILL 1']);
    const container = (await k.json<V1Pod>('get pod volumes')).status?.containerStatuses?.find(({ name }) => name === 'neighbour')?.containerID?.replace('docker://', '') ?? '';
    await cluster.host.docker('kill', container);
    await until('a restart', async () => assert.equal((await k.json<V1Pod>('get pod volumes')).status?.containerStatuses?.find(({ name }) => name === 'neighbour')?.restartCount, 1));
    await k('wait --for=condition=Ready pod/volumes --timeout=60s');
    assert.equal(await sh('cat /scratch/file', 'neighbour'), 'shared\n');
  });

  it('a volume that is not there holds the pod back with its reason; nothing stays mounted afterwards', async () => {
    await k.apply(`apiVersion: v1\nkind: Pod\nmetadata: { name: waits }\nspec:\n  terminationGracePeriodSeconds: 1\n  containers: [{ name: main, image: ${busyboxImage}, command: [sleep, "600"], volumeMounts: [{ name: late, mountPath: /late }] }]\n  volumes: [{ name: late, secret: { secretName: late } }]\n`);
    await until('FailedMount', async () => assert.match(await k('events --for pod/waits'), /FailedMount .*secret "late" not found/));
    assert.match(await k('get pod waits'), /ContainerCreating/);
    await k('create secret generic late --from-literal=a=b');
    await k('wait --for=condition=Ready pod/waits --timeout=60s');
    const uid = (await k.json<V1Pod>('get pod volumes')).metadata?.uid ?? 'none';
    const mounts = (): string[] => readFileSync('/proc/self/mounts', 'utf8').split('\n').filter((line) => line.includes(uid));
    assert.isNotEmpty(mounts());
    await k('delete pod volumes waits');
    await until('nothing mounted', () => assert.deepEqual(mounts(), []));
    assert.equal(readFileSync(join(folder, 'from-host'), 'utf8'), 'host\n', 'hostPath is left alone');
  });
});
