// One small and one full valid object of every kind outside the core group, for tests that go over all kinds.

type Json = Record<string, unknown>;

export const podTemplate = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } };
const jobTemplate = { metadata: { labels: { app: 'a' } }, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'nginx:1' }] } };
const selector = { matchLabels: { app: 'a' } };
const namespaced = (name = 'x'): Json => ({ name, namespace: 'n' });
const webhook = { name: 'hook.example.com', clientConfig: { url: 'https://example.com/hook' }, sideEffects: 'None', admissionReviewVersions: ['v1'] };
const fullWebhook = {
  ...webhook, clientConfig: { service: { namespace: 'n', name: 's', path: '/hook', port: 8443 }, caBundle: 'Q0E=' },
  rules: [{ operations: ['CREATE', 'UPDATE'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments', 'deployments/scale'], scope: 'Namespaced' }],
  failurePolicy: 'Ignore', matchPolicy: 'Exact', namespaceSelector: selector, objectSelector: { matchExpressions: [{ key: 'a', operator: 'In', values: ['b'] }] },
  timeoutSeconds: 5, matchConditions: [{ name: 'only-me', expression: "request.userInfo.username == 'me'" }],
};
const matchRules = { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['deployments'] };
const matchResources = { namespaceSelector: selector, objectSelector: selector, matchPolicy: 'Exact', resourceRules: [{ ...matchRules, resourceNames: ['x'], scope: 'Namespaced' }], excludeResourceRules: [{ ...matchRules, operations: ['DELETE'], scope: '*' }] };
const time = '2026-01-01T00:00:00Z';
const condition = { type: 'Ready', status: 'True', lastTransitionTime: time, reason: 'Fine', message: 'all is well' };

/** For CN=jane, signed by a key that nobody kept. */
const signingRequest = 'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISk1IRUNBUUF3RHpFTk1Bc0dBMVVFQXd3RWFtRnVaVEJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSApBMElBQks2WmVVNkxjTjEvWkpxMjEyeU1GL0FzdjVBU0pEUXI1VW9hTldaVU0yTE5aZlVWdzArYlZ0VHh3bFg4CmxoUkE3YXNSNWFPUURkQVcvcXRIdjl2OW8zcWdBREFLQmdncWhrak9QUVFEQWdOSUFEQkZBaUJyQXpQZ2JwRE8KZHJBWktnVVBsckxkdWtIaXZvZE1JeDRtdVFkTHpIUlNNQUloQU8vNTJiTlIvZjM2aXArZWY5OWZ6YzRTcWFVbwozcDRWNGtnZUpmZTFTa3BuCi0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=';

export const minimal: Readonly<Record<string, Json>> = {
  'deployments.apps': { metadata: namespaced(), spec: { selector, template: podTemplate } },
  'replicasets.apps': { metadata: namespaced(), spec: { selector, template: podTemplate } },
  'statefulsets.apps': { metadata: namespaced(), spec: { selector, template: podTemplate } },
  'daemonsets.apps': { metadata: namespaced(), spec: { selector, template: podTemplate } },
  'controllerrevisions.apps': { metadata: namespaced(), data: { spec: {} }, revision: 1 },
  'jobs.batch': { metadata: namespaced(), spec: { template: jobTemplate } },
  'cronjobs.batch': { metadata: namespaced(), spec: { schedule: '*/5 * * * *', jobTemplate: { spec: { template: jobTemplate } } } },
  'horizontalpodautoscalers.autoscaling': { metadata: namespaced(), spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, maxReplicas: 3 } },
  'poddisruptionbudgets.policy': { metadata: namespaced(), spec: { minAvailable: 1, selector } },
  'networkpolicies.networking.k8s.io': { metadata: namespaced(), spec: { podSelector: {} } },
  'ingresses.networking.k8s.io': { metadata: namespaced(), spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } },
  'ingressclasses.networking.k8s.io': { metadata: { name: 'x' }, spec: { controller: 'example.com/ingress' } },
  'ipaddresses.networking.k8s.io': { metadata: { name: '192.0.2.7' }, spec: { parentRef: { resource: 'services', name: 's' } } },
  'servicecidrs.networking.k8s.io': { metadata: { name: 'x' }, spec: { cidrs: ['192.0.2.0/24'] } },
  'storageclasses.storage.k8s.io': { metadata: { name: 'x' }, provisioner: 'example.com/disk' },
  'volumeattachments.storage.k8s.io': { metadata: { name: 'x' }, spec: { attacher: 'disk.example.com', nodeName: 'n1', source: { persistentVolumeName: 'pv' } } },
  'csidrivers.storage.k8s.io': { metadata: { name: 'disk.example.com' }, spec: {} },
  'csinodes.storage.k8s.io': { metadata: { name: 'n1' }, spec: { drivers: [] } },
  'csistoragecapacities.storage.k8s.io': { metadata: namespaced(), storageClassName: 'fast' },
  'volumeattributesclasses.storage.k8s.io': { metadata: { name: 'x' }, driverName: 'disk.example.com', parameters: { iops: '100' } },
  'priorityclasses.scheduling.k8s.io': { metadata: { name: 'x' }, value: 100 },
  'runtimeclasses.node.k8s.io': { metadata: { name: 'x' }, handler: 'runc' },
  'certificatesigningrequests.certificates.k8s.io': { metadata: { name: 'x' }, spec: { signerName: 'example.com/signer', usages: ['client auth'], request: signingRequest } },
  'roles.rbac.authorization.k8s.io': { metadata: namespaced(), rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] },
  'clusterroles.rbac.authorization.k8s.io': { metadata: { name: 'x' }, rules: [] },
  'rolebindings.rbac.authorization.k8s.io': { metadata: namespaced(), roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' } },
  'clusterrolebindings.rbac.authorization.k8s.io': { metadata: { name: 'x' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'r' } },
  'validatingwebhookconfigurations.admissionregistration.k8s.io': { metadata: { name: 'x' }, webhooks: [webhook] },
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': { metadata: { name: 'x' }, webhooks: [webhook] },
  'validatingadmissionpolicies.admissionregistration.k8s.io': { metadata: { name: 'x' }, spec: { matchConstraints: { resourceRules: [matchRules] }, validations: [{ expression: 'object.spec.replicas < 5' }] } },
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': { metadata: { name: 'x' }, spec: { policyName: 'p', validationActions: ['Deny'] } },
  'mutatingadmissionpolicies.admissionregistration.k8s.io': { metadata: { name: 'x' }, spec: { reinvocationPolicy: 'Never', matchConstraints: { resourceRules: [matchRules] }, mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }] } },
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io': { metadata: { name: 'x' }, spec: { policyName: 'p' } },
  'flowschemas.flowcontrol.apiserver.k8s.io': { metadata: { name: 'x' }, spec: { priorityLevelConfiguration: { name: 'p' } } },
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': { metadata: { name: 'x' }, spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } } },
  'leases.coordination.k8s.io': { metadata: namespaced(), spec: {} },
  'endpointslices.discovery.k8s.io': { metadata: namespaced(), addressType: 'IPv4', endpoints: [], ports: [] },
  'events.events.k8s.io': { metadata: namespaced(), eventTime: '2026-01-01T00:00:00.000000Z', regarding: { kind: 'Pod', namespace: 'n', name: 'p' }, reportingController: 'c', reportingInstance: 'i', action: 'A', reason: 'R', type: 'Normal' },
  'deviceclasses.resource.k8s.io': { metadata: { name: 'x' }, spec: {} },
  'resourceclaims.resource.k8s.io': { metadata: namespaced(), spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu' } }] } } },
  'resourceclaimtemplates.resource.k8s.io': { metadata: namespaced(), spec: { spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu' } }] } } } },
  'resourceslices.resource.k8s.io': { metadata: { name: 'x' }, spec: { driver: 'gpu.example.com', nodeName: 'n1', pool: { name: 'n1', generation: 1, resourceSliceCount: 1 } } },
  'apiservices.apiregistration.k8s.io': { metadata: { name: 'v1.example.com' }, spec: { group: 'example.com', version: 'v1', groupPriorityMinimum: 100, versionPriority: 10 } },
};

/** Status included; what clients cannot set on create is dropped there. */
export const full: Readonly<Record<string, Json>> = {
  'apiservices.apiregistration.k8s.io': {
    metadata: { name: 'v1.example.com' },
    spec: { group: 'example.com', version: 'v1', groupPriorityMinimum: 100, versionPriority: 10, service: { namespace: 'n', name: 's', port: 8443 }, caBundle: 'Q0E=' },
    status: { conditions: [{ type: 'Available', status: 'True', lastTransitionTime: time, reason: 'Passed', message: 'all checks passed' }] },
  },
  'deployments.apps': { metadata: { ...namespaced(), labels: { a: 'b' }, annotations: { c: 'd' } }, spec: {
    replicas: 3, selector: { matchLabels: { app: 'a' }, matchExpressions: [{ key: 'app', operator: 'In', values: ['a', 'b'] }] }, template: podTemplate,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: '50%' } }, minReadySeconds: 5, revisionHistoryLimit: 3, paused: true, progressDeadlineSeconds: 60,
  }, status: { observedGeneration: 1, replicas: 3, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 1, unavailableReplicas: 2, terminatingReplicas: 1, collisionCount: 1, conditions: [{ type: 'Available', status: 'True', lastUpdateTime: time, lastTransitionTime: time, reason: 'R', message: 'm' }] } },
  'replicasets.apps': { metadata: namespaced(), spec: { replicas: 2, minReadySeconds: 1, selector, template: podTemplate }, status: { replicas: 2, fullyLabeledReplicas: 2, readyReplicas: 2, availableReplicas: 1, terminatingReplicas: 1, observedGeneration: 1, conditions: [{ type: 'ReplicaFailure', status: 'False', lastTransitionTime: time, reason: 'R', message: 'm' }] } },
  'statefulsets.apps': { metadata: namespaced(), spec: {
    replicas: 2, selector, template: { metadata: podTemplate.metadata, spec: { containers: [{ name: 'c', image: 'nginx:1', volumeMounts: [{ name: 'data', mountPath: '/data' }] }] } }, serviceName: 'svc', podManagementPolicy: 'Parallel',
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } }, revisionHistoryLimit: 4, minReadySeconds: 2, persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Retain' }, ordinals: { start: 3 },
    volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } }],
  }, status: { observedGeneration: 1, replicas: 2, readyReplicas: 2, currentReplicas: 1, updatedReplicas: 1, availableReplicas: 1, currentRevision: 'a', updateRevision: 'b', collisionCount: 0, conditions: [{ type: 'Odd', status: 'True', lastTransitionTime: time, reason: 'R', message: 'm' }] } },
  'daemonsets.apps': { metadata: namespaced(), spec: { selector, template: podTemplate, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '10%', maxSurge: 0 } }, minReadySeconds: 3, revisionHistoryLimit: 2 },
    status: { currentNumberScheduled: 1, numberMisscheduled: 1, desiredNumberScheduled: 2, numberReady: 1, observedGeneration: 1, updatedNumberScheduled: 1, numberAvailable: 1, numberUnavailable: 1, collisionCount: 1, conditions: [{ type: 'Odd', status: 'True', lastTransitionTime: time, reason: 'R', message: 'm' }] } },
  'controllerrevisions.apps': { metadata: { ...namespaced(), labels: { a: 'b' } }, data: { spec: { template: { $patch: 'replace' } } }, revision: 4 },
  'jobs.batch': { metadata: namespaced(), spec: {
    parallelism: 2, completions: 3, completionMode: 'Indexed', backoffLimitPerIndex: 1, maxFailedIndexes: 2, activeDeadlineSeconds: 100, ttlSecondsAfterFinished: 10, suspend: false, podReplacementPolicy: 'Failed', managedBy: 'example.com/controller',
    podFailurePolicy: { rules: [{ action: 'FailJob', onExitCodes: { containerName: 'c', operator: 'In', values: [1, 42] } }, { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }, { action: 'FailIndex', onExitCodes: { operator: 'NotIn', values: [0, 3] } }] },
    successPolicy: { rules: [{ succeededIndexes: '0,2', succeededCount: 1 }] }, template: jobTemplate,
  }, status: { startTime: time, active: 1, ready: 1, terminating: 0, succeeded: 1, failed: 1, completedIndexes: '0', failedIndexes: '1', uncountedTerminatedPods: { succeeded: ['u1'], failed: ['u2'] }, conditions: [{ type: 'Suspended', status: 'False', lastProbeTime: time, lastTransitionTime: time, reason: 'R', message: 'm' }] } },
  'cronjobs.batch': { metadata: namespaced(), spec: { schedule: '0 3 * * 1', timeZone: 'Europe/Vienna', startingDeadlineSeconds: 10, concurrencyPolicy: 'Forbid', suspend: true, successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 2,
    jobTemplate: { metadata: { labels: { l: 'm' }, annotations: { a: 'b' } }, spec: { parallelism: 1, completions: 2, backoffLimit: 2, template: jobTemplate } } },
  status: { active: [{ apiVersion: 'batch/v1', kind: 'Job', namespace: 'n', name: 'j', uid: 'u' }], lastScheduleTime: time, lastSuccessfulTime: time } },
  'horizontalpodautoscalers.autoscaling': { metadata: namespaced(), spec: {
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, minReplicas: 2, maxReplicas: 9,
    metrics: [
      { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '100Mi' } } },
      { type: 'ContainerResource', containerResource: { name: 'cpu', container: 'c', target: { type: 'Utilization', averageUtilization: 50 } } },
      { type: 'Pods', pods: { metric: { name: 'requests', selector }, target: { type: 'AverageValue', averageValue: '10' } } },
      { type: 'Object', object: { describedObject: { apiVersion: 'v1', kind: 'Service', name: 's' }, metric: { name: 'hits' }, target: { type: 'Value', value: '5' } } },
      { type: 'External', external: { metric: { name: 'queue', selector }, target: { type: 'AverageValue', averageValue: '7' } } },
    ],
    behavior: { scaleUp: { stabilizationWindowSeconds: 10, selectPolicy: 'Min', policies: [{ type: 'Pods', value: 2, periodSeconds: 30 }] }, scaleDown: { stabilizationWindowSeconds: 60, selectPolicy: 'Disabled', policies: [{ type: 'Percent', value: 10, periodSeconds: 60 }] } },
  }, status: { observedGeneration: 1, lastScaleTime: time, currentReplicas: 3, desiredReplicas: 4, currentMetrics: [{ type: 'Resource', resource: { name: 'memory', current: { averageValue: '90Mi' } } }], conditions: [{ type: 'AbleToScale', status: 'True', lastTransitionTime: time, reason: 'R', message: 'm' }] } },
  'poddisruptionbudgets.policy': { metadata: namespaced(), spec: { maxUnavailable: '30%', selector, unhealthyPodEvictionPolicy: 'AlwaysAllow' }, status: { observedGeneration: 1, disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2, disruptedPods: { p: time }, conditions: [condition] } },
  'networkpolicies.networking.k8s.io': { metadata: namespaced(), spec: { podSelector: selector, policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ podSelector: selector }, { namespaceSelector: selector }, { podSelector: selector, namespaceSelector: selector }, { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }], ports: [{ protocol: 'UDP', port: 53, endPort: 60 }, { port: 'http' }] }],
    egress: [{ to: [{ ipBlock: { cidr: 'fd00::/8' } }], ports: [{ protocol: 'SCTP' }] }] } },
  'ingresses.networking.k8s.io': { metadata: namespaced(), spec: { ingressClassName: 'nginx', defaultBackend: { resource: { apiGroup: 'example.com', kind: 'Bucket', name: 'b' } }, tls: [{ hosts: ['a.example.com', '*.example.com'], secretName: 'cert' }],
    rules: [{ host: 'a.example.com', http: { paths: [{ path: '/x', pathType: 'Prefix', backend: { service: { name: 's', port: { number: 80 } } } }, { path: '/y', pathType: 'Exact', backend: { service: { name: 's', port: { name: 'http' } } } }] } }, { host: '*.example.com', http: { paths: [{ pathType: 'ImplementationSpecific', backend: { resource: { kind: 'K', name: 'n' } } }] } }] },
  status: { loadBalancer: { ingress: [{ ip: '1.2.3.4', ports: [{ port: 80, protocol: 'TCP', error: 'example.com/Reason' }] }, { hostname: 'lb.example.com' }] } } },
  'ipaddresses.networking.k8s.io': { metadata: { name: '2001:db8::7' }, spec: { parentRef: { group: 'example.com', resource: 'gateways', namespace: 'n', name: 'g' } } },
  'servicecidrs.networking.k8s.io': { metadata: { name: 'x' }, spec: { cidrs: ['192.0.2.0/24', '2001:db8::/64'] } },
  'ingressclasses.networking.k8s.io': { metadata: { name: 'x' }, spec: { controller: 'example.com/ingress', parameters: { apiGroup: 'example.com', kind: 'Settings', name: 's', scope: 'Namespace', namespace: 'n' } } },
  'storageclasses.storage.k8s.io': { metadata: { name: 'x' }, provisioner: 'example.com/disk', parameters: { type: 'ssd' }, reclaimPolicy: 'Retain', mountOptions: ['ro'], allowVolumeExpansion: true, volumeBindingMode: 'WaitForFirstConsumer', allowedTopologies: [{ matchLabelExpressions: [{ key: 'zone', values: ['a', 'b'] }] }] },
  'volumeattachments.storage.k8s.io': { metadata: { name: 'x' }, spec: { attacher: 'disk.example.com', nodeName: 'n1', source: { persistentVolumeName: 'pv' } }, status: { attached: true, attachmentMetadata: { a: 'b' }, attachError: { time, message: 'no', errorCode: 8 }, detachError: { time, message: 'no' } } },
  'csidrivers.storage.k8s.io': { metadata: { name: 'disk.example.com' }, spec: { attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: ['Persistent', 'Ephemeral'], storageCapacity: true, fsGroupPolicy: 'File', tokenRequests: [{ audience: 'a', expirationSeconds: 3600 }, { audience: '' }], requiresRepublish: true, seLinuxMount: true, nodeAllocatableUpdatePeriodSeconds: 60 } },
  'csinodes.storage.k8s.io': { metadata: { name: 'n1' }, spec: { drivers: [{ name: 'disk.example.com', nodeID: 'id', topologyKeys: ['zone'], allocatable: { count: 5 } }] } },
  'csistoragecapacities.storage.k8s.io': { metadata: namespaced(), nodeTopology: selector, storageClassName: 'fast', capacity: '100Gi', maximumVolumeSize: '10Gi' },
  'volumeattributesclasses.storage.k8s.io': { metadata: { name: 'x' }, driverName: 'disk.example.com', parameters: { iops: '100', throughput: '50' } },
  'priorityclasses.scheduling.k8s.io': { metadata: { name: 'x' }, value: 1000, globalDefault: false, description: 'for all', preemptionPolicy: 'Never' },
  'runtimeclasses.node.k8s.io': { metadata: { name: 'x' }, handler: 'runc', overhead: { podFixed: { cpu: '100m', memory: '10Mi' } }, scheduling: { nodeSelector: { a: 'b' }, tolerations: [{ key: 'k', operator: 'Equal', value: 'v', effect: 'NoExecute', tolerationSeconds: 3 }] } },
  'certificatesigningrequests.certificates.k8s.io': { metadata: { name: 'x' }, spec: { signerName: 'example.com/signer', expirationSeconds: 3600, usages: ['client auth', 'digital signature'], request: signingRequest },
    status: { conditions: [{ type: 'Approved', status: 'True', reason: 'R', message: 'm', lastUpdateTime: time, lastTransitionTime: time }] } },
  'roles.rbac.authorization.k8s.io': { metadata: namespaced(), rules: [{ apiGroups: ['', 'apps'], resources: ['pods', 'deployments'], verbs: ['get', 'list'], resourceNames: ['x'] }] },
  'clusterroles.rbac.authorization.k8s.io': { metadata: { name: 'x' }, rules: [{ nonResourceURLs: ['/metrics', '/logs/*'], verbs: ['get'] }, { apiGroups: ['*'], resources: ['*'], verbs: ['*'] }], aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] } },
  'rolebindings.rbac.authorization.k8s.io': { metadata: namespaced(), roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'r' }, subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'u' }, { kind: 'Group', name: 'g' }, { kind: 'ServiceAccount', name: 's', namespace: 'n' }] },
  'clusterrolebindings.rbac.authorization.k8s.io': { metadata: { name: 'x' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'r' }, subjects: [{ kind: 'User', name: 'u' }, { kind: 'ServiceAccount', name: 's', namespace: 'n' }] },
  'validatingwebhookconfigurations.admissionregistration.k8s.io': { metadata: { name: 'x' }, webhooks: [fullWebhook] },
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': { metadata: { name: 'x' }, webhooks: [{ ...fullWebhook, reinvocationPolicy: 'IfNeeded' }] },
  'validatingadmissionpolicies.admissionregistration.k8s.io': { metadata: { name: 'x' }, spec: { paramKind: { apiVersion: 'v1', kind: 'ConfigMap' }, matchConstraints: matchResources, validations: [{ expression: 'object.spec.replicas < 5', message: 'too many', reason: 'Forbidden', messageExpression: "'too many'" }], failurePolicy: 'Ignore', auditAnnotations: [{ key: 'k', valueExpression: "'v'" }], matchConditions: [{ name: 'c', expression: 'true' }], variables: [{ name: 'v', expression: '1' }] },
    status: { observedGeneration: 1, typeChecking: { expressionWarnings: [{ fieldRef: 'spec.validations[0].expression', warning: 'w' }] }, conditions: [condition] } },
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': { metadata: { name: 'x' }, spec: { policyName: 'p', paramRef: { name: 'params', namespace: 'n', parameterNotFoundAction: 'Deny' }, matchResources, validationActions: ['Warn', 'Audit'] } },
  'mutatingadmissionpolicies.admissionregistration.k8s.io': { metadata: { name: 'x' }, spec: { paramKind: { apiVersion: 'v1', kind: 'ConfigMap' }, matchConstraints: matchResources, variables: [{ name: 'v', expression: '1' }], mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: '[JSONPatch{op: "add", path: "/spec/paused", value: true}]' } }, { patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }], failurePolicy: 'Ignore', matchConditions: [{ name: 'c', expression: 'true' }], reinvocationPolicy: 'IfNeeded' } },
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io': { metadata: { name: 'x' }, spec: { policyName: 'p', paramRef: { selector, parameterNotFoundAction: 'Allow' }, matchResources } },
  'flowschemas.flowcontrol.apiserver.k8s.io': { metadata: { name: 'x' }, spec: { priorityLevelConfiguration: { name: 'p' }, matchingPrecedence: 500, distinguisherMethod: { type: 'ByUser' },
    rules: [{ subjects: [{ kind: 'User', user: { name: 'u' } }, { kind: 'Group', group: { name: 'g' } }, { kind: 'ServiceAccount', serviceAccount: { namespace: 'n', name: 's' } }], resourceRules: [{ verbs: ['get'], apiGroups: ['apps'], resources: ['deployments'], clusterScope: true, namespaces: ['n'] }], nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz'] }] }] },
  status: { conditions: [{ type: 'Dangling', status: 'False', lastTransitionTime: time, reason: 'Found', message: 'm' }] } },
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': { metadata: { name: 'x' }, spec: { type: 'Limited', limited: { nominalConcurrencyShares: 10, lendablePercent: 50, borrowingLimitPercent: 20, limitResponse: { type: 'Queue', queuing: { queues: 16, handSize: 4, queueLengthLimit: 10 } } } }, status: { conditions: [{ type: 'Odd', status: 'True', lastTransitionTime: time, reason: 'R', message: 'm' }] } },
  'leases.coordination.k8s.io': { metadata: namespaced(), spec: { holderIdentity: 'me', leaseDurationSeconds: 15, acquireTime: '2026-01-01T00:00:00.000000Z', renewTime: '2026-01-01T00:00:05.000000Z', leaseTransitions: 2 } },
  'endpointslices.discovery.k8s.io': { metadata: { ...namespaced(), labels: { 'kubernetes.io/service-name': 's' } }, addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true, serving: true, terminating: false }, hostname: 'h', nodeName: 'n1', zone: 'z', targetRef: { kind: 'Pod', namespace: 'n', name: 'p', uid: 'u' }, hints: { forZones: [{ name: 'z' }], forNodes: [{ name: 'n1' }] } }], ports: [{ name: 'http', port: 80, protocol: 'TCP', appProtocol: 'http' }] },
  'events.events.k8s.io': { metadata: namespaced(), eventTime: '2026-01-01T00:00:00.000000Z', series: { count: 3, lastObservedTime: '2026-01-01T00:00:10.000000Z' }, regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'n', name: 'p', uid: 'u' }, related: { kind: 'Node', name: 'n1' }, reportingController: 'example.com/c', reportingInstance: 'i', action: 'A', reason: 'R', note: 'something', type: 'Warning' },
  'deviceclasses.resource.k8s.io': { metadata: { name: 'x' }, spec: { selectors: [{ cel: { expression: 'device.driver == "gpu.example.com"' } }], config: [{ opaque: { driver: 'gpu.example.com', parameters: { a: 1 } } }], extendedResourceName: 'example.com/gpu' } },
  'resourceclaims.resource.k8s.io': { metadata: namespaced(), spec: { devices: {
    requests: [{ name: 'r', exactly: { deviceClassName: 'gpu', selectors: [{ cel: { expression: 'true' } }], allocationMode: 'ExactCount', count: 2 } }, { name: 's', firstAvailable: [{ name: 'big', deviceClassName: 'gpu', allocationMode: 'All' }, { name: 'small', deviceClassName: 'gpu', count: 3 }] }],
    constraints: [{ requests: ['r'], matchAttribute: 'example.com/model' }], config: [{ requests: ['r', 's/big'], opaque: { driver: 'gpu.example.com', parameters: { a: 1 } } }] } },
  status: { allocation: { devices: { results: [{ request: 'r', driver: 'gpu.example.com', pool: 'p', device: 'd1' }, { request: 'r', driver: 'gpu.example.com', pool: 'p', device: 'd2' }, { request: 's/big', driver: 'gpu.example.com', pool: 'p', device: 'd3' }] }, nodeSelector: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }] } },
    reservedFor: [{ resource: 'pods', name: 'p', uid: 'u' }], devices: [{ driver: 'gpu.example.com', pool: 'p', device: 'd1', conditions: [condition], data: { a: 1 }, networkData: { interfaceName: 'eth0', ips: ['10.0.0.1/24'], hardwareAddress: 'aa:bb' } }] } },
  'resourceclaimtemplates.resource.k8s.io': { metadata: namespaced(), spec: { metadata: { labels: { a: 'b' }, annotations: { c: 'd' } }, spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu', allocationMode: 'All' } }] } } } },
  'resourceslices.resource.k8s.io': { metadata: { name: 'x' }, spec: { driver: 'gpu.example.com', nodeName: 'n1', pool: { name: 'n1', generation: 2, resourceSliceCount: 1 }, devices: [{ name: 'd1', attributes: { model: { string: 'a' }, count: { int: 3 }, fast: { bool: true }, version: { version: '1.2.3' } }, capacity: { memory: { value: '1Gi' } } }] } },
};
