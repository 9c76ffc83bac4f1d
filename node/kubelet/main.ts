// The kubelet: makes the Node, runs the pods bound to it, reports on both, serves its own API. run() settles when all has stopped;
// pods go on running and are taken over by the next run.
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { withTimeout } from '#machinery/base/abort.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Node, Pod, Service } from '#machinery/api/object.ts';
import { createClient } from '#machinery/client/client.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { createRecorder } from '#machinery/client/recorder.ts';
import type { Client, Informer } from '#machinery/client/types.ts';
import { nodes, persistentVolumeClaims, persistentVolumes, pods, services } from '#machinery/client/resources.ts';
import { readFileSync } from 'node:fs';
import { runEntry } from '#machinery/base/entry.ts';
import type { Entry } from '#machinery/base/entry.ts';
import { configFromFlags, kubeletFlags } from './config.ts';
import type { KubeletConfig } from './config.ts';
import type { KubeletContext } from './context.ts';
import { initContainers, isSidecar, podUid } from './container-spec.ts';
import { createImages } from './images/images.ts';
import { createNodeReporter, nodeSubject, readMachine, registerNode, runNodeLease, type NodeInput } from './node-status.ts';
import { parseResolvConf } from './pod-files.ts';
import { createPodSource, type PodSource } from './pod-source.ts';
import { createProbes } from './probes/probes.ts';
import { createReferences } from './references.ts';
import { missingCapabilities, missingCapabilitiesMessage } from './runtime/capabilities.ts';
import type { ImageInfo, Runtime } from './runtime/runtime.ts';
import { streamHandlers } from './server/stream-handlers.ts';
import { startServer } from './server/server.ts';
import type { KubeletServer, ServedNode } from './server/server.ts';
import { createStatusWriter } from './status-writer.ts';
import { mountShared, mountsBelow, unmountBelow } from './volumes/mounts.ts';
import { proveMounts } from './volumes/prove-mounts.ts';
import { runLocalPath } from './volumes/local-path.ts';
import { createTokens } from './volumes/tokens.ts';
import { createVolumes } from './volumes/volumes.ts';

const log = createLogger('kubelet');

async function createRuntime(config: KubeletConfig, podOf: (uid: string) => Pod | undefined): Promise<Runtime> {
  if (config.runtime === 'docker') {
    const { createDockerRuntime } = await import('./runtime/docker.ts');
    return createDockerRuntime({ dockerHost: config.dockerHost, clusterId: config.clusterId, nodeName: config.nodeName, bridgeName: config.bridgeName, clusterCidr: config.clusterCidr, log });
  }
  const { createHollowRuntime } = await import('./runtime/hollow.ts');
  return createHollowRuntime({
    endsByItself: (uid, name) => {
      const pod = podOf(uid);
      return pod !== undefined && initContainers(pod).some((container) => container.name === name && !isSidecar(container));
    },
  });
}

async function selfMadeServing(config: KubeletConfig): Promise<{ cert: string; key: string }> {
  const { createCa, issueCertificate } = await import('#machinery/pki/pki.ts');
  const ca = await createCa(`${config.nodeName}-ca`);
  return issueCertificate(ca, { commonName: config.nodeName, usages: ['server'], dnsNames: [config.nodeName], ips: [config.nodeIp] });
}

/** A folder of our own that passes mounts on to containers that ask for it; `/` itself may be private. */
async function prepareRoot(rootDir: string): Promise<{ isNew: boolean }> {
  const isNew = !(await mountsBelow(rootDir)).includes(rootDir);
  if (isNew) await mountShared(rootDir);
  return { isNew };
}

/** What nodes of one process have together; fleet.ts makes it. A node alone has its own of each. */
export interface Shared {
  /** Acts as the node; not closed with it. */
  client(nodeName: string): Client;
  pods(nodeName: string): Informer<Pod>;
  node(nodeName: string): Informer<Node>;
  readonly services: Informer<Service>;
  serve(node: ServedNode): KubeletServer;
}

