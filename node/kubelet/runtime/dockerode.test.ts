import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

describe('loadDockerode()', () => {
  // A process of its own: other tests load these packages too.
  const inFreshProcess = async (code: string): Promise<unknown> => {
    const script = `import { createRequire } from 'node:module';
      import { loadDockerode } from ${JSON.stringify(new URL('dockerode.ts', import.meta.url).href)};
      const Docker = await loadDockerode();
      const loaded = (name) => Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('/node_modules/' + name + '/'));
      const message = (run) => { try { run(); return ''; } catch (error) { return error.message; } };
      ${code}`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd: import.meta.dirname });
    return JSON.parse(stdout);
  };

  it('leaves out ssh and gRPC, gives others the real ones, and says so when somebody needs them', async () => {
    expect(await inFreshProcess(`
      const left = ['dockerode', 'docker-modem', 'ssh2', '@grpc/grpc-js', '@grpc/proto-loader'].map(loaded);
      const Agent = createRequire(import.meta.resolve('docker-modem'))('./ssh');
      const ssh = message(() => Agent({}));
      const { Server } = await import('@grpc/grpc-js');
      process.stdout.write(JSON.stringify({ left, ssh, real: new Server().constructor.name, same: Docker === await loadDockerode(), made: typeof new Docker({ socketPath: '/x' }).listContainers }));
    `)).to.deep.equal({
      left: [true, true, false, false, false], ssh: 'dockerode was loaded without what "Client" needs', real: 'Server', same: true, made: 'function',
    });
  });
});
