import { expect } from 'chai';
import type { Pod } from '#machinery/api/object.ts';
import { containerHash, restartsAfter } from './container-spec.ts';
import type { ContainerState, RuntimePod } from './runtime/runtime.ts';
import { planSync, sandboxChange, type ProbeResult } from './sync-pod.ts';

const identity = { namespace: 'default', name: 'p', uid: 'u' };
const podOf = (spec: Partial<NonNullable<Pod['spec']>> = {}): Pod => ({ metadata: { ...identity }, spec: { containers: [{ name: 'a', image: 'i' }], restartPolicy: 'Always', ...spec } });
function state(name: string, kind: ContainerState['state'], exitCode = 0, more: Partial<ContainerState> = {}): ContainerState {
  return {
    id: `id-${name}`, pod: identity, name, attempt: 0, image: 'i', imageRef: 'docker://x', state: kind, createdAtMs: 1, startedAtMs: 1, finishedAtMs: 2, exitCode, oomKilled: false, error: '',
    annotations: { 'io.kubernetes.container.hash': containerHash({ name, image: 'i' }) }, tty: false, ...more,
  };
}
const sandbox = { id: 's', pod: identity, attempt: 0, running: true, hostNetwork: false, ip: '10.0.0.2', createdAtMs: 1, pid: 1 };
const exists = (...containers: ContainerState[]): RuntimePod => ({ pod: identity, sandboxes: [sandbox], containers });
const results = (known: Record<string, ProbeResult> = {}) => ({ get: (id: string, type: string) => known[`${type} ${id}`] });
const names = (list: { name: string }[]): string[] => list.map(({ name }) => name);

describe('planSync()', () => {
  it('makes a sandbox and starts the regular containers of a new pod', () => {
    const plan = planSync(podOf(), undefined, results());
    expect(plan).to.include({ createSandbox: true, attempt: 0, sandboxId: '' });
    expect(names(plan.start)).to.deep.equal(['a']);
  });
  it('starts only the first init container of a new pod', () => {
    const plan = planSync(podOf({ initContainers: [{ name: 'i1', image: 'i' }, { name: 'i2', image: 'i' }] }), undefined, results());
    expect(names(plan.startInit)).to.deep.equal(['i1']);
    expect(plan.start).to.deep.equal([]);
  });
  it('goes on to the next init container, then to the regular ones', () => {
    const pod = podOf({ initContainers: [{ name: 'i1', image: 'i' }, { name: 'i2', image: 'i' }] });
    expect(names(planSync(pod, exists(state('i1', 'running')), results()).startInit)).to.deep.equal([]);
    expect(names(planSync(pod, exists(state('i1', 'exited')), results()).startInit)).to.deep.equal(['i2']);
    expect(names(planSync(pod, exists(state('i2', 'exited'), state('i1', 'exited')), results()).start)).to.deep.equal(['a']);
  });
  it('ends the pod when an init container failed and may not be repeated', () => {
    const spec = { initContainers: [{ name: 'i1', image: 'i' }] };
    expect(planSync(podOf({ ...spec, restartPolicy: 'Never' }), exists(state('i1', 'exited', 1)), results()).killPod).to.equal(true);
    expect(names(planSync(podOf(spec), exists(state('i1', 'exited', 1)), results()).startInit)).to.deep.equal(['i1']);
  });
  it('waits for the startup probe of a sidecar before it goes on', () => {
    const pod = podOf({ initContainers: [{ name: 'side', image: 'i', restartPolicy: 'Always', startupProbe: { exec: { command: ['x'] } } }] });
    expect(planSync(pod, exists(state('side', 'running')), results()).start).to.deep.equal([]);
    expect(names(planSync(pod, exists(state('side', 'running')), results({ 'startup id-side': 'success' })).start)).to.deep.equal(['a']);
  });
  it('starts a sidecar again while the regular containers run', () => {
    const pod = podOf({ initContainers: [{ name: 'side', image: 'i', restartPolicy: 'Always' }] });
    expect(names(planSync(pod, exists(state('a', 'running'), state('side', 'exited')), results()).startInit)).to.deep.equal(['side']);
  });
  it('replaces a container that failed its liveness probe, and says so', () => {
    const plan = planSync(podOf(), exists(state('a', 'running')), results({ 'liveness id-a': 'failure' }));
    expect(plan.kill.map(({ message }) => message)).to.deep.equal(['Container a failed liveness probe, will be restarted']);
    expect(names(plan.start)).to.deep.equal(['a']);
  });
  it('ends the pod after a liveness failure under Never', () => {
    const plan = planSync(podOf({ restartPolicy: 'Never' }), exists(state('a', 'running')), results({ 'liveness id-a': 'failure' }));
    expect(plan).to.include({ killPod: true });
    expect(plan.start).to.deep.equal([]);
  });
  it('replaces a container whose image changed', () => {
    const plan = planSync(podOf({ containers: [{ name: 'a', image: 'other' }] }), exists(state('a', 'running')), results());
    expect(plan.kill[0]?.message).to.equal('Container a definition changed, will be restarted');
  });
  it('leaves a running container alone', () => {
    expect(planSync(podOf(), exists(state('a', 'running')), results())).to.deep.include({ killPod: false, kill: [], start: [], startInit: [] });
  });
  for (const [policy, exitCode, restarts] of [['Always', 0, true], ['OnFailure', 0, false], ['OnFailure', 1, true], ['Never', 1, false]] as const) {
    it(`${restarts ? 'restarts' : 'leaves'} a container that ended with ${exitCode} under ${policy}`, () => {
      const plan = planSync(podOf({ restartPolicy: policy }), exists(state('a', 'exited', exitCode)), results());
      expect(names(plan.start)).to.deep.equal(restarts ? ['a'] : []);
      expect(plan.killPod).to.equal(!restarts);
    });
  }
  it('starts all over when the sandbox died, but not a Never pod that ran', () => {
    const dead: RuntimePod = { pod: identity, sandboxes: [{ ...sandbox, running: false, ip: '' }], containers: [state('a', 'exited', 137)] };
    expect(planSync(podOf(), dead, results())).to.include({ createSandbox: true, killPod: true, attempt: 1, sandboxId: 's' });
    expect(planSync(podOf({ restartPolicy: 'Never' }), dead, results())).to.include({ createSandbox: false, killPod: true });
  });
  it('starts nothing for a pod that is being deleted', () => {
    const pod = podOf();
    pod.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
    expect(planSync(pod, exists(state('a', 'exited', 1)), results()).start).to.deep.equal([]);
  });
});

describe('sandboxChange()', () => {
  it('asks for another one without an address or with another kind of network', () => {
    expect(sandboxChange(podOf(), { ...exists(), sandboxes: [{ ...sandbox, ip: '' }] }).changed).to.equal(true);
    expect(sandboxChange(podOf({ hostNetwork: true }), exists()).changed).to.equal(true);
    expect(sandboxChange(podOf(), exists()).changed).to.equal(false);
  });
});

describe('restartsAfter()', () => {
  it('lets a rule of the container win over the policy', () => {
    const container = { name: 'a', restartPolicy: 'Never', restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }] };
    expect(restartsAfter(podOf(), container, 42)).to.equal(true);
    expect(restartsAfter(podOf(), container, 1)).to.equal(false);
  });
});
