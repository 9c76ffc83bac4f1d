// Against a Docker Engine of its own, in a network namespace of its own.
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createLogger } from '#machinery/base/log.ts';
import { createDockerRuntime } from './docker.ts';
import { startEngine, type Engine } from './engine.testing.ts';
import type { Runtime } from './runtime.ts';
import { containerConfigOf, sandboxConfig } from './suite.ts';

const needed = ['/usr/sbin/dockerd', '/usr/sbin/iptables', '/usr/bin/busybox'].filter((file) => !existsSync(file));
const why = needed.length > 0 ? `needs ${needed.join(', ')}` : process.getuid?.() === 0 ? '' : 'needs root';

describe('Docker Engine', function () {
  this.timeout(60_000);
  if (why !== '') {
    it(`is tried (skipped: ${why})`, function () { this.skip(); });
    return;
  }
  let engine: Engine;
  before(async () => {
    engine = await startEngine(['unshare', '--net']);
  });
  after(() => engine?.stop());

  it('keeps to what every runtime must do', async () => {
    const root = join(import.meta.dirname, '../../..');
    const child = spawn('unshare', ['--net', process.execPath, join(root, 'node_modules/mocha/bin/mocha.js'), '--no-package', '--no-config', '--timeout', '30000',
      '--require', './machinery/base/test-hooks.ts', 'node/kubelet/runtime/docker.integration.suite.ts'], { cwd: root });
    const [output, code] = await Promise.all([textOf(child.stdout), new Promise<number | null>((resolve) => child.once('exit', resolve))]);
    expect(code, output).to.equal(0);
    expect(output).to.contain('6 passing');
  });

  async function start(): Promise<{ runtime: Runtime; stop(): Promise<void> }> {
    const controller = new AbortController();
    const runtime = await createDockerRuntime({ dockerHost: engine.dockerHost, clusterId: 'suite', nodeName: 'n1', bridgeName: 'suite0', clusterCidr: '10.42.0.0/16', log: createLogger('test') });
    // The rules of the bridge belong into the engine's network namespace, where this process is not.
    const ready = Promise.withResolvers<void>();
    const running = runtime.run(() => ready.resolve(), controller.signal);
    await ready.promise;
    return {
      runtime,
      async stop() {
        controller.abort();
        await running;
      },
    };
  }
  const busybox = (...args: string[]): string[] => ['/bin/busybox', ...args];

  it('takes over what an earlier process started, and runs commands in it', async () => {
    const signal = AbortSignal.timeout(50_000);
    const first = await start();
    const pod = { namespace: 'a', name: 'web', uid: 'uid-1' };
    const sandbox = await first.runtime.createSandbox({ ...sandboxConfig(pod), hostNetwork: true }, signal);
    await first.runtime.startSandbox(sandbox.id, signal);
    const image = await first.runtime.imageInfo('suite:1', signal);
    const { id } = await first.runtime.createContainer(sandbox.id, containerConfigOf(pod, 'main', image?.id ?? '', busybox('sh', '-c', 'echo one; echo two; exec /bin/busybox sleep 1000'), 3), signal);
    const before = await first.runtime.startContainer(id, signal);
    await first.stop();

    const second = await start();
    try {
      expect(second.runtime.podStatus('uid-1')?.containers[0]).to.deep.equal(before);
      const session = await second.runtime.exec(id, { command: busybox('sh', '-c', '/bin/busybox cat; echo err >&2; exit 5'), stdin: true, stdout: true, stderr: true, tty: false }, signal);
      session.stdin.end('hello');
      const [out, err, code] = await Promise.all([textOf(session.stdout), textOf(session.stderr), session.exitCode]);
      expect({ out, err, code }).to.deep.equal({ out: 'hello', err: 'err\n', code: 5 });
      const log = { follow: false, timestamps: false, stdout: true, stderr: true };
      expect(await textOf(second.runtime.logs(id, log, signal))).to.equal('one\ntwo\n');
      expect(await textOf(second.runtime.logs(id, { ...log, tailLines: 1, timestamps: true }, signal))).to.match(/^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z two\n$/);
      await second.runtime.stopContainer(id, 100, signal);
      expect(second.runtime.podStatus('uid-1')?.containers[0]).to.include({ state: 'exited', attempt: 3 });
      await second.runtime.removeAll(signal);
      expect(second.runtime.listPods()).to.deep.equal([]);
    } finally {
      await second.stop();
    }
  });
  it('says in the engine\'s words why a program cannot run', async () => {
    const signal = AbortSignal.timeout(50_000);
    const started = await start();
    const { runtime } = started;
    try {
      const pod = { namespace: 'a', name: 'bad', uid: 'uid-2' };
      const sandbox = await runtime.createSandbox({ ...sandboxConfig(pod), hostNetwork: true }, signal);
      await runtime.startSandbox(sandbox.id, signal);
      const image = await runtime.imageInfo('suite:1', signal);
      const { id } = await runtime.createContainer(sandbox.id, containerConfigOf(pod, 'main', image?.id ?? '', ['/nope']), signal);
      const error = await runtime.startContainer(id, signal).then(() => undefined, (cause: unknown) => cause);
      expect(error).to.be.instanceOf(Error).with.property('message').that.contains('no such file or directory');
      expect(runtime.podStatus('uid-2')?.containers[0]).to.include({ state: 'exited' });
      expect(await runtime.imageInfo('suite:none', signal)).to.equal(undefined);
      await runtime.removeAll(signal);
    } finally {
      await started.stop();
    }
  });
});

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

