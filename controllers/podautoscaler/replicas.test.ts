import { expect } from 'chai';
import type { Pod } from '#machinery/api/object.ts';
import type { PodMetric } from './metrics.ts';
import { proposeReplicas } from './replicas.ts';
import type { Measured, Target } from './replicas.ts';

const now = Date.UTC(2026, 0, 1, 12);
const at = (seconds: number): string => new Date(now + seconds * 1000).toISOString();
interface Given { phase?: string; ready?: boolean; changed?: number; started?: number; request?: string | null; deletionTimestamp?: string }
const pod = (name: string, { phase = 'Running', ready = true, changed = -3000, started = -3600, request = '1000m', ...metadata }: Given = {}): Pod => ({
  metadata: { name, ...metadata },
  spec: { containers: [{ name: 'c', ...(request === null ? {} : { resources: { requests: { cpu: request, memory: request } } }) }] },
  status: { phase, startTime: at(started), conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: at(changed) }] } as unknown as Pod['status'] & object, // times as they travel
});
const pods = (count: number): Pod[] => Array.from({ length: count }, (_, index) => pod(`p${index}`));
const used = (...milli: number[]): Map<string, PodMetric> => new Map(milli.map((each, index) => [`p${index}`, { milli: each, at: now - 10_000, windowMs: 60_000 }]));
const propose = (given: Pod[], metrics: Map<string, PodMetric>, target: Target, more: Partial<Measured> = {}): ReturnType<typeof proposeReplicas> => proposeReplicas({
  pods: given, metrics, resource: 'cpu', container: '', currentReplicas: given.length, tolerances: { up: 0.1, down: 0.1 }, cpuInitializationMs: 300_000, initialReadinessMs: 30_000, now, ...more,
}, target);

describe('proposeReplicas()', () => {
  it('goes up and down with the usage', () => {
    expect(propose(pods(3), used(300, 500, 700), { utilization: 30 })).to.deep.equal({ replicas: 5, milli: 500, utilization: 50 });
    expect(propose(pods(5), used(100, 300, 500, 250, 250), { utilization: 50 })).to.deep.equal({ replicas: 3, milli: 280, utilization: 28 });
    expect(propose(pods(3), used(300, 500, 700), { averageMilli: 250 })).to.deep.equal({ replicas: 6, milli: 500 });
  });
  it('stays within the tolerance, which may differ by direction', () => {
    expect(propose(pods(3), used(1010, 1030, 1020), { utilization: 100 }).replicas).to.equal(3);
    expect(propose(pods(3), used(1300, 1300, 1300), { utilization: 100 }, { tolerances: { up: 0.5, down: 0.1 } }).replicas).to.equal(3);
    expect(propose(pods(3), used(1300, 1300, 1300), { utilization: 100 }, { tolerances: { up: 0, down: 0.5 } }).replicas).to.equal(4);
  });
  it('takes pods without metrics as idle when scaling up, as busy when scaling down', () => {
    expect(propose(pods(4), used(600, 600), { utilization: 20 }).replicas).to.equal(6); // 1200 of 4000 are 30 %
    expect(propose(pods(4), used(100, 100), { utilization: 50 }).replicas, 'the correction would turn the direction').to.equal(4);
    expect(propose(pods(4), used(100, 100, 100), { utilization: 50 }).replicas).to.equal(3); // 1300 of 4000 are 32 %
    expect(propose(pods(4), used(100, 100, 100), { averageMilli: 500 }).replicas).to.equal(2);
  });
  it('does not count pods that are not ready yet, nor what they computed while they started', () => {
    const starting = [pod('p0'), pod('p1', { started: -60, ready: false, changed: -60 }), pod('p2', { started: -60, changed: -20 })];
    expect(propose(starting, used(400, 900, 900), { utilization: 50 }).utilization, 'its sample is older than its readiness').to.equal(40);
    expect(propose([pod('p0'), pod('p1', { phase: 'Pending' })], used(400), { utilization: 10 }).replicas).to.equal(4); // 400 of 2000 are 20 %
    expect(propose([pod('p0'), pod('p1', { ready: false, changed: -3580 })], used(400, 900), { utilization: 40 }).replicas, 'never was ready').to.equal(2);
    expect(propose([pod('p0'), pod('p1', { ready: false, changed: -60 })], used(400, 800), { utilization: 60 }).utilization, 'was ready before').to.equal(60);
    expect(propose(starting, used(400, 900, 900), { utilization: 50 }, { resource: 'memory' }).utilization, 'memory always counts').to.equal(73);
  });
  it('forgets pods that end', () => {
    const { utilization } = propose([pod('p0'), pod('p1', { phase: 'Failed' }), pod('p2', { deletionTimestamp: at(0) })], used(300, 900, 900), { utilization: 30 });
    expect(utilization).to.equal(30);
  });
  it('says why it cannot tell', () => {
    const error = (run: () => unknown): string => {
      try {
        run();
        return '';
      } catch (thrown) {
        return (thrown as Error).message;
      }
    };
    expect(error(() => propose([], used(1), { utilization: 1 }))).to.equal('no pods returned by selector while calculating replica count');
    expect(error(() => propose([pod('p0', { phase: 'Pending' })], used(1), { utilization: 1 }))).to.equal('did not receive metrics for targeted pods (pods might be unready)');
    expect(error(() => propose([pod('p0', { request: null })], used(1), { utilization: 1 }))).to.equal('missing request for cpu in container c of Pod p0');
    expect(error(() => propose(pods(1), used(1), { utilization: 1 }, { container: 'x' }))).to.equal('container x not found in Pod p0');
    expect(error(() => propose(pods(1), used(1), { averageMilli: 1 }))).to.equal('');
  });
});
