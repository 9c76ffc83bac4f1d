// What the API server tells, turned into changes of the snapshot, the queue and the nominations; and the informers behind it.
import { createInformer } from '#machinery/client/informer.ts';
import { createInformers } from '#machinery/client/informers.ts';
import {
  csiNodes, namespaces, nodes, persistentVolumeClaims, persistentVolumes, podDisruptionBudgets, pods, replicaSets, replicationControllers,
  services, statefulSets, storageClasses,
} from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import { controllerOf, type Container, type Pod, type PodDisruptionBudget } from '#machinery/api/object.ts';
import { Devices } from './devices.ts';
import { classOfVolume } from '#machinery/api/volumes.ts';
import type { Nominator } from './nominator.ts';
import { createPodInfo, sameLabels, type PodInfo, type Requests } from './pod-info.ts';
import type { Context } from './plugin.ts';
import type { SchedulingQueue } from './queue.ts';
import { compileLabels, compileLabelSelector, type Labels, type Selector } from './selectors.ts';
import type { Snapshot } from './snapshot.ts';
import { VolumePromises } from './volume-promises.ts';

export interface Cluster {
  readonly context: Context;
  /** The newest copy of a pod. */
  pod(namespace: string, name: string): Pod | undefined;
  budgets(): PodDisruptionBudget[];
  /** Connects the informers to the queue; call before `run`. */
  feed(queue: SchedulingQueue, nominator: Nominator): void;
  run(signal: AbortSignal): Promise<void>;
  waitForSync(signal: AbortSignal): Promise<void>;
}

