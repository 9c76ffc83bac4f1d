// The explanation of one pod, read from an API server in memory.
import { expect } from 'chai';
import { StatusError } from '#machinery/api/status.ts';
import { explainPod, print } from './explain.ts';
import { defaultProfile } from './profile.ts';
import { createFakeServer, makeNode, makePod } from './testing/fake-cluster.ts';

describe('explainPod()', () => {
  let signal: AbortSignal;
  beforeEach(() => {
    signal = AbortSignal.timeout(4000); // from when a test begins: the files of a run are all loaded first
  });
  it('says what every plugin has against each node', async () => {
    const fake = createFakeServer();
    fake.put('nodes', makeNode('a', { cpu: '1', spec: { taints: [{ key: 'k', effect: 'NoSchedule' }] } }));
    fake.put('nodes', makeNode('b', { spec: { unschedulable: true } }));
    fake.put('pods', makePod('web', { cpu: '2' }));
    const found = await explainPod(fake.client, 'default', 'web', [defaultProfile], signal);
    expect(found.verdict).to.contain('0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.');
    expect(found.nodes.map(({ node, rejectedBy }) => [node, rejectedBy.map(({ plugin }) => plugin)])).to.deep.equal([['b', ['NodeUnschedulable']], ['a', ['TaintToleration', 'NodeResourcesFit']]]);
    expect(print(found)).to.contain('Insufficient cpu').and.contain('no scheduler has looked at it yet');
  });
  it('shows each score, weighted, and the best node', async () => {
    const fake = createFakeServer();
    fake.put('nodes', makeNode('a'));
    fake.put('nodes', makeNode('b', { spec: { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] } }));
    fake.put('pods', makePod('web', { cpu: '1' }));
    const found = await explainPod(fake.client, 'default', 'web', [defaultProfile], signal);
    expect(found.verdict).to.equal('would go to a');
    expect(found.nodes.map(({ scores }) => scores.TaintToleration)).to.deep.equal([300, 0]);
    expect(fake.list('events')).to.deep.equal([]);
    expect(fake.get<{ spec: { nodeName?: string } }>('pods', 'default', 'web')?.spec.nodeName).to.equal(undefined);
  });
  it('says where a bound pod is, and still how all nodes score', async () => {
    const fake = createFakeServer();
    for (const name of ['a', 'b']) fake.put('nodes', makeNode(name));
    fake.put('pods', makePod('web', { cpu: '1', node: 'a' }));
    const found = await explainPod(fake.client, 'default', 'web', [defaultProfile], signal);
    expect(found.verdict).to.match(/^runs on a already/);
    expect(found.nodes.map(({ rejectedBy, cpu }) => [rejectedBy.length, cpu])).to.deep.equal([[0, '0m/4000m'], [0, '0m/4000m']]);
  });
  it('names closed gates', async () => {
    const fake = createFakeServer();
    fake.put('nodes', makeNode('a'));
    fake.put('pods', makePod('web', { spec: { schedulingGates: [{ name: 'example.com/wait' }] } }));
    expect((await explainPod(fake.client, 'default', 'web', [defaultProfile], signal)).verdict).to.equal('not tried: scheduling gates example.com/wait are closed');
  });
  it('names the claim that is not there, and asks for devices once it is', async () => {
    const fake = createFakeServer();
    fake.put('nodes', makeNode('a'));
    fake.put('deviceclasses', { metadata: { name: 'gpu', uid: 'gpu' }, spec: {} });
    fake.put('pods', makePod('web', { spec: { resourceClaims: [{ name: 'r', resourceClaimName: 'c' }] } }));
    expect((await explainPod(fake.client, 'default', 'web', [defaultProfile], signal)).verdict).to.equal('not tried: resourceclaim "c" not found');
    fake.put('resourceclaims', { metadata: { name: 'c', namespace: 'default', uid: 'c' }, spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu' } }] } } });
    const { nodes } = await explainPod(fake.client, 'default', 'web', [defaultProfile], signal);
    expect(nodes.map(({ rejectedBy }) => rejectedBy)).to.deep.equal([[{ plugin: 'DynamicResources', reasons: ['cannot allocate all claims'] }]]);
  });
  it('refuses pods that are not there or belong to another scheduler', async () => {
    const fake = createFakeServer();
    fake.put('pods', makePod('web', { spec: { schedulerName: 'mine' } }));
    const messages = await Promise.all(['web', 'gone'].map((name) => explainPod(fake.client, 'default', name, [defaultProfile], signal).catch((error: unknown) => error)));
    expect(messages[0]).to.have.property('message', 'pod default/web asks for the scheduler "mine"; the profiles here are default-scheduler');
    expect(messages[1]).to.be.instanceOf(StatusError);
  });
});
