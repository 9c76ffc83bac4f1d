// Tables of everything that is neither core nor a workload: network, rights, storage, admission, scheduling.
import { humanDuration } from '#machinery/api/duration.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { asObject, at, entries, integer, items, objects, strings, text } from '../values.ts';
import { age, count, field, name, part, selectorCell, since, table, withMore } from './column.ts';
import type { Cell, Table } from './column.ts';
import { loadBalancerAddresses } from './core.ts';

const number = { type: 'integer' } as const;
const boolean = { type: 'boolean' } as const;

function ingressHosts(ingress: Readonly<KubeObject>): string {
  const rules = objects(at(ingress, 'spec', 'rules'));
  const hosts = rules.map((rule) => text(rule['host'])).filter((host) => host !== '');
  return hosts.length === 0 ? '*' : withMore(hosts, 3, hosts.length > 3 ? rules.length : hosts.length, '*');
}

const subjects = (kind: string) => (binding: Readonly<KubeObject>): string => objects(binding['subjects']).filter((subject) => subject['kind'] === kind)
  .map((subject) => (kind === 'ServiceAccount' ? `${text(subject['namespace'])}/${text(subject['name'])}` : text(subject['name']))).join(', ');
const bindingTable = table(
  name,
  part('Role', 'The role that is granted.', (binding) => `${text(at(binding, 'roleRef', 'kind'))}/${text(at(binding, 'roleRef', 'name'))}`),
  age,
  part('Users', 'Users it is granted to.', subjects('User'), { wide: true }),
  part('Groups', 'Groups it is granted to.', subjects('Group'), { wide: true }),
  part('ServiceAccounts', 'Service accounts it is granted to.', subjects('ServiceAccount'), { wide: true }),
);

function requestCondition(request: Readonly<KubeObject>): string {
  const types = new Set(objects(at(request, 'status', 'conditions')).map((condition) => text(condition['type'])));
  const first = types.has('Denied') ? 'Denied' : types.has('Approved') ? 'Approved' : 'Pending';
  return `${first}${types.has('Failed') ? ',Failed' : ''}${text(at(request, 'status', 'certificate')) === '' ? '' : ',Issued'}`;
}

const paramKind = (object: Readonly<KubeObject>): string => {
  const kind = asObject(at(object, 'spec', 'paramKind'));
  return kind ? `${text(kind['apiVersion'])}/${text(kind['kind'])}` : '<unset>';
};
const paramRef = (object: Readonly<KubeObject>, now: number): unknown => {
  const ref = asObject(at(object, 'spec', 'paramRef'));
  if (!ref) return '<unset>';
  if (text(ref['name']) !== '') return `${text(ref['namespace']) || '*'}/${text(ref['name'])}`;
  return ref['selector'] === undefined ? '<unset>' : selectorCell('spec.paramRef.selector')(object, now);
};
const policyTable = (column: string, path: string): Table => table(
  name,
  part(column, 'How many it holds.', count(path), number),
  part('ParamKind', 'Kind of its parameters.', paramKind),
  age,
);
const policyBindingTable = (param: Cell): Table => table(name, part('PolicyName', 'The policy it puts to use.', field('spec.policyName')), part('ParamRef', 'Where its parameters are.', param), age);
/** Upstream prints the selector of a mutating binding as Go does. */
const mutatingParamRef: Cell = (object, now) => {
  const selector = asObject(at(object, 'spec', 'paramRef', 'selector'));
  if (!selector || text(at(object, 'spec', 'paramRef', 'name')) !== '') return paramRef(object, now);
  const labels = entries(selector['matchLabels']).map(([key, value]) => `${key}: ${text(value)},`).sort().join('');
  const expressions = objects(selector['matchExpressions']).map(({ key, operator, values }) => `LabelSelectorRequirement{Key:${text(key)},Operator:${text(operator)},Values:[${strings(values).join(' ')}],},`).join('');
  return `&LabelSelector{MatchLabels:map[string]string{${labels}},MatchExpressions:[]LabelSelectorRequirement{${expressions}},}`;
};
const webhooksTable = table(name, part('Webhooks', 'How many it holds.', count('webhooks'), number), age);

