import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { leaveManagersInBytes } from './lazy-managers.ts';

describe('leaveManagersInBytes()', () => {
  const managedFields = [{ manager: 'a]}"\\é', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: { 'f:data': { 'k:{"name":"x]"}': {}, 'v:"\\""': {} } } }];
  const make = (): KubeObject => ({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a', annotations: { x: '"managedFields":[1]' }, managedFields, labels: { l: 'ü' } }, data: { managedFields: '[]' } });
  it('leaves an object that reads, copies and prints as before', () => {
    const object = make();
    leaveManagersInBytes(object, Buffer.from(JSON.stringify(make())));
    expect(object.metadata?.managedFields).to.deep.equal(managedFields);
    expect(object.metadata?.managedFields).to.equal(object.metadata?.managedFields);
    expect(structuredClone(object)).to.deep.equal(make());
    expect(JSON.parse(JSON.stringify(object))).to.deep.equal(make());
    const copy = { ...object.metadata };
    delete copy.managedFields;
    expect([copy.managedFields, object.metadata?.managedFields]).to.deep.equal([undefined, managedFields]);
  });
  it('leaves alone what has no managers', () => {
    const { managedFields: _managers, ...metadata } = make().metadata ?? {};
    const object: KubeObject = { ...make(), metadata };
    leaveManagersInBytes(object, Buffer.from(JSON.stringify(object)));
    expect(object.metadata).to.equal(metadata);
  });
});