/** `onReady` fires once the Node is registered; Node Ready follows when runtime and network are up. */
export async function run(config: KubeletConfig, signal: AbortSignal, onReady?: (info: { port: number }) => void, shared?: Shared): Promise<void> {
  const group = createTaskGroup(signal);
  const stop = group.signal;
  const client = shared?.client(config.nodeName) ?? createClient(config.client);
  let podSource: PodSource | undefined;
  try {
    // Pods' last statuses and deletions are still written while the workers end.
    const recorder = createRecorder({ client, component: 'kubelet', host: config.nodeName }, stop);
    const podInformer = shared?.pods(config.nodeName) ?? createInformer<Pod>(client, pods, { fieldSelector: `spec.nodeName=${config.nodeName}` });
    podInformer.addIndex('uid', (pod) => [podUid(pod)]);
    const serviceInformer = shared?.services ?? createInformer<Service>(client, services);
    const nodeInformer = shared?.node(config.nodeName) ?? createInformer<Node>(client, nodes, { fieldSelector: `metadata.name=${config.nodeName}` });
    if (config.runtime === 'docker') await mkdir(join(config.rootDir, 'pods'), { recursive: true }); // the machine's disk is measured there
    const [runtime, machine, resolvText, root] = await Promise.all([
      createRuntime(config, (uid) => podInformer.byIndex('uid', uid)[0]),
      readMachine(config),
      readFile(config.resolvConf, 'utf8').catch(() => ''),
      config.runtime === 'docker' ? prepareRoot(config.rootDir) : undefined,
    ]);
    const [version] = await Promise.all([
      runtime.version(),
      root && proveMounts(runtime, config.rootDir, stop).catch(async (error: unknown) => {
        if (root.isNew) await unmountBelow(config.rootDir);
        throw error;
      }),
    ]);
    let runtimeRead = false;
    let networkFor = '';
    let images: ImageInfo[] = [];
    const networkProblem = (): string => (networkFor !== '' ? '' : 'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:waiting for spec.podCIDR of the node');
    const problem = (): string => {
      const problems = [...(runtimeRead && runtime.isUp() ? [] : ['container runtime is down']), ...(networkProblem() === '' ? [] : [networkProblem()])];
      return problems.length > 1 ? `[${problems.join(', ')}]` : problems[0] ?? '';
    };

    const served: ServedNode = {
      nodeIp: config.nodeIp, runtime, pods: () => podInformer.list(), pod: (namespace, name) => podInformer.get(namespace, name),
      healthy: () => (runtime.isUp() ? '' : 'container runtime is down'),
      debug: () => podSource?.workers().map((worker) => ({ pod: `${worker.pod.metadata.namespace}/${worker.pod.metadata.name}`, uid: worker.uid, stage: worker.stage, lastError: worker.lastError() })) ?? [],
    };
    const server = shared?.serve(served) ?? await startServer({
      address: config.listenAddress ?? config.nodeIp, port: config.port, serving: config.serving ?? await selfMadeServing(config), clientCa: config.clientCa,
      nodes: new Set([served]), upgrade: streamHandlers(stop), log,
    });
    group.start('kubelet API', async (inner) => {
      await new Promise<void>((resolve) => {
        if (inner.aborted) resolve();
        inner.addEventListener('abort', () => resolve(), { once: true });
      });
      await server.close();
    });

    const input = async (): Promise<NodeInput> => ({ config, machine, runtimeVersion: `${version.name}://${version.version}`, port: server.port, problem: problem(), images });
    const node = await registerNode(client, await input(), log, stop);
    onReady?.({ port: server.port });

    const reporter = createNodeReporter({ client, recorder, node, input, everyMs: config.nodeStatusUpdateMs, log, current: () => nodeInformer.get('', config.nodeName) });
    const missing = config.runtime === 'docker' ? missingCapabilities() : [];
    if (missing.length > 0) recorder.event(nodeSubject(node), 'Warning', 'MissingCapabilities', missingCapabilitiesMessage(missing));
    group.start('node status', (inner) => reporter.run(inner));
    group.start('node lease', (inner) => runNodeLease(client, config, node, log, inner));
    for (const informer of shared ? [] : [podInformer, serviceInformer, nodeInformer]) group.start(`informer of ${informer.resource.resource}`, (inner) => informer.run(inner));

    const probes = createProbes({ runtime, recorder, nodeIp: config.nodeIp, changed: (uid) => podSource?.wake(uid) }, stop);
    const context: KubeletContext = {
      config, client, runtime, recorder, log, probes,
      services: serviceInformer,
      volumes: createVolumes(config.rootDir, {
        reader: { claim: (namespace, name) => client.get(persistentVolumeClaims, namespace, name, stop), volume: (name) => client.get(persistentVolumes, '', name, stop) },
        node: { name: config.nodeName, object: () => nodeInformer.get('', config.nodeName) },
        ...(config.localVolumesDir === undefined ? {} : { localVolumesDir: config.localVolumesDir }),
      }),
      tokens: createTokens(client, stop),
      images: createImages(runtime),
      references: createReferences(client, stop),
      statuses: createStatusWriter(client, log, stop),
      hostResolver: parseResolvConf(resolvText),
      allocatable: () => machine.allocatable,
      networkProblem,
    };
    const source = createPodSource(context, podInformer, () => nodeInformer.get('', config.nodeName));
    podSource = source;
    runtime.onChange((uid) => source.wake(uid));

    const { localVolumesDir: folder } = config;
    if (folder !== undefined) {
      group.start('local volumes', (inner) => runLocalPath({ client, node: nodeInformer, nodeName: config.nodeName, folder, pretends: runtime.pretends, log }, inner));
    }

    // The network follows the pod CIDR, which the controllers may give only later.
    let networkWork: Promise<void> = Promise.resolve();
    const useCidr = (podCidr: string | undefined): void => {
      if (!podCidr || podCidr === networkFor) return;
      networkWork = networkWork.then(async () => {
        if (networkFor === podCidr) return;
        await withTimeout('setting up the pod network', 30_000, stop, (inner) => runtime.ensureNetwork({ name: config.bridgeName, podCidr }, inner));
        networkFor = podCidr;
        reporter.poke();
        source.wakeAll();
      }).catch((error: unknown) => {
        if (stop.aborted) return;
        log.error('pod network not made', { podCidr, error });
        setTimeout(() => !stop.aborted && useCidr(podCidr), 2000).unref();
      });
    };
    nodeInformer.onChange((change) => change.type !== 'deleted' && useCidr(config.podCidr ?? change.object.spec?.podCIDR));
    useCidr(config.podCidr ?? node.spec?.podCIDR);

    const runtimeReady = Promise.withResolvers<void>();
    group.start('runtime', (inner) => runtime.run(() => {
      runtimeRead = true;
      runtimeReady.resolve();
      reporter.poke();
    }, inner));
    group.start('images', async (inner) => {
      await runtimeReady.promise;
      while (!inner.aborted) {
        try {
          images = await runtime.listImages(inner);
        } catch (error) {
          log.debug('images not listed', { error });
        }
        const { sleep } = await import('#machinery/base/clock.ts');
        await sleep(300_000, inner).catch(() => undefined);
      }
    });
    stop.addEventListener('abort', () => runtimeReady.resolve(), { once: true });
    group.start('pods', async (inner) => {
      await Promise.all([podInformer.waitForSync(inner), runtimeReady.promise]);
      inner.throwIfAborted();
      await source.run(inner);
    });
    await group.wait();
    await networkWork;
  } catch (error) {
    group.stop(error);
    await group.wait().catch(() => undefined);
    if (!signal.aborted) throw error;
  } finally {
    if (!shared) client.close();
  }
}

/** Removes everything of this cluster's node: containers, network, rules, mounts, folders. The kubelet must not run. */
export async function removeAllPods(config: KubeletConfig, signal: AbortSignal): Promise<void> {
  if (config.runtime === 'docker') {
    const runtime = await createRuntime(config, () => undefined);
    await runtime.removeAll(signal);
    await unmountBelow(config.rootDir);
  }
  await rm(config.rootDir, { recursive: true, force: true });
}

/** `proa kubelet`. */
export const entry: Entry = {
  name: 'kubelet', summary: 'Runs the pods bound to one node.', flags: kubeletFlags,
  async run(args, signal) {
    const { config, kubeconfig } = configFromFlags(args, (file) => readFileSync(file, 'utf8'));
    const { loadKubeconfig } = await import('#machinery/client/kubeconfig.ts');
    await run({ ...config, client: await loadKubeconfig(kubeconfig) }, signal, ({ port }) => log.info('kubelet ready', { port }));
  },
};

if (import.meta.main) await runEntry(entry, process.argv.slice(2));
