import { expect } from 'chai';
import fc from 'fast-check';
import { StatusError } from '#machinery/api/status.ts';
import { canonicalFields } from './fields.ts';
import type { Fields } from './fields.ts';
import { maxUpdateManagers } from './managed.ts';
import { storiesOf } from './testing.ts';
import type { Story, Tracked } from './testing.ts';

const deployments = storiesOf('apps', 'v1', 'Deployment', 'deployments.apps');
const deployment = async (): Promise<Story> => (await deployments)();
const configMap = async (): Promise<Story> => (await storiesOf('', 'v1', 'ConfigMap', 'configmaps'))();
const service = async (): Promise<Story> => (await storiesOf('', 'v1', 'Service', 'services'))();

function refusal(work: () => unknown): StatusError {
  try {
    work();
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
const spec = (object: Tracked | undefined): Record<string, unknown> => (object?.['spec'] ?? {}) as Record<string, unknown>;
const causes = (error: StatusError): unknown => error.status.details?.causes?.map(({ field, message }) => `${field}: ${message}`);

describe('updates', () => {
  it('make the writer the manager of what they set, and of nothing the server sets', async () => {
    const story = await configMap();
    story.update('editor', (object) => {
      object.metadata = { name: 'a', namespace: 'n', uid: 'x', labels: { l: '1' }, generation: 3 };
      object['data'] = { k: 'v' };
    });
    expect(story.managers).to.deep.equal([{
      manager: 'editor', operation: 'Update', apiVersion: 'v1', time: '2026-01-01T00:00:01Z', fieldsType: 'FieldsV1',
      fieldsV1: { 'f:data': { '.': {}, 'f:k': {} }, 'f:metadata': { 'f:labels': { '.': {}, 'f:l': {} } } },
    }]);
  });
  it('take fields from others, one by one, and leave the times of those who did not write', async () => {
    const story = await configMap();
    story.update('first', (object) => { object['data'] = { a: '1', b: '1' }; });
    story.update('second', (object) => { object['data'] = { a: '2', b: '1' }; });
    expect(story.fields('first')).to.deep.equal({ 'f:data': { '.': {}, 'f:b': {} } });
    expect(story.fields('second')).to.deep.equal({ 'f:data': { 'f:a': {} } });
    expect(story.managers.map(({ time }) => time)).to.deep.equal(['2026-01-01T00:00:01Z', '2026-01-01T00:00:02Z']);
  });
  it('that change nothing change no manager', async () => {
    const story = await configMap();
    story.update('first', (object) => { object['data'] = { a: '1' }; });
    const before = structuredClone(story.managers);
    story.update('second', () => undefined);
    expect(story.managers).to.deep.equal(before);
  });
  it('that remove a field remove its manager', async () => {
    const story = await configMap();
    story.update('first', (object) => { object['data'] = { a: '1' }; });
    story.update('second', (object) => { delete object['data']; });
    expect(story.managers).to.deep.equal([]);
  });
  it('of the status own no spec, and the other way round', async () => {
    const story = await deployment();
    story.update('user', (object) => {
      object['spec'] = { replicas: 1 };
      object['status'] = { replicas: 7 };
    });
    story.update('controller', (object) => {
      object['spec'] = { replicas: 2 };
      object['status'] = { observedGeneration: 1 };
    }, 'status');
    expect(story.fields('user')).to.deep.equal({ 'f:spec': { 'f:replicas': {} } });
    expect(story.managers.find(({ manager }) => manager === 'controller')).to.include({ subresource: 'status' });
    expect(story.fields('controller')).to.deep.equal({ 'f:status': { 'f:observedGeneration': {} } });
  });
  it('may say who manages what, in any order; what nobody can read is not taken over', async () => {
    const story = await configMap();
    story.update('first', (object) => { object['data'] = { a: '1' }; });
    story.update('second', (object) => {
      object.metadata.managedFields = [{ manager: 'given', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: { 'f:data': { 'f:a': {}, '.': {} } } }];
    });
    expect(story.managers.map(({ manager, fieldsV1 }) => [manager, JSON.stringify(fieldsV1)])).to.deep.equal([['given', '{"f:data":{".":{},"f:a":{}}}']]);
    for (const wrong of [{ operation: 'Sideways' }, { operation: 'Update' }, { operation: 'Update', apiVersion: 'v1' }, { operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: { bad: {} } }]) {
      story.update('second', (object) => { object.metadata.managedFields = [wrong]; });
      expect(story.managers.map(({ manager }) => manager), JSON.stringify(wrong)).to.deep.equal(['given']);
    }
  });
  for (const [title, entries] of [['no entries', []], ['one that says nothing', [{}]]] as const) {
    it(`have managers forgotten by ${title}, until the first apply`, async () => {
      const story = await configMap();
      story.update('first', (object) => { object['data'] = { a: '1' }; });
      story.update('first', (object) => { object.metadata.managedFields = structuredClone<Record<string, never>[]>([...entries]); });
      story.update('second', (object) => { object['data'] = { b: '1' }; });
      expect(story.object?.metadata).to.not.have.property('managedFields');
      story.apply('applier', { data: { c: '1' } });
      expect(story.managers.map(({ manager, operation }) => `${manager} ${operation}`)).to.deep.equal(['applier Apply', 'before-first-apply Update']);
    });
  }
  it(`of more than ${maxUpdateManagers} managers fold the oldest into one`, async () => {
    const story = await configMap();
    for (let i = 0; i < maxUpdateManagers + 3; i += 1) story.update(`m${i}`, (object) => { object['data'] = { ...object['data'] as object, [`k${i}`]: '1' }; });
    expect(story.managers).to.have.length(maxUpdateManagers);
    expect(story.fields('ancient-changes')).to.deep.equal({ 'f:data': { '.': {}, 'f:k0': {}, 'f:k1': {}, 'f:k2': {}, 'f:k3': {} } });
  });
  it('own what is there several times as one', async () => {
    const story = await deployment();
    const container = (env: object[]): object => ({ template: { spec: { containers: [{ name: 'c', env }] } } });
    story.update('first', (object) => { object['spec'] = container([{ name: 'A', value: '1' }, { name: 'A', value: '2' }]); });
    expect(JSON.stringify(story.fields('first'))).to.contain('"f:env":{".":{},"k:{\\"name\\":\\"A\\"}":{}}');
  });
});

describe('apply', () => {
  it('creates, and owns the leaves it names', async () => {
    const story = await service();
    story.apply('a', { metadata: { name: 's' }, spec: { selector: { app: 'x' }, ports: [{ port: 80 }] } });
    expect(story.managers).to.deep.equal([{
      manager: 'a', operation: 'Apply', apiVersion: 'v1', time: '2026-01-01T00:00:01Z', fieldsType: 'FieldsV1',
      fieldsV1: { 'f:spec': { 'f:ports': { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:port': {} } }, 'f:selector': {} } },
    }]);
  });
  it('takes away what its manager names no more, as far as nobody else has it', async () => {
    const story = await configMap();
    story.apply('a', { data: { mine: '1', shared: '1' } });
    story.apply('b', { data: { shared: '1', other: '1' } });
    story.apply('a', { data: {} });
    expect(story.object?.['data']).to.deep.equal({ shared: '1', other: '1' });
    story.apply('b', { metadata: {} });
    expect(story.object?.['data'] ?? {}).to.deep.equal({});
  });
  it('leaves what an update added', async () => {
    const story = await configMap();
    story.apply('a', { data: { x: '1' } });
    story.update('u', (object) => { object['data'] = { x: '1', y: '2' }; });
    story.apply('a', { data: {} });
    expect(story.object?.['data']).to.deep.equal({ y: '2' });
  });
  it('is refused where others manage what it changes, each field named', async () => {
    const story = await deployment();
    story.apply('one', { spec: { replicas: 1 } });
    story.update('two', (object) => { object['spec'] = { ...spec(object), paused: true }; });
    const single = refusal(() => story.apply('three', { spec: { replicas: 2 } }));
    expect([single.status.code, single.status.reason, single.message]).to.deep.equal([409, 'Conflict', 'Apply failed with 1 conflict: conflict with "one": .spec.replicas']);
    const both = refusal(() => story.apply('three', { spec: { replicas: 2, paused: false } }));
    expect(both.message).to.equal('Apply failed with 2 conflicts: conflicts with "one":\n- .spec.replicas\nconflicts with "two" using apps/v1:\n- .spec.paused');
    expect(causes(both)).to.deep.equal(['.spec.replicas: conflict with "one"', '.spec.paused: conflict with "two" using apps/v1']);
  });
  it('by force takes the fields, and the other applier then has them no more', async () => {
    const story = await deployment();
    story.apply('one', { spec: { replicas: 1, paused: true } });
    story.apply('two', { spec: { replicas: 2 } }, { force: true });
    expect(story.fields('one')).to.deep.equal({ 'f:spec': { 'f:paused': {} } });
    expect(spec(story.object)['replicas']).to.equal(2);
    story.apply('one', { spec: { paused: true } });
    expect(spec(story.object)['replicas']).to.equal(2);
  });
  it('of the same value shares the field, and then nobody can change it alone', async () => {
    const story = await deployment();
    story.apply('one', { spec: { replicas: 1 } });
    story.apply('two', { spec: { replicas: 1 } });
    expect(refusal(() => story.apply('two', { spec: { replicas: 3 } })).message).to.contain('"one": .spec.replicas');
    story.apply('one', { spec: {} });
    expect(spec(story.object)['replicas']).to.equal(1);
    story.apply('two', { spec: { replicas: 3 } });
    expect(spec(story.object)['replicas']).to.equal(3);
  });
  it('hands a field over to who updates it', async () => {
    const story = await deployment();
    story.apply('gitops', { spec: { replicas: 1 } });
    story.update('autoscaler', (object) => { object['spec'] = { ...spec(object), replicas: 5 }; });
    expect(story.fields('gitops')).to.equal(undefined);
    expect(refusal(() => story.apply('gitops', { spec: { replicas: 1 } })).message).to.contain('"autoscaler" using apps/v1: .spec.replicas');
    story.apply('gitops', { spec: {} });
    expect(spec(story.object)['replicas']).to.equal(5);
  });
  it('merges lists by their keys, the port\'s protocol by default TCP', async () => {
    const story = await service();
    story.apply('a', { spec: { ports: [{ port: 53, name: 'tcp' }] } });
    story.apply('b', { spec: { ports: [{ port: 53, protocol: 'UDP', name: 'udp' }] } });
    story.apply('b', { spec: { ports: [{ port: 53, protocol: 'TCP', name: 'tcp' }, { port: 53, protocol: 'UDP', name: 'dns' }] } });
    const ports = spec(story.object)['ports'] as Record<string, unknown>[];
    expect(ports.map(({ name }) => name)).to.have.members(['tcp', 'dns']);
  });
  it('merges sets, and replaces what is one whole', async () => {
    const story = await configMap();
    story.apply('a', { metadata: { finalizers: ['x/a'] } });
    story.apply('b', { metadata: { finalizers: ['x/b'] } });
    expect(story.object?.metadata.finalizers).to.have.members(['x/a', 'x/b']);
    const whole = await service();
    whole.apply('a', { spec: { selector: { a: '1' } } });
    expect(refusal(() => whole.apply('b', { spec: { selector: { b: '1' } } })).message).to.contain('.spec.selector');
  });
  it('keeps the order that the applier gives to items', async () => {
    const story = await deployment();
    const of = (...names: string[]): object => ({ spec: { template: { spec: { containers: names.map((name) => ({ name })) } } } });
    const names = (): string[] => ((spec(story.object)['template'] as { spec: { containers: { name: string }[] } }).spec.containers).map(({ name }) => name);
    story.apply('a', of('1', '2', '3'));
    story.apply('b', of('x', '2'));
    expect(names()).to.deep.equal(['1', 'x', '2', '3']);
    story.apply('a', of('3', '2', '1'));
    expect(names()).to.deep.equal(['x', '3', '2', '1']);
  });
  it('that changes nothing leaves object, managers and times', async () => {
    const story = await deployment();
    const config = { metadata: { name: 'd', labels: { a: 'b' } }, spec: { replicas: 1 } };
    story.apply('a', config);
    const before = structuredClone(story.object);
    story.apply('a', config);
    expect(story.object).to.deep.equal(before);
  });
  const wrong: [string, object, string][] = [
    ['another kind', { kind: 'ReplicaSet' }, 'invalid object type: apps/v1, Kind=ReplicaSet'],
    ['managers of its own', { metadata: { managedFields: [] } }, 'metadata.managedFields must be nil'],
    ['a field that the type does not know', { metadata: { name: 'd', namespace: 'n' }, spec: { nope: 1 } }, 'failed to create typed patch object (n/d; apps/v1, Kind=Deployment): .spec.nope: field not declared in schema'],
    ['a wrong type', { spec: { replicas: 'x' } }, 'failed to create typed patch object (/; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string'],
    ['the same item twice', { spec: { template: { spec: { containers: [{ name: 'c' }, { name: 'c' }] } } } }, 'failed to create typed patch object (/; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name="c"]'],
  ];
  for (const [title, config, message] of wrong) {
    it(`refuses ${title}`, async () => {
      const story = await deployment();
      expect(refusal(() => story.apply('a', config)).message).to.equal(message);
    });
  }
  it('of kubectl has no conflict with what kubectl applied on its own side, and keeps the annotation true', async () => {
    const story = await deployment();
    const annotation = 'kubectl.kubernetes.io/last-applied-configuration';
    const config = (replicas: number): object => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { replicas } });
    story.update('kubectl-client-side-apply', (object) => {
      Object.assign(object, config(1));
      object.metadata = { name: 'd', annotations: { [annotation]: JSON.stringify(config(1)) } };
    });
    expect(refusal(() => story.apply('other', config(2))).message).to.contain('"kubectl-client-side-apply" using apps/v1: .spec.replicas');
    story.apply('kubectl', config(2));
    expect(spec(story.object)['replicas']).to.equal(2);
    expect(JSON.parse(story.object?.metadata.annotations?.[annotation] ?? '')).to.deep.equal(config(2));
  });
  it('has null remove a value', async () => {
    const story = await deployment();
    story.apply('a', { spec: { replicas: 1 } });
    story.apply('a', { spec: { replicas: null } });
    expect(spec(story.object)).to.not.have.property('replicas');
  });

  // Nothing empty: an empty list or map is no value that is kept, and whoever applies it owns what is not there, as upstream.
  const labels = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2'), { minKeys: 1, maxKeys: 3 });
  const container = fc.record({ name: fc.constantFrom('x', 'y', 'z'), image: fc.constantFrom('i', 'j'), command: fc.array(fc.constantFrom('k', 'l'), { minLength: 1, maxLength: 2 }) }, { requiredKeys: ['name'] });
  const config = fc.record({
    // Who owns nothing at all is forgotten, and the next apply finds an object that nobody tracked.
    metadata: fc.record({ name: fc.constant('d'), annotations: fc.constant({ by: 'all' }), labels, finalizers: fc.uniqueArray(fc.constantFrom('f/a', 'f/b', 'f/c'), { minLength: 1, maxLength: 3 }) }, { requiredKeys: ['name', 'annotations'] }),
    spec: fc.record({
      replicas: fc.integer({ min: 1, max: 2 }),
      template: fc.record({ spec: fc.record({ containers: fc.uniqueArray(container, { minLength: 1, maxLength: 3, selector: ({ name }) => name }), nodeSelector: labels }, { requiredKeys: ['containers'] }) }),
    }, { requiredKeys: ['replicas'] }),
  }, { requiredKeys: ['metadata'] });
  const step = fc.record({ manager: fc.constantFrom('a', 'b', 'c'), config, force: fc.boolean() });

  it('in any order by anybody: what is owned is there, what nobody owns is gone, and again is the same', async () => {
    const start = await deployments;
    fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      const story = start();
      for (const { manager, config: given, force } of steps) {
        try {
          story.apply(manager, given, { force });
        } catch (error) {
          if (!(error instanceof StatusError) || error.status.code !== 409 || force) throw error;
          continue;
        }
        const after = JSON.stringify(story.object);
        story.apply(manager, given, { force });
        expect(JSON.stringify(story.object)).to.equal(after);
        for (const { fieldsV1 } of story.managers) {
          expect(canonicalFields(fieldsV1)).to.equal(fieldsV1);
          expectThere(story.object, fieldsV1 as Fields);
        }
        expectOwned(story, given);
      }
    }), { numRuns: 200 });
  });
});

