// What every runtime must do, whatever it runs containers with.
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import type { ContainerConfig, PodIdentity, Runtime, SandboxConfig } from './runtime.ts';

export interface SuiteSubject { runtime: Runtime; image: string; podCidr: string; stop(): Promise<void> }

export const sandboxConfig = (pod: PodIdentity, annotations: Record<string, string> = {}): SandboxConfig => ({
  pod, attempt: 0, hostname: pod.name, hostNetwork: false, hostPid: false, hostIpc: false, ports: [], sysctls: {}, labels: { app: 'suite' }, annotations,
});
export const containerConfigOf = (pod: PodIdentity, name: string, imageId: string, command: string[], attempt = 0): ContainerConfig => ({
  pod, name, attempt, image: 'suite', imageId, command, env: [], mounts: [], annotations: { 'io.kubernetes.container.hash': 'abc' }, groups: [], privileged: false, capabilities: { add: [], drop: [] },
  readOnlyRootFilesystem: false, noNewPrivileges: false, seccomp: 'unconfined', unmaskedProc: false, sharePid: false, hostPid: false, hostIpc: false, cpuShares: 2, cpuQuota: 0, memoryBytes: 0, oomScoreAdj: 1000,
  stdin: false, stdinOnce: false, tty: false,
});

export function runtimeSuite(title: string, make: () => Promise<SuiteSubject>): void {
  describe(title, () => {
    let subject: SuiteSubject;
    const signal = AbortSignal.timeout(120_000);
    let count = 0;
    const nextPod = (): PodIdentity => ({ namespace: 'suite', name: `p${++count}`, uid: `suite-${process.pid}-${count}` });
    before(async function () {
      this.timeout(60_000);
      subject = await make();
      await subject.runtime.ensureNetwork({ name: 'suite', podCidr: subject.podCidr }, signal);
    });
    after(async function () {
      this.timeout(30_000);
      await subject?.stop();
    });

    async function startPod(command: string[], annotations: Record<string, string> = {}): Promise<{ pod: PodIdentity; sandbox: string; id: string }> {
      const { runtime, image } = subject;
      const pod = nextPod();
      const { id: sandbox } = await runtime.createSandbox(sandboxConfig(pod, annotations), signal);
      await runtime.startSandbox(sandbox, signal);
      const info = await runtime.imageInfo(image, signal);
      const { id } = await runtime.createContainer(sandbox, containerConfigOf(pod, 'main', info?.id ?? '', command), signal);
      await runtime.startContainer(id, signal);
      return { pod, sandbox, id };
    }

    it('shows a pod from its sandbox to its end', async () => {
      const { runtime } = subject;
      const { pod, sandbox, id } = await startPod(['sleep', '1000']);
      const seen = runtime.podStatus(pod.uid);
      expect(seen?.pod).to.deep.equal(pod);
      expect(seen?.sandboxes[0]).to.include({ id: sandbox, running: true, hostNetwork: false });
      expect(seen?.sandboxes[0]?.ip).to.match(/^\d+\.\d+\.\d+\.\d+$/);
      expect(seen?.containers[0]).to.include({ id, name: 'main', state: 'running', image: 'suite' });
      expect(seen?.containers[0]?.annotations).to.include({ 'io.kubernetes.container.hash': 'abc' });
      await runtime.stopContainer(id, 0, signal);
      expect(runtime.podStatus(pod.uid)?.containers[0]?.state).to.equal('exited');
      await runtime.removeContainer(id, signal);
      await runtime.removeSandbox(sandbox, signal);
      expect(runtime.podStatus(pod.uid)).to.equal(undefined);
    });
    it('tells of a container that ends by itself, with its exit code', async () => {
      const { runtime } = subject;
      const told: string[] = [];
      runtime.onChange((uid) => told.push(uid));
      const { pod } = await startPod(['sh', '-c', 'exit 7'], { 'hollow.proa/exit-code': 'main=7' });
      const ended = await eventually(AbortSignal.timeout(5000), () => runtime.podStatus(pod.uid)?.containers.find(({ state }) => state === 'exited'));
      expect(ended.exitCode).to.equal(7);
      expect(told).to.include(pod.uid);
    });
    it('gives pods addresses of their own', async () => {
      const [a, b] = await Promise.all([startPod(['sleep', '1000']), startPod(['sleep', '1000'])]);
      const ips = [a, b].map(({ pod }) => subject.runtime.podStatus(pod.uid)?.sandboxes[0]?.ip);
      expect(new Set(ips).size).to.equal(2);
    });
    it('removing what is gone is no error', async () => {
      await subject.runtime.removeContainer('0'.repeat(64), signal);
      await subject.runtime.removeSandbox('0'.repeat(64), signal);
    });
    it('refuses a container in a sandbox that is not there', async () => {
      const { runtime, image } = subject;
      const info = await runtime.imageInfo(image, signal);
      const error = await (async () => {
        const { id } = await runtime.createContainer('0'.repeat(64), containerConfigOf(nextPod(), 'main', info?.id ?? '', ['true']), signal);
        await runtime.startContainer(id, signal);
      })().then(() => undefined, (cause: unknown) => cause);
      expect(error).to.be.instanceOf(Error).with.property('message').that.matches(/No such container/);
    });
    it('removeAll() leaves nothing', async () => {
      await startPod(['sleep', '1000']);
      await subject.runtime.removeAll(signal);
      await eventually(AbortSignal.timeout(5000), () => subject.runtime.listPods().length === 0);
    });
  });
}
