// The "API operations" entries of upstream's conformance list: discovery, create, get, list, watch, patch, update, status
// and both ways of deletion of one kind after the other, on a hollow cluster of this file's own. One story for all kinds.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { createClient } from '#machinery/client/client.ts';
import { loadKubeconfig } from '#machinery/client/kubeconfig.ts';
import type { Client } from '#machinery/client/types.ts';
import { cli, nodeBinary, readyLineOf, removeFolder, until } from './fixtures/cluster.ts';
import { stop } from './fixtures/process.ts';

type Json = Record<string, unknown>;
interface Item { metadata: { name: string; resourceVersion: string; annotations?: Record<string, string> }; status?: Json; [field: string]: unknown }
interface List { metadata: { resourceVersion: string }; items: Item[] }
interface Kind {
  title: string;
  /** `apis/batch/v1` */
  version: string;
  resource: string;
  namespaced?: boolean;
  /** Without metadata. */
  object: Json;
  /** A status that may be written, when there is one; `approval` where it goes elsewhere too. */
  status?: Json;
  approval?: Json;
  /** Where names are more than names. */
  names?: readonly string[];
}

const rules = { resourceRules: [{ apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['deployments'] }] };
const condition = { type: 'Odd', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z', reason: 'E2E', message: 'set by the test' };
const signingRequest = 'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISU1IRUNBUUF3RHpFTk1Bc0dBMVVFQXd3RWFtRnVaVEJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSApBMElBQkVxdVdONGV4OUhEcWljSVJZaDNJT0dvZElDa1EwOHE0eThDNXBuenhzL01IMW1lYzJtaEdoamN6R1RnCmdLWGZFcWxxOXFZNU9CNXRXS05IY0w2T2E0MmdBREFLQmdncWhrak9QUVFEQWdOSEFEQkVBaUFuREZBQjFGdHMKcGorUzRzbUlGTFZ4ekk1U0w3YS83Tm1ZbFNyZDZ0T0ZpUUlnVWN6OTQ0cUlPZ3VUNk9PMDZZaksvNHo3YlZFMwphOFovQWpBWkFIQkJ0ZUU9Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=';
const template = { metadata: { labels: { app: 'a' } }, spec: { restartPolicy: 'OnFailure', containers: [{ name: 'c', image: 'nginx:1' }] } };
const deviceRequest = { devices: { requests: [{ name: 'one', exactly: { deviceClassName: 'nobody' } }] } };
const webhook = { name: 'hook.example.com', clientConfig: { url: 'https://127.0.0.1:1/nobody' }, sideEffects: 'None', admissionReviewVersions: ['v1'], failurePolicy: 'Ignore', rules: [{ apiGroups: ['none.example.com'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['nothings'] }] };

const kinds: readonly Kind[] = [
  { title: '[sig-network] Ingress API should support creating Ingress API operations [Conformance]', version: 'apis/networking.k8s.io/v1', resource: 'ingresses', namespaced: true,
    object: { spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } } }, status: { loadBalancer: { ingress: [{ ip: '169.1.1.1' }] } } },
  { title: '[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]', version: 'apis/networking.k8s.io/v1', resource: 'ingressclasses', object: { spec: { controller: 'example.com/controller' } } },
  { title: '[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]', version: 'apis/discovery.k8s.io/v1', resource: 'endpointslices', namespaced: true,
    object: { addressType: 'IPv4', endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ port: 80 }] } },
  { title: '[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]', version: 'apis/node.k8s.io/v1', resource: 'runtimeclasses', object: { handler: 'runc' } },
  { title: '[sig-apps] CronJob should support CronJob API operations [Conformance]', version: 'apis/batch/v1', resource: 'cronjobs', namespaced: true,
    object: { spec: { schedule: '0 0 1 1 *', jobTemplate: { spec: { template } } } }, status: { lastScheduleTime: '2026-01-01T00:00:00Z' } },
  { title: '[sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]', version: 'apis/flowcontrol.apiserver.k8s.io/v1', resource: 'flowschemas',
    object: { spec: { matchingPrecedence: 10_000, priorityLevelConfiguration: { name: 'global-default' }, distinguisherMethod: { type: 'ByUser' } } }, status: { conditions: [condition] } },
  { title: '[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations [Conformance]', version: 'apis/flowcontrol.apiserver.k8s.io/v1', resource: 'prioritylevelconfigurations',
    object: { spec: { type: 'Limited', limited: { nominalConcurrencyShares: 2, limitResponse: { type: 'Reject' } } } }, status: { conditions: [condition] } },
  { title: '[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]', version: 'apis/certificates.k8s.io/v1', resource: 'certificatesigningrequests',
    object: { spec: { signerName: 'example.com/nobody', request: signingRequest, expirationSeconds: 3600, usages: ['client auth'] } },
    status: { conditions: [{ ...condition, type: 'Odd' }] }, approval: { conditions: [{ ...condition, type: 'Approved' }] } },
  { title: '[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]', version: 'apis/storage.k8s.io/v1', resource: 'csidrivers', object: { spec: { volumeLifecycleModes: ['Ephemeral'] } } },
  { title: '[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]', version: 'apis/storage.k8s.io/v1', resource: 'csinodes', object: { spec: { drivers: [] } } },
  { title: '[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]', version: 'apis/storage.k8s.io/v1', resource: 'csistoragecapacities', namespaced: true, object: { storageClassName: 'example' } },
  { title: '[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]', version: 'apis/storage.k8s.io/v1', resource: 'storageclasses', object: { provisioner: 'e2e-fake-provisioner' } },
  { title: '[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]', version: 'apis/storage.k8s.io/v1', resource: 'volumeattachments',
    object: { spec: { attacher: 'e2e-fake.example.com', nodeName: 'nobody', source: { persistentVolumeName: 'pv' } } }, status: { attached: true } },
  { title: '[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a VolumeAttributesClass [Conformance]', version: 'apis/storage.k8s.io/v1', resource: 'volumeattributesclasses',
    object: { driverName: 'e2e-fake.example.com', parameters: { iops: '1' } } },
  { title: '[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicy API operations [Conformance]', version: 'apis/admissionregistration.k8s.io/v1', resource: 'validatingadmissionpolicies',
    object: { spec: { matchConstraints: rules, validations: [{ expression: 'object.spec.replicas <= 100' }] } }, status: { conditions: [condition] } },
  { title: '[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicyBinding API operations [Conformance]', version: 'apis/admissionregistration.k8s.io/v1', resource: 'validatingadmissionpolicybindings',
    object: { spec: { policyName: 'nobody.example.com', validationActions: ['Deny'] } } },
  { title: '[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicy API operations [Conformance]', version: 'apis/admissionregistration.k8s.io/v1', resource: 'mutatingadmissionpolicies',
    object: { spec: { reinvocationPolicy: 'Never', matchConstraints: rules, mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }] } } },
  { title: '[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicyBinding API operations [Conformance]', version: 'apis/admissionregistration.k8s.io/v1', resource: 'mutatingadmissionpolicybindings',
    object: { spec: { policyName: 'nobody.example.com' } } },
  { title: '[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods [Conformance]', version: 'apis/scheduling.k8s.io/v1', resource: 'priorityclasses', object: { value: 100 } },
  { title: 'HorizontalPodAutoscalers, v2: create, get, list, watch, patch, update, delete', version: 'apis/autoscaling/v2', resource: 'horizontalpodautoscalers', namespaced: true,
    object: { spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'nobody' }, maxReplicas: 2 } }, status: { currentReplicas: 1, desiredReplicas: 1 } },
  { title: 'PodDisruptionBudgets: create, get, list, watch, patch, update, delete', version: 'apis/policy/v1', resource: 'poddisruptionbudgets', namespaced: true,
    object: { spec: { minAvailable: 1, selector: { matchLabels: { app: 'nobody' } } } } },
  { title: '[sig-node] Lease lease API should be available [Conformance]', version: 'apis/coordination.k8s.io/v1', resource: 'leases', namespaced: true, object: { spec: { holderIdentity: 'me', leaseDurationSeconds: 30 } } },
  { title: '[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision [Conformance]', version: 'apis/apps/v1', resource: 'controllerrevisions', namespaced: true, object: { data: { spec: {} }, revision: 1 } },
  { title: '[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]', version: 'apis/networking.k8s.io/v1', resource: 'ipaddresses', names: ['192.0.2.1', '192.0.2.2', '2001:db8::1'],
    object: { spec: { parentRef: { resource: 'dummies', name: 'd', namespace: 'default' } } } },
  { title: '[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass [Conformance]', version: 'apis/resource.k8s.io/v1', resource: 'deviceclasses', object: { spec: {} } },
  { title: '[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim [Conformance]', version: 'apis/resource.k8s.io/v1', resource: 'resourceclaims', namespaced: true, object: { spec: deviceRequest },
    status: { allocation: { devices: { results: [{ request: 'one', driver: 'dra.example.com', pool: 'p', device: 'd' }] } } } },
  { title: '[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]', version: 'apis/resource.k8s.io/v1', resource: 'resourceclaimtemplates', namespaced: true, object: { spec: { spec: deviceRequest } } },
  { title: '[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]', version: 'apis/resource.k8s.io/v1', resource: 'resourceslices',
    object: { spec: { driver: 'dra.example.com', nodeName: 'nobody', pool: { name: 'p', generation: 1, resourceSliceCount: 1 } } } },
  { title: 'NetworkPolicies: create, get, list, watch, patch, update, delete', version: 'apis/networking.k8s.io/v1', resource: 'networkpolicies', namespaced: true, object: { spec: { podSelector: {} } } },
  { title: 'Validating webhook configurations: create, get, list, watch, patch, update, delete', version: 'apis/admissionregistration.k8s.io/v1', resource: 'validatingwebhookconfigurations', object: { webhooks: [webhook] } },
  { title: 'Mutating webhook configurations: create, get, list, watch, patch, update, delete', version: 'apis/admissionregistration.k8s.io/v1', resource: 'mutatingwebhookconfigurations', object: { webhooks: [webhook] } },
];

