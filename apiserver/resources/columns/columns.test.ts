// Cells of tables, row by row as kubectl would print them.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { now, rowOf } from '../testing.ts';

type Json = Record<string, unknown>;
const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString();

function cells(id: string, object: Json): Record<string, unknown> {
  const { columns = [], cells: cellsOf } = rowOf(id).strategy;
  const given: KubeObject = { ...object, metadata: { name: 'x', creationTimestamp: ago(65), ...object['metadata'] as Json } };
  const values = cellsOf?.(given, now) ?? [];
  return Object.fromEntries(columns.map((column, index) => [column.name, values[index]]));
}

const running = { ready: true, restartCount: 0, state: { running: {} } };
const waiting = (reason: string): Json => ({ restartCount: 0, state: { waiting: { reason } } });
const ended = (exitCode: number, reason?: string, signal?: number): Json => ({ restartCount: 0, state: { terminated: { exitCode, ...(reason ? { reason } : {}), ...(signal ? { signal } : {}) } } });
const ready = [{ type: 'Ready', status: 'True' }];

describe('the table of pods', () => {
  const rows: [what: string, pod: Json, expected: [ready: string, status: string, restarts: string]][] = [
    ['new', { spec: { containers: [{ name: 'a' }] }, status: { phase: 'Pending' } }, ['0/1', 'Pending', '0']],
    ['gated', { spec: { containers: [{ name: 'a' }] }, status: { phase: 'Pending', conditions: [{ type: 'PodScheduled', reason: 'SchedulingGated' }] } }, ['0/1', 'SchedulingGated', '0']],
    ['running', { spec: { containers: [{ name: 'a' }] }, status: { phase: 'Running', conditions: ready, containerStatuses: [running] } }, ['1/1', 'Running', '0']],
    ['evicted', { spec: { containers: [{ name: 'a' }] }, status: { phase: 'Failed', reason: 'Evicted' } }, ['0/1', 'Evicted', '0']],
    ['without its image', { spec: { containers: [{ name: 'a' }, { name: 'b' }] }, status: { phase: 'Pending', containerStatuses: [waiting('ImagePullBackOff'), running] } }, ['1/2', 'ImagePullBackOff', '0']],
    ['crashing', { spec: { containers: [{ name: 'a' }] }, status: { phase: 'Running', containerStatuses: [{ ...waiting('CrashLoopBackOff'), restartCount: 4, lastState: { terminated: { finishedAt: ago(40) } } }] } }, ['0/1', 'CrashLoopBackOff', '4 (40s ago)']],
    ['ended', { spec: { containers: [{ name: 'a' }] }, status: { phase: 'Succeeded', containerStatuses: [ended(0, 'Completed')] } }, ['0/1', 'Completed', '0']],
    ['killed', { spec: { containers: [{ name: 'a' }] }, status: { phase: 'Failed', containerStatuses: [ended(137, undefined, 9)] } }, ['0/1', 'Signal:9', '0']],
    ['failed', { spec: { containers: [{ name: 'a' }] }, status: { phase: 'Failed', containerStatuses: [ended(3)] } }, ['0/1', 'ExitCode:3', '0']],
    ['half ended, half running and ready', { spec: { containers: [{ name: 'a' }, { name: 'b' }] }, status: { phase: 'Running', conditions: ready, containerStatuses: [ended(0, 'Completed'), running] } }, ['1/2', 'Running', '0']],
    ['half ended, half running', { spec: { containers: [{ name: 'a' }, { name: 'b' }] }, status: { phase: 'Running', containerStatuses: [ended(0, 'Completed'), running] } }, ['1/2', 'NotReady', '0']],
    ['at its second init container', { spec: { initContainers: [{ name: 'i' }, { name: 'j' }], containers: [{ name: 'a' }] }, status: { phase: 'Pending', initContainerStatuses: [{ name: 'i', ...ended(0) }, { name: 'j', state: { running: {} }, restartCount: 2 }] } }, ['0/1', 'Init:1/2', '2']],
    ['with a broken init container', { spec: { initContainers: [{ name: 'i' }], containers: [{ name: 'a' }] }, status: { phase: 'Pending', initContainerStatuses: [{ name: 'i', ...ended(1, 'Error') }] } }, ['0/1', 'Init:Error', '0']],
    ['with a waiting init container', { spec: { initContainers: [{ name: 'i' }], containers: [{ name: 'a' }] }, status: { phase: 'Pending', initContainerStatuses: [{ name: 'i', ...waiting('ErrImagePull') }] } }, ['0/1', 'Init:ErrImagePull', '0']],
    ['with a sidecar', {
      spec: { initContainers: [{ name: 's', restartPolicy: 'Always' }], containers: [{ name: 'a' }] },
      status: { phase: 'Running', conditions: ready, initContainerStatuses: [{ name: 's', ...running, started: true, restartCount: 1, lastState: { terminated: { finishedAt: ago(600) } } }], containerStatuses: [running] },
    }, ['2/2', 'Running', '1 (10m ago)']],
    ['going', { metadata: { deletionTimestamp: ago(1) }, spec: { containers: [{ name: 'a' }] }, status: { phase: 'Running', containerStatuses: [running] } }, ['1/1', 'Terminating', '0']],
    ['lost', { metadata: { deletionTimestamp: ago(1) }, spec: { containers: [{ name: 'a' }] }, status: { phase: 'Running', reason: 'NodeLost', containerStatuses: [running] } }, ['1/1', 'Unknown', '0']],
    ['of the wrong shape', { spec: 'x', status: { containerStatuses: [null] } }, ['0/0', '', '0']],
  ];
  for (const [what, pod, [readyText, status, restarts]] of rows) {
    it(`shows one that is ${what}`, () => expect(cells('pods', pod)).to.include({ Name: 'x', Ready: readyText, Status: status, Restarts: restarts, Age: '65s' }));
  }
  it('shows where it is when asked for more', () => {
    expect(cells('pods', { spec: { nodeName: 'n1', readinessGates: [{ conditionType: 'a' }, { conditionType: 'b' }] }, status: { podIPs: [{ ip: '10.0.0.1' }], conditions: [{ type: 'a', status: 'True' }] } }))
      .to.include({ 'IP': '10.0.0.1', 'Node': 'n1', 'Nominated Node': '<none>', 'Readiness Gates': '1/2' });
  });
});

