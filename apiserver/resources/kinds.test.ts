// One good object and many bad ones of each kind that a cluster starts with, with the exact words of what is wrong; then
// what updates may not change. Texts are upstream's.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { create, update } from './testing.ts';

type Json = Record<string, unknown>;
type Change = (object: Json & { metadata: Json; spec: Json }) => void;

const container = { name: 'c', image: 'nginx:1' };
const template = { metadata: { labels: { app: 'a' } }, spec: { containers: [container] } };
const good: Record<string, Json> = {
  'pods': { metadata: { name: 'p', namespace: 'n' }, spec: { containers: [container], volumes: [{ name: 'v' }], serviceAccountName: 'default' } },
  'nodes': { metadata: { name: 'node-1' }, spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] }, status: { capacity: { cpu: '2', pods: '110' } } },
  'services': { metadata: { name: 's', namespace: 'n' }, spec: { ports: [{ port: 80 }] } },
  'namespaces': { metadata: { name: 'team-a' } },
  'configmaps': { metadata: { name: 'c', namespace: 'n' }, data: { 'a.txt': 'x' } },
  'secrets': { metadata: { name: 'c', namespace: 'n' }, stringData: { a: 'x' } },
  'serviceaccounts': { metadata: { name: 'c', namespace: 'n' }, secrets: [{ name: 's', namespace: 'elsewhere' }] },
  'events': { metadata: { name: 'e', namespace: 'n' }, involvedObject: { kind: 'Pod', namespace: 'n', name: 'p' } },
  'events.events.k8s.io': { metadata: { name: 'e', namespace: 'n' }, regarding: { kind: 'Pod', namespace: 'n', name: 'p' }, eventTime: '2026-01-01T00:00:00.000000Z', reportingController: 'c', reportingInstance: 'i', action: 'A', reason: 'R', type: 'Normal' },
  'deployments.apps': { metadata: { name: 'd', namespace: 'n' }, spec: { selector: { matchLabels: { app: 'a' } }, template } },
  'replicasets.apps': { metadata: { name: 'd', namespace: 'n' }, spec: { selector: { matchLabels: { app: 'a' } }, template } },
  'endpointslices.discovery.k8s.io': { metadata: { name: 's', namespace: 'n' }, addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ port: 80 }] },
  'endpoints': { metadata: { name: 's', namespace: 'n' }, subsets: [{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }] },
  'leases.coordination.k8s.io': { metadata: { name: 'l', namespace: 'n' }, spec: { leaseDurationSeconds: 40 } },
};

const label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const ip = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
const configKey = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

const spec = (fields: Json): Change => (object) => void Object.assign(object.spec, fields);
const set = (fields: Json): Change => (object) => void Object.assign(object, fields);
const one = (fields: Json): Change => spec({ containers: [{ ...container, ...fields }] });

