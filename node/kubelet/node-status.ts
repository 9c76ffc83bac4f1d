// The Node object of this machine: registration, status, lease. Upstream: kubelet_node_status.go, nodestatus/setters.go.
import { readFile, statfs } from 'node:fs/promises';
import { arch, availableParallelism, release, totalmem } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { folderAnnotation } from '#machinery/api/local-path.ts';
import { createBackoff } from '#machinery/base/backoff.ts';
import { rfc3339, rfc3339Micro, sleep } from '#machinery/base/clock.ts';
import type { Logger } from '#machinery/base/log.ts';
import type { Lease, Node, NodeCondition, Taint } from '#machinery/api/object.ts';
import { quantityBytes } from '#machinery/api/quantity.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#machinery/api/status.ts';
import { leases, nodes } from '#machinery/client/resources.ts';
import type { Client, EventRecorder } from '#machinery/client/types.ts';
import { isExtended } from './admission.ts';
import type { KubeletConfig } from './config.ts';
import type { ImageInfo } from './runtime/runtime.ts';

export interface MachineInfo {
  machineID: string; systemUUID: string; bootID: string; kernelVersion: string; osImage: string; architecture: string;
  capacity: Record<string, string>;
  allocatable: Record<string, string>;
}

const architectures: Record<string, string> = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386', s390x: 's390x', ppc64: 'ppc64le', riscv64: 'riscv64' };
const evictionMemoryBytes = 100 * 1024 * 1024;

export async function readMachine(config: KubeletConfig): Promise<MachineInfo> {
  const text = (path: string): Promise<string> => readFile(path, 'utf8').then((content) => content.trim(), () => '');
  const [machineID, systemUUID, bootID, osRelease] = await Promise.all([
    text('/etc/machine-id'), text('/sys/class/dmi/id/product_uuid'), text('/proc/sys/kernel/random/boot_id'), text('/etc/os-release'),
  ]);
  const cpu = config.capacity?.cpu ?? String(availableParallelism());
  const memory = config.capacity?.memory ?? `${Math.floor(totalmem() / 1024)}Ki`;
  const disk = config.runtime === 'hollow' ? { bsize: 4096, blocks: 25_000_000 } : await statfs(config.rootDir);
  const diskBytes = disk.bsize * disk.blocks;
  const common = { 'hugepages-1Gi': '0', 'hugepages-2Mi': '0', 'pods': String(config.maxPods) };
  return {
    machineID, systemUUID: systemUUID || machineID, bootID, kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? 'Linux', architecture: architectures[arch()] ?? arch(),
    capacity: { cpu, 'ephemeral-storage': `${Math.floor(diskBytes / 1024)}Ki`, ...common, memory },
    allocatable: {
      cpu, 'ephemeral-storage': String(Math.floor(diskBytes * 0.9)), ...common,
      memory: `${Math.max(0, Math.floor((quantityBytes(memory) - evictionMemoryBytes) / 1024))}Ki`,
    },
  };
}

export interface NodeInput {
  config: KubeletConfig;
  machine: MachineInfo;
  runtimeVersion: string;
  port: number;
  /** '' when pods can run. */
  problem: string;
  images: ImageInfo[];
}

type NodeStatus = NonNullable<Node['status']>;