describe('tables of other kinds', () => {
  const template = { spec: { containers: [{ name: 'a', image: 'i:1' }, { name: 'b', image: 'j' }] } };
  const rows: [id: string, what: string, object: Json, expected: Json][] = [
    ['deployments.apps', 'with its containers', { spec: { replicas: 3, template, selector: { matchLabels: { b: '1', a: '2' } } }, status: { readyReplicas: 1, updatedReplicas: 2 } },
      { 'Ready': '1/3', 'Up-to-date': 2, 'Available': 0, 'Age': '65s', 'Containers': 'a,b', 'Images': 'i:1,j', 'Selector': 'a=2,b=1' }],
    ['replicasets.apps', 'with expressions', { spec: { replicas: 1, selector: { matchExpressions: [{ key: 'a', operator: 'In', values: ['y', 'x'] }, { key: 'b', operator: 'DoesNotExist' }] } } }, { Desired: 1, Current: 0, Ready: 0, Selector: 'a in (x,y),!b' }],
    ['services', 'with node ports', { spec: { type: 'NodePort', clusterIPs: ['10.43.0.1'], ports: [{ port: 80, nodePort: 30000, protocol: 'TCP' }, { port: 53, protocol: 'UDP' }] } },
      { 'Type': 'NodePort', 'Cluster-IP': '10.43.0.1', 'External-IP': '<none>', 'Port(s)': '80:30000/TCP,53/UDP', 'Selector': '<none>' }],
    ['services', 'that wait for a balancer', { spec: { type: 'LoadBalancer' } }, { 'Cluster-IP': '<none>', 'External-IP': '<pending>', 'Port(s)': '<none>' }],
    ['services', 'with a balancer', { spec: { type: 'LoadBalancer', externalIPs: ['9.9.9.9'] }, status: { loadBalancer: { ingress: [{ hostname: 'b.example' }, { ip: '1.2.3.4' }] } } }, { 'External-IP': '1.2.3.4,b.example,9.9.9.9' }],
    ['services', 'that are elsewhere', { spec: { type: 'ExternalName', externalName: 'a.example' } }, { 'External-IP': 'a.example' }],
    ['nodes', 'with roles', {
      metadata: { labels: { 'node-role.kubernetes.io/worker': '', 'node-role.kubernetes.io/control-plane': '', 'kubernetes.io/role': 'worker' } }, spec: { unschedulable: true },
      status: { conditions: ready, addresses: [{ type: 'InternalIP', address: '10.41.0.2' }], nodeInfo: { kubeletVersion: 'v1.36.0' } },
    }, { 'Status': 'Ready,SchedulingDisabled', 'Roles': 'control-plane,worker', 'Version': 'v1.36.0', 'Internal-IP': '10.41.0.2', 'External-IP': '<none>', 'OS-Image': '<unknown>' }],
    ['nodes', 'that nobody heard of', {}, { Status: 'Unknown', Roles: '<none>' }],
    ['configmaps', 'with both kinds of data', { data: { a: '', b: '' }, binaryData: { c: '' } }, { Data: 3 }],
    ['secrets', 'of a type', { type: 'Opaque', data: { a: '' } }, { Type: 'Opaque', Data: 1 }],
    ['events', 'of the old form', { type: 'Warning', reason: 'BackOff', message: ' again \n', count: 3, firstTimestamp: ago(600), lastTimestamp: ago(5), involvedObject: { kind: 'Pod', name: 'p', fieldPath: 'spec.containers{a}' }, source: { component: 'kubelet', host: 'n1' } },
      { 'Last Seen': '5s', 'Type': 'Warning', 'Reason': 'BackOff', 'Object': 'pod/p', 'Subobject': 'spec.containers{a}', 'Source': 'kubelet, n1', 'Message': 'again', 'First Seen': '10m', 'Count': 3, 'Name': 'x' }],
    ['events.events.k8s.io', 'of the new form', { eventTime: ago(130), note: 'hi', regarding: { kind: 'Node', name: 'n' }, reportingController: 'c', series: { count: 4, lastObservedTime: ago(3) } },
      { 'Last Seen': '3s', 'Object': 'node/n', 'Source': 'c', 'Message': 'hi', 'First Seen': '2m10s', 'Count': 4 }],
    ['endpoints', 'beyond three', { subsets: [{ addresses: ['1', '2', '3', '4'].map((n) => ({ ip: `10.0.0.${n}` })), ports: [{ port: 80 }] }] }, { Endpoints: '10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...' }],
    ['endpoints', 'of nobody', {}, { Endpoints: '<none>' }],
    ['endpointslices.discovery.k8s.io', 'without ports', { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }] }, { AddressType: 'IPv4', Ports: '<unset>', Endpoints: '10.0.0.1' }],
    ['namespaces', 'in a phase', { status: { phase: 'Active' } }, { Status: 'Active', Age: '65s' }],
    ['leases.coordination.k8s.io', 'held', { spec: { holderIdentity: 'me' } }, { Holder: 'me' }],
    ['jobs.batch', 'that has ended', { spec: { completions: 2 }, status: { succeeded: 2, startTime: ago(100), completionTime: ago(40), conditions: [{ type: 'Complete', status: 'True' }] } }, { Status: 'Complete', Completions: '2/2', Duration: '60s' }],
    ['cronjobs.batch', 'suspended', { spec: { schedule: '* * * * *', suspend: true }, status: { active: [{}] } }, { 'Schedule': '* * * * *', 'Timezone': '<none>', 'Suspend': 'True', 'Active': 1, 'Last Schedule': '<none>' }],
    ['horizontalpodautoscalers.autoscaling', 'with three metrics', {
      spec: { scaleTargetRef: { kind: 'Deployment', name: 'd' }, minReplicas: 1, maxReplicas: 3, metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { averageUtilization: 80 } } }, { type: 'External', external: { target: { averageValue: '5' } } }, { type: 'Pods', pods: { target: { averageValue: '1' } } }] },
      status: { currentMetrics: [{ type: 'Resource', resource: { current: { averageUtilization: 7 } } }] },
    }, { Reference: 'Deployment/d', Targets: 'cpu: 7%/80%, <unknown>/5 (avg) + 1 more...', MinPods: '1', MaxPods: 3, Replicas: 0 }],
    ['persistentvolumeclaims', 'bound', { spec: { volumeName: 'v', storageClassName: 'fast' }, status: { phase: 'Bound', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteMany', 'ReadWriteOnce'] } },
      { 'Status': 'Bound', 'Volume': 'v', 'Capacity': '1Gi', 'Access Modes': 'RWO,RWX', 'StorageClass': 'fast', 'VolumeMode': '<unset>' }],
    ['storageclasses.storage.k8s.io', 'by default', { metadata: { annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } }, provisioner: 'p' }, { Name: 'x (default)', Provisioner: 'p', ReclaimPolicy: 'Delete', AllowVolumeExpansion: false }],
    ['rolebindings.rbac.authorization.k8s.io', 'with subjects', { roleRef: { kind: 'Role', name: 'r' }, subjects: [{ kind: 'User', name: 'u' }, { kind: 'ServiceAccount', namespace: 'n', name: 's' }] }, { Role: 'Role/r', Users: 'u', Groups: '', ServiceAccounts: 'n/s' }],
    ['ingresses.networking.k8s.io', 'of any host', { spec: { tls: [{}] } }, { Class: '<none>', Hosts: '*', Address: '', Ports: '80, 443' }],
    ['controllerrevisions.apps', 'of an owner', { metadata: { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name: 's', uid: 'u', controller: true }] }, revision: 2 }, { Controller: 'statefulset.apps/s', Revision: 2 }],
  ];
  for (const [id, what, object, expected] of rows) it(`show ${id} ${what}`, () => expect(cells(id, object)).to.include(expected));
});

describe('rows of pods', () => {
  for (const [phase, reasons] of [['Running', []], ['Succeeded', ['Succeeded']], ['Failed', ['Failed']]] as const) {
    it(`that are ${phase} ${reasons.length > 0 ? 'are marked as completed' : 'bear no mark'}`, () => {
      const conditions = rowOf('pods').strategy.rowConditions?.({ status: { phase } }) ?? [];
      expect(conditions.map(({ type, reason }) => [type, reason])).to.deep.equal(reasons.map((reason) => ['Completed', reason]));
    });
  }
});
