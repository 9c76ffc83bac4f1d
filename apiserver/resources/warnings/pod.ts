// Warnings of pods and pod templates: what is deprecated, and what is allowed but hardly meant. Upstream: pkg/api/pod/warnings.go.
import type { Obj } from '../values.ts';
import { asObject, at, integer, objects, strings, text } from '../values.ts';
import { addressWarnings } from './addresses.ts';
import { deprecatedLabel, labelWarnings, termWarnings } from './node-labels.ts';
import { overlapWarnings } from './paths.ts';
import { claimSpecWarnings, fractionWarnings, pluginWarnings } from './volumes.ts';

const annotationTexts: readonly [key: string, message: string][] = [
  ['scheduler.alpha.kubernetes.io/critical-pod', 'non-functional in v1.16+; use the "priorityClassName" field instead'],
  ['security.alpha.kubernetes.io/sysctls', 'non-functional in v1.11+; use the "sysctls" field instead'],
  ['security.alpha.kubernetes.io/unsafe-sysctls', 'non-functional in v1.11+; use the "sysctls" field instead'],
];
const bytes = ['memory', 'ephemeral-storage'] as const;
const seccompPod = 'seccomp.security.alpha.kubernetes.io/pod';
const seccompContainer = 'container.seccomp.security.alpha.kubernetes.io/';
const appArmor = 'container.apparmor.security.beta.kubernetes.io/';
const instead = 'non-functional in v1.27+; use the "seccompProfile" field instead';

/** `path` of a template; '' for a pod. */
export function podWarnings(pod: Readonly<Obj>, path = ''): string[] {
  const prefix = path === '' ? '' : `${path}.`;
  const spec = asObject(pod['spec']) ?? {};
  const annotations = asObject(at(pod, 'metadata', 'annotations')) ?? {};
  const annotated = (key: string, message: string): string[] => (Object.hasOwn(annotations, key) ? [`${prefix}metadata.annotations[${key}]: ${message}`] : []);
  const containers = containersOf(spec, `${prefix}spec`);
  const security = asObject(spec['securityContext']);
  return [
    ...placementWarnings(spec, `${prefix}spec`),
    ...annotationTexts.flatMap(([key, message]) => annotated(key, message)),
    ...objects(spec['volumes']).flatMap((volume, i) => podVolumeWarnings(volume, `${prefix}spec.volumes[${i}]`)),
    ...overlapWarnings(spec['volumes']),
    ...duplicates(spec['hostAliases'], 'ip', `${prefix}spec.hostAliases`),
    ...duplicates(spec['imagePullSecrets'], 'name', `${prefix}spec.imagePullSecrets`),
    ...objects(spec['imagePullSecrets']).flatMap((secret, i) => (text(secret['name']) === '' ? [`${prefix}spec.imagePullSecrets[${i}].name: invalid empty name ""`] : [])),
    ...fractionWarnings(spec['overhead'], `${prefix}spec.overhead`, bytes),
    ...(security?.['seccompProfile'] ? [] : annotated(seccompPod, instead)),
    ...containers.flatMap(({ container, at: place }) => {
      const own = asObject(container['securityContext']);
      const name = text(container['name']);
      const resources = asObject(container['resources']);
      return [
        ...(own?.['seccompProfile'] ? [] : annotated(seccompContainer + name, instead)),
        ...(path === '' || own?.['appArmorProfile'] || isSameProfile(asObject(security?.['appArmorProfile']), annotations[appArmor + name]) ? []
          : annotated(appArmor + name, 'deprecated since v1.30; use the "appArmorProfile" field instead')),
        ...bytes.flatMap((one) => [...fractionWarnings(resources?.['limits'], `${place}.resources.limits`, [one]), ...fractionWarnings(resources?.['requests'], `${place}.resources.requests`, [one])]),
        ...envWarnings(container['env'], place),
      ];
    }),
    ...portWarnings(containers),
    ...((integer(spec['terminationGracePeriodSeconds']) ?? 0) < 0 ? [`${prefix}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`] : []),
    ...affinityWarnings(spec, `${prefix}spec.affinity`),
    ...strings(at(spec, 'dnsConfig', 'nameservers')).flatMap((server, i) => addressWarnings(`${prefix}spec.dnsConfig.nameservers[${i}]`, server)),
    ...objects(spec['hostAliases']).flatMap((alias, i) => addressWarnings(`${prefix}spec.hostAliases[${i}].ip`, alias['ip'])),
  ];
}

interface Placed { container: Obj; at: string }

function containersOf(spec: Readonly<Obj>, path: string): Placed[] {
  return ['initContainers', 'containers', 'ephemeralContainers'].flatMap((field) => objects(spec[field]).map((container, i) => ({ container, at: `${path}.${field}[${i}]` })));
}

function placementWarnings(spec: Readonly<Obj>, path: string): string[] {
  const affinity = `${path}.affinity.nodeAffinity`;
  const of = (...fields: string[]): unknown => at(spec, 'affinity', 'nodeAffinity', ...fields);
  return [
    ...labelWarnings(spec['nodeSelector'], (key) => `${path}.nodeSelector[${key}]`),
    ...objects(of('requiredDuringSchedulingIgnoredDuringExecution', 'nodeSelectorTerms'))
      .flatMap((term, i) => termWarnings(term, `${affinity}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[${i}]`)),
    ...objects(of('preferredDuringSchedulingIgnoredDuringExecution'))
      .flatMap((term, i) => termWarnings(term['preference'], `${affinity}.preferredDuringSchedulingIgnoredDuringExecution[${i}].preference`, true)),
    ...objects(spec['topologySpreadConstraints']).flatMap((constraint, i) => {
      const key = text(constraint['topologyKey']);
      const message = deprecatedLabel(key);
      const place = `${path}.topologySpreadConstraints[${i}]`;
      return [
        ...(message === undefined ? [] : [`${place}.topologyKey: ${key} is ${message}`]),
        ...(constraint['labelSelector'] ? [] : [`${place}.labelSelector: a null labelSelector results in matching no pod`]),
      ];
    }),
  ];
}

