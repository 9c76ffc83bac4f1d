import { expect } from 'chai';
import { readResourceList } from '#machinery/api/resource-list.ts';
import type { ResourceQuota } from '#machinery/api/quota/quota.ts';
import { inFlightMs, nextStatus, RecentCharges } from './reconcile.ts';

const list = readResourceList;
const quota = (hard: object, status?: object): ResourceQuota => ({ metadata: { name: 'q' }, spec: { hard }, ...(status ? { status } : {}) }) as ResourceQuota;
const none = list({});

describe('nextStatus()', () => {
  it('shows what was counted under the limits of the spec', () => {
    expect(nextStatus(quota({ pods: '3', cpu: '1' }), list({ pods: '1', cpu: '100m' }), none)).to.deep.equal({ held: false, status: { hard: { cpu: '1', pods: '3' }, used: { cpu: '100m', pods: '1' } } });
  });
  it('has nothing to write when all is as it was, however it is spelt', () => {
    expect(nextStatus(quota({ cpu: '1' }, { hard: { cpu: '1000m' }, used: { cpu: '0.5' } }), list({ cpu: '500m' }), none)).to.deep.equal({ held: false, status: undefined });
    expect(nextStatus(quota({}, {}), none, none).status).to.deep.equal({ hard: {}, used: {} });
  });
  it('forgets names that are no longer limited, keeps those that could not be counted, leaves out what nobody knows', () => {
    const before = { hard: { pods: '3', secrets: '1' }, used: { pods: '2', secrets: '1' } };
    expect(nextStatus(quota({ pods: '3', 'count/unknown.example.com': '1' }, before), none, none).status).to.deep.equal({ hard: { 'count/unknown.example.com': '1', 'pods': '3' }, used: { pods: '2' } });
  });
  it('does not give back what may be on its way, and gives back the rest', () => {
    const before = { hard: { pods: '9' }, used: { pods: '5' } };
    expect(nextStatus(quota({ pods: '9' }, before), list({ pods: '1' }), list({ pods: '2' }))).to.deep.equal({ held: true, status: { hard: { pods: '9' }, used: { pods: '3' } } });
    expect(nextStatus(quota({ pods: '9' }, before), list({ pods: '4' }), list({ pods: '2' }))).to.deep.equal({ held: true, status: undefined });
    expect(nextStatus(quota({ pods: '9' }, before), list({ pods: '6' }), list({ pods: '2' })).status?.used).to.deep.equal({ pods: '6' });
    expect(nextStatus(quota({ pods: '9' }, before), list({ pods: '1' }), list({ cpu: '2' })).status?.used).to.deep.equal({ pods: '1' });
  });
});

describe('RecentCharges', () => {
  it('remembers what went up, quota by quota, for a moment or until it is there', () => {
    const recent = new RecentCharges();
    recent.note('a', list({ pods: '1', cpu: '2' }), list({ pods: '3', cpu: '1' }), 0);
    recent.note('a', list({ pods: '3' }), list({ pods: '4' }), 100);
    expect([...recent.of('a', 100)].map(([name, { nanos }]) => [name, nanos])).to.deep.equal([['pods', 3_000_000_000n]]);
    expect(recent.of('a', inFlightMs).get('pods')?.nanos).to.equal(1_000_000_000n);
    recent.note('c', list({}), list({ pods: '2', cpu: '3' }), 0);
    recent.note('c', list({}), list({ pods: '2' }), 1);
    recent.arrived('c', () => list({ pods: '3', cpu: '1', memory: '1' }));
    recent.arrived('nowhere', () => list({ pods: '1' }));
    expect([...recent.of('c', 2)].map(([name, { nanos }]) => [name, nanos])).to.deep.equal([['pods', 1_000_000_000n], ['cpu', 2_000_000_000n]]);
    expect([recent.of('a', inFlightMs + 100).size, recent.of('b', 0).size]).to.deep.equal([0, 0]);
  });
});