const bad: Record<string, [what: string, change: Change, errors: string[]][]> = {
  'pods': [
    ['no containers', spec({ containers: [] }), ['spec.containers: Required value']],
    ['a container without anything', spec({ containers: [{}] }), ['spec.containers[0].name: Required value', 'spec.containers[0].image: Required value']],
    ['two containers of one name', spec({ containers: [container, container] }), ['spec.containers[1].name: Duplicate value: "c"']],
    ['a bad container name', one({ name: 'C' }), [`spec.containers[0].name: Invalid value: "C": ${label}`]],
    ['a padded image', one({ image: ' nginx' }), ['spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace']],
    ['a bad pull policy', one({ imagePullPolicy: 'Sometimes' }), ['spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"']],
    ['bad ports', one({ ports: [{ containerPort: 70000 }, { name: 'UPPER', containerPort: 0, protocol: 'udp' }] }), [
      'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
      'spec.containers[0].ports[1].name: Invalid value: "UPPER": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
      'spec.containers[0].ports[1].name: Invalid value: "UPPER": must contain at least one letter (a-z)',
      'spec.containers[0].ports[1].containerPort: Required value',
      'spec.containers[0].ports[1].protocol: Unsupported value: "udp": supported values: "SCTP", "TCP", "UDP"',
    ]],
    ['a mount of no volume', one({ volumeMounts: [{ name: 'x', mountPath: '/x' }] }), ['spec.containers[0].volumeMounts[0].name: Not found: "x"']],
    ['mounts that collide', one({ volumeMounts: [{ name: 'v', mountPath: '/x' }, { name: 'v', mountPath: '/x', subPath: '../up' }] }), [
      'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/x": must be unique',
      'spec.containers[0].volumeMounts.subPath: Invalid value: "../up": must not contain \'..\'',
    ]],
    ['bad environment', one({ env: [{ name: 'A=B' }, { name: 'X', valueFrom: {} }, { name: 'Y', valueFrom: { fieldRef: { fieldPath: 'spec.foo' } } }] }), [
      "spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='",
      'spec.containers[0].env[1].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      'spec.containers[0].env[2].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": error converting fieldPath: field label not supported: spec.foo',
    ]],
    ['a probe without handler', one({ livenessProbe: { successThreshold: 2 } }), [
      'spec.containers[0].livenessProbe: Required value: must specify a handler type',
      'spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1',
    ]],
    ['a probe with two handlers', one({ readinessProbe: { exec: { command: ['x'] }, tcpSocket: { port: 1 } } }), ['spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type']],
    ['a request above its limit', one({ resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } }), ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1']],
    ['unknown and negative resources', one({ resources: { limits: { gpu: '1', memory: '-1' } } }), [
      'spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
      'spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource for containers',
      'spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
      'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
      'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers',
      'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
    ]],
    ['an extended resource without limit', one({ resources: { requests: { 'example.com/gpu': '1' } } }), ['spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources']],
    ['a hook on an init container', spec({ initContainers: [{ name: 'i', image: 'x:1', lifecycle: { preStop: { exec: { command: ['x'] } } } }] }), [
      'spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always',
    ]],
    ['a bad restart policy', spec({ restartPolicy: 'Maybe' }), ['spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"']],
    ['DNS policy None without configuration', spec({ dnsPolicy: 'None' }), ['spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None']],
    ['volumes of one name, and with two sources', spec({ volumes: [{ name: 'v' }, { name: 'v' }, { name: 'w', emptyDir: {}, hostPath: { path: '/' } }] }), [
      'spec.volumes[1].name: Duplicate value: "v"',
      'spec.volumes[2].hostPath: Forbidden: may not specify more than 1 volume type',
    ]],
    ['a hostPath that climbs', spec({ volumes: [{ name: 'v', hostPath: { path: '/a/../b', type: 'Dir' } }] }), [
      "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
      'spec.volumes[0].hostPath.type: Unsupported value: "Dir": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
    ]],
    ['storage that is half described', spec({ volumes: [{ name: 'v' }, { name: 'f', fc: {} }, { name: 'i', iscsi: { targetPortal: 'p', iqn: 'x', lun: 256 } }, { name: 'n', nfs: { path: 'rel' } }, { name: 'k', flocker: { datasetName: 'a/b' } }] }), [
      'spec.volumes[1].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both',
      'spec.volumes[2].iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa',
      'spec.volumes[2].iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive',
      'spec.volumes[3].nfs.server: Required value',
      'spec.volumes[3].nfs.path: Invalid value: "rel": must be an absolute path',
      "spec.volumes[4].flocker.datasetName: Invalid value: \"a/b\": must not contain '/'",
    ]],
    ['a pod that is smaller than its containers', spec({ resources: { requests: { cpu: '1' } }, containers: [{ ...container, resources: { requests: { cpu: '1500m' } } }] }), [
      'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 1500m',
    ]],
    ['bad tolerations', spec({ tolerations: [{ operator: 'Equal' }, { key: 'a', operator: 'Exists', value: 'x' }, { key: 'a', operator: 'Is', effect: 'Never' }] }), [
      'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"',
      "spec.tolerations[1].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
      'spec.tolerations[2].operator: Unsupported value: "Is": supported values: "Equal", "Exists"',
      'spec.tolerations[2].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ]],
    ['an affinity without terms', spec({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: {} } } }), [
      'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term',
    ]],
    ['a topology constraint of nothing', spec({ topologySpreadConstraints: [{ maxSkew: 0, topologyKey: '', whenUnsatisfiable: 'x' }] }), [
      'spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero',
      'spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty',
      'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "x": supported values: "DoNotSchedule", "ScheduleAnyway"',
    ]],
    ['a host port taken twice', one({ ports: [{ containerPort: 1, hostPort: 80 }, { containerPort: 2, hostPort: 80 }] }), ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"']],
    ['escalation both ways', one({ securityContext: { privileged: true, allowPrivilegeEscalation: false, runAsUser: -1 } }), [
      'spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive',
      'spec.containers[0].securityContext: Invalid value: {"privileged":true,"allowPrivilegeEscalation":false,"runAsUser":-1}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
    ]],
    ['a node and a scheduling gate', spec({ nodeName: 'x', schedulingGates: [{ name: 'a' }] }), ['spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared']],
    ['ephemeral containers from the start', spec({ ephemeralContainers: [{ ...container, name: 'e' }] }), ['spec.ephemeralContainers: Forbidden: cannot be set on create']],
    ['values of the wrong type', spec({ containers: 'x', volumes: 7, tolerations: [null] }), [
      'spec.containers: Required value',
      'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"',
    ]],
  ],
  'nodes': [
    ['a taint without effect, twice', spec({ taints: [{ key: 'a' }, { key: 'a', effect: 'NoSchedule' }, { key: 'a', effect: 'NoSchedule' }] }), [
      'metadata.taints[0].effect: Required value',
      'metadata.taints[2]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair',
    ]],
    ['a bad pod range', spec({ podCIDRs: ['10.0.0.1/24'] }), ['spec.podCIDRs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length']],
    ['half a pod', set({ status: { capacity: { pods: '1500m', cpu: '-1' } } }), [
      'status.capacity.pods: Invalid value: "1500m": must be an integer', 'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
      'status.allocatable.pods: Invalid value: "1500m": must be an integer', 'status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0',
    ]],
  ],
  'services': [
    ['no ports', spec({ ports: [] }), ['spec.ports: Required value']],
    ['ports without names', spec({ ports: [{ port: 80 }, { port: 81 }] }), ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value']],
    ['a port beyond the last', spec({ ports: [{ port: 65536, targetPort: 'Web' }] }), [
      'spec.ports[0].port: Invalid value: 65536: must be between 1 and 65535, inclusive',
      'spec.ports[0].targetPort: Invalid value: "Web": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
    ]],
    ['the same port twice', spec({ ports: [{ name: 'a', port: 80 }, { name: 'b', port: 80 }] }), ['spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}']],
    ['a node port without the type', spec({ ports: [{ port: 80, nodePort: 30000 }] }), ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]],
    ['an unknown type', spec({ type: 'Magic' }), ['spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"']],
    ['ExternalName without a name', spec({ type: 'ExternalName' }), ['spec.externalName: Required value']],
    ['ExternalName with an address', spec({ type: 'ExternalName', externalName: 'a.example', clusterIP: '10.0.0.1' }), ['spec.clusterIPs: Forbidden: may not be set for ExternalName services']],
    ['headless with node ports', spec({ type: 'NodePort', clusterIP: 'None' }), ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"]],
    ['addresses that differ', spec({ clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.2'] }), ['spec.clusterIPs: Invalid value: ["10.0.0.2"]: first value must match `clusterIP`']],
    ['a bad address', spec({ clusterIP: '10.0.0' }), [`spec.clusterIPs[0]: Invalid value: "10.0.0": ${ip}`]],
    ['a loopback external address', spec({ externalIPs: ['127.0.0.1'] }), ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)']],
    ['affinity that lasts too long', spec({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 90000 } } }), [
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: must be greater than 0 and less than 86400',
    ]],
    ['a policy for outside traffic where there is none', spec({ externalTrafficPolicy: 'Local' }), ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services']],
    ['source ranges without a balancer', spec({ loadBalancerSourceRanges: ['10.0.0.0/8'] }), ["spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"]],
  ],
  'namespaces': [
    ['a name with dots', (object) => void (object.metadata['name'] = 'a.b'), ['metadata.name: Invalid value: "a.b": must not contain dots']],
    ['a plain finalizer', spec({ finalizers: ['mine'] }), ['spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified']],
  ],
  'configmaps': [
    ['a bad key', set({ data: { 'a b': 'x' } }), [`data[a b]: Invalid value: "a b": ${configKey}`]],
    ['a key in both', set({ binaryData: { 'a.txt': 'eA==' } }), ['data[a.txt]: Invalid value: "a.txt": duplicate of key present in binaryData']],
    ['more than a mebibyte', set({ data: { a: 'x'.repeat(1_048_577) } }), ['[]: Too long: may not be more than 1048576 bytes']],
  ],
  'secrets': [
    ['a bad key', set({ data: { '..': 'eA==' } }), ["data[..]: Invalid value: \"..\": must not be '..'"]],
    ['a TLS secret without its files', set({ type: 'kubernetes.io/tls' }), ['data[tls.crt]: Required value', 'data[tls.key]: Required value']],
    ['a login without anything', set({ type: 'kubernetes.io/basic-auth' }), ['data[username]: Required value', 'data[password]: Required value']],
    ['a token without its account', set({ type: 'kubernetes.io/service-account-token' }), ['metadata.annotations[kubernetes.io/service-account.name]: Required value']],
    ['a docker config that is no JSON', set({ type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': 'eA==' } }), [
      'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character \'x\' looking for beginning of value',
    ]],
  ],
  'serviceaccounts': [['a bad name', (object) => void (object.metadata['name'] = 'A'), [`metadata.name: Invalid value: "A": ${subdomain}`]]],
  'events': [
    ['another namespace', set({ involvedObject: { namespace: 'other' } }), ['involvedObject.namespace: Invalid value: "other": does not match event.namespace']],
    ['a time and no reporter', set({ eventTime: '2026-01-01T00:00:00.000000Z', reason: 'R', action: 'A', reportingInstance: 'i' }), [
      'reportingComponent: Required value', 'reportingComponent: Invalid value: "": name part must be non-empty',
      "reportingComponent: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ]],
  ],
  'events.events.k8s.io': [
    ['fields of old and no type', set({ type: 'Info', deprecatedCount: 2 }), ['type: Invalid value: "": has invalid value: Info', 'count: Invalid value: "": needs to be unset']],
    ['a series of one', set({ series: { count: 1 } }), ['series.count: Invalid value: "": should be at least 2', 'series.lastObservedTime: Required value']],
  ],
  'deployments.apps': [
    ['labels that do not match', spec({ selector: { matchLabels: { app: 'b' } } }), ['spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`']],
    ['an empty selector', spec({ selector: {} }), ['spec.selector: Invalid value: {}: empty selector is invalid for deployment']],
    ['no selector', spec({ selector: undefined }), ['spec.selector: Required value', 'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`']],
    ['negative numbers', spec({ replicas: -1, minReadySeconds: -1 }), ['spec.replicas: Invalid value: -1: must be greater than or equal to 0', 'spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0']],
    ['pods that end', spec({ template: { ...template, spec: { ...template.spec, restartPolicy: 'Never', activeDeadlineSeconds: 5 } } }), [
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
      'spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported',
    ]],
    ['a rollout that cannot move', spec({ strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: '0%' } } }), ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0']],
    ['shares that are none', spec({ strategy: { rollingUpdate: { maxUnavailable: '101%', maxSurge: 'half' } } }), [
      "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"half\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
    ]],
    ['Recreate with a rollout', spec({ strategy: { type: 'Recreate', rollingUpdate: {} } }), ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]],
    ['a deadline too short', spec({ progressDeadlineSeconds: 5, minReadySeconds: 5 }), ['spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds']],
    ['a template without containers', spec({ template: { metadata: template.metadata } }), ['spec.template.spec.containers: Required value']],
  ],
  'replicasets.apps': [
    ['labels that do not match', spec({ template: { spec: template.spec } }), ['spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`']],
    ['a selector of no sense', spec({ selector: { matchExpressions: [{ key: 'app', operator: 'In' }] } }), [
      "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      'spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"In"}]}: invalid label selector',
    ]],
  ],
  'endpointslices.discovery.k8s.io': [
    ['no type', set({ addressType: undefined }), ['addressType: Required value']],
    ['the other family', set({ endpoints: [{ addresses: ['2001:db8::1'] }] }), ['endpoints[0].addresses: Invalid value: "2001:db8::1": must be an IPv4 address']],
    ['an endpoint without address', set({ endpoints: [{}] }), ['endpoints[0].addresses: Required value: must contain at least 1 address']],
    ['two nameless ports', set({ ports: [{ port: 1 }, { port: 2 }] }), ['ports[1].name: Duplicate value: ""']],
    ['too many addresses', set({ endpoints: [{ addresses: Array.from({ length: 101 }, (_, i) => `10.0.0.${i + 1}`) }] }), ['endpoints[0].addresses: Too many: 101: must have at most 100 items']],
  ],
  'endpoints': [
    ['a subset of nothing', set({ subsets: [{}] }), ['subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`']],
    ['a bad address', set({ subsets: [{ addresses: [{ ip: 'x' }, { ip: '169.254.1.1' }] }] }), [
      `subsets[0].addresses[0].ip: Invalid value: "x": ${ip}`,
      'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address',
      'subsets[0].addresses[1].ip: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
    ]],
  ],
  'leases.coordination.k8s.io': [
    ['no time at all', spec({ leaseDurationSeconds: 0, leaseTransitions: -1 }), ['spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0', 'spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0']],
  ],
};

function changed(id: string, change: Change): Json {
  const object = structuredClone({ spec: {}, ...good[id] }) as Json & { metadata: Json; spec: Json };
  change(object);
  return object;
}

describe('validation', () => {
  for (const [id, sample] of Object.entries(good)) {
    describe(id, () => {
      it('accepts the good one', () => expect(create(id, sample).errors).to.deep.equal([]));
      it('gives the same defaults twice', () => {
        const { object } = create(id, sample);
        expect(update(id, object, () => {}).object).to.deep.equal({ ...object, metadata: { uid: 'u', resourceVersion: '1', ...object.metadata } });
      });
      for (const [what, change, errors] of bad[id] ?? []) {
        it(`refuses ${what}`, () => expect(create(id, changed(id, change)).errors).to.deep.equal(errors));
      }
    });
  }
});

const mutable = 'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n';
type Edit = (object: KubeObject & { spec: Json; metadata: Json }) => void;
const updates: [id: string, what: string, start: Json | undefined, edit: Edit, errors: string[]][] = [
  ['pods', 'a new image', undefined, ({ spec: s }) => void (s['containers'] = [{ ...container, image: 'nginx:2' }]), []],
  ['pods', 'another command', undefined, ({ spec: s }) => void (s['containers'] = [{ ...container, command: ['x'] }]), [`${mutable}  changed: spec.containers`]],
  ['pods', 'one container more', undefined, ({ spec: s }) => void (s['containers'] = [container, { ...container, name: 'd' }]), ['spec.containers: Forbidden: pod updates may not add or remove containers']],
  ['pods', 'a first deadline', undefined, ({ spec: s }) => void (s['activeDeadlineSeconds'] = 5), []],
  ['pods', 'a further toleration', undefined, ({ spec: s }) => void (s['tolerations'] = [{ key: 'a', operator: 'Exists' }]), []],
  ['pods', 'a new gate', undefined, ({ spec: s }) => void (s['schedulingGates'] = [{ name: 'a' }]), ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'"]],
  ['pods', 'a node selector of a gated pod', { schedulingGates: [{ name: 'a' }] }, ({ spec: s }) => void (s['nodeSelector'] = { disk: 'ssd' }), []],
  ['pods', 'a node selector', undefined, ({ spec: s }) => void (s['nodeSelector'] = { disk: 'ssd' }), [`${mutable}  changed: spec.nodeSelector`]],
  ['services', 'another address', { clusterIP: '10.0.0.1' }, ({ spec: s }) => void Object.assign(s, { clusterIP: '10.0.0.2', clusterIPs: ['10.0.0.2'] }), ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set']],
  ['services', 'a type without address', { clusterIP: '10.0.0.1' }, ({ spec: s }) => void Object.assign(s, { type: 'ExternalName', externalName: 'a.example' }), []],
  ['configmaps', 'data that may not change', undefined, (object) => void Object.assign(object, { data: { b: '' } }), []],
  ['deployments.apps', 'another selector', undefined, ({ spec: s }) => {
    s['selector'] = { matchLabels: { app: 'b' } };
    s['template'] = { ...template, metadata: { labels: { app: 'b' } } };
  }, ['spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable']],
  ['endpointslices.discovery.k8s.io', 'another family', undefined, (object) => void Object.assign(object, { addressType: 'IPv6', endpoints: [] }), ['addressType: Invalid value: "IPv6": field is immutable']],
  ['secrets', 'another type', undefined, (object) => void Object.assign(object, { type: 'mine' }), ['type: Invalid value: "mine": field is immutable']],
  ['nodes', 'another provider', { providerID: 'a://b' }, ({ spec: s }) => void (s['providerID'] = 'c://d'), ['spec.providerID: Forbidden: node updates may not change providerID except from "" to valid']],
  ['namespaces', 'a new name', undefined, ({ metadata }) => void (metadata['name'] = 'other'), ['metadata.name: Invalid value: "other": field is immutable']],
];
describe('updates', () => {
  for (const [id, what, start, edit, errors] of updates) {
    it(`of ${id}: ${what} is ${errors.length === 0 ? 'accepted' : 'refused'}`, () => {
      const { object } = create(id, changed(id, spec(start ?? {})));
      expect(update(id, object, (one) => edit(one as KubeObject & { spec: Json; metadata: Json })).errors).to.deep.equal(errors);
    });
  }
  it('of an immutable ConfigMap name every field', () => {
    const { object } = create('configmaps', changed('configmaps', set({ immutable: true })));
    expect(update('configmaps', object, (one) => void Object.assign(one, { immutable: false, data: {}, binaryData: { x: 'eA==' } })).errors).to.deep.equal(
      ['immutable', 'data', 'binaryData'].map((field) => `${field}: Forbidden: field is immutable when \`immutable\` is set`));
  });
});