/** `wholePods`: with what no plugin reads, for somebody else to read. */
export function watchCluster(client: Client, snapshot: Snapshot, isOurs: (schedulerName: string) => boolean, { wholePods = false } = {}): Cluster {
  const podInformer = createInformer(client, pods, { fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed', ...(wholePods ? {} : { keep: keepPod }) });
  const nodeInformer = createInformer(client, nodes);
  const others = createInformers(client);
  const byName = {
    namespaces: others.for(namespaces), services: others.for(services), replicationControllers: others.for(replicationControllers),
    replicaSets: others.for(replicaSets), statefulSets: others.for(statefulSets), claims: others.for(persistentVolumeClaims),
    volumes: others.for(persistentVolumes), classes: others.for(storageClasses), budgets: others.for(podDisruptionBudgets), csiNodes: others.for(csiNodes),
  };
  byName.volumes.addIndex('class', (volume) => [classOfVolume(volume)]);
  const devices = new Devices(client);
  const promises = new VolumePromises();
  let volumesChanged = Promise.withResolvers<void>();
  const tellVolumes = (): void => {
    volumesChanged.resolve();
    volumesChanged = Promise.withResolvers<void>();
  };
  const serviceSelectors = new Map<string, { version: string | undefined; selector: Selector }>();

  function defaultSelector(pod: PodInfo): Selector | undefined {
    let selector: Selector | undefined;
    const join = (other: Selector): void => {
      selector = selector ? selector.and(other) : other;
    };
    for (const service of byName.services.list(pod.namespace)) {
      const wanted = service.spec?.selector;
      if (!wanted || Object.keys(wanted).length === 0) continue;
      const key = service.metadata.uid ?? '';
      let compiled = serviceSelectors.get(key);
      if (compiled?.version !== service.metadata.resourceVersion || !compiled) {
        compiled = { version: service.metadata.resourceVersion, selector: compileLabels(wanted) };
        serviceSelectors.set(key, compiled);
      }
      if (compiled.selector.matches(pod.labels)) join(compiled.selector);
    }
    const owner = controllerOf(pod.pod);
    if (owner?.apiVersion === 'v1' && owner.kind === 'ReplicationController') {
      const found = byName.replicationControllers.get(pod.namespace, owner.name);
      if (found?.spec?.selector) join(compileLabels(found.spec.selector));
    } else if (owner?.apiVersion === 'apps/v1' && owner.kind === 'ReplicaSet') {
      const found = byName.replicaSets.get(pod.namespace, owner.name);
      if (found?.spec) join(compileLabelSelector(found.spec.selector));
    } else if (owner?.apiVersion === 'apps/v1' && owner.kind === 'StatefulSet') {
      const found = byName.statefulSets.get(pod.namespace, owner.name);
      if (found?.spec) join(compileLabelSelector(found.spec.selector));
    }
    return selector?.empty ? undefined : selector;
  }

  return {
    context: {
      snapshot,
      defaultSelector,
      namespaceLabels: (name): Labels | undefined => byName.namespaces.get('', name)?.metadata.labels,
      claim: (namespace, name) => byName.claims.get(namespace, name),
      volume: (name) => byName.volumes.get('', name),
      volumesOfClass: (name) => byName.volumes.byIndex('class', name),
      storageClass: (name) => byName.classes.get('', name),
      csiNode: (name) => byName.csiNodes.get('', name),
      pod: (namespace, name) => podInformer.get(namespace, name),
      devices,
      promises,
      volumesChanged: () => volumesChanged.promise,
    },
    pod: (namespace, name) => podInformer.get(namespace, name),
    budgets: () => byName.budgets.list(),
    feed(queue, nominator) {
      podInformer.onChange((change) => {
        if (change.type === 'deleted') {
          podDeleted(change.object, snapshot, queue, nominator);
          tellVolumes();
        }
        else {
          if (change.object.spec?.resourceClaims?.length && !change.object.spec.nodeName) devices.need();
          podSeen(change.object, change.type === 'updated' ? change.old : undefined, isOurs, snapshot, queue, nominator);
        }
      });
      devices.onChange = () => {
        queue.regate();
        queue.event('Device');
      };
      nodeInformer.onChange((change) => {
        const name = change.object.metadata.name ?? '';
        if (change.type === 'deleted') {
          snapshot.deleteNode(name);
          queue.event('NodeLabel'); // a domain may be gone, which changes how pods must spread
        } else for (const event of snapshot.setNode(change.object)) queue.event(event, { node: name });
      });
      const volumeEvent = (): void => {
        queue.event('Volume');
        tellVolumes();
      };
      byName.claims.onChange(volumeEvent);
      byName.volumes.onChange(volumeEvent);
      byName.classes.onChange(volumeEvent);
      byName.csiNodes.onChange(volumeEvent);
      byName.namespaces.onChange((change) => {
        if (change.type !== 'updated' || !sameLabels(change.old.metadata.labels, change.object.metadata.labels)) queue.event('Namespace');
      });
      byName.services.onChange((change) => {
        if (change.type === 'deleted') serviceSelectors.delete(change.object.metadata.uid ?? '');
      });
    },
    async run(signal) {
      await Promise.all([podInformer.run(signal), nodeInformer.run(signal), others.run(signal), devices.run(signal)]);
    },
    async waitForSync(signal) {
      await Promise.all([podInformer.waitForSync(signal), nodeInformer.waitForSync(signal), others.waitForSync(signal)]);
    },
  };
}

export function schedulerOf(pod: Pod): string {
  return pod.spec?.schedulerName ?? 'default-scheduler';
}

function podSeen(pod: Pod, old: Pod | undefined, isOurs: (schedulerName: string) => boolean, snapshot: Snapshot, queue: SchedulingQueue, nominator: Nominator): void {
  const uid = pod.metadata.uid ?? '';
  const recreated = old !== undefined && old.metadata.uid !== uid;
  if (recreated) podDeleted(old, snapshot, queue, nominator);
  const before = recreated ? undefined : old;
  if (pod.spec?.nodeName) {
    const known = before?.spec?.nodeName !== undefined;
    const { before: counted, now } = snapshot.setPod(pod);
    queue.delete(uid);
    nominator.delete(uid);
    if (!known) queue.event('PodAdd', { node: pod.spec.nodeName, now });
    else if (before && counted && (!sameLabels(before.metadata.labels, pod.metadata.labels) || isLess(now.requests, counted.requests))) {
      queue.event('PodUpdate', { node: pod.spec.nodeName, now, before: counted });
    }
    return;
  }
  if (!isOurs(schedulerOf(pod))) return;
  if (snapshot.isAssumed(uid)) return; // placed already; the binding is on its way
  const changed = before === undefined || !sameSpec(before, pod);
  const known = queue.get(uid);
  if (known && !changed) known.info.pod = pod;
  else queue.set(createPodInfo(pod), changed);
  const info = queue.get(uid)?.info;
  const nominated = pod.status?.nominatedNodeName;
  if (info && nominated) nominator.set(info, nominated);
  else if (!nominated && before?.status?.nominatedNodeName) nominator.delete(uid);
  // Room that was kept for it is for others now.
  if (info && before?.status?.nominatedNodeName && before.status.nominatedNodeName !== nominated) queue.event('PodDelete', { node: before.status.nominatedNodeName, before: info });
}

/** Some of it is given back: by a smaller spec, or later by a status that shows that the resize is done. */
function isLess(now: Requests, before: Requests): boolean {
  return now.cpu < before.cpu || now.memory < before.memory || now.ephemeral < before.ephemeral
    || [...before.scalars ?? []].some(([name, amount]) => (now.scalars?.get(name) ?? 0) < amount);
}

function podDeleted(pod: Pod, snapshot: Snapshot, queue: SchedulingQueue, nominator: Nominator): void {
  const uid = pod.metadata.uid ?? '';
  const nominated = nominator.nodeOf(uid);
  queue.delete(uid);
  nominator.delete(uid);
  const before = snapshot.deletePod(uid);
  const node = pod.spec?.nodeName ?? nominated;
  if (node) queue.event('PodDelete', { node, ...(before ? { before } : {}) });
}

/** Status alone says nothing new about a pod that waits, but for the names of its claims. */
function sameSpec(before: Pod, now: Pod): boolean {
  return before.metadata.uid === now.metadata.uid && before.metadata.deletionTimestamp === now.metadata.deletionTimestamp
    && sameLabels(before.metadata.labels, now.metadata.labels)
    && JSON.stringify(before.status?.resourceClaimStatuses) === JSON.stringify(now.status?.resourceClaimStatuses) && JSON.stringify(before.spec) === JSON.stringify(now.spec);
}

/** Drops what no plugin reads: thousands of pods stay in memory. */
export function keepPod(pod: Pod): Pod {
  const { metadata, spec, status } = pod;
  if (!spec) return pod;
  const keepContainer = ({ name, image, resources, ports, restartPolicy, restartPolicyRules }: Container): Container =>
    ({ name, image, resources, ports, restartPolicy, ...(restartPolicyRules ? { restartPolicyRules } : {}) });
  const volumes = spec.volumes?.filter((volume) => volume.persistentVolumeClaim || volume.ephemeral || volume.image
    || volume.gcePersistentDisk || volume.awsElasticBlockStore || volume.iscsi || volume.rbd);
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      name: metadata.name, namespace: metadata.namespace, uid: metadata.uid, resourceVersion: metadata.resourceVersion,
      generation: metadata.generation, creationTimestamp: metadata.creationTimestamp, deletionTimestamp: metadata.deletionTimestamp,
      labels: metadata.labels, ownerReferences: metadata.ownerReferences,
    },
    spec: {
      nodeName: spec.nodeName, schedulerName: spec.schedulerName, priority: spec.priority, preemptionPolicy: spec.preemptionPolicy,
      nodeSelector: spec.nodeSelector, affinity: spec.affinity, tolerations: spec.tolerations, overhead: spec.overhead,
      topologySpreadConstraints: spec.topologySpreadConstraints, schedulingGates: spec.schedulingGates, resources: spec.resources,
      containers: spec.containers.map(keepContainer), initContainers: spec.initContainers?.map(keepContainer),
      volumes: volumes && volumes.length > 0 ? volumes : undefined,
      ...(spec.resourceClaims ? { resourceClaims: spec.resourceClaims } : {}),
    },
    status: status && {
      phase: status.phase, conditions: status.conditions, nominatedNodeName: status.nominatedNodeName, startTime: status.startTime,
      ...(status.resourceClaimStatuses ? { resourceClaimStatuses: status.resourceClaimStatuses } : {}),
      ...((metadata.generation ?? 1) > 1 ? {
        containerStatuses: status.containerStatuses, initContainerStatuses: status.initContainerStatuses,
        resources: status.resources, allocatedResources: status.allocatedResources,
      } : {}),
    },
  };
}
