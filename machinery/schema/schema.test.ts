import { expect } from 'chai';
import { generate } from './generate.ts';
import { createSchema, loadSchema } from './schema.ts';
import type { Schema, Type } from './schema.ts';

describe('schema', () => {
  let schema: Schema;
  before(async () => {
    schema = await loadSchema();
  });
  const field = (type: string, name: string) => {
    const found = schema.type(type)?.fields.get(name);
    if (!found) throw new Error(`${type} has no field ${name}`);
    return found;
  };

  it('finds kinds by group, version and kind', () => {
    expect(schema.typeFor('', 'v1', 'Pod')).to.include({ name: 'core/v1/Pod', shortName: 'Pod', isObject: true });
    expect(schema.typeFor('apps', 'v1', 'Deployment')?.name).to.equal('apps/v1/Deployment');
    expect(schema.typeFor('apps', 'v1', 'DeleteOptions')?.name).to.equal('meta/v1/DeleteOptions');
    expect(schema.typeFor('apps', 'v1', 'Pod')).to.equal(undefined);
    expect(schema.typeFor('', 'v1', 'constructor')).to.equal(undefined);
  });
  it('follows references to other types', () => {
    const containers = field('core/v1/PodSpec', 'containers');
    expect(containers).to.include({ shape: 'list', kind: 'struct', goType: '[]v1.Container', required: true, patchMergeKey: 'name' });
    expect(containers.type?.fields.get('name')).to.include({ kind: 'string', shape: 'one', required: true });
    expect(field('apps/v1/DeploymentSpec', 'template').type).to.equal(schema.type('core/v1/PodTemplateSpec'));
  });

  const kinds: [string, string, string, string, string][] = [
    ['core/v1/ConfigMap', 'binaryData', 'map', 'bytes', 'map[string][]uint8'],
    ['core/v1/Secret', 'data', 'map', 'bytes', 'map[string][]uint8'],
    ['core/v1/ResourceRequirements', 'limits', 'map', 'quantity', 'v1.ResourceList'],
    ['core/v1/ServicePort', 'targetPort', 'one', 'intOrString', 'intstr.IntOrString'],
    ['core/v1/ServicePort', 'protocol', 'one', 'string', 'v1.Protocol'],
    ['meta/v1/ObjectMeta', 'creationTimestamp', 'one', 'time', 'v1.Time'],
    ['meta/v1/ObjectMeta', 'labels', 'map', 'string', 'map[string]string'],
    ['coordination.k8s.io/v1/LeaseSpec', 'renewTime', 'one', 'microTime', 'v1.MicroTime'],
    ['authentication.k8s.io/v1/UserInfo', 'extra', 'mapOfLists', 'string', 'map[string]v1.ExtraValue'],
    ['apps/v1/ControllerRevision', 'data', 'one', 'raw', 'runtime.RawExtension'],
    ['apiextensions.k8s.io/v1/JSONSchemaProps', 'properties', 'map', 'struct', 'map[string]v1.JSONSchemaProps'],
    ['apiextensions.k8s.io/v1/JSONSchemaProps', 'maximum', 'one', 'double', 'float64'],
  ];
  for (const [type, name, shape, kind, goType] of kinds) {
    it(`knows ${type}.${name} as ${shape} of ${kind}`, () => expect(field(type, name)).to.include({ shape, kind, goType }));
  }

  it('resolves every reference', () => {
    let references = 0;
    for (const name of schema.names()) {
      for (const one of (schema.type(name) as Type).fields.values()) { // names() lists what type() finds
        if (one.kind !== 'struct') continue;
        references += 1;
        expect(one.type, `${name}.${one.name}`).to.not.equal(undefined);
      }
    }
    expect(references).to.be.greaterThan(1500);
  });
  it('has doc texts of kinds and of their fields, told apart from kinds of the same name', async () => {
    const docs = await schema.loadDocs();
    expect(docs['core/v1/Pod']?.['']).to.match(/^Pod is a collection of containers/);
    expect(docs['core/v1/ServicePort']?.['name']).to.include("the 'name' field");
    expect(docs['events.k8s.io/v1/Event']?.['note']).to.be.a('string');
    expect(docs['core/v1/Event']?.['reportingComponent']).to.be.a('string');
    expect(docs['core/v1/Event']).to.not.have.property('note');
    expect(docs['meta/v1/ListMeta']?.['continue']).to.be.a('string');
  });
  it('derives the same again', () => {
    const { product } = generate();
    expect(createSchema(product).type('core/v1/Container')?.fields.size).to.equal(schema.type('core/v1/Container')?.fields.size);
  });
});
