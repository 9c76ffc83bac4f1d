// What strategies do beside refusing: defaults (golden pairs in testdata, UPDATE_GOLDEN=1 rewrites the outputs), status kept
// apart, generations, graceful deletion, binding, transitions of Services, names and metadata.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import { bindPod } from './core/pod.ts';
import { pullPolicyOf } from './core/pod-defaults.ts';
import { validateObjectMeta, validateObjectMetaUpdate } from './meta.ts';
import { builtinRows, groups } from './registry.ts';
import { resourceId } from './resource.ts';
import { create, now, rowOf, update } from './testing.ts';
import { at, dropNulls, same } from './values.ts';

type Json = Record<string, unknown>;

describe('defaults', () => {
  for (const [file, id] of [['pod', 'pods'], ['deployment', 'deployments.apps'], ['service', 'services']] as const) {
    it(`of ${id} are those in testdata/${file}.output.json`, () => {
      const url = (kind: string): URL => new URL(`testdata/${file}.${kind}.json`, import.meta.url);
      const { object } = create(id, JSON.parse(readFileSync(url('input'), 'utf8')));
      if (process.env['UPDATE_GOLDEN'] === '1' || !existsSync(url('output'))) writeFileSync(url('output'), `${JSON.stringify(object, null, 2)}\n`);
      expect(object).to.deep.equal(JSON.parse(readFileSync(url('output'), 'utf8')));
    });
  }
  it('refuse what is no quantity as a bad request', () => {
    const pod = { metadata: { name: 'p', namespace: 'n' }, spec: { containers: [{ name: 'c', image: 'i', resources: { limits: { cpu: 'lots' } } }] } };
    expect(() => create('pods', pod)).to.throw(StatusError, 'Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression');
  });
  it('pull an image again only when its tag may move', () => {
    const rows: [string, string][] = [['nginx', 'Always'], ['nginx:latest', 'Always'], ['nginx:1', 'IfNotPresent'], ['localhost:5000/nginx', 'Always'],
      ['localhost:5000/nginx:1', 'IfNotPresent'], [`nginx@sha256:${'0'.repeat(64)}`, 'IfNotPresent'], ['Not An Image', 'IfNotPresent'], ['', 'IfNotPresent']];
    for (const [image, policy] of rows) expect(pullPolicyOf(image), image).to.equal(policy);
  });
  it('do not run over in time on long names', () => {
    const started = performance.now();
    pullPolicyOf(`${'a-'.repeat(2000)}!`);
    expect(performance.now() - started).to.be.lessThan(200);
  });
  it('leave out what is behind a gate of upstream that is off', () => {
    const spec = { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i:1' }] } }, updateStrategy: { rollingUpdate: { maxUnavailable: 0 } } };
    expect(at(create('statefulsets.apps', { metadata: { name: 's', namespace: 'n' }, spec }).object, 'spec', 'updateStrategy')).to.deep.equal({ type: 'RollingUpdate', rollingUpdate: { partition: 0 } });
  });
  it('take the account of a webhook, a role binding and a job into account', () => {
    expect(create('rolebindings.rbac.authorization.k8s.io', { metadata: { name: 'b', namespace: 'n' }, roleRef: { kind: 'Role', name: 'r' }, subjects: [{ kind: 'User', name: 'u' }, { kind: 'ServiceAccount', name: 's' }] }).object)
      .to.deep.include({ roleRef: { kind: 'Role', name: 'r', apiGroup: 'rbac.authorization.k8s.io' }, subjects: [{ kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' }, { kind: 'ServiceAccount', name: 's' }] });
    const job = create('jobs.batch', { metadata: { name: 'j', namespace: 'n', uid: 'u1' }, spec: { template: { spec: { containers: [] } } } }).object;
    expect(at(job, 'spec', 'selector', 'matchLabels')).to.deep.equal({ 'batch.kubernetes.io/controller-uid': 'u1' });
    expect(at(job, 'spec', 'template', 'metadata', 'labels', 'job-name')).to.equal('j');
    expect(at(job, 'spec', 'backoffLimit')).to.equal(6);
  });
});

const pod = (spec: Json = {}): KubeObject => create('pods', { metadata: { name: 'p', namespace: 'n' }, spec: { containers: [{ name: 'c', image: 'i:1' }], ...spec } }).object;

describe('pods', () => {
  it('get a class of service from all their resources', () => {
    const classOf = (...resources: Json[]): unknown => at(pod({ containers: resources.map((one, index) => ({ name: `c${index}`, image: 'i:1', resources: one })) }), 'status', 'qosClass');
    const full = { limits: { cpu: '1', memory: '1Gi' } };
    expect(classOf({})).to.equal('BestEffort');
    expect(classOf(full)).to.equal('Guaranteed');
    expect(classOf(full, {})).to.equal('Burstable');
    expect(classOf({ limits: { cpu: '1' } })).to.equal('Burstable');
    expect(classOf({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '0.5Gi' } })).to.equal('Burstable');
  });
  it('wait at their gates', () => {
    expect(at(pod({ schedulingGates: [{ name: 'g' }] }), 'status', 'conditions')).to.deep.equal([{
      type: 'PodScheduled', status: 'False', lastProbeTime: null, lastTransitionTime: '2026-01-02T03:04:05Z', reason: 'SchedulingGated', message: 'Scheduling is blocked due to non-empty scheduling gates',
    }]);
  });
  it('keep spec and owners when status is written, and status when spec is', () => {
    const { object } = update('pods', pod(), (one) => {
      (one['spec'] as Json)['nodeName'] = 'x';
      one['status'] = { phase: 'Running' };
      one.metadata = { ...one.metadata, labels: { a: 'b' }, ownerReferences: [{ apiVersion: 'v1', kind: 'A', name: 'a', uid: 'u' }] };
    }, 'status');
    expect([at(object, 'spec', 'nodeName'), at(object, 'status'), object.metadata?.labels, object.metadata?.ownerReferences])
      .to.deep.equal([undefined, { phase: 'Running', qosClass: 'BestEffort' }, { a: 'b' }, undefined]);
    expect(at(update('pods', pod(), (one) => void (one['status'] = { phase: 'Failed' })).object, 'status', 'phase')).to.equal('Pending');
  });
  it('show unset times of conditions and states as null', () => {
    const object: KubeObject = { ...pod(), status: {
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-02T03:04:05Z' }],
      containerStatuses: [{ name: 'c', state: { waiting: {} }, lastState: { terminated: { exitCode: 137 } } }],
    } };
    rowOf('pods').strategy.default?.(object);
    expect(at(object, 'status', 'conditions')).to.deep.equal([{ type: 'Ready', status: 'True', lastProbeTime: null, lastTransitionTime: '2026-01-02T03:04:05Z' }]);
    expect(at(object, 'status', 'containerStatuses')).to.deep.equal([{ name: 'c', state: { waiting: {} }, lastState: { terminated: { exitCode: 137, startedAt: null, finishedAt: null } } }]);
  });
  it('refuse a terminated container that runs again', () => {
    const ended = { ...pod({ restartPolicy: 'Never' }), status: { qosClass: 'BestEffort', containerStatuses: [{ name: 'c', state: { terminated: { exitCode: 0 } } }] } };
    const run = (one: KubeObject): void => void (one['status'] = { containerStatuses: [{ name: 'c', state: { running: {} } }] });
    expect(update('pods', ended, run, 'status').errors).to.deep.equal(['status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state']);
  });
  it('are deleted gracefully once they are on a node', () => {
    const grace = (object: KubeObject, asked: number | undefined): number | undefined => rowOf('pods').strategy.gracePeriodSeconds?.(object, asked);
    const bound = pod({ nodeName: 'x', terminationGracePeriodSeconds: 7 });
    expect([grace(pod(), 5), grace(bound, undefined), grace(bound, 3), grace(bound, 0), grace(bound, -4), grace({ ...bound, status: { phase: 'Failed' } }, 5)])
      .to.deep.equal([undefined, 7, 3, undefined, 1, undefined]);
  });
  it('are bound once', () => {
    const one = pod();
    bindPod(one, { nodeName: 'node-1', labels: { zone: 'a' } }, now);
    expect([at(one, 'spec', 'nodeName'), at(one, 'status', 'conditions'), one.metadata?.labels]).to.deep.equal(
      ['node-1', [{ type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: '2026-01-02T03:04:05Z' }], { zone: 'a' }]);
    expect(() => bindPod(one, { nodeName: 'node-2' }, now)).to.throw('Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "node-1"');
    expect(() => bindPod(pod({ schedulingGates: [{ name: 'g' }] }), { nodeName: 'x' }, now)).to.throw('pod p has non-empty .spec.schedulingGates');
    expect(() => bindPod({ ...pod(), metadata: { name: 'p', deletionTimestamp: 'x' } }, { nodeName: 'x' }, now)).to.throw('pod p is being deleted, cannot be assigned to a host');
  });
});

describe('services', () => {
  const service = (spec: Json): KubeObject => create('services', { metadata: { name: 's', namespace: 'n' }, spec: { ports: [{ port: 80 }], ...spec } }).object;
  it('lose what the new type has no use for', () => {
    const nodePort = service({ type: 'NodePort', clusterIP: '10.43.0.9', ports: [{ port: 80, nodePort: 30001 }] });
    const { object, errors } = update('services', nodePort, (one) => void ((one['spec'] as Json)['type'] = 'ClusterIP'));
    expect(errors).to.deep.equal([]);
    expect(at(object, 'spec')).to.deep.equal({
      type: 'ClusterIP', clusterIP: '10.43.0.9', clusterIPs: ['10.43.0.9'], ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }], sessionAffinity: 'None', internalTrafficPolicy: 'Cluster',
    });
  });
  it('are refused a node port that was asked for along with a type that has none', () => {
    const nodePort = service({ type: 'NodePort', ports: [{ port: 80, nodePort: 30001 }] });
    const { errors } = update('services', nodePort, (one) => void Object.assign(one['spec'] as Json, { type: 'ClusterIP', ports: [{ port: 80, nodePort: 30002 }] }));
    expect(errors).to.deep.equal(["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]);
  });
});

describe('generation', () => {
  const deployment = (): KubeObject => create('deployments.apps', JSON.parse(readFileSync(new URL('testdata/deployment.input.json', import.meta.url), 'utf8'))).object;
  it('starts at one where there is one', () => {
    expect(deployment().metadata?.generation).to.equal(1);
    expect(create('services', { metadata: { name: 's', namespace: 'n', generation: 5 } }).object.metadata).not.to.have.property('generation');
  });
  it('of a Deployment rises with its annotations', () => {
    const { object } = update('deployments.apps', deployment(), (one) => void (one.metadata = { ...one.metadata, annotations: { a: 'b' } }));
    expect(object.metadata?.generation).to.equal(2);
  });
  it('of a PriorityClass stays', () => expect(rowOf('priorityclasses.scheduling.k8s.io').strategy.generation).to.equal('none'));
});

describe('validateObjectMeta()', () => {
  const fields = (meta: Json, namespaced = true): string[] => validateObjectMeta({ name: 'a', namespace: 'n', ...meta }, { namespaced }).map(({ type, field, detail }) => `${type} ${field} ${(detail ?? '').slice(0, 60)}`);
  const rows: [what: string, meta: Json, errors: string[]][] = [
    ['nothing', {}, []],
    ['no name', { name: '' }, ['Required metadata.name name or generateName is required']],
    ['a bad generateName', { generateName: 'AB-' }, ['Invalid metadata.generateName a lowercase RFC 1123 subdomain must consist of lower case al']],
    ['a good generateName', { generateName: 'a-' }, []],
    ['no namespace', { namespace: '' }, ['Required metadata.namespace ']],
    ['bad labels', { labels: { '/a': 'b!' } }, ['Invalid metadata.labels prefix part must be non-empty', 'Invalid metadata.labels a valid label must be an empty string or consist of alphanum']],
    ['an upper-case annotation prefix', { annotations: { 'EXAMPLE.com/a': 'b' } }, []],
    ['annotations beyond 256 KiB', { annotations: { a: 'x'.repeat(262_144) } }, ['TooLong metadata.annotations may not be more than 262144 bytes']],
    ['two controllers', { ownerReferences: ['a', 'b'].map((name) => ({ apiVersion: 'v1', kind: 'K', name, uid: 'u', controller: true })) },
      ['Invalid metadata.ownerReferences Only one reference can have Controller set to true. Found "t']],
    ['an empty owner', { ownerReferences: [{}] }, ['apiVersion version must not be empty', 'kind must not be empty', 'name must not be empty', 'uid must not be empty'].map((text) => `Invalid metadata.ownerReferences.${text}`)],
    ['a finalizer of no group', { finalizers: ['mine', 'kubernetes'] }, ['Invalid metadata.finalizers[0] name is neither a standard finalizer name nor is it fully qu']],
    ['both ways of deletion', { finalizers: ['orphan', 'foregroundDeletion'] }, ['Invalid metadata.finalizers finalizer orphan and foregroundDeletion cannot be both set']],
    ['bad managed fields', { managedFields: [{ operation: 'Do', fieldsType: 'X', manager: 'a\u0001' }] }, [
      'Invalid metadata.managedFields[0].operation must be `Apply` or `Update`', 'Invalid metadata.managedFields[0].fieldsType must be `FieldsV1`',
      'Invalid metadata.managedFields[0].manager invalid character U+0001 (at position 1)',
    ]],
  ];
  for (const [what, meta, errors] of rows) it(`of ${what}`, () => expect(fields(meta)).to.deep.equal(errors));
  it('wants no namespace on kinds without', () => expect(fields({}, false)).to.deep.equal(['Forbidden metadata.namespace not allowed on this type']));
  it('lets custom resources have plain finalizers', () =>
    expect(validateObjectMeta({ name: 'a', namespace: 'n', finalizers: ['mine'] }, { namespaced: true, customResource: true })).to.deep.equal([]));
  it('lets nobody add finalizers to what is being deleted', () => {
    const old = { name: 'a', deletionTimestamp: 'x', finalizers: ['a/b'] };
    expect(validateObjectMetaUpdate({ ...old, finalizers: ['a/b', 'd/e', 'c/d'] }, old).map(({ detail }) => detail))
      .to.deep.equal(['no new finalizers can be added if the object is being deleted, found new finalizers []string{"c/d", "d/e"}']);
    expect(validateObjectMetaUpdate({ ...old, finalizers: [] }, old)).to.deep.equal([]);
  });
});

describe('builtinRows()', () => {
  it('keeps each resource where upstream keeps it', () => {
    const prefixes = Object.fromEntries(builtinRows().map((row) => [resourceId(row), row.storagePrefix]));
    expect(prefixes).to.include({ pods: '/registry/pods/', nodes: '/registry/minions/', services: '/registry/services/specs/', 'deployments.apps': '/registry/deployments/', events: '/registry/events/' });
    expect(prefixes['events.events.k8s.io']).to.equal(undefined);
    expect(prefixes['tokenreviews.authentication.k8s.io']).to.equal(undefined);
  });
  it('has a group for every row, and a name rule for everything stored', () => {
    const known = new Map(groups().map((group) => [group.group, group.versions]));
    for (const row of builtinRows()) {
      expect(known.get(row.group), resourceId(row)).to.include(row.version);
      if (row.storagePrefix !== undefined) expect(row.strategy, resourceId(row)).to.have.property('validateName');
    }
  });
  it('gives every server an allocator of its own', () => {
    const allocate = (): Promise<undefined> => Promise.resolve(undefined);
    const services = (options?: Parameters<typeof builtinRows>[0]): unknown => builtinRows(options).find((row) => row.resource === 'services')?.strategy;
    expect(services()).not.to.have.property('allocate');
    expect(services({ allocateService: allocate })).to.have.property('allocate', allocate);
  });
  it('converts Events and autoscalers there and back without loss', () => {
    const samples: [string, string, KubeObject][] = [
      ['events.events.k8s.io', 'v1', { apiVersion: 'events.k8s.io/v1', kind: 'Event', metadata: { name: 'e' }, regarding: { name: 'p' }, note: 'hello', reportingController: 'c', deprecatedCount: 3 }],
      ['horizontalpodautoscalers.autoscaling', 'v1', { apiVersion: 'autoscaling/v1', kind: 'HorizontalPodAutoscaler', metadata: { name: 'h', annotations: { a: 'b' } }, spec: { maxReplicas: 3, targetCPUUtilizationPercentage: 50 }, status: {} }],
    ];
    for (const [id, version, object] of samples) {
      const convert = builtinRows().find((row) => resourceId(row) === id && row.version === version)?.convert;
      expect(convert?.fromStored(convert.toStored(structuredClone(object)))).to.deep.equal(object);
    }
  });
  it('gives each version of an autoscaler its own defaults', () => {
    const defaulted = (version: string): KubeObject => {
      const object: KubeObject = { spec: { maxReplicas: 2 } };
      builtinRows().find((row) => row.resource === 'horizontalpodautoscalers' && row.version === version)?.strategy.default?.(object);
      return object;
    };
    expect(defaulted('v1')['spec']).to.deep.equal({ maxReplicas: 2, minReplicas: 1, targetCPUUtilizationPercentage: 80 });
    expect(defaulted('v2')['spec']).to.deep.equal({ maxReplicas: 2, minReplicas: 1, metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }] });
  });
});

describe('IP addresses', () => {
  it('are named by an address in canonical form', () => {
    const errors = (name: string): string[] | undefined => rowOf('ipaddresses.networking.k8s.io').strategy.validateName?.(name, false);
    expect(errors('10.43.0.1')).to.deep.equal([]);
    expect(errors('fe80::42:1dff:fe84:f9e2')).to.deep.equal([]);
    expect(errors('2001:DB8::0:1')).to.deep.equal(['must be in canonical form ("2001:db8::1")']);
    for (const name of ['abc', '10.0.0', 'fe80::1%eth0']) expect(errors(name), name).to.deep.equal(['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']);
    expect(errors('010.0.0.1')).to.deep.equal(['must not have leading 0s']);
    expect(errors('::ffff:1.2.3.4')).to.deep.equal(['must not be an IPv4-mapped IPv6 address']);
  });
});

describe('values', () => {
  it('dropNulls() takes out fields, not entries', () => {
    const value = { a: null, b: [null, { c: null, d: 1 }], e: { f: null } };
    dropNulls(value);
    expect(value).to.deep.equal({ b: [null, { d: 1 }], e: {} });
  });
  it('same() takes missing, null and empty for the same', () => {
    expect([same({ a: [] }, {}), same(undefined, {}), same({ a: { b: null } }, {}), same([1], [1, 2]), same({ a: 0 }, {}), same('', undefined)]).to.deep.equal([true, true, true, false, false, false]);
  });
});