function claimState(claim: Readonly<KubeObject>): string {
  const deleted = claim.metadata?.deletionTimestamp !== undefined;
  const states = deleted ? ['deleted'] : [];
  if (at(claim, 'status', 'allocation') === undefined) {
    if (!deleted) states.push('pending');
  } else {
    states.push('allocated');
    if (items(at(claim, 'status', 'reservedFor')).length > 0) states.push('reserved');
  }
  return states.join(',');
}
const conditionThatHolds = (request: Readonly<KubeObject>, types: readonly string[]) => objects(at(request, 'status', 'conditions')).find((condition) => types.includes(text(condition['type'])) && condition['status'] === 'True');
/** The condition that says that a request for the status of pools is answered. */
const poolRequestEnd = (request: Readonly<KubeObject>) => {
  const end = conditionThatHolds(request, ['Complete', 'Failed']);
  return end?.['type'] === 'Complete' ? end : undefined;
};
const isFailed = (request: Readonly<KubeObject>): boolean => conditionThatHolds(request, ['Complete', 'Failed'])?.['type'] === 'Failed';
const poolSum = (amount: (pool: Record<string, unknown>) => number): Cell => (request) =>
  (request['status'] === undefined || isFailed(request) ? '-' : String(objects(at(request, 'status', 'pools')).reduce((sum, pool) => sum + amount(pool), 0)));
const poolRequestState: Cell = (request) => {
  if (isFailed(request)) return 'Failed';
  if (!poolRequestEnd(request)) return 'Pending';
  const [all, listed] = [integer(at(request, 'status', 'poolCount')) ?? 0, objects(at(request, 'status', 'pools')).length];
  return all > listed ? `Complete (${listed}/${all} pools)` : 'Complete';
};
const isDefaultClass = (object: Readonly<KubeObject>): boolean =>
  ['storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class'].some((key) => object.metadata?.annotations?.[key] === 'true');