/** Every field of the set is in the value. */
function expectThere(value: unknown, fields: Fields, path = ''): void {
  for (const element in fields) {
    if (element === '.') continue;
    const inner = childOf(value, element);
    expect(inner, `${path}${element} of ${JSON.stringify(value)}`).to.not.equal(undefined);
    expectThere(inner, fields[element] ?? {}, `${path}${element}/`);
  }
}

function childOf(value: unknown, element: string): unknown {
  const rest = element.slice(2);
  if (element.startsWith('f:')) {
    return (value as Record<string, unknown>)[rest];
  }
  const items = value as unknown[];
  if (element.startsWith('v:')) return items.find((item) => item === JSON.parse(rest));
  const keys = Object.entries(JSON.parse(rest) as Record<string, unknown>);
  return items.find((item) => keys.every(([name, one]) => (item as Record<string, unknown>)[name] === one));
}

/** Nothing is left that no applier names: every label has an owner, and what was just applied is as it was said. */
function expectOwned(story: Story, given: { metadata?: { labels?: Record<string, string> } }): void {
  const owned = new Set(story.managers.flatMap(({ fieldsV1 }) => Object.keys(((fieldsV1 as Fields)['f:metadata']?.['f:labels'] ?? {}))));
  for (const name of Object.keys(story.object?.metadata.labels ?? {})) expect([...owned]).to.include(`f:${name}`);
  for (const [name, value] of Object.entries(given.metadata?.labels ?? {})) expect(story.object?.metadata.labels?.[name]).to.equal(value);
}
