import { expect } from 'chai';
import fc from 'fast-check';
import { StatusError } from '#machinery/api/status.ts';
import type { Status } from '#machinery/api/status.ts';
import { loadSchema } from '#machinery/schema/schema.ts';
import type { Schema } from '#machinery/schema/schema.ts';
import { conformPatched, decodeBody } from './decode.ts';
import type { Decoded, FieldValidation } from './decode.ts';

describe('decodeBody()', () => {
  let schema: Schema;
  before(async () => {
    schema = await loadSchema();
  });
  function decode(body: unknown, fieldValidation: FieldValidation = 'Warn', kind = 'Pod', format: 'json' | 'yaml' = 'json'): Promise<Decoded> {
    const group = kind === 'Deployment' ? 'apps' : kind === 'CustomResourceDefinition' ? 'apiextensions.k8s.io' : kind === 'Lease' ? 'coordination.k8s.io' : '';
    const expected = { group, version: 'v1', kind };
    return decodeBody({ bytes: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), format, fieldValidation, expected, type: schema.typeFor(group, 'v1', kind) });
  }
  async function refusal(body: unknown, fieldValidation?: FieldValidation, kind?: string, format?: 'json' | 'yaml'): Promise<Status> {
    try {
      await decode(body, fieldValidation, kind, format);
    } catch (error) {
      if (error instanceof StatusError) return error.status;
      throw error;
    }
    throw new Error('the body was accepted');
  }
  const pod = (spec: unknown, more: object = {}): object => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec, ...more });

  it('takes a good object as it is and fills in kind and apiVersion', async () => {
    const body = pod({ containers: [{ name: 'a', image: 'b', ports: [{ containerPort: 80 }] }] });
    expect(await decode(body, 'Strict')).to.deep.equal({ object: body, warnings: [] });
    expect((await decode({ metadata: { name: 'a' } }, 'Strict')).object).to.include({ apiVersion: 'v1', kind: 'Pod' });
  });

  describe('unknown and duplicate fields', () => {
    const body = '{"kind":"Pod","spec":{"foo":{"x":1},"containers":[{"name":"a","name":"b","bar":1}]},"metadata":{"labels":{"l":"1","l":"2"}}}';
    const problems = ['unknown field "spec.foo"', 'unknown field "spec.containers[0].bar"', 'duplicate field "spec.containers[0].name"', 'duplicate field "metadata.labels.l"'];
    const kept = { kind: 'Pod', apiVersion: 'v1', spec: { containers: [{ name: 'b' }] }, metadata: { labels: { l: '2' } } };
    it('are dropped with warnings', async () => expect(await decode(body, 'Warn')).to.deep.equal({ object: kept, warnings: problems }));
    it('are dropped in silence', async () => expect(await decode(body, 'Ignore')).to.deep.equal({ object: kept, warnings: [] }));
    it('are refused', async () => expect(await refusal(body, 'Strict')).to.include({
      code: 400, reason: 'BadRequest', message: `Pod in version "v1" cannot be handled as a Pod: strict decoding error: ${problems.join(', ')}`,
    }));
    it('tell cases apart, and fields of other kinds', async () =>
      expect((await decode({ ...pod({ Containers: [] }), data: {} })).warnings).to.deep.equal(['unknown field "spec.Containers"', 'unknown field "data"']));
    it('inside of unknown fields are not listed', async () =>
      expect((await decode('{"foo":{"a":1,"a":2},"foo":1}')).warnings).to.deep.equal(['unknown field "foo"']));
    it('are found where colons, quotes and escapes are in strings', async () => {
      expect((await decode('{"metadata":{"annotations":{"a:\\"b":"x\\\\","c":":::"}}}', 'Strict')).object.metadata?.annotations).to.deep.equal({ 'a:"b': 'x\\', 'c': ':::' });
      expect((await decode('{"metadata":{"annotations":{"a":":", "a":"::"}}}')).warnings).to.deep.equal(['duplicate field "metadata.annotations.a"']);
    });
    it('are never found in what JSON.stringify makes, and always when a member is repeated', async () => {
      const key = fc.string({ minLength: 1 }).filter((name) => name !== '__proto__');
      await fc.assert(fc.asyncProperty(fc.dictionary(key, fc.string(), { minKeys: 1 }), async (annotations) => {
        const text = JSON.stringify({ metadata: { annotations } });
        expect((await decode(text)).warnings).to.deep.equal([]);
        const [name = ''] = Object.keys(annotations);
        const repeated = text.replace('{"metadata":{"annotations":{', () => `{"metadata":{"annotations":{${JSON.stringify(name)}:"again",`);
        expect((await decode(repeated)).warnings).to.deep.equal([`duplicate field ${JSON.stringify(`metadata.annotations.${name}`)}`]);
      }), { numRuns: 100 });
    });
  });

  describe('values of a wrong type', () => {
    const cases: [title: string, body: unknown, message: string][] = [
      ['a string for a list', pod({ containers: 'x' }), 'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container'],
      ['a string for an object', pod('x'), 'json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec'],
      ['a list for an object', pod([]), 'json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec'],
      ['a number for a string, deep', pod({ containers: [{ name: 'a', env: [{ name: 'x', value: 1 }] }] }), 'json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string'],
      ['a number for a label', { metadata: { labels: { a: 1 } } }, 'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string'],
      ['a string for a number', pod({ priority: '1' }), 'json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32'],
      ['a fraction', pod({ priority: 1.5 }), 'json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32'],
      ['a number beyond 32 bits', pod({ priority: 3_000_000_000 }), 'json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32'],
      ['a string for a boolean', pod({ hostNetwork: 'true' }), 'json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool'],
      ['an item of a wrong type', pod({ containers: [1] }), 'json: cannot unmarshal number into Go struct field PodSpec.spec.containers of type v1.Container'],
      ['a boolean for a port', pod({ containers: [{ livenessProbe: { tcpSocket: { port: true } } }] }), 'of type int32'],
      ['a bad quantity', pod({ containers: [{ resources: { limits: { cpu: '1x' } } }] }), 'quantities must match the regular expression'],
      ['a bad time', { metadata: { creationTimestamp: 'x' } }, 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'],
      ['a day that is not', { metadata: { creationTimestamp: '2023-02-29T00:00:00Z' } }, 'parsing time "2023-02-29T00:00:00Z": day out of range'],
      ['a value in an inlined struct', pod({ volumes: [{ hostPath: { path: 1 } }] }), 'json: cannot unmarshal number into Go struct field HostPathVolumeSource.spec.volumes.VolumeSource.hostPath.path of type string'],
      ['a bad uid', { metadata: { uid: 1 } }, 'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.uid of type types.UID'],
    ];
    for (const [title, body, message] of cases) {
      it(`refuses ${title}`, async () => {
        const status = await refusal(body, 'Ignore');
        expect(status.code).to.equal(400);
        expect(status.message).to.match(/^Pod in version "v1" cannot be handled as a Pod: /);
        expect(status.message).to.include(message);
      });
    }
    it('refuses bad base64', async () => expect((await refusal({ data: { a: 'YQ' } }, 'Warn', 'Secret')).message).to.include('illegal base64 data at input byte'));
    it('tells the first one, and that before unknown fields', async () => {
      const { message } = await refusal(pod({ foo: 1, priority: 'x', containers: 1 }), 'Strict');
      expect(message).to.include('PodSpec.spec.priority').and.not.include('foo').and.not.include('containers');
    });
  });

  describe('canonical form', () => {
    it('of quantities', async () => {
      const { object } = await decode(pod({ containers: [{ name: 'a', resources: { limits: { cpu: 0.5, memory: '1024Mi', x: '1000m', y: 2, z: null } } }] }));
      expect(object['spec']).to.deep.equal({ containers: [{ name: 'a', resources: { limits: { cpu: '500m', memory: '1Gi', x: '1', y: '2', z: '0' } } }] });
    });
    it('of times', async () => {
      expect((await decode({ metadata: { creationTimestamp: '2020-01-01T01:00:00.5+02:00' } })).object.metadata?.creationTimestamp).to.equal('2019-12-31T23:00:00Z');
      expect((await decode({ spec: { renewTime: '2020-01-01T01:00:00.123456+02:00' } }, 'Warn', 'Lease')).object['spec']).to.deep.equal({ renewTime: '2019-12-31T23:00:00.123456Z' });
      expect((await refusal({ spec: { renewTime: '2020-01-01T01:00:00Z' } }, 'Warn', 'Lease')).message).to.include('cannot parse "Z" as ".000000"');
    });
    it('of what is empty: null is absent, and so are empty values that upstream omits', async () => {
      const { object } = await decode(pod({ containers: [null], nodeName: '', hostNetwork: false, tolerations: [], volumes: null, enableServiceLinks: false, securityContext: {}, terminationGracePeriodSeconds: 0 }));
      expect(object['spec']).to.deep.equal({ containers: [{}], enableServiceLinks: false, securityContext: {}, terminationGracePeriodSeconds: 0 });
    });
    it('of schemas inside of schemas, also where a boolean or a list may stand', async () => {
      const definition = (openAPIV3Schema: unknown): unknown => ({ spec: { versions: [{ name: 'v1', schema: { openAPIV3Schema } }] } });
      const schemaOf = async (schema: unknown): Promise<unknown> => {
        const { object, warnings } = await decode(definition(schema), 'Warn', 'CustomResourceDefinition');
        expect(warnings).to.deep.equal([]);
        return (object['spec'] as { versions: { schema: { openAPIV3Schema: unknown } }[] }).versions[0]?.schema.openAPIV3Schema;
      };
      expect(await schemaOf({ items: { type: 'string', nullable: false, foo: 1, items: { required: [], maxLength: 0 } } })).to.deep.equal({ items: { type: 'string', items: { maxLength: 0 } } });
      expect(await schemaOf({ additionalProperties: { enum: [], type: '' } })).to.deep.equal({ additionalProperties: {} });
      expect(await schemaOf({ additionalProperties: false, default: { nullable: false } })).to.deep.equal({ additionalProperties: false, default: { nullable: false } });
      expect((await refusal(definition({ additionalProperties: 'x' }), 'Warn', 'CustomResourceDefinition')).message).to.include('boolean or JSON schema expected');
      expect((await refusal(definition({ items: { type: 1 } }), 'Warn', 'CustomResourceDefinition')).message).to.include('json: cannot unmarshal number into Go struct field');
    });
    it('leaves free-form fields alone', async () => {
      const managedFields = [{ manager: 'm', fieldsV1: { 'f:spec': { 'f:x': {} }, 'v:null': null } }];
      expect((await decode({ metadata: { managedFields } }, 'Strict')).object.metadata?.managedFields).to.deep.equal(managedFields);
    });
  });

  describe('what is no object of the kind', () => {
    const cases: [title: string, body: string, message: string][] = [
      ['no JSON', 'nope', 'couldn\'t get version/kind; json parse error: invalid character \'o\' in literal null (expecting \'u\') (6e6f7065)'],
      ['text that ends early', '{"a":', 'json parse error: unexpected end of JSON input ({"a":)'],
      ['text behind the object', '{} x', 'invalid character \'x\' after top-level value'],
      ['nothing', '', 'unexpected end of JSON input (<empty>)'],
      ['a list', '[]', 'json: cannot unmarshal array into Go value of type struct'],
      ['a kind that is no string', '{"kind":1}', 'json: cannot unmarshal number into Go struct field .kind of type string'],
      ['another kind', '{"kind":"Node"}', 'Node in version "v1" cannot be handled as a Pod: converting (v1.Node) to (core.Pod): unknown conversion'],
      ['a kind that nobody knows', '{"kind":"Pot"}', 'Pot in version "v1" cannot be handled as a Pod: no kind "Pot" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"'],
      ['another version', '{"apiVersion":"v2"}', 'Pod in version "v2" cannot be handled as a Pod: no kind "Pod" is registered for version "v2" in scheme "pkg/api/legacyscheme/scheme.go:30"'],
    ];
    for (const [title, body, message] of cases) {
      it(`refuses ${title}`, async () => {
        const status = await refusal(body);
        expect(status.code).to.equal(400);
        expect(status.message).to.include(message);
      });
    }
    it('refuses nesting without end', async () => {
      const deep = (levels: number): string => `{"spec":{"x":${'['.repeat(levels)}${']'.repeat(levels)}}}`;
      expect((await decode(deep(100))).warnings).to.deep.equal(['unknown field "spec.x"']);
      expect((await refusal(deep(200_000))).code).to.equal(400);
    });
  });

  describe('YAML', () => {
    it('is read as upstream reads it', async () => {
      const { object, warnings } = await decode('metadata:\n  name: a\n  creationTimestamp: 2020-01-01T00:00:00Z\ndata: &d\n  mode: "0644"\n  "on": "yes"\nimmutable: yes\n', 'Strict', 'ConfigMap', 'yaml');
      expect(object).to.deep.equal({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', creationTimestamp: '2020-01-01T00:00:00Z' }, data: { mode: '0644', on: 'yes' }, immutable: true });
      expect(warnings).to.deep.equal([]);
    });
    it('reads 0644 as octal and 1:30 as text', async () => {
      expect((await decode('spec: {volumes: [{name: a, secret: {defaultMode: 0644}}]}', 'Strict', 'Pod', 'yaml')).object['spec']).to.deep.equal({ volumes: [{ name: 'a', secret: { defaultMode: 420 } }] });
      expect((await decode('data: {a: 1:30}', 'Strict', 'ConfigMap', 'yaml')).object['data']).to.deep.equal({ a: '1:30' });
    });
    it('tells duplicate keys and unknown fields', async () => {
      const text = 'spec:\n  nodeName: a\n  nodeName: b\n  foo: 1\n';
      expect(await decode(text, 'Warn', 'Pod', 'yaml')).to.deep.include({ warnings: ['yaml: unmarshal errors:\n  line 3: key "nodeName" already set in map', 'unknown field "spec.foo"'] });
      expect((await refusal(text, 'Strict', 'Pod', 'yaml')).message).to.include('strict decoding error: yaml: unmarshal errors:');
    });
    it('refuses bad YAML and bombs of aliases', async () => {
      expect((await refusal('a: [', 'Warn', 'Pod', 'yaml')).message).to.include('error converting YAML to JSON: yaml: line 1');
      const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${Array.from('bcdefghij').map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'.charAt(i)}`).join(', ')}]`).join('\n')}`;
      expect((await refusal(bomb, 'Warn', 'Pod', 'yaml')).code).to.equal(400);
    });
  });

  describe('conformPatched()', () => {
    const check = (object: object, fieldValidation: FieldValidation, patch?: string): { warnings: string[] } => {
      const type = schema.typeFor('', 'v1', 'Pod');
      if (!type) throw new Error('no type');
      return conformPatched({ object, type, fieldValidation, shown: () => 'shown', ...(patch === undefined ? {} : { patch: Buffer.from(patch) }) });
    };
    it('drops unknown fields and warns', () => {
      const object = { spec: { foo: 1, nodeName: 'a' } };
      expect(check(object, 'Warn', '{"spec":{"foo":1,"foo":1}}')).to.deep.equal({ warnings: ['duplicate field "spec.foo"', 'unknown field "spec.foo"'] });
      expect(object).to.deep.equal({ spec: { nodeName: 'a' } });
    });
    it('answers 422 about the patch', () => {
      expect(() => check({ spec: { foo: 1 } }, 'Strict')).to.throw(StatusError, ' "" is invalid: patch: Invalid value: "shown": strict decoding error: unknown field "spec.foo"')
        .with.nested.property('status.code', 422);
      expect(() => check({ spec: 1 }, 'Ignore')).to.throw(StatusError, 'patch: Invalid value: "shown": json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec');
    });
  });
});
