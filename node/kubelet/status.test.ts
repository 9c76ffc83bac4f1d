import { expect } from 'chai';
import type { ContainerStatus, Pod } from '#machinery/api/object.ts';
import type { ContainerState, RuntimePod } from './runtime/runtime.ts';
import { containersReadyCondition, initializedCondition, makeStatus, podPhase, qosClass, readyCondition, terminalStatus, type StatusInput } from './status.ts';

const identity = { namespace: 'default', name: 'p', uid: 'u' };
const podOf = (spec: Partial<NonNullable<Pod['spec']>> = {}): Pod => ({ metadata: { ...identity, generation: 3 }, spec: { containers: [{ name: 'a', image: 'i' }], restartPolicy: 'Always', ...spec } });
const instance = (more: Partial<ContainerState>): ContainerState => ({
  id: 'new', pod: identity, name: 'a', attempt: 0, image: 'i', imageRef: 'docker://x', state: 'running', createdAtMs: 2000, startedAtMs: 2000, finishedAtMs: 0, exitCode: 0, oomKilled: false, error: '', annotations: {}, tty: false, ...more,
});
const runtimePod = (...containers: ContainerState[]): RuntimePod => ({ pod: identity, sandboxes: [{ id: 's', pod: identity, attempt: 0, running: true, hostNetwork: false, ip: '10.0.0.9', createdAtMs: 1, pid: 1 }], containers });
const input = (more: Partial<StatusInput>): StatusInput => ({
  pod: podOf(), old: undefined, runtimePod: undefined, failures: new Map(), probes: { get: () => undefined }, messages: new Map(), terminal: false, nodeIp: '10.1.1.1', nowMs: 5000, ...more,
});
const status = (name: string, state: ContainerStatus['state'], more: Partial<ContainerStatus> = {}): ContainerStatus => ({ name, image: 'i', imageID: '', ready: false, restartCount: 0, state, ...more });
const ended = (exitCode: number): ContainerStatus['state'] => ({ terminated: { exitCode } });

describe('makeStatus()', () => {
  it('shows a pod of which nothing exists yet', () => {
    const made = makeStatus(input({}));
    expect(made.phase).to.equal('Pending');
    expect(made.containerStatuses?.[0]?.state).to.deep.equal({ waiting: { reason: 'ContainerCreating' } });
    expect(made.conditions?.map(({ type, status: value }) => `${type}=${value}`)).to.deep.equal(['PodReadyToStartContainers=False', 'Initialized=True', 'Ready=False', 'ContainersReady=False', 'PodScheduled=True']);
    expect(made.observedGeneration).to.equal(3);
  });
  it('shows a running pod with its address, ready without a probe', () => {
    const made = makeStatus(input({ runtimePod: runtimePod(instance({})) }));
    expect(made).to.include({ phase: 'Running', podIP: '10.0.0.9', hostIP: '10.1.1.1' });
    expect(made.containerStatuses?.[0]).to.include({ ready: true, started: true, containerID: 'docker://new', restartCount: 0 });
  });
  it('is not ready until the readiness probe says so', () => {
    const pod = podOf({ containers: [{ name: 'a', image: 'i', readinessProbe: {} }] });
    expect(makeStatus(input({ pod, runtimePod: runtimePod(instance({})) })).containerStatuses?.[0]).to.include({ ready: false, started: true });
    expect(makeStatus(input({ pod, runtimePod: runtimePod(instance({})), probes: { get: (_id, type) => (type === 'readiness' ? 'success' : undefined) } })).containerStatuses?.[0]).to.include({ ready: true });
  });
  it('turns a container that waits for its restart into CrashLoopBackOff with the last state kept', () => {
    const made = makeStatus(input({ runtimePod: runtimePod(instance({ state: 'exited', exitCode: 7, finishedAtMs: 4000 })), failures: new Map([['a', { reason: 'CrashLoopBackOff', message: 'back-off 10s' }]]) }));
    expect(made.phase).to.equal('Running');
    expect(made.containerStatuses?.[0]?.state).to.deep.equal({ waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } });
    expect(made.containerStatuses?.[0]?.lastState?.terminated).to.include({ exitCode: 7, reason: 'Error' });
  });
  it('names what killed a container', () => {
    const made = makeStatus(input({ runtimePod: runtimePod(instance({ state: 'exited', exitCode: 137, oomKilled: true, finishedAtMs: 4000 })), messages: new Map([['new', 'last words']]) }));
    expect(made.containerStatuses?.[0]?.state?.terminated).to.include({ reason: 'OOMKilled', message: 'last words' });
  });
  it('keeps a transition time until the condition changes', () => {
    const before = makeStatus(input({ runtimePod: runtimePod(instance({})) }));
    const after = makeStatus(input({ runtimePod: runtimePod(instance({})), old: before, nowMs: 99_000 }));
    expect(after).to.deep.equal(before);
  });
  it('never leaves a final phase', () => {
    const pod = podOf();
    pod.status = { phase: 'Failed', reason: 'Evicted' };
    expect(makeStatus(input({ pod, old: pod.status, runtimePod: runtimePod(instance({})) }))).to.include({ phase: 'Failed', reason: 'Evicted' });
  });
});