export function nodeStatus({ config, machine, runtimeVersion, port, problem, images }: NodeInput, old: NodeStatus | undefined, nowMs: number): NodeStatus {
  const now = rfc3339(nowMs);
  const condition = (type: string, status: string, reason: string, message: string): NodeCondition => {
    const before = old?.conditions?.find((candidate) => candidate.type === type);
    return { type, status, lastHeartbeatTime: now, lastTransitionTime: before?.status === status && before.lastTransitionTime ? before.lastTransitionTime : now, reason, message };
  };
  return {
    addresses: [{ type: 'InternalIP', address: config.nodeIp }, { type: 'Hostname', address: config.nodeName }],
    capacity: machine.capacity,
    allocatable: machine.allocatable,
    conditions: [
      condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
      condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
      condition('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
      problem === '' ? condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status') : condition('Ready', 'False', 'KubeletNotReady', problem),
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    nodeInfo: {
      machineID: machine.machineID, systemUUID: machine.systemUUID, bootID: machine.bootID, kernelVersion: machine.kernelVersion, osImage: machine.osImage,
      containerRuntimeVersion: runtimeVersion, kubeletVersion: config.version, kubeProxyVersion: '', operatingSystem: 'linux', architecture: machine.architecture,
    },
    ...(images.length > 0 ? {
      images: [...images].sort((a, b) => b.sizeBytes - a.sizeBytes).slice(0, 50).map(({ names, sizeBytes }) => ({ names: names.slice(0, 5), sizeBytes })),
    } : {}),
  };
}

export function nodeObject(input: NodeInput, nowMs: number): Node {
  const { config, machine } = input;
  const labels = {
    'beta.kubernetes.io/arch': machine.architecture, 'beta.kubernetes.io/os': 'linux', 'kubernetes.io/arch': machine.architecture,
    'kubernetes.io/hostname': config.nodeName, 'kubernetes.io/os': 'linux', ...config.nodeLabels,
  };
  return {
    apiVersion: 'v1', kind: 'Node',
    metadata: { name: config.nodeName, labels, annotations: { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true', ...(config.localVolumesDir === undefined ? {} : { [folderAnnotation]: config.localVolumesDir }) } },
    spec: config.registerTaints.length > 0 ? { taints: config.registerTaints as Taint[] } : {},
    status: nodeStatus(input, undefined, nowMs),
  };
}

/** Makes the Node, or brings the labels of the one that exists up to date. Tries until it is there. */
export async function registerNode(client: Client, input: NodeInput, log: Logger, signal: AbortSignal): Promise<Node> {
  const backoff = createBackoff({ baseMs: 100, maxMs: 7000 });
  for (;;) {
    const wanted = nodeObject(input, Date.now());
    try {
      return await client.create(nodes, '', wanted, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isAlreadyExists(error)) {
        const old = await client.get(nodes, '', input.config.nodeName, signal);
        const same = Object.entries(wanted.metadata.labels ?? {}).every(([key, value]) => old.metadata.labels?.[key] === value);
        if (same) return old;
        return client.patch(nodes, '', input.config.nodeName, 'merge', { metadata: { labels: wanted.metadata.labels } }, signal);
      }
      log.warn('node not registered yet', { node: input.config.nodeName, error });
      await sleep(backoff.nextMs(), signal);
    }
  }
}

/**
 * Extended resources that somebody gave the node by its capacity can be had whole; null for those whose capacity was taken away.
 * Empty when the node says so already. Upstream: MachineInfo in pkg/kubelet/nodestatus.
 */
export function extendedAllocatable(status: NodeStatus | undefined): Record<string, string | null> {
  const changes: Record<string, string | null> = {};
  const { capacity = {}, allocatable = {} } = status ?? {};
  for (const [name, amount] of Object.entries(capacity)) if (isExtended(name) && allocatable[name] !== amount) changes[name] = amount;
  for (const name of Object.keys(allocatable)) if (isExtended(name) && capacity[name] === undefined) changes[name] = null;
  return changes;
}

/** Everything but the times of heartbeats. */
const still = (status: NodeStatus): unknown => JSON.parse(JSON.stringify({ ...status, conditions: status.conditions?.map(({ lastHeartbeatTime: _heartbeat, ...rest }) => rest) }));

/** What events of the node are about: upstream's kubelet names the Node by its name in place of its uid. */
export const nodeSubject = (node: Node): Node => ({ ...node, apiVersion: 'v1', kind: 'Node', metadata: { ...node.metadata, uid: node.metadata.name ?? '' } });

export interface NodeReporter {
  /** Looks now instead of at the next round. */
  poke(): void;
  run(signal: AbortSignal): Promise<void>;
}

export function createNodeReporter(options: {
  client: Client; recorder: EventRecorder; node: Node; input: () => Promise<NodeInput>; everyMs: number; log: Logger;
  /** The Node as others see it. */
  current: () => Node | undefined;
}): NodeReporter {
  const { client, recorder, log } = options;
  const reportEveryMs = 300_000 * (0.9 + Math.random() * 0.2);
  let notify: (() => void) | undefined;
  let poked = false;
  let written: NodeStatus | undefined = options.node.status;
  let writtenAtMs = 0;
  const subject = nodeSubject(options.node);

  async function report(signal: AbortSignal): Promise<void> {
    const input = await options.input();
    const wanted = nodeStatus(input, written, Date.now());
    const extended = extendedAllocatable(options.current()?.status);
    if (Object.keys(extended).length === 0 && written && isDeepStrictEqual(still(written), still(wanted)) && Date.now() - writtenAtMs < reportEveryMs) return;
    const readyBefore = written?.conditions?.find(({ type }) => type === 'Ready')?.status;
    const ready = wanted.conditions?.find(({ type }) => type === 'Ready')?.status;
    // Lists that merge by key would keep an address that is no longer ours.
    const addresses = isDeepStrictEqual(written?.addresses, wanted.addresses) || !written?.addresses ? wanted.addresses : [{ $patch: 'replace' }, ...wanted.addresses ?? []];
    await client.patch(nodes, '', input.config.nodeName, 'strategic', { status: { ...wanted, allocatable: { ...wanted.allocatable, ...extended }, addresses } }, signal, { subresource: 'status' });
    written = wanted;
    writtenAtMs = Date.now();
    if (ready !== readyBefore) recorder.event(subject, 'Normal', ready === 'True' ? 'NodeReady' : 'NodeNotReady', `Node ${input.config.nodeName} status is now: ${ready === 'True' ? 'NodeReady' : 'NodeNotReady'}`);
  }
  return {
    poke() {
      poked = true;
      notify?.();
    },
    async run(signal) {
      recorder.event(subject, 'Normal', 'Starting', 'Starting kubelet.');
      while (!signal.aborted) {
        poked = false;
        let waitMs = options.everyMs;
        try {
          await report(signal);
        } catch (error) {
          if (signal.aborted) return;
          if (isNotFound(error)) {
            log.warn('the Node was deleted, registering again', { node: options.node.metadata.name });
            written = (await registerNode(client, await options.input(), log, signal)).status;
          } else log.warn('node status not written', { error });
          waitMs = 1000;
        }
        if (poked) continue;
        await new Promise<void>((resolve) => {
          const end = (): void => {
            clearTimeout(timer);
            signal.removeEventListener('abort', end);
            notify = undefined;
            resolve();
          };
          const timer = setTimeout(end, waitMs);
          signal.addEventListener('abort', end, { once: true });
          notify = end;
        });
      }
    },
  };
}

/** Renews the node's lease until the signal aborts. */
export async function runNodeLease(client: Client, config: KubeletConfig, node: Node, log: Logger, signal: AbortSignal): Promise<void> {
  const namespace = 'kube-node-lease';
  const everyMs = config.leaseDurationSeconds * 250;
  let held: Lease | undefined;
  while (!signal.aborted) {
    const spec = { holderIdentity: config.nodeName, leaseDurationSeconds: config.leaseDurationSeconds, renewTime: rfc3339Micro(Date.now()) };
    try {
      if (held) held = await client.update(leases, namespace, config.nodeName, { ...held, spec: { ...held.spec, ...spec } }, signal);
      else {
        const { name = '', uid = '' } = node.metadata;
        held = await client.create<Lease>(leases, namespace, {
          apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', spec,
          metadata: { name: config.nodeName, namespace, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] },
        }, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      try {
        held = isAlreadyExists(error) || isConflict(error) ? await client.get(leases, namespace, config.nodeName, signal) : undefined;
        if (held) continue;
      } catch (cause) {
        log.debug('lease not read', { error: cause });
      }
      log.warn('lease not renewed', { error });
      await sleep(Math.min(2000, everyMs), signal).catch(() => undefined);
      continue;
    }
    await sleep(everyMs, signal).catch(() => undefined);
  }
}
