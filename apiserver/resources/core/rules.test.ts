// What upstream says of core objects with one thing wrong: a field of a valid object (testdata/core-bases.json) is changed or
// taken out by a create, an update or a write of a subresource. A case names the base by its number and the field by its
// path, steps parted by tabs (none: several fields at the top); texts are cut at 110 characters. The same text about the same field is told once.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { create, rowOf, update } from '../testing.ts';
import bases from '../testdata/core-bases.json' with { type: 'json' };
import rules from '../testdata/core-rules.json' with { type: 'json' };

type Json = Record<string, unknown>;
interface Case { on: string; base: number; path: string; value?: unknown; errors: string[] }

function change(object: Json, { path, value }: Case): void {
  if (path === '') {
    Object.assign(object, structuredClone(value));
    return;
  }
  const steps = path.split('\t');
  const last = steps.pop() ?? '';
  let here = object;
  for (const step of steps) here = here[step] as Json; // the path leads somewhere
  if (value === undefined) delete here[last];
  else here[last] = structuredClone(value);
}
const cut = (error: string): string => (error.length > 110 ? `${error.slice(0, 109)}…` : error);

function errorsOf(id: string, one: Case): string[] {
  const base = (bases as Record<string, Json[]>)[id]?.[one.base] ?? {};
  const given = structuredClone(base);
  if (one.on === 'create') {
    change(given, one);
    return create(id, given).errors;
  }
  const stored: KubeObject = create(id, given).object;
  return update(id, stored, (object) => change(object as unknown as Json, one), one.on.split('/')[1]).errors;
}

describe('the rules of core kinds', () => {
  for (const [id, cases] of Object.entries(rules) as [string, Case[]][]) {
    for (const on of new Set(cases.map((one) => one.on))) {
      const these = cases.filter((one) => one.on === on);
      it(`${id}, ${on}: ${these.length} cases`, () => {
        for (const one of these) expect([...new Set(errorsOf(id, one))].map(cut), JSON.stringify({ ...one, errors: undefined })).to.deep.equal(one.errors);
      });
    }
  }
});

