// What upstream says of each thing that can be wrong with each field of the kinds outside the core group: one field of a
// valid object (testdata/groups.ts) is changed or taken out, and the errors are those that testdata/rules.json holds.
// Texts there are cut at 110 characters.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { create, rowOf, update } from './testing.ts';
import { full, minimal } from './testdata/groups.ts';
import data from './testdata/rules.json' with { type: 'json' };

type Json = Record<string, unknown>;
interface Case { on: string; base: 'minimal' | 'full'; path?: string; value?: unknown; gone?: string; errors: string[] }

function changed(object: Json, { path, value, gone }: Case): Json {
  const made = structuredClone(object);
  const steps = (path ?? gone ?? '').split('/').filter((step) => step !== '');
  const last = steps.pop();
  if (last === undefined) return path === undefined ? made : value as Json; // the whole object
  let here = made;
  for (const step of steps) here = here[step] as Json; // the path leads somewhere
  if (gone === undefined) here[last] = structuredClone(value);
  else delete here[last];
  return made;
}
/** As PUT would find it: a Job has its selector, a request for a certificate knows who asked. */
function stored(id: string, object: Json): KubeObject {
  const made: KubeObject = { ...structuredClone(object), metadata: { ...object['metadata'] as Json, uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-02T03:04:05Z' } };
  if (rowOf(id).strategy.generation === 'spec' && made.metadata) made.metadata.generation = 1;
  if (id === 'jobs.batch') made['spec'] = create(id, { ...object, metadata: { ...object['metadata'] as Json, uid: 'u' } }).object['spec'];
  if (id === 'certificatesigningrequests.certificates.k8s.io') made['spec'] = { ...made['spec'] as Json, username: 'jane', groups: ['dev'] };
  const { group, version, kind } = rowOf(id);
  return { apiVersion: `${group}/${version}`, kind, ...made };
}
const cut = (error: string): string => (error.length > 110 ? `${error.slice(0, 109)}…` : error);

describe('the rules of', () => {
  const bases = { minimal, full };
  for (const [id, cases] of Object.entries(data) as [string, Case[]][]) {
    it(`${id}: ${cases.length} cases`, () => {
      for (const one of cases) {
        const base = bases[one.base][id] ?? {};
        const [verb, subresource = ''] = one.on.split('/');
        const { errors } = verb === 'create' ? create(id, { ...changed(base, one), ...uid(changed(base, one)) })
          : update(id, stored(id, base), (object) => {
            const made = changed(structuredClone(object) as Json, one);
            for (const name of Object.keys(object)) delete object[name];
            Object.assign(object, made);
          }, subresource);
        expect(errors.map(cut), JSON.stringify({ ...one, errors: undefined })).to.deep.equal(one.errors);
      }
    });
  }
});

describe('what is too much of', () => {
  const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index));
  const job = { template: { metadata: { labels: { app: 'a' } }, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'nginx:1' }] } }, completionMode: 'Indexed', completions: 100_000, parallelism: 1 };
  const rows: [about: string, id: string, change: Json, error: string | undefined][] = [
    ['endpoints', 'endpointslices.discovery.k8s.io', { endpoints: times(1000, (index) => ({ addresses: [`10.0.${index >> 8}.${index & 255}`] })) }, undefined],
    ['endpoints', 'endpointslices.discovery.k8s.io', { endpoints: times(1001, (index) => ({ addresses: [`10.0.${index >> 8}.${index & 255}`] })) }, 'endpoints: Too many: 1001: must have at most 1000 items'],
    ['ports of endpoints', 'endpointslices.discovery.k8s.io', { ports: times(20_001, (index) => ({ name: `p${index}`, port: 80, protocol: 'TCP' })) }, 'ports: Too many: 20001: must have at most 20000 items'],
    ['parameters of a storage class', 'storageclasses.storage.k8s.io', { parameters: Object.fromEntries(times(512, (index) => [`k${index}`, 'v'])) }, undefined],
    ['parameters of a storage class', 'storageclasses.storage.k8s.io', { parameters: Object.fromEntries(times(513, (index) => [`k${index}`, 'v'])) }, 'parameters: Too long: may not be more than 512 bytes'],
    ['indexes that succeed', 'jobs.batch', { spec: { ...job, successPolicy: { rules: [{ succeededIndexes: times(13_000, (index) => 10_000 + index).join(',') }] } } }, 'spec.successPolicy.rules[0].succeededIndexes: Too long: may not be more than 65536 bytes'],
  ];
  for (const [about, id, change, error] of rows) {
    it(`${about}: ${error ?? 'just not yet'}`, () => {
      const { errors } = create(id, { ...minimal[id], ...change, ...uid(minimal[id] ?? {}) });
      expect(errors).to.deep.equal(error === undefined ? [] : [error]);
    });
  }
});

describe('what is written even where nothing is given', () => {
  const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
  const rows: [id: string, object: Json, path: string, value: unknown][] = [
    ['statefulsets.apps', minimal['statefulsets.apps'] ?? {}, 'spec.serviceName', ''],
    ['resourceclaimtemplates.resource.k8s.io', minimal['resourceclaimtemplates.resource.k8s.io'] ?? {}, 'spec.metadata', {}],
    ['pods', { metadata: { name: 'p', namespace: 'n' }, spec: { containers: [{ name: 'c', image: 'i' }], volumes: [{ name: 'v', ephemeral: { volumeClaimTemplate: { spec: claim } } }] } }, 'spec.volumes[0].ephemeral.volumeClaimTemplate.metadata', {}],
  ];
  for (const [id, object, path, value] of rows) it(`${id}: ${path}`, () => expect(create(id, object).object).to.have.nested.property(path).that.deep.equals(value));
});
/** What the server has set before the rules of a kind are asked. */
function uid(object: Json): Json {
  return { metadata: { ...object['metadata'] as Json, uid: 'u' } };
}

describe('match conditions', () => {
  // Too long for a line of data: one more than there may be.
  const conditions = (count: number): object[] => Array.from({ length: count }, (_, n) => ({ name: `c-${n}`, expression: 'true' }));
  const at: Record<string, { field: string; put: (object: Json, value: object[]) => void }> = {
    ...Object.fromEntries(['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'].map((name) => [`${name}.admissionregistration.k8s.io`, {
      field: 'webhooks[0].matchConditions', put: (object: Json, value: object[]) => void Object.assign((object['webhooks'] as Json[])[0] ?? {}, { matchConditions: value }),
    }])),
    ...Object.fromEntries(['mutatingadmissionpolicies', 'validatingadmissionpolicies'].map((name) => [`${name}.admissionregistration.k8s.io`, {
      field: 'spec.matchConditions', put: (object: Json, value: object[]) => void Object.assign(object['spec'] as Json, { matchConditions: value }),
    }])),
  };
  for (const [id, { field, put }] of Object.entries(at)) {
    it(`of ${id}: 64 at most`, () => {
      for (const [count, errors] of [[64, []], [65, [`${field}: Too many: 65: must have at most 64 items`]]] as const) {
        const object = structuredClone(full[id]) as Json;
        put(object, conditions(count));
        expect(create(id, object as KubeObject).errors).to.deep.equal(errors);
      }
    });
  }
});
