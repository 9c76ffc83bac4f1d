// Kinds whose rules are little more than data: defaults, what a write may change, generation. Their validation checks
// metadata (by the handlers) and nothing else yet. Defaults: upstream's pkg/apis/<group>/<version>/defaults.go.
import { isIP, isIPv6, SocketAddress } from 'node:net';
import { canonicalQuantity } from '#machinery/api/quantity.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { basicStrategy, keepField, setFirstGeneration, zeroStatus } from './basic.ts';
import type { Basics } from './basic.ts';
import { defaultClaimSpec, defaultPodTemplate, defaultResourceList } from './core/pod-defaults.ts';
import { pathSegmentName } from './meta.ts';
import type { NameFunction } from './meta.ts';
import { scaleOf } from './scale.ts';
import type { Strategy } from './resource.ts';
import { asObject, at, entries, forbiddenField, immutable, invalidField, isEmpty, isObject, items, need, objects, same, setEmpty, setMissing, text, unchanged } from './values.ts';
import type { Obj } from './values.ts';

interface Other extends Basics {
  default?: (object: Obj) => void;
  more?: Partial<Strategy>;
}

/** Addresses are the names of IPAddress objects, each in its one canonical form. */
const addressName: NameFunction = (name) => {
  if (isIP(name) === 0 || name.includes('%')) return ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
  if (/^::ffff:\d+\./i.test(name)) return ['must not be an IPv4-mapped IPv6 address'];
  const { address } = new SocketAddress({ address: name, family: isIPv6(name) ? 'ipv6' : 'ipv4' });
  return address === name ? [] : [`must be in canonical form (${JSON.stringify(address)})`];
};

const replicated = { status: true, generation: 'spec' } as const;
const noPut = { unconditionalUpdate: false } as const;

