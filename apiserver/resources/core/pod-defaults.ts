// Defaults of pods and pod templates, and the canonical form of the quantities in them. They run on everything that is
// decoded, templates included; what only Pods get is in defaultPod. Upstream: pkg/apis/core/v1/defaults.go.
import { canonicalQuantity, formatQuantity, parseQuantity, roundUpToMilli } from '#machinery/api/quantity.ts';
import { asObject, at, isObject, need, objects, setEmpty, setMissing, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { containersLimit, containersRequest } from './pod-resources.ts';
import { isHugePages } from './resource-names.ts';

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
const maxImageName = 255;
/** Always for `latest`, said or meant; IfNotPresent for other tags, digests and what is no image name. */
export function pullPolicyOf(image: string): 'Always' | 'IfNotPresent' {
  const match = image.length > 4096 ? null : imageShape.exec(image);
  if (!match || image.length - (match[1]?.length ?? 0) - (match[2]?.length ?? 0) > maxImageName) return 'IfNotPresent';
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
  if (lifecycle && 'stopSignal' in lifecycle) {
    delete lifecycle['stopSignal'];
    if (Object.keys(lifecycle).length === 0) delete container['lifecycle'];
  }
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
        // Upstream's gates ClusterTrustBundleProjection and PodCertificateRequest are off: the sources are dropped.
        delete projection['clusterTrustBundle'];
        delete projection['podCertificate'];
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
    case 'ephemeral': {
      const template = asObject(source['volumeClaimTemplate']);
      if (template) setMissing(template, 'metadata', {});
      defaultClaimSpec(template?.['spec']);
      break;
    }
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
  // Upstream's gate GenericWorkload is off.
  delete spec['schedulingGroup'];
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
  // Templates keep what is negative.
  if (Number(spec['terminationGracePeriodSeconds']) < 0) spec['terminationGracePeriodSeconds'] = 1;
  defaultPodLevelResources(spec);
  tieAddresses(need(pod, 'status'));
  defaultResourceList(at(pod, 'status', 'allocatedResources'));
  defaultResources(at(pod, 'status', 'resources'));
  for (const field of ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses']) {
    for (const status of objects(at(pod, 'status', field))) {
      defaultResourceList(status['allocatedResources']);
      defaultResources(status['resources']);
    }
  }
}

/** The one address that old kubelets tell, and the list of all: the first of the list, and it wins where they differ. */
function tieAddresses(status: Obj): void {
  const [ip, first] = [text(status['podIP']), text(objects(status['podIPs'])[0]?.['ip'])];
  if (ip !== '' && ip !== first) status['podIPs'] = [{ ip }];
  else if (ip === '' && first !== '') status['podIP'] = first;
}

function requestFromLimits(resources: Obj | undefined): void {
  const limits = asObject(resources?.['limits']);
  if (!resources || !limits || Object.keys(limits).length === 0) return;
  const requests = need(resources, 'requests');
  for (const name in limits) setMissing(requests, name, limits[name]);
}

/** Of a pod whose spec.resources says something: limits of huge pages and requests are what the containers ask for in sum, requests else the limit. */
function defaultPodLevelResources(spec: Obj): void {
  const resources = asObject(spec['resources']);
  if (!resources) return;
  const isGiven = (list: unknown): boolean => isObject(list) && Object.keys(list).length > 0;
  if (isGiven(resources['limits']) || isGiven(resources['requests'])) {
    for (const name of resourcesOf(spec, 'limits')) {
      if (!isHugePages(name) || at(resources, 'requests', name) !== undefined) continue;
      const sum = containersLimit(spec, name);
      if (sum) setMissing(need(resources, 'limits'), name, formatQuantity(sum));
    }
  }
  const limits = asObject(resources['limits']);
  if (!limits || !isGiven(limits)) return;
  const requests = asObject(resources['requests']) ?? {};
  for (const name of resourcesOf(spec, 'requests')) {
    const sum = name === 'cpu' || name === 'memory' ? containersRequest(spec, name) : undefined;
    if (sum) setMissing(requests, name, formatQuantity(sum));
  }
  for (const name in limits) if (name === 'cpu' || name === 'memory' || isHugePages(name)) setMissing(requests, name, limits[name]);
  if (isGiven(requests)) resources['requests'] = requests;
}
/** Every resource that a container names in the list. */
function resourcesOf(spec: Obj, list: 'requests' | 'limits'): Set<string> {
  const containers = [...objects(spec['containers']), ...objects(spec['initContainers'])];
  return new Set(containers.flatMap((container) => Object.keys(asObject(at(container, 'resources', list)) ?? {})));
}