export const clusterTables: Readonly<Record<string, Table>> = {
  'apiservices.apiregistration.k8s.io': table(
    name,
    part('Service', 'Who serves it; Local is this server.', (object) => {
      const service = asObject(at(object, 'spec', 'service'));
      return service ? `${text(service['namespace'])}/${text(service['name'])}` : 'Local';
    }),
    part('Available', 'Whether it can be used, and if not, why.', (object) => {
      const available = objects(at(object, 'status', 'conditions')).find((condition) => condition['type'] === 'Available');
      if (!available) return 'Unknown';
      const reason = text(available['reason']);
      return available['status'] !== 'True' && reason !== '' ? `${text(available['status'])} (${reason})` : text(available['status']);
    }),
    age,
  ),
  'ingresses.networking.k8s.io': table(
    name,
    part('Class', 'Class of the ingress controller.', field('spec.ingressClassName', '<none>')),
    part('Hosts', 'Hosts it has rules for.', ingressHosts),
    part('Address', 'Addresses of its load balancer.', (object) => loadBalancerAddresses(object).join(',')),
    part('Ports', 'Ports it is reached on.', (object) => (items(at(object, 'spec', 'tls')).length > 0 ? '80, 443' : '80')),
    age,
  ),
  'ingressclasses.networking.k8s.io': table(
    name,
    part('Controller', 'Controller that serves the class.', field('spec.controller')),
    part('Parameters', 'Object with more settings.', (object) => {
      const parameters = asObject(at(object, 'spec', 'parameters'));
      if (!parameters) return '<none>';
      const group = text(parameters['apiGroup']);
      return `${text(parameters['kind'])}${group === '' ? '' : `.${group}`}/${text(parameters['name'])}`;
    }),
    age,
  ),
  'networkpolicies.networking.k8s.io': table(name, part('Pod-Selector', 'Pods it applies to.', selectorCell('spec.podSelector')), age),
  // Upstream sends a third cell, the age, under two columns; here the row has as many cells as there are columns.
  'ipaddresses.networking.k8s.io': table(name, part('ParentRef', 'Object that uses the address.', (object) => {
    const parent = asObject(at(object, 'spec', 'parentRef'));
    if (!parent) return '<none>';
    const group = text(parent['group']);
    const namespace = text(parent['namespace']);
    return `${text(parent['resource'])}${group === '' ? '' : `.${group}`}/${namespace === '' ? '' : `${namespace}/`}${text(parent['name'])}`;
  })),
  'servicecidrs.networking.k8s.io': table(name, part('CIDRs', 'Ranges of service addresses.', (object) => strings(at(object, 'spec', 'cidrs')).join(',')), age),
  'rolebindings.rbac.authorization.k8s.io': bindingTable,
  'clusterrolebindings.rbac.authorization.k8s.io': bindingTable,
  'certificatesigningrequests.certificates.k8s.io': table(
    name, age,
    part('SignerName', 'Who is asked to sign.', field('spec.signerName', '<none>')),
    part('Requestor', 'Who asks.', field('spec.username')),
    part('RequestedDuration', 'How long the certificate should hold.', (object) => {
      const seconds = integer(at(object, 'spec', 'expirationSeconds'));
      return seconds === undefined ? '<none>' : humanDuration(seconds * 1000);
    }),
    part('Condition', 'What has become of it.', requestCondition),
  ),
  'storageclasses.storage.k8s.io': table(
    { column: name.column, cell: (object) => `${object.metadata?.name ?? ''}${isDefaultClass(object) ? ' (default)' : ''}` },
    part('Provisioner', 'Who makes the volumes.', field('provisioner')),
    part('ReclaimPolicy', 'What happens to a volume when its claim goes.', field('reclaimPolicy', 'Delete')),
    part('VolumeBindingMode', 'When claims are bound.', field('volumeBindingMode', 'Immediate')),
    part('AllowVolumeExpansion', 'Whether claims may grow.', (object) => object['allowVolumeExpansion'] === true),
    age,
  ),
  'volumeattributesclasses.storage.k8s.io': table(name, part('DriverName', 'Driver it is for.', field('driverName')), age),
  'volumeattachments.storage.k8s.io': table(
    name,
    part('Attacher', 'Driver that attaches the volume.', field('spec.attacher'), { format: 'name' }),
    part('PV', 'The volume.', field('spec.source.persistentVolumeName')),
    part('Node', 'The node.', field('spec.nodeName')),
    part('Attached', 'Whether it is attached.', (object) => at(object, 'status', 'attached') === true, boolean),
    age,
  ),
  'csidrivers.storage.k8s.io': table(
    name,
    part('AttachRequired', 'Whether volumes have to be attached first.', (object) => at(object, 'spec', 'attachRequired') !== false, boolean),
    part('PodInfoOnMount', 'Whether the driver is told about the pod.', (object) => at(object, 'spec', 'podInfoOnMount') === true, boolean),
    part('StorageCapacity', 'Whether scheduling asks for free space.', (object) => at(object, 'spec', 'storageCapacity') === true, boolean),
    part('TokenRequests', 'Audiences of tokens it gets.', (object) => {
      const requests = at(object, 'spec', 'tokenRequests');
      return requests === undefined ? '<unset>' : objects(requests).map((request) => text(request['audience'])).join(',');
    }),
    part('RequiresRepublish', 'Whether volumes are published again and again.', (object) => at(object, 'spec', 'requiresRepublish') === true, boolean),
    part('Modes', 'Lifecycles of its volumes.', (object) => strings(at(object, 'spec', 'volumeLifecycleModes')).join(',') || '<none>'),
    age,
  ),
  'csinodes.storage.k8s.io': table(name, part('Drivers', 'Number of drivers on the node.', count('spec.drivers'), number), age),
  'csistoragecapacities.storage.k8s.io': table(name, part('StorageClassName', 'Class of the volumes.', field('storageClassName')), part('Capacity', 'Free space.', field('capacity', '<unset>'))),
  'validatingadmissionpolicies.admissionregistration.k8s.io': policyTable('Validations', 'spec.validations'),
  'mutatingadmissionpolicies.admissionregistration.k8s.io': policyTable('Mutations', 'spec.mutations'),
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': policyBindingTable(paramRef),
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io': policyBindingTable(mutatingParamRef),
  'validatingwebhookconfigurations.admissionregistration.k8s.io': webhooksTable,
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': webhooksTable,
  'flowschemas.flowcontrol.apiserver.k8s.io': table(
    name,
    part('PriorityLevel', 'Level its requests go to.', field('spec.priorityLevelConfiguration.name')),
    part('MatchingPrecedence', 'Lower numbers are tried first.', field('spec.matchingPrecedence', 0)),
    part('DistinguisherMethod', 'How its requests are told apart.', field('spec.distinguisherMethod.type', '<none>')),
    age,
    part('MissingPL', 'Whether its level is missing.', (object) => {
      const dangling = objects(at(object, 'status', 'conditions')).find((condition) => condition['type'] === 'Dangling');
      return dangling ? text(dangling['status']) : '?';
    }),
  ),
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': table(
    name,
    part('Type', 'Limited or Exempt.', field('spec.type')),
    part('NominalConcurrencyShares', 'Its part of all seats.', field('spec.limited.nominalConcurrencyShares', '<none>')),
    part('Queues', 'Number of queues.', field('spec.limited.limitResponse.queuing.queues', '<none>')),
    part('HandSize', 'Queues that one flow is dealt.', field('spec.limited.limitResponse.queuing.handSize', '<none>')),
    part('QueueLengthLimit', 'Requests that fit into a queue.', field('spec.limited.limitResponse.queuing.queueLengthLimit', '<none>')),
    age,
  ),
  'runtimeclasses.node.k8s.io': table(name, part('Handler', 'Name of the runtime on nodes.', field('handler')), age),
  'priorityclasses.scheduling.k8s.io': table(
    name,
    part('Value', 'Priority of its pods.', field('value', 0), number),
    part('Global-Default', 'Whether pods without a class get it.', (object) => object['globalDefault'] === true, boolean),
    age,
    part('PreemptionPolicy', 'Whether its pods may push out others.', field('preemptionPolicy')),
  ),
  'deviceclasses.resource.k8s.io': table(name, age),
  'resourceclaimtemplates.resource.k8s.io': table(name, age),
  'resourceclaims.resource.k8s.io': table(name, part('State', 'How far the claim is.', claimState), age),
  'devicetaintrules.resource.k8s.io': table(
    name,
    ...(['key', 'value', 'effect'] as const).map((one) => part(one.charAt(0).toUpperCase() + one.slice(1), `The ${one} of the taint.`, field(`spec.taint.${one}`))),
    part('TimeAdded', 'Since when devices have the taint.', (object, now) => since(at(object, 'spec', 'taint', 'timeAdded'), now, '')),
    age,
  ),
  'resourcepoolstatusrequests.resource.k8s.io': table(
    name,
    part('Driver', 'Driver whose pools are asked for.', field('spec.driver')),
    ...(['total', 'available', 'allocated', 'unavailable'] as const).map((kind) => part(kind.charAt(0).toUpperCase() + kind.slice(1), `How many devices there are (${kind}).`, poolSum((pool) => integer(pool[`${kind}Devices`]) ?? 0))),
    part('Errors', 'How many pools are not as they should be.', poolSum((pool) => (pool['validationError'] === undefined ? 0 : 1))),
    part('Pools', 'How many pools there are.', field('status.poolCount', 0), number),
    part('Status', 'How far the answer is.', poolRequestState),
    part('Completed', 'Time since the answer.', (object, now) => since(poolRequestEnd(object)?.['lastTransitionTime'], now, '<none>')),
  ),
  'leasecandidates.coordination.k8s.io': table(
    name,
    part('LeaseName', 'The lease it is a candidate for.', field('spec.leaseName')),
    part('BinaryVersion', 'Version of its program.', field('spec.binaryVersion')),
    part('EmulationVersion', 'Version it behaves like.', field('spec.emulationVersion')),
    age,
  ),
  'storageversions.internal.apiserver.k8s.io': table(
    name,
    part('CommonEncodingVersion', 'Version that all servers store.', field('status.commonEncodingVersion', '<unset>')),
    part('StorageVersions', 'Versions that servers store.', (object) => {
      const servers = objects(at(object, 'status', 'storageVersions')).map((server) => `${text(server['apiServerID'])}=${text(server['encodingVersion'])}`);
      return withMore(servers, 3, servers.length, '<unset>');
    }),
    age,
  ),
  'resourceslices.resource.k8s.io': table(
    name,
    part('Node', 'Node of the devices.', field('spec.nodeName')),
    part('Driver', 'Driver of the devices.', field('spec.driver')),
    part('Pool', 'Pool of the devices.', field('spec.pool.name')),
    age,
  ),
};
