// Tables of the other core kinds, of events and of endpoints. Upstream: pkg/printers/internalversion/printers.go.
import type { KubeObject } from '#machinery/api/object.ts';
import { asObject, at, entries, integer, isObject, objects, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { age, containerParts, field, mapCell, name, part, since, table, withMore } from './column.ts';
import type { Table } from './column.ts';
import { podTable } from './pod.ts';

function nodeStatus(node: Readonly<KubeObject>): string {
  const ready = objects(at(node, 'status', 'conditions')).find((condition) => condition['type'] === 'Ready');
  const status = ready === undefined ? 'Unknown' : ready['status'] === 'True' ? 'Ready' : 'NotReady';
  return at(node, 'spec', 'unschedulable') === true ? `${status},SchedulingDisabled` : status;
}
const rolePrefix = 'node-role.kubernetes.io/';
function nodeRoles(node: Readonly<KubeObject>): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata?.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) roles.add(key.slice(rolePrefix.length));
    else if (key === 'kubernetes.io/role' && value !== '') roles.add(value);
  }
  return [...roles].sort().join(',') || '<none>';
}
const nodeAddress = (type: string) => (node: Readonly<KubeObject>): string =>
  text(objects(at(node, 'status', 'addresses')).find((address) => address['type'] === type)?.['address'] ?? '<none>');

function kernel(node: Readonly<KubeObject>): string {
  const architecture = text(at(node, 'status', 'nodeInfo', 'architecture'));
  const version = text(at(node, 'status', 'nodeInfo', 'kernelVersion')) || '<unknown>';
  return architecture === '' ? version : `${version} (${architecture})`;
}

export const loadBalancerAddresses = (object: Readonly<KubeObject>): string[] =>
  [...new Set(objects(at(object, 'status', 'loadBalancer', 'ingress')).map((ingress) => text(ingress['ip']) || text(ingress['hostname'])).filter((one) => one !== ''))].sort();
function externalIp(service: Readonly<KubeObject>): string {
  const external = strings(at(service, 'spec', 'externalIPs'));
  switch (at(service, 'spec', 'type')) {
    case 'ClusterIP': case 'NodePort': return external.join(',') || '<none>';
    case 'LoadBalancer': return [...loadBalancerAddresses(service), ...external].join(',') || '<pending>';
    case 'ExternalName': return text(at(service, 'spec', 'externalName'));
    default: return '<unknown>';
  }
}
function servicePorts(service: Readonly<KubeObject>): string {
  return objects(at(service, 'spec', 'ports')).map(({ port, nodePort, protocol }) => `${integer(port) ?? 0}${(integer(nodePort) ?? 0) > 0 ? `:${integer(nodePort)}` : ''}/${text(protocol)}`).join(',') || '<none>';
}

function endpointsText(endpoints: Readonly<KubeObject>): string {
  const list: string[] = [];
  for (const subset of objects(endpoints['subsets'])) {
    const addresses = objects(subset['addresses']).map((address) => text(address['ip']));
    const ports = objects(subset['ports']);
    if (ports.length === 0) list.push(...addresses);
    for (const port of ports) list.push(...addresses.map((ip) => `${ip.includes(':') ? `[${ip}]` : ip}:${integer(port['port']) ?? 0}`));
  }
  return objects(endpoints['subsets']).length === 0 ? '<none>' : withMore(list, 3, list.length, '');
}

const slicePorts = (slice: Readonly<KubeObject>): string => {
  const list = objects(slice['ports']).map(({ port, name: portName }) => (integer(port) !== undefined ? String(port) : typeof portName === 'string' ? portName : '*'));
  return withMore(list, 3, list.length, '<unset>');
};
const sliceEndpoints = (slice: Readonly<KubeObject>): string => {
  const list = objects(slice['endpoints']).flatMap((endpoint) => strings(endpoint['addresses']));
  return withMore(list, 3, list.length, '<unset>');
};

/** Events come by two groups, whose names for the same fields differ. */
const eventField = (event: Readonly<KubeObject>, core: string, newer: string): unknown => event[core] ?? event[newer];
const firstSeen = (event: Readonly<KubeObject>, now: number): string =>
  since(eventField(event, 'firstTimestamp', 'deprecatedFirstTimestamp'), now, '') || since(event['eventTime'], now);
