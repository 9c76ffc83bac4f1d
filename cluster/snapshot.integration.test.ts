// `proa snapshot` from the command line, of a cluster that runs and writes.
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createClient } from '#machinery/client/client.ts';
import { configMaps } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import { startCluster, type Cluster } from './cluster.ts';

interface Outcome { code: number; stdout: string; stderr: string }
function proa(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(import.meta.dirname, 'cli.ts'), 'snapshot', ...args], { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
    });
  });
}
/** One line that starts with the program's name and says what to do; the exit code tells usage from the rest. */
function expectRefusal({ code, stdout, stderr }: Outcome, expected: number, says: string | RegExp): void {
  expect(stderr).to.match(/^proa: [^\n]+\n$/).and.to.match(typeof says === 'string' ? new RegExp(says.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)) : says);
  expect({ code, stdout }).to.deep.equal({ code: expected, stdout: '' });
}

describe('proa snapshot', function () {
  this.timeout(60_000);
  let signal: AbortSignal;
  let folder: string;
  before(() => {
    signal = AbortSignal.timeout(60_000);
    folder = mkdtempSync(join(tmpdir(), 'proa-snapshot-cli-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  const start = (dataDir: string): Promise<Cluster> => startCluster({ dataDir, nodes: 0, disable: ['controllers', 'scheduler'] });
  const create = (client: Client, name: string): Promise<{ metadata?: { resourceVersion?: string } }> => client.create(configMaps, 'default', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } }, signal);

  it('saves a cluster that runs and brings it back; old versions are then 410', async () => {
    const [first, second, file] = [join(folder, 'first'), join(folder, 'second'), join(folder, 'a.snapshot')];
    let lost: string | undefined;
    {
      await using cluster = await start(first);
      const client = createClient(cluster.client);
      await create(client, 'before');
      const saving = proa('save', file, '--data-dir', first);
      for (let i = 0; i < 50; i += 1) await create(client, `meanwhile-${i}`);
      const saved = await saving;
      expect(saved.stderr).to.equal('');
      expect(saved.stdout).to.match(/^saved .*a\.snapshot: \d+ keys at revision \d+, .* from sqlite, .*\n$/);
      expect(statSync(file).mode & 0o777).to.equal(0o600);
      expect((await proa('check', file)).stdout).to.contain('is whole');
      lost = (await create(client, 'after')).metadata?.resourceVersion;
      expectRefusal(await proa('restore', file, '--data-dir', first, '--force'), 1, 'is in use by another proa');
    }
    expectRefusal(await proa('restore', file, '--data-dir', first), 1, '--force');

    // Another folder, with the same keys and certificates.
    mkdirSync(second);
    cpSync(join(first, 'pki'), join(second, 'pki'), { recursive: true });
    const restored = await proa('restore', file, '--data-dir', second);
    expect(restored.stderr).to.equal('');
    expect(restored.stdout).to.match(/^restored \d+ keys into .*state\.db; the revision is 1\d{9}\n$/);
    {
      await using cluster = await start(second);
      const client = createClient(cluster.client);
      expect(await client.get(configMaps, 'default', 'before', signal)).to.have.property('metadata');
      expect((await client.raw('GET', '/api/v1/namespaces/default/configmaps/after', signal)).status).to.equal(404);
      const path = `/api/v1/namespaces/default/configmaps?resourceVersion=${String(lost)}`;
      expect((await client.raw('GET', `${path}&resourceVersionMatch=Exact`, signal)).status).to.equal(410);
      const watched = await client.raw('GET', `${path}&watch=true&timeoutSeconds=5`, signal);
      expect(watched.body, `status ${watched.status}`).to.contain('410');
      const again = await create(client, 'again');
      expect(Number(again.metadata?.resourceVersion)).to.be.greaterThan(1_000_000_000);
    }

    const forced = await proa('restore', file, '--data-dir', first, '--force');
    expect(forced.stdout).to.contain('state.db.before-restore');
    expect(existsSync(join(first, 'state.db.before-restore'))).to.equal(true);
    await using cluster = await start(first);
    const client = createClient(cluster.client);
    expect((await client.raw('GET', '/api/v1/namespaces/default/configmaps/after', signal)).status).to.equal(404);
  });

  it('refuses what it cannot take, in one line, and touches nothing', async () => {
    const file = join(folder, 'b.snapshot');
    const notes = join(folder, 'notes');
    writeFileSync(notes, 'mine\n');
    const nowhere = join(folder, 'nowhere');
    expectRefusal(await proa(), 2, 'snapshot takes save, restore or check; --help tells more');
    expectRefusal(await proa('frobnicate', file), 2, 'not "frobnicate"');
    expectRefusal(await proa('save'), 2, 'name the file first: proa snapshot save FILE');
    expectRefusal(await proa('restore', '--force', file), 2, 'name the file first: proa snapshot restore FILE');
    expectRefusal(await proa('save', file, '--force'), 2, 'unknown flag --force');
    expectRefusal(await proa('save', file, 'more'), 2, 'unexpected argument "more"');
    expectRefusal(await proa('restore', file, '--revision-gap', '-3'), 2, /--revision-gap/);
    expectRefusal(await proa('save', file, '--datastore', 'etcd'), 2, '--datastore etcd needs --etcd-servers');
    expectRefusal(await proa('save', file, '--data-dir', nowhere), 1, 'state.db does not exist');
    expectRefusal(await proa('save', file, '--etcd-servers', 'http://127.0.0.1:1'), 1, 'etcd at http://127.0.0.1:1 cannot be reached');
    expectRefusal(await proa('restore', file, '--data-dir', nowhere), 1, 'cannot read');
    expectRefusal(await proa('restore', notes, '--data-dir', nowhere), 1, 'is not a snapshot of proa');
    expectRefusal(await proa('check', notes), 1, 'is not a snapshot of proa');
    expect(existsSync(nowhere)).to.equal(false);
    expect(existsSync(file)).to.equal(false);
    expect(readFileSync(notes, 'utf8')).to.equal('mine\n');
  });

  it('--help shows both ways and the flags', async () => {
    const { code, stdout } = await proa('--help');
    expect(code).to.equal(0);
    for (const text of ['Usage: proa snapshot save FILE', '--data-dir', '--etcd-servers', '--force', '--revision-gap', 'pki']) expect(stdout).to.contain(text);
  });
});
