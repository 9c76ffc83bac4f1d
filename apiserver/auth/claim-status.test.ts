// Writes of a claim's status by users with some of the rights that they need.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import type { AdmissionAttributes } from '../admission/admission.ts';
import type { Authorizer } from '../filters/seams.ts';
import { rowOf } from '../resources/testing.ts';
import { createClaimStatusCheck } from './claim-status.ts';

const allocation = { devices: { results: [] }, nodeSelector: { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }] } };
const claim = (status: object): KubeObject => ({ metadata: { name: 'c', namespace: 'n' }, status });
const device = (driver: string, data = 1) => ({ driver, pool: 'p', device: 'd', data });

async function write(object: KubeObject, oldObject: KubeObject, rights: readonly string[], onNode?: string): Promise<string[]> {
  const authorizer: Authorizer = {
    authorize: (_, { verb, resource, subresource, namespace, name }) => ({ allowed: rights.includes(`${verb} ${namespace}/${resource}/${subresource}/${name}`), reason: '' }),
  };
  const plugin = createClaimStatusCheck(authorizer);
  const row = rowOf('resourceclaims.resource.k8s.io');
  expect(plugin.handles('UPDATE', row, 'status')).to.equal(true);
  expect(plugin.handles('UPDATE', row, '')).to.equal(false);
  const info = { isResourceRequest: true, verb: 'update', group: 'resource.k8s.io', version: 'v1', namespace: 'n', resource: 'resourceclaims', subresource: 'status', name: 'c', parts: [] };
  const user = { name: 'system:serviceaccount:n:driver', groups: [], ...(onNode === undefined ? {} : { extra: { 'authentication.kubernetes.io/node-name': [onNode] } }) };
  try {
    await plugin.validate?.({ operation: 'UPDATE', row, subresource: 'status', namespace: 'n', name: 'c', object, oldObject, user, context: { request: { info } } } as unknown as AdmissionAttributes); // what the check looks at
    return [];
  } catch (error) {
    return (error as { status: { details: { causes: { field: string; message: string }[] } } }).status.details.causes.map(({ field, message }) => `${field}: ${message}`);
  }
}

describe('createClaimStatusCheck()', () => {
  const binding = 'update /resourceclaims/binding/';
  it('lets pass what changes nothing of it', async () => expect(await write(claim({ allocation }), claim({ allocation }), [])).to.deep.equal([]));
  it('binding needs its own right, for all claims', async () => {
    expect(await write(claim({ allocation }), claim({}), [binding])).to.deep.equal([]);
    expect(await write(claim({ allocation }), claim({}), [])).to.deep.equal(['status.allocation: Forbidden: changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="update" permission: '
      + 'resourceclaims.resource.k8s.io is forbidden: User "system:serviceaccount:n:driver" cannot update resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope']);
    expect(await write(claim({ allocation, reservedFor: [{ uid: 'u' }] }), claim({ allocation }), [])).to.have.length(1);
  });
  it('reports of devices need a right for each driver that changes', async () => {
    const old = claim({ allocation, devices: [device('a'), device('b'), device('c')] });
    const now = claim({ allocation, devices: [device('a'), device('b', 2)] });
    const right = (driver: string, where = 'arbitrary') => `${where}-node:update n/resourceclaims/driver/${driver}`;
    expect(await write(now, old, [right('b'), right('c')])).to.deep.equal([]);
    expect(await write(now, old, [right('c')])).to.deep.equal(['status.devices: Forbidden: changing status.devices requires resource="resourceclaims/driver", verb="[arbitrary-node:update]" permission: '
      + 'resourceclaims.resource.k8s.io "b" is forbidden: User "system:serviceaccount:n:driver" cannot arbitrary-node:update resource "resourceclaims/driver" in API group "resource.k8s.io" in the namespace "n"']);
    expect(await write(now, old, [right('b', 'associated'), right('c', 'associated')], 'n1')).to.deep.equal([]);
    expect(await write(now, old, [right('b', 'associated'), right('c', 'associated')], 'n2')).to.have.length(2);
  });
});