function lastSeen(event: Readonly<KubeObject>, now: number): string {
  if (isObject(event['series'])) return since(event['series']['lastObservedTime'], now);
  return since(eventField(event, 'lastTimestamp', 'deprecatedLastTimestamp'), now, '') || firstSeen(event, now);
}
function eventObject(event: Readonly<KubeObject>): string {
  const about = asObject(eventField(event, 'involvedObject', 'regarding')) ?? {};
  const kind = text(about['kind']).toLowerCase();
  return text(about['name']) === '' ? kind : `${kind}/${text(about['name'])}`;
}
function eventSource(event: Readonly<KubeObject>): string {
  const source: Obj = asObject(eventField(event, 'source', 'deprecatedSource')) ?? {};
  const component = text(source['component']) || text(eventField(event, 'reportingComponent', 'reportingController'));
  const host = text(source['host']) || text(event['reportingInstance']);
  return host === '' ? component : `${component}, ${host}`;
}
export const eventTable: Table = table(
  part('Last Seen', 'Time since this last happened.', lastSeen),
  part('Type', 'Normal or Warning.', field('type')),
  part('Reason', 'Why it was reported, in one word for machines.', field('reason')),
  part('Object', 'What it is about.', eventObject),
  part('Subobject', 'The part of the object it is about.', (event) => text(at(eventField(event, 'involvedObject', 'regarding'), 'fieldPath')), { wide: true }),
  part('Source', 'Who reported it, and from where.', eventSource, { wide: true }),
  part('Message', 'What happened, in words.', (event) => text(eventField(event, 'message', 'note')).trim()),
  part('First Seen', 'Time since this first happened.', firstSeen, { wide: true }),
  part('Count', 'How often it happened.', (event) => (isObject(event['series']) ? integer(event['series']['count']) ?? 0 : integer(eventField(event, 'count', 'deprecatedCount')) || 1), { wide: true }),
  part('Name', 'The name of the event.', (event) => event.metadata?.name ?? '', { format: 'name', wide: true }),
);

const shortModes: Readonly<Record<string, string>> = { ReadWriteOnce: 'RWO', ReadOnlyMany: 'ROX', ReadWriteMany: 'RWX', ReadWriteOncePod: 'RWOP' };
function accessModes(modes: unknown): string {
  const given = new Set(strings(modes));
  return Object.entries(shortModes).filter(([mode]) => given.has(mode)).map(([, short]) => short).join(',');
}
const storageClass = (object: Readonly<KubeObject>): string =>
  object.metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? text(at(object, 'spec', 'storageClassName'));
const volumePhase = (object: Readonly<KubeObject>): string =>
  (object.metadata?.deletionTimestamp === undefined ? text(at(object, 'status', 'phase')) : 'Terminating');
const isBoundTo = (claim: Readonly<KubeObject>): boolean => text(at(claim, 'spec', 'volumeName')) !== '';

const quota = (limits: boolean) => (object: Readonly<KubeObject>): string => {
  const used = asObject(at(object, 'status', 'used')) ?? {};
  return entries(at(object, 'status', 'hard')).filter(([key]) => key.startsWith('limits.') === limits).sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, hard]) => `${key}: ${text(used[key]) || '0'}/${text(hard)}`).join(', ');
};

