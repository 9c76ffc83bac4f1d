// Rows with real containers: one pod from `kubectl run` to Ready, a Deployment of 30 to Ready and gone. On a host of its own (a
// network namespace with a Docker Engine in it), so root and Docker's packages are needed.
import { busyboxImage } from '../conformance/fixtures/images.ts';
import { clusterOf, sharedHost, startServer, until } from '../conformance/fixtures/cluster.ts';
import { hostMissing } from '../conformance/fixtures/host.ts';
import type { Table } from './table.ts';

/** What is missing here, else undefined. */
export async function measureContainers(table: Table, column = 0): Promise<string | undefined> {
  const missing = await hostMissing();
  if (missing !== undefined) return missing;
  const host = await sharedHost(busyboxImage);
  const server = await startServer(host, ['--stop-pods']);
  try {
    table.set('start to ready, with Docker', '600 ms', column, { measured: `${/in (\d+) ms/.exec(server.readyLine)?.[1]} ms` });
    const { kubectl } = await clusterOf(host, server);
    await kubectl('wait --for=condition=Ready node --all --timeout=30s');
    const runs: number[] = [];
    for (let n = 0; n < 5; n += 1) {
      const startedAt = performance.now();
      await kubectl(`run one-${n} --image=${busyboxImage} --image-pull-policy=Never -- sleep 3600`);
      await kubectl(`wait --for=condition=Ready pod/one-${n} --timeout=30s`);
      runs.push(performance.now() - startedAt);
    }
    table.set('one pod, kubectl run to Ready (median of 5)', '0.9 s', column, { measured: `${((runs.sort((a, b) => a - b)[2] ?? Number.NaN) / 1000).toFixed(2)} s` });
    await kubectl('delete pod --all --grace-period=1');
    const startedAt = performance.now();
    await kubectl(`create deployment thirty --image=${busyboxImage} --replicas=30 -- sh -c`, "trap 'exit 0' TERM; sleep 3600 & wait");
    await kubectl('rollout status deployment/thirty --timeout=120s');
    table.set('Deployment of 30 to Ready', '12 s', column, { measured: `${((performance.now() - startedAt) / 1000).toFixed(1)} s` });
    const deletedAt = performance.now();
    await kubectl('delete deployment thirty');
    await until('no pod is left', async () => (await kubectl('get pods -l app=thirty -o name')) === '', 60_000, 50);
    table.set('Deployment of 30 gone', '5 s', column, { measured: `${((performance.now() - deletedAt) / 1000).toFixed(1)} s` });
  } finally {
    await server.stop();
    await host.close();
  }
  return undefined;
}