function affinityWarnings(spec: Readonly<Obj>, path: string): string[] {
  const without = (terms: unknown, place: string, inner?: string): string[] => objects(terms).flatMap((term, i) =>
    ((inner === undefined ? term : asObject(term[inner]))?.['labelSelector'] ? [] : [`${place}[${i}]${inner === undefined ? '' : `.${inner}`}.labelSelector: a null labelSelector results in matching no pod`]));
  return ['podAffinity', 'podAntiAffinity'].flatMap((kind) => {
    const affinity = asObject(at(spec, 'affinity', kind)) ?? {};
    return [
      ...without(affinity['requiredDuringSchedulingIgnoredDuringExecution'], `${path}.${kind}.requiredDuringSchedulingIgnoredDuringExecution`),
      ...without(affinity['preferredDuringSchedulingIgnoredDuringExecution'], `${path}.${kind}.preferredDuringSchedulingIgnoredDuringExecution`, 'podAffinityTerm'),
    ];
  });
}

function podVolumeWarnings(volume: Readonly<Obj>, path: string): string[] {
  return [
    ...pluginWarnings(volume, path, ['photonPersistentDisk']),
    ...(volume['gitRepo'] ? [`${path}.gitRepo: deprecated in v1.11, and disabled by default in v1.33+`] : []),
    ...pluginWarnings(volume, path, ['scaleIO', 'flocker', 'storageos', 'quobyte', 'glusterfs']),
    ...claimSpecWarnings(at(volume, 'ephemeral', 'volumeClaimTemplate', 'spec'), `${path}.ephemeral.volumeClaimTemplate.spec`),
    ...pluginWarnings(volume, path, ['cephfs', 'rbd']),
  ];
}

function duplicates(list: unknown, field: string, path: string): string[] {
  const seen = new Set<string>();
  return objects(list).flatMap((item, i) => {
    const value = text(item[field]);
    if (seen.has(value)) return [`${path}[${i}].${field}: duplicate ${field} ${JSON.stringify(value)}`];
    seen.add(value);
    return [];
  });
}

/** A variable may be built from its former self; anything else hides it. */
function envWarnings(env: unknown, path: string): string[] {
  const seen = new Set<string>();
  return objects(env).flatMap((variable, i) => {
    const [name, value] = [text(variable['name']), text(variable['value'])];
    if (!seen.has(name)) {
      seen.add(name);
      return [];
    }
    const reference = `$(${name})`;
    return variable['valueFrom'] || value === reference || !value.includes(reference)
      ? [`${path}.env[${i}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`] : [];
  });
}

function portWarnings(containers: readonly Placed[]): string[] {
  const ports = containers.flatMap(({ container, at: place }) => objects(container['ports']).map((port, i) => ({
    at: `${place}.ports[${i}]`, key: `${integer(port['containerPort']) ?? 0}/${text(port['protocol'])}`, hostIP: text(port['hostIP']), hostPort: integer(port['hostPort']) ?? 0, name: text(port['name']), port,
  })));
  const warnings: string[] = [];
  ports.forEach((port, index) => {
    // Upstream prints the value of its own type here.
    if (port.hostIP !== '' && port.hostPort === 0) {
      warnings.push(`${port.at}: hostIP set without hostPort: {Name:${port.name} HostPort:0 ContainerPort:${integer(port.port['containerPort']) ?? 0} Protocol:${text(port.port['protocol'])} HostIP:${port.hostIP}}`);
    }
    for (const other of ports.slice(0, index).filter(({ key }) => key === port.key)) {
      if (port.hostIP === other.hostIP && port.hostPort === other.hostPort) warnings.push(`${port.at}: duplicate port definition with ${other.at}`);
      else if (port.hostPort === 0 || other.hostPort === 0) warnings.push(`${port.at}: overlapping port definition with ${other.at}`);
      else if (port.hostPort === other.hostPort && (port.hostIP === '') !== (other.hostIP === '')) warnings.push(`${port.at}: dangerously ambiguous port definition with ${other.at}`);
    }
  });
  const names = new Map<string, string>();
  for (const port of ports) {
    const first = names.get(port.name);
    if (port.name === '') continue;
    if (first === undefined) names.set(port.name, port.at);
    else warnings.push(`${port.at}: duplicate port name ${JSON.stringify(port.name)} with ${first}, services and probes that select ports by name will use ${first}`);
  }
  return warnings;
}

/** The annotation says what the pod's field says already. */
function isSameProfile(profile: Obj | undefined, annotation: unknown): boolean {
  if (!profile || typeof annotation !== 'string') return false;
  switch (profile['type']) {
    case 'Unconfined': return annotation === 'unconfined';
    case 'RuntimeDefault': return annotation === 'runtime/default';
    case 'Localhost': return annotation === `localhost/${text(profile['localhostProfile'])}`;
    default: return false;
  }
}