export const coreTables: Readonly<Record<string, Table>> = {
  'pods': podTable,
  'nodes': table(
    name,
    part('Status', 'Whether the node is ready, and whether pods may be scheduled to it.', nodeStatus),
    part('Roles', 'Roles that labels give the node.', nodeRoles),
    age,
    part('Version', 'Version of its kubelet.', field('status.nodeInfo.kubeletVersion')),
    part('Internal-IP', 'Address inside the cluster.', nodeAddress('InternalIP'), { wide: true }),
    part('External-IP', 'Address outside the cluster.', nodeAddress('ExternalIP'), { wide: true }),
    part('OS-Image', 'Operating system.', field('status.nodeInfo.osImage', '<unknown>'), { wide: true }),
    part('Kernel-Version', 'Kernel of the operating system, and what it runs on.', kernel, { wide: true }),
    part('Container-Runtime', 'Runtime and its version.', field('status.nodeInfo.containerRuntimeVersion', '<unknown>'), { wide: true }),
  ),
  'services': table(
    name,
    part('Type', 'How the service is reached.', field('spec.type')),
    part('Cluster-IP', 'Address inside the cluster.', (service) => strings(at(service, 'spec', 'clusterIPs'))[0] ?? '<none>'),
    part('External-IP', 'Addresses outside the cluster.', externalIp),
    part('Port(s)', 'Ports, node ports and protocols.', servicePorts),
    age,
    part('Selector', 'Labels of the pods behind it.', mapCell('spec.selector'), { wide: true }),
  ),
  'namespaces': table(name, part('Status', 'Active, or Terminating while its content goes away.', field('status.phase')), age),
  'configmaps': table(name, part('Data', 'Number of keys.', (object) => entries(object['data']).length + entries(object['binaryData']).length), age),
  'secrets': table(name, part('Type', 'What kind of secret it is.', field('type')), part('Data', 'Number of keys.', (object) => entries(object['data']).length), age),
  'serviceaccounts': table(name, age),
  'events': eventTable,
  'events.events.k8s.io': eventTable,
  'endpoints': table(name, part('Endpoints', 'Ready addresses with their ports.', endpointsText), age),
  'endpointslices.discovery.k8s.io': table(
    name,
    part('AddressType', 'Kind of the addresses.', field('addressType')),
    part('Ports', 'Ports of every endpoint.', slicePorts),
    part('Endpoints', 'Addresses, ready or not.', sliceEndpoints),
    age,
  ),
  'componentstatuses': table(
    name,
    ...(['status', 'message', 'error'] as const).map((key) => part(key[0]?.toUpperCase() + key.slice(1), `The health check's ${key}.`, (object) => {
      const healthy = objects(object['conditions']).find((condition) => condition['type'] === 'Healthy');
      if (key !== 'status') return text(healthy?.[key]);
      return healthy === undefined ? 'Unknown' : healthy['status'] === 'True' ? 'Healthy' : 'Unhealthy';
    })),
  ),
  'persistentvolumes': table(
    name,
    part('Capacity', 'Size of the volume.', field('spec.capacity.storage', '0')),
    part('Access Modes', 'How it may be mounted.', (object) => accessModes(at(object, 'spec', 'accessModes'))),
    part('Reclaim Policy', 'What happens when its claim goes.', field('spec.persistentVolumeReclaimPolicy')),
    part('Status', 'Phase of the volume.', volumePhase),
    part('Claim', 'Claim that holds it.', (object) => {
      const claim = asObject(at(object, 'spec', 'claimRef'));
      return claim ? `${text(claim['namespace'])}/${text(claim['name'])}` : '';
    }),
    part('StorageClass', 'Class of the volume.', storageClass),
    part('VolumeAttributesClass', 'Class of its changeable attributes.', field('spec.volumeAttributesClassName', '<unset>')),
    part('Reason', 'Why it is in this phase.', field('status.reason')),
    age,
    part('VolumeMode', 'File system or raw block.', field('spec.volumeMode', '<unset>'), { wide: true }),
  ),
  'persistentvolumeclaims': table(
    name,
    part('Status', 'Phase of the claim.', volumePhase),
    part('Volume', 'Volume it is bound to.', field('spec.volumeName')),
    part('Capacity', 'Size of that volume.', (object) => (isBoundTo(object) ? text(at(object, 'status', 'capacity', 'storage')) || '0' : '')),
    part('Access Modes', 'How it may be mounted.', (object) => (isBoundTo(object) ? accessModes(at(object, 'status', 'accessModes')) : '')),
    part('StorageClass', 'Class of the claim.', storageClass),
    part('VolumeAttributesClass', 'Class of its changeable attributes.', field('spec.volumeAttributesClassName', '<unset>')),
    age,
    part('VolumeMode', 'File system or raw block.', field('spec.volumeMode', '<unset>'), { wide: true }),
  ),
  'podtemplates': table(name, ...containerParts('template.spec', false), part('Pod Labels', 'Labels of its pods.', mapCell('template.metadata.labels'))),
  'resourcequotas': table(name, part('Request', 'Used and allowed, for everything but limits.', quota(false)), part('Limit', 'Used and allowed limits.', quota(true)), age),
  'leases.coordination.k8s.io': table(name, part('Holder', 'Who holds it.', field('spec.holderIdentity')), age),
};