// Upstream ends these with a diff of its internal structs; here the fields that changed are named.
describe('what may not change', () => {
  const rows: [id: string, base: number, path: string, value: unknown, error: string][] = [
    ['pods', 0, 'spec\tnodeSelector', { a: 'b' }, 'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n  changed: spec.nodeSelector'],
    ['persistentvolumes', 0, 'spec\thostPath\tpath', '/b', 'spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n  changed: spec.hostPath'],
    ['persistentvolumeclaims', 0, 'spec\taccessModes\t0', 'ReadOnlyMany', 'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n  changed: spec.accessModes'],
  ];
  for (const [id, base, path, value, error] of rows) {
    it(`in ${id}: ${path.replaceAll('\t', '.')}`, () => expect(errorsOf(id, { on: 'update', base, path, value, errors: [] })).to.deep.equal([error]));
  }
  it('in the volume of a claim: what it names first may be named once', () => {
    expect(errorsOf('persistentvolumeclaims', { on: 'update', base: 0, path: 'spec\tvolumeName', value: 'v', errors: [] })).to.deep.equal([]);
    expect(errorsOf('persistentvolumeclaims', { on: 'update', base: 1, path: 'spec\tvolumeName', value: 'w', errors: [] })).to.have.length(1);
  });
  it('in a bound claim: it may grow, not shrink below what there is', () => {
    const bound = create('persistentvolumeclaims', { metadata: { name: 'c', namespace: 'n' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } } } }).object;
    bound['status'] = { phase: 'Bound', capacity: { storage: '2Gi' } };
    const resize = (storage: string): string[] => update('persistentvolumeclaims', bound, (claim) => Object.assign(claim['spec'] as Json, { resources: { requests: { storage } } })).errors;
    expect(resize('3Gi')).to.deep.equal([]);
    expect(resize('1Gi')).to.deep.equal(['spec.resources.requests.storage: Forbidden: field can not be less than status.capacity']);
  });
  it('by a resize: cpu and memory of what runs may', () => {
    const pod = create('pods', { metadata: { name: 'p', namespace: 'n' }, spec: { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1' } } }] } }).object;
    const resize = (change: (container: Json) => void): { errors: string[]; object: KubeObject } =>
      update('pods', pod, (object) => change(((object['spec'] as Json)['containers'] as Json[])[0] ?? {}), 'resize');
    const grown = resize((container) => Object.assign(container, { image: 'other', resources: { requests: { cpu: '2' } } }));
    expect(grown.errors).to.deep.equal([]);
    expect(grown.object['spec']).to.have.nested.include({ 'containers[0].image': 'i', 'containers[0].resources.requests.cpu': '2' });
    expect(grown.object.metadata?.generation).to.equal(2);
    expect(resize((container) => delete container['resources']).errors).to.include('spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed');
  });
  it('by a resize: nothing of a pod that a file on its node tells of', () => {
    const pod = create('pods', { metadata: { name: 'p', namespace: 'n', annotations: { 'kubernetes.io/config.mirror': 'x' } }, spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1' } } }] } }).object;
    const { errors } = update('pods', pod, (object) => Object.assign(((object['spec'] as Json)['containers'] as Json[])[0] ?? {}, { resources: { requests: { cpu: '2' } } }), 'resize');
    expect(errors).to.deep.equal(['[]: Forbidden: static pods cannot be resized']);
  });
  it('in ephemeral containers: they are added only', () => {
    const pod = create('pods', { metadata: { name: 'p', namespace: 'n' }, spec: { containers: [{ name: 'c', image: 'i' }] } }).object;
    const one = { name: 'e', image: 'i', imagePullPolicy: 'Always', terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File' };
    Object.assign(pod['spec'] as Json, { ephemeralContainers: [one] });
    const write = (ephemeralContainers: Json[]): (string | undefined)[] => update('pods', pod, (object) => Object.assign(object['spec'] as Json, { ephemeralContainers }), 'ephemeralcontainers').errors.map((error) => error.split('\n')[0]);
    expect(write([one, { ...one, name: 'f' }])).to.deep.equal([]);
    expect(write([])).to.deep.equal(['spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed']);
    expect(write([{ ...one, image: 'j' }])).to.deep.equal(['spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed']);
  });
  it('in the class of a claim: it cannot be taken back once it applies', () => {
    const claim = create('persistentvolumeclaims', { metadata: { name: 'c', namespace: 'n' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, volumeName: 'v', volumeAttributesClassName: 'a' } }).object;
    const write = (volumeAttributesClassName: unknown, status: Json): string[] => update('persistentvolumeclaims', { ...claim, status: { phase: 'Bound', ...status } }, (object) => Object.assign(object['spec'] as Json, { volumeAttributesClassName })).errors;
    const applies = { currentVolumeAttributesClassName: 'a' };
    expect(write(undefined, {})).to.deep.equal([]);
    expect(write('b', applies)).to.deep.equal([]);
    expect(write(undefined, applies)).to.deep.equal(['spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil']);
    expect(write('', applies)).to.deep.equal(['spec.volumeAttributesClassName: Forbidden: update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil']);
  });
  it('in a node: how its kubelet is configured, which is gone', () => {
    const config = { configMap: { namespace: 'n', name: 'c', kubeletConfigKey: 'k' } };
    const node = create('nodes', { metadata: { name: 'n1' }, spec: { configSource: config }, status: { config: { active: config } } }).object;
    expect([node['spec'], node['status']]).to.satisfy(([spec, status]: Json[]) => spec && status && !('configSource' in spec) && !('config' in status));
    expect(update('nodes', node, (object) => Object.assign(object['spec'] as Json, { configSource: config })).object['spec']).to.not.have.property('configSource');
    expect(update('nodes', node, (object) => Object.assign(object['status'] as Json, { config: { active: config } }), 'status').object['status']).to.not.have.property('config');
  });
  it('in the phase of a namespace: it follows its deletion', () => {
    const namespace = create('namespaces', { metadata: { name: 'x' } }).object;
    const write = (phase: string, deletionTimestamp?: string): string[] =>
      update('namespaces', { ...namespace, metadata: { ...namespace.metadata, ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }) } }, (object) => Object.assign(object, { status: { phase } }), 'status').errors;
    expect(write('Active')).to.deep.equal([]);
    expect(write('Terminating', '2026-01-02T03:04:05Z')).to.deep.equal([]);
    expect(write('Terminating')).to.deep.equal(["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"]);
    expect(write('Active', '2026-01-02T03:04:05Z')).to.deep.equal(["status.Phase: Invalid value: \"Active\": may only be 'Terminating' if `deletionTimestamp` is not empty"]);
  });
});

describe('warnings that need the kind', () => {
  const rows: [id: string, object: Json, expected: string][] = [
    ['resourcequotas', { metadata: { name: 'q', namespace: 'n' }, spec: { hard: { 'cpu': '2', 'limits.cpu': '1' } } }, 'ResourceQuota cpu (2) should be less than limits.cpu (1)'],
    ['replicationcontrollers', { metadata: { name: 'a.b', namespace: 'n' }, spec: { template: { metadata: { labels: { a: 'b' } }, spec: { containers: [] } } } },
      'metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]'],
  ];
  for (const [id, object, expected] of rows) it(`of ${id}`, () => expect(rowOf(id).strategy.warnings?.(create(id, object).object, undefined)).to.deep.equal([expected]));

  it('an old AppArmor annotation becomes a field', () => {
    const { object, errors } = create('pods', { metadata: { name: 'p', namespace: 'n', annotations: { 'container.apparmor.security.beta.kubernetes.io/c': 'localhost/x' } }, spec: { containers: [{ name: 'c', image: 'i' }] } });
    expect(errors).to.deep.equal([]);
    expect(object['spec']).to.have.nested.property('containers[0].securityContext.appArmorProfile').that.deep.equals({ type: 'Localhost', localhostProfile: 'x' });
  });
});