describe('podPhase()', () => {
  const cases: [string, Parameters<typeof podOf>[0], ContainerStatus[], boolean, string][] = [
    ['a failed init container under Never', { restartPolicy: 'Never', initContainers: [{ name: 'i' }] }, [status('i', ended(1)), status('a', { waiting: {} })], false, 'Failed'],
    ['a running init container', { initContainers: [{ name: 'i' }] }, [status('i', { running: {} }), status('a', { waiting: {} })], false, 'Pending'],
    ['one running, one waiting for the first time', { containers: [{ name: 'a' }, { name: 'b' }] }, [status('a', { running: {} }), status('b', { waiting: {} })], false, 'Pending'],
    ['all ended well under Always', {}, [status('a', ended(0))], false, 'Running'],
    ['all ended well under OnFailure', { restartPolicy: 'OnFailure' }, [status('a', ended(0))], false, 'Succeeded'],
    ['one failed under OnFailure', { restartPolicy: 'OnFailure' }, [status('a', ended(1))], false, 'Running'],
    ['one failed under Never', { restartPolicy: 'Never' }, [status('a', ended(1))], false, 'Failed'],
    ['all ended well, nothing may start again', {}, [status('a', ended(0))], true, 'Succeeded'],
    ['a sidecar runs on after the others', { restartPolicy: 'Never', initContainers: [{ name: 's', restartPolicy: 'Always' }] }, [status('s', { running: {} }, { started: true }), status('a', ended(0))], false, 'Running'],
  ];
  for (const [title, spec, statuses, terminal, phase] of cases) {
    it(`is ${phase}: ${title}`, () => expect(podPhase(podOf(spec), statuses, terminal, false)).to.equal(phase));
  }
});

describe('conditions', () => {
  it('name the containers that are not ready', () => {
    const pod = podOf({ containers: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] });
    expect(containersReadyCondition(pod, [status('a', { waiting: {} }), status('b', { running: {} }, { ready: true })], 'Running')).to.deep.equal({
      status: 'False', reason: 'ContainersNotReady', message: 'containers with unknown status: [c], containers with unready status: [a]',
    });
  });
  it('name the init containers that have not ended', () => {
    const pod = podOf({ initContainers: [{ name: 'x' }, { name: 'y' }] });
    expect(initializedCondition(pod, [status('x', ended(0), { ready: true }), status('y', { waiting: {} })], 'Pending')).to.deep.equal({ status: 'False', reason: 'ContainersNotInitialized', message: 'containers with incomplete status: [y]' });
  });
  it('ask for readiness gates', () => {
    const pod = podOf({ readinessGates: [{ conditionType: 'a/b' }] });
    expect(readyCondition(pod, { status: 'True' }).message).to.equal('corresponding condition of pod readiness gate "a/b" does not exist.');
    pod.status = { conditions: [{ type: 'a/b', status: 'False' }] };
    expect(readyCondition(pod, { status: 'True' }).message).to.equal('the status of pod readiness gate "a/b" is not "True", but False');
    pod.status = { conditions: [{ type: 'a/b', status: 'True' }] };
    expect(readyCondition(pod, { status: 'True' })).to.deep.equal({ status: 'True' });
  });
});

describe('terminalStatus()', () => {
  it('counts what is not known to have ended as 137', () => {
    const made = terminalStatus(podOf(), { phase: 'Running', containerStatuses: [status('a', { running: {} })] });
    expect(made.phase).to.equal('Failed');
    expect(made.containerStatuses?.[0]?.state?.terminated).to.include({ exitCode: 137, reason: 'ContainerStatusUnknown' });
  });
});

describe('qosClass()', () => {
  const of = (resources: NonNullable<NonNullable<Pod['spec']>['containers'][number]['resources']>): string => qosClass(podOf({ containers: [{ name: 'a', resources }] }));
  it('follows requests and limits', () => {
    expect(of({})).to.equal('BestEffort');
    expect(of({ requests: { cpu: '0' } })).to.equal('BestEffort');
    expect(of({ requests: { cpu: '1' } })).to.equal('Burstable');
    expect(of({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1', memory: '1Gi' } })).to.equal('Guaranteed');
    expect(of({ limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m', memory: '1Gi' } })).to.equal('Burstable');
  });
});