describe('API operations', () => {
  let client: Client;
  let folder: string;
  let server: ChildProcess;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'proa-operations-'));
    server = spawn(nodeBinary, [cli, 'server', '--runtime', 'hollow', '--data-dir', folder, '--https-port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [server.stdout, server.stderr]) stream?.on('data', (chunk: Buffer) => { output += chunk.toString(); });
    await readyLineOf(server, () => output);
    client = createClient(await loadKubeconfig(join(folder, 'admin.kubeconfig')));
    await must('POST', '/api/v1/namespaces', { metadata: { name: 'operations' } });
  });
  after(async () => {
    client?.close();
    if (server) await stop(server, 'SIGTERM', 30_000);
    if (folder) removeFolder(folder);
  });

  async function must<T = Item>(method: string, path: string, body?: unknown, type?: string): Promise<T> {
    const answer = await client.raw(method, path, AbortSignal.timeout(60_000), body, type === undefined ? undefined : { 'content-type': type });
    assert.isBelow(answer.status, 300, `${method} ${path}: ${answer.body}`);
    return JSON.parse(answer.body) as T;
  }
  async function statusOf(method: string, path: string): Promise<number> {
    return (await client.raw(method, path, AbortSignal.timeout(60_000))).status;
  }
  /** Reads, changes and puts, again when a controller wrote meanwhile. */
  async function replace(path: string, change: (item: Item) => Item): Promise<Item> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await client.raw('PUT', path, AbortSignal.timeout(60_000), change(await must('GET', path)));
      if (answer.status === 200) return JSON.parse(answer.body) as Item;
      assert.isTrue(answer.status === 409 && attempt < 5, `PUT ${path}: ${answer.body}`);
    }
  }
  /** Types of the events about one object, from a list's version on. */
  async function eventsOf({ version, resource, namespaced = false }: Kind, name: string, resourceVersion: string, enough: (seen: readonly string[]) => boolean): Promise<string[]> {
    const [, group = '', number = ''] = version.split('/');
    const stopping = new AbortController();
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(10_000)]);
    const seen: string[] = [];
    try {
      for await (const event of client.watch({ group, version: number, resource, kind: '', namespaced }, namespaced ? 'operations' : '', { resourceVersion, labelSelector: 'operations=yes' }, signal)) {
        if (event.type !== 'BOOKMARK' && (event.object as Item).metadata.name === name) seen.push(event.type);
        if (enough(seen)) break;
      }
    } finally {
      stopping.abort();
    }
    return seen;
  }

  async function discover({ version, resource, namespaced = false }: Kind): Promise<void> {
    const [, group = '', number = ''] = version.split('/');
    const { groups } = await must<{ groups: { name: string; versions: { version: string }[] }[] }>('GET', '/apis');
    assert.isTrue(groups.some((one) => one.name === group && one.versions.some((found) => found.version === number)), '/apis');
    const { versions } = await must<{ versions: { version: string }[] }>('GET', `/apis/${group}`);
    assert.isTrue(versions.some((found) => found.version === number), `/apis/${group}`);
    const { resources } = await must<{ resources: { name: string; namespaced: boolean; verbs: string[] }[] }>('GET', `/${version}`);
    const found = resources.find((one) => one.name === resource);
    assert.equal(found?.namespaced, namespaced);
    assert.includeMembers(found?.verbs ?? [], ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']);
  }

  async function writeStatus(kind: Kind, one: string, subresource: 'status' | 'approval', status: Json): Promise<void> {
    const patched = await must('PATCH', `${one}/${subresource}`, { metadata: { annotations: { patchedstatus: 'true' } }, status }, 'application/merge-patch+json');
    for (const field of Object.keys(status)) assert.isDefined(patched.status?.[field], `${kind.resource}/${subresource}: ${field}`);
    await replace(`${one}/${subresource}`, (item) => item);
  }

  for (const kind of kinds) it(kind.title, async () => {
    const { version, resource, namespaced, object } = kind;
    await discover(kind);
    const all = `/${version}/${namespaced ? 'namespaces/operations/' : ''}${resource}`;
    const named = (name: string): Json => ({ ...structuredClone(object), metadata: { name, labels: { operations: 'yes' } } });
    const before = await must<List>('GET', `${all}?labelSelector=operations%3Dyes`);
    assert.lengthOf(before.items, 0);

    const names = kind.names ?? ['one.example.com', 'two.example.com', 'three.example.com'];
    for (const name of names) await must('POST', all, named(name));
    const [name = ''] = names;
    const one = `${all}/${name}`;
    assert.equal((await must('GET', one)).metadata.name, name);
    assert.lengthOf((await must<List>('GET', `${all}?labelSelector=operations%3Dyes`)).items, 3);
    if (namespaced) assert.lengthOf((await must<List>('GET', `/${version}/${resource}?labelSelector=operations%3Dyes`)).items, 3);

    const patched = await must('PATCH', one, { metadata: { annotations: { patched: 'true' } } }, 'application/merge-patch+json');
    assert.equal(patched.metadata.annotations?.['patched'], 'true');
    const updated = await replace(one, (item) => ({ ...item, metadata: { ...item.metadata, annotations: { ...item.metadata.annotations, updated: 'true' } } }));
    assert.equal(updated.metadata.annotations?.['updated'], 'true');
    assert.deepEqual(await eventsOf(kind, name, before.metadata.resourceVersion, (seen) => seen.length >= 3), ['ADDED', 'MODIFIED', 'MODIFIED']);

    if (kind.approval) await writeStatus(kind, one, 'approval', kind.approval);
    if (kind.status) await writeStatus(kind, one, 'status', kind.approval ? { conditions: [...kind.approval['conditions'] as Json[], ...kind.status['conditions'] as Json[]] } : kind.status);

    const version2 = (await must<List>('GET', all)).metadata.resourceVersion;
    await must('DELETE', one);
    await until(`${name} is gone`, async () => (await statusOf('GET', one)) === 404); // some wait for a controller's finalizer
    const events = await eventsOf(kind, name, version2, (seen) => seen.includes('DELETED'));
    assert.equal(events.at(-1), 'DELETED', events.join());
    await must('DELETE', `${all}?labelSelector=operations%3Dyes`);
    await until('all are gone', async () => (await must<List>('GET', `${all}?labelSelector=operations%3Dyes`)).items.length === 0);
  });
});