const others: Readonly<Record<string, Other>> = {
  'autoscaling/horizontalpodautoscalers': { status: true, default: defaultAutoscaler, initialStatus: () => ({ desiredReplicas: 0 }) },
  // The rules are those of v2, which is what is stored; the request is defaulted in its own version first.
  'autoscaling/horizontalpodautoscalers/v1': { status: true, default: defaultAutoscalerV1, initialStatus: () => ({ currentReplicas: 0, desiredReplicas: 0 }) },
  'networking.k8s.io/ingresses': { ...replicated, initialStatus: () => ({ loadBalancer: {} }), default: (object) => {
    setMissing(object, 'spec', {});
    setMissing(need(object, 'status'), 'loadBalancer', {});
  } },
  'networking.k8s.io/ingressclasses': { generation: 'spec', default: (object) => {
    setMissing(object, 'spec', {});
    const parameters = asObject(at(object, 'spec', 'parameters'));
    if (parameters) setMissing(parameters, 'scope', 'Cluster');
  }, more: { validateUpdate: (object, old) => unchanged('spec.controller', at(object, 'spec', 'controller'), at(old, 'spec', 'controller')) } },
  'networking.k8s.io/networkpolicies': { generation: 'spec', default: defaultNetworkPolicy },
  'networking.k8s.io/ipaddresses': { more: { validateName: addressName, validateUpdate: (object, old) => unchanged('spec.parentRef', at(object, 'spec', 'parentRef'), at(old, 'spec', 'parentRef')) } },
  'networking.k8s.io/servicecidrs': { status: true, statusMayChange: [], default: (object) => setMissing(object, 'status', {}) },
  'policy/poddisruptionbudgets': { ...replicated, ...noPut, default: (object) => {
    zeroStatus(object, ['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods']);
  }, initialStatus: () => ({ disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 }), more: { validateName: pathSegmentName } },
  'rbac.authorization.k8s.io/roles': { createOnUpdate: true, default: defaultRules, more: { validateName: pathSegmentName } },
  'rbac.authorization.k8s.io/clusterroles': { createOnUpdate: true, default: defaultRules, more: { validateName: pathSegmentName } },
  'rbac.authorization.k8s.io/rolebindings': { createOnUpdate: true, default: defaultBinding, more: { validateName: pathSegmentName, validateUpdate: bindingUpdate } },
  'rbac.authorization.k8s.io/clusterrolebindings': { createOnUpdate: true, default: defaultBinding, more: { validateName: pathSegmentName, validateUpdate: bindingUpdate } },
  'storage.k8s.io/storageclasses': { default: (object) => {
    setMissing(object, 'reclaimPolicy', 'Delete');
    setMissing(object, 'volumeBindingMode', 'Immediate');
  }, more: { validateUpdate: (object, old) => ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode'].flatMap((field) => unchanged(field, object[field], old[field])) } },
  'storage.k8s.io/volumeattributesclasses': { more: { validateUpdate: (object, old) => ['driverName', 'parameters'].flatMap((field) =>
    (same(object[field], old[field]) ? [] : [forbiddenField(field, `updates to ${field} are forbidden.`)])) } },
  'storage.k8s.io/csidrivers': { generation: 'spec', ...noPut, default: defaultCsiDriver },
  'storage.k8s.io/csinodes': noPut,
  'storage.k8s.io/csistoragecapacities': { ...noPut, default: (object) => {
    for (const field of ['capacity', 'maximumVolumeSize']) {
      const value = object[field];
      if (typeof value === 'string' || typeof value === 'number') object[field] = canonicalQuantity(value);
    }
  }, more: { validateUpdate: (object, old) => ['nodeTopology', 'storageClassName'].flatMap((field) => unchanged(field, object[field], old[field])) } },
  'storage.k8s.io/volumeattachments': {
    status: true, statusMayChange: [], ...noPut, initialStatus: () => ({ attached: false }),
    default: (object) => setMissing(need(object, 'status'), 'attached', false),
    more: { validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']) },
  },
  'scheduling.k8s.io/priorityclasses': { default: (object) => {
    setMissing(object, 'value', 0);
    setMissing(object, 'preemptionPolicy', 'PreemptLowerPriority');
  }, more: {
    // One for ever: no change raises it.
    prepareForCreate: (object) => setFirstGeneration(object, 'spec'),
    validateUpdate: (object, old) => [
      ...(object['value'] === old['value'] ? [] : [forbiddenField('value', 'may not be changed in an update.')]),
      ...unchanged('preemptionPolicy', object['preemptionPolicy'], old['preemptionPolicy']),
    ],
  } },
  'node.k8s.io/runtimeclasses': { createOnUpdate: true, ...noPut, default: (object) => defaultResourceList(at(object, 'overhead', 'podFixed')),
    more: { validateUpdate: (object, old) => unchanged('handler', object['handler'], old['handler']) } },
  'admissionregistration.k8s.io/validatingwebhookconfigurations': { generation: 'spec', ...noPut, default: defaultWebhooks },
  'admissionregistration.k8s.io/mutatingwebhookconfigurations': { generation: 'spec', ...noPut, default: (object) => {
    defaultWebhooks(object);
    for (const webhook of objects(object['webhooks'])) setMissing(webhook, 'reinvocationPolicy', 'Never');
  } },
  'admissionregistration.k8s.io/validatingadmissionpolicies': { ...replicated, statusMayChange: [], ...noPut, default: defaultPolicy },
  'admissionregistration.k8s.io/validatingadmissionpolicybindings': { generation: 'spec', ...noPut, default: defaultPolicyBinding },
  'admissionregistration.k8s.io/mutatingadmissionpolicies': { generation: 'spec', ...noPut, default: defaultPolicy },
  'admissionregistration.k8s.io/mutatingadmissionpolicybindings': { generation: 'spec', ...noPut, default: defaultPolicyBinding },
  'flowcontrol.apiserver.k8s.io/flowschemas': { ...replicated, statusMayChange: [], default: (object) => {
    setEmpty(need(object, 'spec'), 'matchingPrecedence', 1000);
    setMissing(object, 'status', {});
  } },
  'flowcontrol.apiserver.k8s.io/prioritylevelconfigurations': { ...replicated, statusMayChange: [], default: defaultPriorityLevel },
  'certificates.k8s.io/certificatesigningrequests': { status: true, more: {
    validateName: pathSegmentName,
    prepareForCreate(object, { request }) {
      const spec = need(object, 'spec');
      const user = request.user;
      for (const [field, value] of Object.entries({ username: user?.name, uid: user?.uid, groups: user?.groups, extra: user?.extra })) {
        if (value === undefined || isEmpty(value)) delete spec[field];
        else spec[field] = structuredClone(value);
      }
      object['status'] = {};
    },
    prepareForUpdate(object, old) {
      keepField(object, old, 'spec');
      keepField(object, old, 'status');
    },
    subresources: { approval: {
      prepareForUpdate(object, old) {
        const { conditions } = asObject(object['status']) ?? {};
        keepField(object, old, 'spec');
        keepField(object, old, 'status');
        if (conditions !== undefined) need(object, 'status')['conditions'] = conditions;
      },
    } },
    fieldLabels: { 'spec.signerName': (object) => text(at(object, 'spec', 'signerName')) },
    fieldLabelError: (label) => `field label not supported: ${label}`,
  }, default: (object) => setMissing(object, 'status', {}) },
  'apiextensions.k8s.io/customresourcedefinitions': { ...replicated, ...noPut, default: defaultDefinition, initialStatus: (object) => ({ ...emptyDefinitionStatus(), storedVersions: storageVersions(object) }), more: {
    validateName: () => [],
    validate: (object) => {
      const expected = `${text(at(object, 'spec', 'names', 'plural'))}.${text(at(object, 'spec', 'group'))}`;
      return object.metadata?.name === expected ? [] : [invalidField('metadata.name', object.metadata?.name ?? '', `must be spec.names.plural+"."+spec.group`)];
    },
    prepareForUpdate(object, old) {
      keepField(object, old, 'status');
      const status = need(object, 'status');
      status['storedVersions'] = [...new Set([...items(status['storedVersions']), ...storageVersions(object)])];
    },
    validateUpdate: (object, old) => [
      ...unchanged('spec.group', at(object, 'spec', 'group'), at(old, 'spec', 'group')),
      ...unchanged('spec.names.plural', at(object, 'spec', 'names', 'plural'), at(old, 'spec', 'names', 'plural')),
    ],
  } },
  'apiregistration.k8s.io/apiservices': { status: true, statusMayChange: [], ...noPut, initialStatus: apiServiceStatus, default: (object) => {
    setMissing(object, 'status', {});
    const service = asObject(at(object, 'spec', 'service'));
    if (service) setMissing(service, 'port', 443);
  }, more: { validateName: () => [], validate: (object) => {
    const expected = `${text(at(object, 'spec', 'version'))}.${text(at(object, 'spec', 'group'))}`;
    return object.metadata?.name === expected ? [] : [invalidField('metadata.name', object.metadata?.name ?? '', `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(expected)}`)];
  } } },
  'resource.k8s.io/deviceclasses': { generation: 'spec' },
  'resource.k8s.io/resourceclaims': { status: true, statusMayChange: [], default: (object) => setMissing(object, 'status', {}),
    more: { validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']) } },
  'resource.k8s.io/resourceclaimtemplates': { more: { validateUpdate: (object, old) => unchanged('spec', object['spec'], old['spec']) } },
  'resource.k8s.io/resourceslices': { generation: 'spec', more: {
    validateUpdate: (object, old) => [['pool', 'name'], ['driver'], ['nodeName']].flatMap((path) => unchanged(`spec.${path.join('.')}`, at(object, 'spec', ...path), at(old, 'spec', ...path))),
    fieldLabels: { 'spec.driver': (object) => text(at(object, 'spec', 'driver')), 'spec.nodeName': (object) => text(at(object, 'spec', 'nodeName')) },
    fieldLabelError: (label) => `field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: ${label}`,
  } },
};

/** By resource id, and by `id/version` where a version has rules of its own. */
export function otherStrategies(): Record<string, Strategy> {
  const made: Record<string, Strategy> = {};
  for (const [name, { default: defaults, more, ...basics }] of Object.entries(others)) {
    const [group = '', resource = '', version] = name.split('/');
    const id = group === '' ? resource : `${resource}.${group}`;
    const basic = basicStrategy(basics);
    const prepareForCreate = more?.prepareForCreate;
    made[version === undefined ? id : `${id}/${version}`] = {
      ...basic, ...more,
      ...(defaults ? { default: defaults } : {}),
      // A kind's own step comes on top of the common one.
      ...(prepareForCreate ? { prepareForCreate: (object, context) => {
        basic.prepareForCreate?.(object, context);
        prepareForCreate(object, context);
      } } : {}),
    };
  }
  return made;
}

function defaultAutoscaler(object: Obj): void {
  const spec = need(object, 'spec');
  setMissing(spec, 'minReplicas', 1);
  if (items(spec['metrics']).length === 0) {
    spec['metrics'] = [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }];
  }
  const behavior = asObject(spec['behavior']);
  if (behavior) {
    const percent = { type: 'Percent', value: 100, periodSeconds: 15 };
    const up = need(behavior, 'scaleUp');
    setMissing(up, 'stabilizationWindowSeconds', 0);
    setMissing(up, 'selectPolicy', 'Max');
    setMissing(up, 'policies', [{ type: 'Pods', value: 4, periodSeconds: 15 }, percent]);
    const down = need(behavior, 'scaleDown');
    setMissing(down, 'selectPolicy', 'Max');
    setMissing(down, 'policies', [{ ...percent }]);
  }
  zeroStatus(object, ['desiredReplicas']);
}

function defaultAutoscalerV1(object: Obj): void {
  const spec = need(object, 'spec');
  setMissing(spec, 'minReplicas', 1);
  // Metrics that v1 cannot say are in this annotation; only without any does the usual one apply.
  if (isEmpty(at(object, 'metadata', 'annotations', 'autoscaling.alpha.kubernetes.io/metrics'))) setMissing(spec, 'targetCPUUtilizationPercentage', 80);
  zeroStatus(object, ['currentReplicas', 'desiredReplicas']);
}

function defaultNetworkPolicy(object: Obj): void {
  const spec = need(object, 'spec');
  setMissing(spec, 'podSelector', {});
  if (items(spec['policyTypes']).length === 0) spec['policyTypes'] = items(spec['egress']).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  for (const rule of [...objects(spec['ingress']), ...objects(spec['egress'])]) {
    for (const port of objects(rule['ports'])) setMissing(port, 'protocol', 'TCP');
  }
}

/** Upstream prints missing rules as null; an empty list reads the same everywhere. */
function defaultRules(object: Obj): void {
  setMissing(object, 'rules', []);
}
function defaultBinding(object: Obj): void {
  const group = 'rbac.authorization.k8s.io';
  setEmpty(need(object, 'roleRef'), 'apiGroup', group);
  for (const subject of objects(object['subjects'])) {
    if (subject['kind'] === 'User' || subject['kind'] === 'Group') setEmpty(subject, 'apiGroup', group);
  }
}
function bindingUpdate(object: KubeObject, old: Readonly<KubeObject>): ReturnType<NonNullable<Strategy['validateUpdate']>> {
  return same(object['roleRef'], old['roleRef']) ? [] : [invalidField('roleRef', object['roleRef'], 'cannot change roleRef')];
}

function defaultCsiDriver(object: Obj): void {
  const spec = need(object, 'spec');
  setMissing(spec, 'attachRequired', true);
  for (const field of ['podInfoOnMount', 'storageCapacity', 'requiresRepublish', 'seLinuxMount']) setMissing(spec, field, false);
  setMissing(spec, 'fsGroupPolicy', 'ReadWriteOnceWithFSType');
  if (items(spec['volumeLifecycleModes']).length === 0) spec['volumeLifecycleModes'] = ['Persistent'];
}

function defaultWebhooks(object: Obj): void {
  for (const webhook of objects(object['webhooks'])) {
    setMissing(webhook, 'failurePolicy', 'Fail');
    setMissing(webhook, 'matchPolicy', 'Equivalent');
    setMissing(webhook, 'namespaceSelector', {});
    setMissing(webhook, 'objectSelector', {});
    setMissing(webhook, 'timeoutSeconds', 10);
    const service = asObject(at(webhook, 'clientConfig', 'service'));
    if (service) setMissing(service, 'port', 443);
    for (const rule of objects(webhook['rules'])) setMissing(rule, 'scope', '*');
  }
}
function defaultMatchResources(match: Obj): void {
  setMissing(match, 'matchPolicy', 'Equivalent');
  setMissing(match, 'namespaceSelector', {});
  setMissing(match, 'objectSelector', {});
  for (const rule of [...objects(match['resourceRules']), ...objects(match['excludeResourceRules'])]) setMissing(rule, 'scope', '*');
}
function defaultPolicy(object: Obj): void {
  const spec = need(object, 'spec');
  setMissing(spec, 'failurePolicy', 'Fail');
  const match = asObject(spec['matchConstraints']);
  if (match) defaultMatchResources(match);
  if (object['kind'] === 'ValidatingAdmissionPolicy') setMissing(object, 'status', {});
}
function defaultPolicyBinding(object: Obj): void {
  const match = asObject(at(object, 'spec', 'matchResources'));
  if (match) defaultMatchResources(match);
}

function defaultPriorityLevel(object: Obj): void {
  const spec = need(object, 'spec');
  const exempt = asObject(spec['exempt']);
  if (exempt) {
    setMissing(exempt, 'nominalConcurrencyShares', 0);
    setMissing(exempt, 'lendablePercent', 0);
  }
  const limited = asObject(spec['limited']);
  if (limited) {
    setMissing(limited, 'nominalConcurrencyShares', 30);
    setMissing(limited, 'lendablePercent', 0);
    const queuing = asObject(at(limited, 'limitResponse', 'queuing'));
    if (queuing) {
      setEmpty(queuing, 'handSize', 8);
      setEmpty(queuing, 'queues', 64);
      setEmpty(queuing, 'queueLengthLimit', 50);
    }
  }
  setMissing(object, 'status', {});
}

function defaultDefinition(object: Obj): void {
  const spec = need(object, 'spec');
  const names = need(spec, 'names');
  const kind = text(names['kind']);
  setEmpty(names, 'singular', kind.toLowerCase());
  if (kind !== '') setEmpty(names, 'listKind', `${kind}List`);
  setMissing(spec, 'conversion', { strategy: 'None' });
  const service = asObject(at(spec, 'conversion', 'webhook', 'clientConfig', 'service'));
  if (service) setMissing(service, 'port', 443);
  const status = need(object, 'status');
  for (const [name, value] of Object.entries(emptyDefinitionStatus())) setMissing(status, name, value);
  if (items(status['storedVersions']).length === 0) status['storedVersions'] = storageVersions(object);
}
function emptyDefinitionStatus(): Obj {
  return { acceptedNames: { kind: '', plural: '' }, conditions: [] };
}
function storageVersions(object: Obj): string[] {
  return objects(at(object, 'spec', 'versions')).filter((version) => version['storage'] === true).map((version) => text(version['name']));
}

function apiServiceStatus(object: KubeObject, now: number): Obj {
  if (isObject(at(object, 'spec', 'service'))) return {};
  return { conditions: [{
    type: 'Available', status: 'True', lastTransitionTime: new Date(now).toISOString().replace(/\.\d+Z$/, 'Z'),
    reason: 'Local', message: 'Local APIServices are always available',
  }] };
}
