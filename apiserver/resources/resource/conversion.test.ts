// resource.k8s.io/v1beta1: what differs from v1, there and back without loss, and its own defaults.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { builtinRows } from '../registry.ts';
import { resourceId } from '../resource.ts';
import { objects } from './testdata/objects.ts';

const rows = builtinRows({ runtimeConfig: { 'resource.k8s.io/v1beta1': 'true' } });
const rowOf = (id: string) => rows.find((row) => resourceId(row) === id && row.version === 'v1beta1') ?? expect.fail(`no ${id}/v1beta1`);
const claimOf = (...requests: unknown[]): KubeObject => ({ kind: 'ResourceClaim', spec: { devices: { requests } } });

describe('resource.k8s.io/v1beta1', () => {
  for (const [name, { id, object }] of Object.entries(objects)) {
    const row = rows.find((one) => resourceId(one) === id && one.version === 'v1beta1');
    if (row?.convert) it(`keeps everything of a ${name}`, () => expect(row.convert?.toStored(row.convert.fromStored(object as KubeObject))).to.deep.equal(object));
  }
  it('a request holds its own fields', () => {
    const convert = rowOf('resourceclaims.resource.k8s.io').convert ?? expect.fail();
    const old = claimOf({ name: 'r', deviceClassName: 'gpu', count: 2 }, { name: 's', deviceClassName: '', firstAvailable: [{ name: 'a', deviceClassName: 'gpu' }] });
    const now = claimOf({ name: 'r', exactly: { deviceClassName: 'gpu', count: 2 } }, { name: 's', firstAvailable: [{ name: 'a', deviceClassName: 'gpu' }] });
    expect(convert.toStored(old)).to.deep.equal(now);
    expect(convert.fromStored(now)).to.deep.equal(old);
  });
  it('a device holds its fields under `basic`, and no node is an empty field', () => {
    const convert = rowOf('resourceslices.resource.k8s.io').convert ?? expect.fail();
    expect(convert.toStored({ spec: { nodeName: '', allNodes: false, devices: [{ name: 'd', basic: { capacity: {} } }, { name: 'e' }] } })).to.deep.equal({ spec: { devices: [{ name: 'd', capacity: {} }, { name: 'e' }] } });
    expect(convert.fromStored({ spec: { devices: [{ name: 'e' }] } })).to.deep.equal({ spec: { devices: [{ name: 'e', basic: {} }] } });
  });
  it('only a request with a class gets a count', () => {
    const claim = claimOf({ name: 'r', deviceClassName: 'gpu' }, { name: 's', selectors: [] });
    rowOf('resourceclaims.resource.k8s.io').strategy.default?.(claim);
    expect(claim['spec']).to.deep.equal({ devices: { requests: [{ name: 'r', deviceClassName: 'gpu', allocationMode: 'ExactCount', count: 1 }, { name: 's', selectors: [], deviceClassName: '' }] } });
  });
  it('rules and paths are those of v1', () => {
    const { strategy } = rowOf('resourceclaims.resource.k8s.io');
    const context = { lookup: () => undefined } as unknown as Parameters<NonNullable<typeof strategy.validate>>[1]; // claims without admin access ask nothing
    expect(strategy.validate?.(claimOf({ name: 'r', selectors: [{}] }), context).map(({ field }) => field))
      .to.include.members(['spec.devices.requests[0].exactly.deviceClassName', 'spec.devices.requests[0].exactly.selectors[0].cel']);
  });
});
