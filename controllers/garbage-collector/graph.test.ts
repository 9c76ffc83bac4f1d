import { expect } from 'chai';
import type { OwnerReference } from '#machinery/api/object.ts';
import { OwnerGraph, foreground, orphan } from './graph.ts';
import type { Observed } from './graph.ts';

const reference = (uid: string, more: Partial<OwnerReference> = {}): OwnerReference => ({ apiVersion: 'v1', kind: 'ConfigMap', name: uid, uid, ...more });
const object = (uid: string, owners: OwnerReference[] = [], more: Partial<Observed> = {}): Observed =>
  ({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'a', name: uid, uid, owners, finalizers: [], deleting: false, ...more });

describe('OwnerGraph', () => {
  it('checks an owner that was never seen, and forgets it with its last dependent', () => {
    const graph = new OwnerGraph();
    expect(graph.observe(object('child', [reference('owner')]))).to.deep.equal({ check: ['owner'], orphan: [] });
    expect(graph.get('owner')?.virtual).to.equal(true);
    graph.remove('child');
    expect(graph.size).to.equal(0);
  });
  it('has nothing to do for a child of a known owner', () => {
    const graph = new OwnerGraph();
    graph.observe(object('owner'));
    expect(graph.observe(object('child', [reference('owner')]))).to.deep.equal({ check: [], orphan: [] });
  });
  it('checks the dependents when an owner goes', () => {
    const graph = new OwnerGraph();
    graph.observe(object('owner'));
    graph.observe(object('one', [reference('owner')]));
    graph.observe(object('two', [reference('owner')]));
    expect(graph.remove('owner').check).to.have.members(['one', 'two']);
  });
  it('checks dependents that named the owner wrongly once it is seen', () => {
    const graph = new OwnerGraph();
    graph.observe(object('right', [reference('owner')]));
    graph.observe(object('elsewhere', [reference('owner')], { namespace: 'b' }));
    graph.observe(object('kind', [reference('owner', { kind: 'Secret' })]));
    expect(graph.observe(object('owner')).check).to.have.members(['elsewhere', 'kind']);
    expect(graph.observe(object('late', [reference('owner')], { namespace: 'b' })).check).to.deep.equal(['late']);
  });
  it('links dependents to an owner that was first looked for in the wrong place', () => {
    const graph = new OwnerGraph();
    graph.observe(object('elsewhere', [reference('owner')], { namespace: 'b' }));
    graph.observe(object('right', [reference('owner')]));
    expect(graph.remove('owner').check).to.have.members(['elsewhere', 'right']); // not found in b
    graph.observe(object('owner'));
    expect(graph.remove('owner').check).to.include('right');
  });
  it('lets objects of any namespace name a cluster-scoped owner', () => {
    const graph = new OwnerGraph();
    graph.observe(object('owner', [], { namespace: '' }));
    expect(graph.observe(object('child', [reference('owner')])).check).to.deep.equal([]);
  });
  it('starts a foreground deletion once and waits for what blocks', () => {
    const graph = new OwnerGraph();
    graph.observe(object('owner'));
    graph.observe(object('blocks', [reference('owner', { blockOwnerDeletion: true })]));
    graph.observe(object('free', [reference('owner')]));
    const deleting = object('owner', [], { deleting: true, finalizers: [foreground] });
    expect(graph.observe(deleting).check).to.have.members(['owner', 'blocks', 'free']);
    expect(graph.observe(deleting).check).to.deep.equal([]);
    expect(graph.blocking(graph.get('owner')!).map(({ identity }) => identity.uid)).to.deep.equal(['blocks']);
    expect(graph.remove('blocks').check).to.deep.equal(['owner']);
  });
  it('looks at a waiting owner again when a dependent stops to block or to name it', () => {
    const graph = new OwnerGraph();
    graph.observe(object('owner', [], { deleting: true, finalizers: [foreground] }));
    expect(graph.observe(object('child', [reference('owner', { blockOwnerDeletion: true })])).check).to.include('owner');
    expect(graph.observe(object('child', [reference('owner', { blockOwnerDeletion: false })])).check).to.include('owner');
    expect(graph.observe(object('child', [])).check).to.include('owner');
    expect(graph.get('owner')?.dependents.size).to.equal(0);
  });
  it('orphans once', () => {
    const graph = new OwnerGraph();
    const deleting = object('owner', [], { deleting: true, finalizers: [orphan] });
    expect(graph.observe(deleting)).to.deep.equal({ check: [], orphan: ['owner'] });
    expect(graph.observe(deleting)).to.deep.equal({ check: [], orphan: [] });
  });
  it('survives circles and objects that own themselves', () => {
    const graph = new OwnerGraph();
    graph.observe(object('a', [reference('b')]));
    graph.observe(object('b', [reference('a')]));
    graph.observe(object('self', [reference('self')]));
    expect(graph.remove('a').check).to.include('b');
    graph.remove('b');
    graph.remove('self');
    graph.remove('nobody');
    expect(graph.size).to.equal(0);
  });
  it('keeps a remaining owner linked when a dependent loses another', () => {
    const graph = new OwnerGraph();
    graph.observe(object('one'));
    graph.observe(object('two'));
    graph.observe(object('child', [reference('one'), reference('two')]));
    graph.observe(object('child', [reference('two')]));
    expect([graph.get('one')?.dependents.size, graph.get('two')?.dependents.size]).to.deep.equal([0, 1]);
  });
});
