// `proa server` and `npm start` as a person meets them: the ready line, a Ready node, a clean stop, one clear line for bad input.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Node, V1NodeList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { cli, clusterOf, freeHost, needsHost, nodeBinary, processTree, readyLineOf, root, sharedCluster, skipUnless, startServer, until } from './fixtures/cluster.ts';
import { hostMissing } from './fixtures/host.ts';
import type { Host } from './fixtures/host.ts';
import { run, stop } from './fixtures/process.ts';
import type { Result } from './fixtures/process.ts';

const conditionOf = (node: V1Node | undefined, wanted: string): string | undefined => node?.status?.conditions?.find(({ type }) => type === wanted)?.status;

describe('proa server with --runtime hollow', () => {
  it('prints one ready line with milliseconds and kubeconfig, and SIGTERM to npm ends in exit 0 with no process left', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'proa-hollow-'));
    try {
      const npm = spawn('npm', ['start', '--silent', '--', '--runtime', 'hollow', '--data-dir', join(folder, 'data'), '--https-port', '0'], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
      const output = collect(npm);
      const line = await readyLineOf(npm, output);
      assert.match(line, /^proa ready in \d+ ms, kubeconfig (\/\S+)$/);
      assert.equal(line.split(' ').at(-1), join(folder, 'data/admin.kubeconfig'));
      const tree = processTree(npm.pid ?? 0);
      assert.isAbove(tree.length, 1, 'npm has the server as a descendant');
      assert.equal(await stop(npm, 'SIGTERM', 30_000), 0);
      await until('every process gone', () => tree.every((pid) => !existsSync(`/proc/${pid}`)), 2000);
      // The folder is free again: a second start takes it.
      const again = spawn(nodeBinary, [cli, 'server', '--runtime', 'hollow', '--data-dir', join(folder, 'data'), '--https-port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
      await readyLineOf(again, collect(again));
      const taken = await server(['--runtime', 'hollow', '--data-dir', join(folder, 'data')]);
      assertOneLine(taken, 1, /data folder \S+ is in use/);
      assert.equal(await stop(again, 'SIGINT', 30_000), 0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('names in one line what is wrong with its input', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'proa-bad-'));
    const listener = createServer();
    try {
      await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
      const address = listener.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      const hollow = ['--runtime', 'hollow', '--data-dir', join(folder, 'data')];
      const [flag, value, cidr, component, command, remote, port443, etcd] = await Promise.all([
        server(['--frobnicate']),
        server(['--https-port', 'many']),
        server([...hollow, '--cluster-cidr', '10.42.0.0/33']),
        server([...hollow, '--disable', 'kitchen']),
        run(nodeBinary, [cli, 'sevrer']),
        server(['--data-dir', join(folder, 'remote'), '--docker-host', 'tcp://192.0.2.1:2375']),
        server(['--runtime', 'hollow', '--data-dir', join(folder, 'port'), '--https-port', String(port)]),
        server(['--runtime', 'hollow', '--data-dir', join(folder, 'etcd'), '--etcd-servers', 'http://127.0.0.1:1']),
      ]);
      assertOneLine(flag, 2, /--frobnicate/);
      assertOneLine(value, 2, /--https-port/);
      assertOneLine(cidr, 2, /--cluster-cidr/);
      assertOneLine(component, 2, /--disable .*kitchen/);
      assertOneLine(command, 2, /sevrer/);
      assertOneLine(remote, 2, /--docker-host tcp:\/\/192\.0\.2\.1:2375 is not on this machine/);
      assertOneLine(port443, 1, new RegExp(`${port}`));
      assertOneLine(etcd, 1, /etcd at http:\/\/127\.0\.0\.1:1/);
      assert.isFalse(existsSync(join(folder, 'remote')), 'a usage error makes no data folder');
    } finally {
      await new Promise((resolve) => listener.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('proa server with real containers', function () {
  before(needsHost);

  it('has a Ready node within 2 s, and refuses a second cluster in the network namespace', async () => {
    const host = await freeHost();
    const { server: running, kubectl } = await sharedCluster();
    const { items: [node] } = await kubectl.json<V1NodeList>('get nodes');
    assert.isDefined(node, 'a node is registered when the ready line comes');
    await until('a Ready node', async () => conditionOf((await kubectl.json<V1NodeList>('get nodes')).items[0], 'Ready') === 'True', 2000, 50);
    assert.equal(await kubectl('get --raw /readyz'), 'ok');
    assert.match(JSON.parse(await kubectl('get --raw /version')).gitVersion, /^v1\.36\.\d+\+proa/);

    await until('rules of the cluster DNS, the last ones to come', async () => JSON.stringify(await kernelState(host)).includes('kube-dns:dns-tcp ->'));
    const before = await kernelState(host);
    const second = await onHost(host, ['--data-dir', join(host.folder, 'second'), '--docker-host', host.dockerHost]);
    assertOneLine(second, 1, /another proa cluster .* runs in this network namespace/);
    assert.deepEqual(await kernelState(host), before, 'the refused start changed nothing');
    assert.equal(conditionOf((await kubectl.json<V1NodeList>('get nodes')).items[0], 'Ready'), 'True', 'the first one goes on');
    assert.isNull(running.child.exitCode);
  });

  it('stops cleanly by SIGTERM to npm, and a failed start leaves nothing', async () => {
    const host = await freeHost();
    const clean = await kernelState(host);
    const dataDir = mkdtempSync(join(host.folder, 'npm-'));
    const npm = spawn('nsenter', [`--net=/run/netns/${host.namespace}`, 'npm', 'start', '--silent', '--', '--data-dir', dataDir, '--https-port', '0', '--docker-host', host.dockerHost, '--stop-pods'], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = collect(npm);
    await readyLineOf(npm, output);
    const tree = processTree(npm.pid ?? 0);
    assert.include((await kernelState(host)).addresses, '10.41.0.1/32');
    assert.equal(await stop(npm, 'SIGTERM', 60_000), 0, output());
    await until('every process gone', () => tree.every((pid) => !existsSync(`/proc/${pid}`)), 2000);
    assert.deepEqual(await kernelState(host), clean);

    const blocker = await listenOn(host, 7443);
    try {
      assertOneLine(await onHost(host, ['--data-dir', join(host.folder, 'port'), '--docker-host', host.dockerHost, '--https-port', '7443']), 1, /7443/);
    } finally {
      await stop(blocker);
    }
    assert.deepEqual(await kernelState(host), clean, 'after a taken port');
    assertOneLine(await onHost(host, ['--data-dir', join(host.folder, 'nodocker'), '--docker-host', `unix://${host.folder}/nobody.sock`]), 1, /no Docker Engine answers at unix:\/\/\S+nobody\.sock; /);
    assert.deepEqual(await kernelState(host), clean, 'without an engine');
    assertOneLine(await onHost(host, ['--data-dir', join(host.folder, 'noetcd'), '--docker-host', host.dockerHost, '--etcd-servers', 'http://127.0.0.1:2']), 1, /etcd at http:\/\/127\.0\.0\.1:2/);
    assert.deepEqual(await kernelState(host), clean, 'without etcd');
  });

  it('keeps pods over a stop and adopts them at the next start', async () => {
    const host = await freeHost();
    const dataDir = mkdtempSync(join(host.folder, 'keep-'));
    const first = await startServer(host, [], { dataDir });
    const { kubectl } = await clusterOf(host, first);
    await kubectl('run keeper --image=test.local/busybox:1 --restart=Always -- sleep 3600');
    await kubectl('wait --for=condition=Ready pod/keeper --timeout=30s');
    const idOf = (): Promise<string> => kubectl('get pod keeper -o', 'jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.podIP}');
    const before = await idOf();
    assert.equal(await first.stop(), 0, first.output());
    assert.equal((await host.docker('ps', '-q', '--no-trunc', '--filter', `id=${/docker:\/\/(\S+)/.exec(before)?.[1]}`)).trim().length, 64, 'it runs without its cluster');
    const second = await startServer(host, ['--stop-pods'], { dataDir });
    const after = await clusterOf(host, second);
    await after.kubectl('wait --for=condition=Ready pod/keeper --timeout=30s');
    assert.equal(await after.kubectl('get pod keeper -o', 'jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount} {.status.podIP}'), before);
    assert.equal(await second.stop(), 0, second.output());
    assert.equal(await host.docker('ps', '-aq'), '', 'with --stop-pods no container is left');
  });
});

describe('proa server as an ordinary user', () => {
  const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  before(async function () {
    await skipUnless(this, async () => {
      const missing = await hostMissing();
      if (missing) return missing;
      return (await run('setpriv', [...asNobody, nodeBinary, '-e', `fs.readFileSync(${JSON.stringify(cli)})`])).code === 0 ? undefined : 'user nobody cannot read this checkout';
    });
  });

  it('says that real containers need root', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'proa-nobody-'));
    chmodSync(folder, 0o777);
    mkdirSync(join(folder, 'cache'));
    chmodSync(join(folder, 'cache'), 0o777);
    try {
      const result = await run('setpriv', [...asNobody, nodeBinary, cli, 'server', '--data-dir', join(folder, 'data')], { env: { XDG_CACHE_HOME: join(folder, 'cache'), HOME: folder } });
      assertOneLine(result, 1, /need root/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

function server(flags: string[]): Promise<Result> {
  return run(nodeBinary, [cli, 'server', ...flags], { timeoutMs: 40_000 });
}
function onHost(host: Host, flags: string[]): Promise<Result> {
  return host.run(nodeBinary, [cli, 'server', ...flags], { timeoutMs: 40_000 });
}
function assertOneLine(result: Result, code: number, pattern: RegExp): void {
  const lines = result.stderr.trim().split('\n').filter((line) => !line.startsWith('{'));
  assert.equal(result.code, code, result.stderr);
  assert.lengthOf(lines, 1, result.stderr);
  assert.match(lines[0] ?? '', /^proa: /);
  assert.match(lines[0] ?? '', pattern);
  assert.notMatch(result.stderr, /^\s+at /m, 'no stack trace');
  assert.notInclude(result.stdout, 'proa ready');
}
function collect(child: ChildProcess): () => string {
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  child.stderr?.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  return () => output;
}
async function listenOn(host: Host, port: number): Promise<ChildProcess> {
  const child = host.spawn(nodeBinary, ['-e', `net.createServer().listen(${port}, '127.0.0.1', () => console.log('listening'))`], 'blocker.log');
  await until('the port taken', () => readFileSync(join(host.folder, 'blocker.log'), 'utf8').includes('listening'), 5000);
  return child;
}
/** What a cluster changes outside its folder: addresses, devices, chains and rules of its own. */
async function kernelState(host: Host): Promise<{ addresses: string[]; devices: string[]; rules: string[] }> {
  const [addresses, links, rules] = await Promise.all([host.must('ip', ['-o', 'address', 'show', 'dev', 'lo']), host.must('ip', ['-o', 'link']), host.must('iptables-save', [])]);
  return {
    addresses: [...addresses.matchAll(/inet (\S+)/g)].map(([, address = '']) => address),
    devices: [...links.matchAll(/^\d+: ([^:@]+)/gm)].map(([, device = '']) => device),
    rules: rules.split('\n').filter((line) => /KUBE-|proa|cbr0/i.test(line)),
  };
}
