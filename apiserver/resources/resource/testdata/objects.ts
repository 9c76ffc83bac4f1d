// Objects of resource.k8s.io that hold every field, as bases of the cases in rules.json: one field of them is changed or taken out.
const time = '2026-01-01T00:00:00Z';
const condition = { type: 'example.com/Ready', status: 'True', reason: 'Ok', message: 'm', lastTransitionTime: time };
const selector = (key = 'zone') => ({ nodeSelectorTerms: [{ matchExpressions: [{ key, operator: 'In', values: ['a'] }] }] });
const onNode = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }] };
const toleration = { key: 'example.com/k', operator: 'Equal', value: 'v', effect: 'NoExecute', tolerationSeconds: 5 };
const opaque = { driver: 'gpu.example.com', parameters: { a: 1 } };
const share = '0a1b2c3d-0000-4000-8000-00000000000f';

const devices = {
  requests: [
    { name: 'r', exactly: { deviceClassName: 'gpu', selectors: [{ cel: { expression: 'device.driver == "gpu.example.com"' } }], allocationMode: 'ExactCount', count: 2, adminAccess: false, tolerations: [toleration, { operator: 'Exists' }], capacity: { requests: { memory: '1Gi' } } } },
    { name: 's', firstAvailable: [{ name: 'big', deviceClassName: 'gpu', selectors: [{ cel: { expression: 'true' } }], allocationMode: 'All', tolerations: [{ key: 'k', operator: 'Exists', effect: 'None' }] }, { name: 'small', deviceClassName: 'gpu', count: 3, capacity: { requests: { 'example.com/memory': '2Gi' } } }] },
  ],
  constraints: [{ requests: ['r'], matchAttribute: 'example.com/model' }, { requests: ['r', 's/big'], distinctAttribute: 'example.com/id' }],
  config: [{ requests: ['r', 's/big'], opaque }],
};
const result = { driver: 'gpu.example.com', pool: 'p/q' };
const status = {
  allocation: {
    devices: {
      results: [
        { request: 'r', ...result, device: 'd1', adminAccess: false, tolerations: [{ key: 'k', operator: 'Exists' }], bindingConditions: ['example.com/bound'], bindingFailureConditions: ['failed'], shareID: share, consumedCapacity: { memory: '1Gi' } },
        { request: 's/big', ...result, device: 'd2' },
      ],
      config: [{ source: 'FromClass', requests: ['r'], opaque }, { source: 'FromClaim', opaque }],
    },
    nodeSelector: onNode, allocationTimestamp: time,
  },
  reservedFor: [{ resource: 'pods', name: 'p', uid: 'u' }, { apiGroup: 'example.com', resource: 'things', name: 't', uid: 'v' }],
  devices: [{ ...result, device: 'd1', shareID: share, conditions: [condition], data: { a: 1 }, networkData: { interfaceName: 'eth0', ips: ['10.0.0.1/24', 'fd00::1/64'], hardwareAddress: 'aa:bb' } }, { ...result, device: 'd2' }],
};
const spec = { driver: 'gpu.example.com', pool: { name: 'p/q', generation: 2, resourceSliceCount: 1 } };
const ranged = { default: '2Gi', validRange: { min: '1Gi', max: '8Gi', step: '1Gi' } };

export const objects: Readonly<Record<string, { id: string; object: Record<string, unknown> }>> = {
  class: { id: 'deviceclasses.resource.k8s.io', object: { metadata: { name: 'x' }, spec: { selectors: [{ cel: { expression: 'device.driver == "gpu.example.com"' } }], config: [{ opaque }], extendedResourceName: 'example.com/gpu' } } },
  claim: { id: 'resourceclaims.resource.k8s.io', object: { metadata: { name: 'x', namespace: 'n' }, spec: { devices }, status } },
  template: { id: 'resourceclaimtemplates.resource.k8s.io', object: { metadata: { name: 'x', namespace: 'n' }, spec: { metadata: { labels: { a: 'b' }, annotations: { c: 'd' } }, spec: { devices } } } },
  slice: { id: 'resourceslices.resource.k8s.io', object: { metadata: { name: 'x' }, spec: { ...spec, nodeName: 'n1', devices: [
    {
      name: 'd1', attributes: { 'model': { string: 'a' }, 'example.com/count': { int: 3 }, 'fast': { bool: true }, 'version': { version: '1.2.3-rc.1+b.2' } },
      capacity: { 'memory': { value: '1Gi' }, 'example.com/cores': { value: '8' } },
      taints: [{ key: 'example.com/broken', value: 'yes', effect: 'NoExecute', timeAdded: time }, { key: 'k', effect: 'None', timeAdded: time }],
      bindsToNode: true, bindingConditions: ['example.com/bound', 'other'], bindingFailureConditions: ['failed'],
    },
    { name: 'd2', allowMultipleAllocations: true, capacity: { memory: { value: '16Gi', requestPolicy: ranged }, cores: { value: '8', requestPolicy: { default: '2', validValues: ['1', '2', '8'] } } } },
  ] } } },
  'counting slice': { id: 'resourceslices.resource.k8s.io', object: { metadata: { name: 'x' }, spec: { ...spec, nodeSelector: selector(), sharedCounters: [{ name: 'a', counters: { memory: { value: '1Gi' }, cores: { value: '4' } } }, { name: 'b', counters: { c: { value: '1' } } }] } } },
  'consuming slice': { id: 'resourceslices.resource.k8s.io', object: { metadata: { name: 'x' }, spec: { ...spec, perDeviceNodeSelection: true, devices: [
    { name: 'd1', nodeName: 'n1', consumesCounters: [{ counterSet: 'a', counters: { memory: { value: '1Gi' } } }, { counterSet: 'b', counters: { c: { value: '1' } } }] },
    { name: 'd2', nodeSelector: selector() }, { name: 'd3', allNodes: true },
  ] } } },
  'slice of all nodes': { id: 'resourceslices.resource.k8s.io', object: { metadata: { name: 'x' }, spec: { ...spec, allNodes: true } } },
  'taint rule': { id: 'devicetaintrules.resource.k8s.io', object: { metadata: { name: 'x' }, spec: { deviceSelector: { driver: 'gpu.example.com', pool: 'p/q', device: 'd1' }, taint: { key: 'example.com/broken', value: 'yes', effect: 'NoExecute', timeAdded: time } }, status: { conditions: [condition] } } },
  'pool status request': { id: 'resourcepoolstatusrequests.resource.k8s.io', object: { metadata: { name: 'x' }, spec: { driver: 'gpu.example.com', poolName: 'p/q', limit: 5 }, status: {
    poolCount: 2, conditions: [condition, { ...condition, type: 'Complete' }],
    pools: [{ driver: 'gpu.example.com', poolName: 'p', generation: 1, resourceSliceCount: 1, totalDevices: 4, allocatedDevices: 1, availableDevices: 2, unavailableDevices: 1, nodeName: 'n1' }, { driver: 'gpu.example.com', poolName: 'q', generation: 1, validationError: 'm' }],
  } } },
};
