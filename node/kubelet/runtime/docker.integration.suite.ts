// The behaviour suite on a real engine. Run by docker.integration.test.ts as a process of its own, inside a network namespace
// that it shares with the engine: the kubelet's rules belong where the engine's bridges are.
import { createLogger } from '#machinery/base/log.ts';
import { connectDocker, createDockerRuntime } from './docker.ts';
import { startEngine } from './engine.testing.ts';
import { runtimeSuite } from './suite.ts';

runtimeSuite('docker runtime', async () => {
  const engine = await startEngine([]);
  // What a cluster leaves whose data folder was thrown away: in the way of both the bridge's name and its addresses.
  await (await connectDocker(engine.dockerHost)).createNetwork({
    Name: 'proa-thrown-away-n1', Driver: 'bridge', Labels: { 'proa.cluster': 'thrown-away', 'proa.node': 'n1' },
    IPAM: { Driver: 'default', Config: [{ Subnet: '10.42.7.0/24' }] }, Options: { 'com.docker.network.bridge.name': 'suite0' },
  });
  const stop = new AbortController();
  const runtime = await createDockerRuntime({ dockerHost: engine.dockerHost, clusterId: 'suite', nodeName: 'n1', bridgeName: 'suite0', clusterCidr: '10.42.0.0/16', log: createLogger('suite') });
  const ready = Promise.withResolvers<void>();
  const running = runtime.run(() => ready.resolve(), stop.signal);
  await ready.promise;
  return {
    runtime, image: 'suite:1', podCidr: '10.42.7.0/24',
    async stop() {
      stop.abort();
      await running;
      await engine.stop();
    },
  };
});
