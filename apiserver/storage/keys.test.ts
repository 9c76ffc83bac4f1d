// Storage keys against the ones upstream uses.
import { expect } from 'chai';
import { compareKeys, objectKey, rangeKey, storagePrefix } from './keys.ts';

describe('storagePrefix()', () => {
  const cases: [string, string, string][] = [
    ['', 'pods', '/registry/pods/'],
    ['', 'nodes', '/registry/minions/'],
    ['', 'services', '/registry/services/specs/'],
    ['', 'endpoints', '/registry/services/endpoints/'],
    ['', 'replicationcontrollers', '/registry/controllers/'],
    ['', 'events', '/registry/events/'],
    ['events.k8s.io', 'events', '/registry/events/'],
    ['apps', 'deployments', '/registry/deployments/'],
    ['networking.k8s.io', 'ingresses', '/registry/ingress/'],
    ['networking.k8s.io', 'ingressclasses', '/registry/ingressclasses/'],
    ['discovery.k8s.io', 'endpointslices', '/registry/endpointslices/'],
    ['coordination.k8s.io', 'leases', '/registry/leases/'],
    ['apiregistration.k8s.io', 'apiservices', '/registry/apiregistration.k8s.io/apiservices/'],
    ['apiextensions.k8s.io', 'customresourcedefinitions', '/registry/apiextensions.k8s.io/customresourcedefinitions/'],
    ['example.com', 'pods', '/registry/example.com/pods/'],
    ['example.com', 'ingresses', '/registry/example.com/ingresses/'],
  ];
  for (const [group, resource, prefix] of cases) {
    it(`${resource}.${group || 'core'} is under ${prefix}`, () => expect(storagePrefix(group, resource)).to.equal(prefix));
  }
  it('rangeKey() and objectKey()', () => {
    expect(rangeKey('serviceips')).to.equal('/registry/ranges/serviceips');
    expect(objectKey('/registry/pods/', 'a', 'b')).to.equal('/registry/pods/a/b');
    expect(objectKey('/registry/minions/', '', 'b')).to.equal('/registry/minions/b');
  });
});

describe('compareKeys()', () => {
  it('orders as bytes do', () => {
    const keys = ['', 'a', 'a-b/x', 'a/x', 'a/x\0', 'b', 'é', '\uffee', '\u{1f6a3}', '\u{1f6a3}a', '\u{1f6a4}'];
    for (const a of keys) {
      for (const b of keys) expect(Math.sign(compareKeys(a, b)), `${a} ${b}`).to.equal(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }
  });
});
