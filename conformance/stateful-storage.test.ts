// A StatefulSet with real containers keeps what it wrote, pod by pod, and its folders go with its claims.
import { existsSync, readFileSync } from 'node:fs';
import { assert } from 'chai';
import { needsHost, sharedCluster, until } from './fixtures/cluster.ts';
import type { Kubectl } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';

const manifest = `
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  serviceName: db
  replicas: 2
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: { runAsUser: 1000, fsGroup: 2000 }
      containers:
      - name: main
        image: ${busyboxImage}
        command: [sh, -c, "echo $HOSTNAME >> /data/log; while true; do sleep 0.2; done"]
        volumeMounts: [{ name: data, mountPath: /data }, { name: data, mountPath: /part, subPath: a/b }]
  volumeClaimTemplates:
  - metadata: { name: data }
    spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 10Mi } } }
`;

describe('[sig-apps] StatefulSet with volumes', function () {
  let k: Kubectl;
  before(needsHost);
  before(async () => {
    k = await (await sharedCluster()).namespace('stateful-storage');
    await k.apply(manifest);
    await k('rollout status statefulset/db --timeout=40s');
  });
  const folderOf = async (claim: string): Promise<string> => k(`get pv ${await k(`get pvc ${claim} -o jsonpath={.spec.volumeName}`)} -o jsonpath={.spec.local.path}`);

  it('each pod has a folder of its own, which belongs to its group', async () => {
    assert.equal(await k('exec db-1 -- sh -c', 'cat /data/log; stat -c "%g %a" /data; touch /part/x; ls /data/a/b'), 'db-1\n2000 2777\nx\n');
    assert.notEqual(await folderOf('data-db-0'), await folderOf('data-db-1'));
  });
  it('a pod that comes back finds what it wrote', async () => {
    const folder = await folderOf('data-db-0');
    const uid = await k('get pod db-0 -o jsonpath={.metadata.uid}');
    await k('delete pod db-0');
    await until('another db-0', async () => (await k('get pod db-0 -o jsonpath={.metadata.uid}')) !== uid);
    await k('wait --for=condition=Ready pod/db-0 --timeout=30s');
    await until('its second line', () => readFileSync(`${folder}/log`, 'utf8') === 'db-0\ndb-0\n');
  });
  it('folders go with their claims', async () => {
    const folder = await folderOf('data-db-0');
    assert.isTrue(existsSync(folder));
    await k('delete statefulset db');
    await k('delete pvc data-db-0 data-db-1 --timeout=30s');
    await until('the folder is gone', () => !existsSync(folder));
  });
});
