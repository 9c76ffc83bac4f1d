// Defaults of pods and pod templates, and the canonical form of the quantities in them. They run on everything that is
// decoded, templates included; what only Pods get is in defaultPod. Upstream: pkg/apis/core/v1/defaults.go.
import { addQuantities, canonicalQuantity, formatQuantity, parseQuantity, roundUpToMilli } from '#machinery/api/quantity.ts';
import type { Quantity } from '#machinery/api/quantity.ts';
import { asObject, at, isEmpty, isObject, need, objects, setEmpty, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';

/** Quantities of a resource list in canonical form, nothing finer than milli. Throws QuantityError for what is none. */
export function defaultResourceList(list: unknown): void {
  if (!isObject(list)) return;
  for (const name in list) {
    const value = list[name];
    if (typeof value !== 'string' && typeof value !== 'number') continue;
    const canonical = canonicalQuantity(value);
    list[name] = /[nu]$|e-/.test(canonical) ? formatQuantity(roundUpToMilli(parseQuantity(value))) : canonical;
  }
}
export function defaultResources(resources: unknown): void {
  defaultResourceList(at(resources, 'limits'));
  defaultResourceList(at(resources, 'requests'));
}

const imageShape = /^(?:(?:[a-zA-Z0-9.-]+|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*(?::(\w[\w.-]{0,127}))?(@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$/;
/** Always for `latest`, said or meant; IfNotPresent for other tags, digests and what is no image name. */
export function pullPolicyOf(image: string): 'Always' | 'IfNotPresent' {
  const match = image.length > 4096 ? null : imageShape.exec(image);
  if (!match) return 'IfNotPresent';
  return match[1] === 'latest' || (match[1] === undefined && match[2] === undefined) ? 'Always' : 'IfNotPresent';
}

function defaultHttpGet(get: unknown): void {
  if (!isObject(get)) return;
  setEmpty(get, 'path', '/');
  setEmpty(get, 'scheme', 'HTTP');
}
function defaultProbe(probe: unknown): void {
  if (!isObject(probe)) return;
  setEmpty(probe, 'timeoutSeconds', 1);
  setEmpty(probe, 'periodSeconds', 10);
  setEmpty(probe, 'successThreshold', 1);
  setEmpty(probe, 'failureThreshold', 3);
  defaultHttpGet(probe['httpGet']);
  const grpc = asObject(probe['grpc']);
  if (grpc) setMissing(grpc, 'service', '');
}
function defaultFieldRefs(source: Obj): void {
  const fieldRef = asObject(source['fieldRef']);
  if (fieldRef) setEmpty(fieldRef, 'apiVersion', 'v1');
  const resource = asObject(source['resourceFieldRef']);
  if (resource) {
    const divisor = resource['divisor'];
    resource['divisor'] = typeof divisor === 'string' || typeof divisor === 'number' ? canonicalQuantity(divisor) : '0';
  }
}

function defaultContainer(container: Obj): void {
  setEmpty(container, 'imagePullPolicy', pullPolicyOf(text(container['image'])));
  setEmpty(container, 'terminationMessagePath', '/dev/termination-log');
  setEmpty(container, 'terminationMessagePolicy', 'File');
  for (const port of objects(container['ports'])) setEmpty(port, 'protocol', 'TCP');
  for (const variable of objects(container['env'])) {
    const source = asObject(variable['valueFrom']);
    if (!source) continue;
    defaultFieldRefs(source);
    const file = asObject(source['fileKeyRef']);
    if (file) setMissing(file, 'optional', false);
  }
  defaultProbe(container['livenessProbe']);
  defaultProbe(container['readinessProbe']);
  defaultProbe(container['startupProbe']);
  defaultHttpGet(at(container, 'lifecycle', 'postStart', 'httpGet'));
  defaultHttpGet(at(container, 'lifecycle', 'preStop', 'httpGet'));
  // Upstream's gate ContainerStopSignals is off: the field is dropped.
  const lifecycle = asObject(container['lifecycle']);
  if (lifecycle) delete lifecycle['stopSignal'];
  setMissing(container, 'resources', {});
  defaultResources(container['resources']);
}

const mode = 0o644;
/** Fields of a volume that are no source. */
function hasSource(volume: Obj): boolean {
  for (const name in volume) if (name !== 'name' && isObject(volume[name])) return true;
  return false;
}
function defaultItems(source: Obj | undefined): void {
  for (const item of objects(source?.['items'])) defaultFieldRefs(item);
}
/** PVC specs: claims, templates of claims, ephemeral volumes. */
export function defaultClaimSpec(spec: unknown): void {
  if (!isObject(spec)) return;
  setMissing(spec, 'volumeMode', 'Filesystem');
  setMissing(spec, 'resources', {});
  defaultResources(spec['resources']);
}
function defaultVolume(volume: Obj): void {
  if (!hasSource(volume)) volume['emptyDir'] = {};
  for (const name in volume) {
    const source = asObject(volume[name]);
    if (source) defaultVolumeSource(name, source);
  }
}
/** Shared by volumes and persistent volumes. */
export function defaultVolumeSource(name: string, source: Obj): void {
  switch (name) {
    case 'secret': case 'configMap': case 'downwardAPI':
      setMissing(source, 'defaultMode', mode);
      defaultItems(source);
      break;
    case 'projected':
      setMissing(source, 'defaultMode', mode);
      for (const projection of objects(source['sources'])) {
        defaultItems(asObject(projection['downwardAPI']));
        const token = asObject(projection['serviceAccountToken']);
        if (token) setMissing(token, 'expirationSeconds', 3600);
      }
      break;
    case 'emptyDir': {
      const limit = source['sizeLimit'];
      if (typeof limit === 'string' || typeof limit === 'number') source['sizeLimit'] = canonicalQuantity(limit);
      break;
    }
    case 'hostPath': setMissing(source, 'type', ''); break;
    case 'ephemeral': defaultClaimSpec(at(source, 'volumeClaimTemplate', 'spec')); break;
    case 'image': setEmpty(source, 'pullPolicy', pullPolicyOf(text(source['reference']))); break;
    case 'iscsi': setEmpty(source, 'iscsiInterface', 'default'); break;
    case 'rbd':
      setEmpty(source, 'pool', 'rbd');
      setEmpty(source, 'user', 'admin');
      setEmpty(source, 'keyring', '/etc/ceph/keyring');
      break;
    case 'azureDisk':
      setMissing(source, 'cachingMode', 'ReadWrite');
      setMissing(source, 'kind', 'Shared');
      setMissing(source, 'fsType', 'ext4');
      setMissing(source, 'readOnly', false);
      break;
    case 'scaleIO':
      setEmpty(source, 'storageMode', 'ThinProvisioned');
      setEmpty(source, 'fsType', 'xfs');
      break;
    default: break;
  }
}

/** The deprecated name and the current one carry the same value; the current one wins. */
function tieServiceAccount(spec: Obj): void {
  const name = text(spec['serviceAccountName']) || text(spec['serviceAccount']);
  if (name === '') return;
  spec['serviceAccountName'] = name;
  spec['serviceAccount'] = name;
}

export function defaultPodSpec(value: unknown): void {
  const spec = asObject(value);
  if (!spec) return;
  setEmpty(spec, 'dnsPolicy', 'ClusterFirst');
  setEmpty(spec, 'restartPolicy', 'Always');
  setMissing(spec, 'securityContext', {});
  setMissing(spec, 'terminationGracePeriodSeconds', 30);
  setEmpty(spec, 'schedulerName', 'default-scheduler');
  tieServiceAccount(spec);
  for (const list of ['containers', 'initContainers', 'ephemeralContainers']) objects(spec[list]).forEach(defaultContainer);
  objects(spec['volumes']).forEach(defaultVolume);
  defaultResourceList(spec['overhead']);
  defaultResources(spec['resources']);
}

export function defaultPodTemplate(template: unknown): void {
  if (!isObject(template)) return;
  setMissing(template, 'metadata', {});
  defaultPodSpec(need(template, 'spec'));
}

export function defaultPod(pod: Obj): void {
  const spec = need(pod, 'spec');
  for (const list of ['containers', 'initContainers']) {
    for (const container of objects(spec[list])) {
      if (spec['hostNetwork'] === true) {
        for (const port of objects(container['ports'])) setEmpty(port, 'hostPort', port['containerPort'] ?? 0);
      }
      requestFromLimits(asObject(container['resources']));
    }
  }
  setMissing(spec, 'enableServiceLinks', true);
  defaultPodSpec(spec);
  defaultPodLevelResources(spec);
  setMissing(pod, 'status', {});
  for (const field of ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses']) {
    for (const status of objects(at(pod, 'status', field))) {
      defaultResourceList(status['allocatedResources']);
      defaultResources(status['resources']);
    }
  }
}

function requestFromLimits(resources: Obj | undefined): void {
  const limits = asObject(resources?.['limits']);
  if (!resources || !limits || Object.keys(limits).length === 0) return;
  const requests = need(resources, 'requests');
  for (const name in limits) setMissing(requests, name, limits[name]);
}

/** Requests of a pod whose spec.resources has limits: what the containers ask for in sum, else the limit. */
function defaultPodLevelResources(spec: Obj): void {
  const resources = asObject(spec['resources']);
  const limits = asObject(resources?.['limits']);
  if (!resources || !limits || isEmpty(Object.keys(limits))) return;
  const requests = need(resources, 'requests');
  for (const name in limits) {
    if (name !== 'cpu' && name !== 'memory') {
      setMissing(requests, name, limits[name]);
      continue;
    }
    const sum = containersRequest(spec, name);
    setMissing(requests, name, sum === undefined ? limits[name] : formatQuantity(sum));
  }
}

/** As the scheduler counts: containers and sidecars add up, an init container needs its own beside the sidecars before it. */
export function containersRequest(spec: Obj, name: string): Quantity | undefined {
  const requestOf = (container: Obj): Quantity | undefined => {
    const value = at(container, 'resources', 'requests', name);
    return typeof value === 'string' || typeof value === 'number' ? parseQuantity(value) : undefined;
  };
  const plus = (a: Quantity | undefined, b: Quantity | undefined): Quantity | undefined => (a && b ? addQuantities(a, b) : a ?? b);
  let sum = objects(spec['containers']).map(requestOf).reduce<Quantity | undefined>(plus, undefined);
  let sidecars: Quantity | undefined;
  let most: Quantity | undefined;
  for (const container of objects(spec['initContainers'])) {
    const request = requestOf(container);
    const needed = plus(sidecars, request);
    if (needed && (!most || needed.nanos > most.nanos)) most = needed;
    if (container['restartPolicy'] === 'Always') sidecars = needed;
  }
  sum = plus(sum, sidecars);
  return most && (!sum || most.nanos > sum.nanos) ? most : sum;
}
