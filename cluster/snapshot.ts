// `proa snapshot save|restore|check FILE`: the whole state of a cluster in one file, taken while it runs.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError, describeFlags, parseFlags } from '#machinery/base/flags.ts';
import type { FlagTable, FlagValues } from '#machinery/base/flags.ts';
import { StartError } from '#machinery/base/start-error.ts';
import { lockDataDir } from './locks.ts';
import { serverFlags } from './options.ts';
import type { SnapshotSummary } from '../apiserver/storage/snapshot.ts';
import type { Storage, StorageView } from '../apiserver/storage/storage.ts';

const storeFlags = {
  'data-dir': serverFlags['data-dir'],
  'datastore': serverFlags.datastore,
  'etcd-servers': serverFlags['etcd-servers'],
  'etcd-prefix': serverFlags['etcd-prefix'],
} as const satisfies FlagTable;
const restoreFlags = {
  ...storeFlags,
  'force': { kind: 'boolean', default: false, help: 'Replace a store that holds data. A sqlite file is kept beside as state.db.before-restore; in etcd the keys are deleted.' },
  'revision-gap': { kind: 'number', placeholder: 'N', min: 1, max: 1_000_000_000_000, help: "How far above the snapshot's revision the store goes on: more than were written since it was taken (default 1000000000 in sqlite; 20000 in etcd, where it costs that many writes unless etcd is ahead anyway)." },
} as const satisfies FlagTable;

const text = `Backs up a cluster and brings it back.

Usage: proa snapshot save FILE [--flags]      take a snapshot; the cluster may run
       proa snapshot restore FILE [--flags]   put it into a store that is empty and not in use
       proa snapshot check FILE               read it and compare its checksum

A snapshot holds every object as of one moment, from either engine, and can be restored into either: that is also the way
from sqlite to etcd and back. It holds Secrets; the file is readable by its owner only. Keep <data-dir>/pki with it: the
cluster's certificates and the key that signs ServiceAccount tokens are not in it.

After a restore, resourceVersions go on far above those of the snapshot. Clients that come back with a version from
before get 410 Gone and list again.

Examples:
  proa snapshot save backup.snapshot                               of the cluster in the default data directory
  proa snapshot save backup.snapshot --etcd-servers http://127.0.0.1:2379
  proa snapshot restore backup.snapshot --data-dir /var/lib/other && proa server --data-dir /var/lib/other
  proa snapshot restore backup.snapshot --force                    after proa server was stopped

Flags:
`;

type StoreFlags = FlagValues<typeof storeFlags>;

export async function snapshot(args: string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${text}${describeFlags(restoreFlags)}\n`);
    return;
  }
  const [action, file, ...rest] = args;
  if (action !== 'save' && action !== 'restore' && action !== 'check') throw new UsageError(`snapshot takes save, restore or check${action === undefined ? '' : `, not "${action}"`}; --help tells more`);
  if (file === undefined || file === '' || file.startsWith('-')) throw new UsageError(`name the file first: proa snapshot ${action} FILE`);
  if (action === 'save') await save(file, parseFlags(storeFlags, rest));
  else if (action === 'restore') await restore(file, parseFlags(restoreFlags, rest));
  else {
    parseFlags({}, rest);
    const { checkSnapshot } = await import('../apiserver/storage/snapshot.ts');
    say(`${file} is whole: ${describe(await checkSnapshot(file))}`);
  }
  process.exit(0); // the connection to etcd lingers
}

async function save(file: string, flags: StoreFlags): Promise<void> {
  const { saveSnapshot } = await import('../apiserver/storage/snapshot.ts');
  const view = await openView(flags);
  try {
    say(`saved ${file}: ${describe(await saveSnapshot(view, file))}`);
  } finally {
    await view.close();
  }
}

async function restore(file: string, flags: FlagValues<typeof restoreFlags>): Promise<void> {
  const { checkSnapshot } = await import('../apiserver/storage/snapshot.ts');
  const { restoreEtcd, restoreSqlite } = await import('../apiserver/storage/snapshot-restore.ts');
  const gap = flags['revision-gap'];
  const options = { force: flags.force, ...(gap === undefined ? {} : { revisionGap: BigInt(gap) }) };
  await checkSnapshot(file); // before anything is made for it
  const servers = etcdServers(flags);
  if (servers) {
    const storage = await openEtcd(servers, flags['etcd-prefix']);
    try {
      const { keys, revision } = await restoreEtcd(file, storage, options, say);
      say(`restored ${keys} keys; the revision is ${revision}`);
    } finally {
      await storage.close();
    }
    return;
  }
  const dataDir = flags['data-dir'];
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new StartError(`cannot make the data folder ${dataDir}: choose another one with --data-dir`, { cause });
  }
  const lock = lockDataDir(dataDir);
  try {
    const { keys, revision, kept } = await restoreSqlite(file, join(dataDir, 'state.db'), options);
    say(`restored ${keys} keys into ${join(dataDir, 'state.db')}; the revision is ${revision}${kept === undefined ? '' : `; what was there is now ${kept}`}`);
  } finally {
    lock.release();
  }
}

async function openView(flags: StoreFlags): Promise<StorageView> {
  const servers = etcdServers(flags);
  if (servers) return openEtcd(servers, flags['etcd-prefix']);
  const { readSqlite } = await import('../apiserver/storage/sqlite.ts');
  return readSqlite(join(flags['data-dir'], 'state.db'));
}

function etcdServers(flags: StoreFlags): string[] | undefined {
  if (flags['etcd-servers']?.length) return flags['etcd-servers'];
  if (flags.datastore === 'etcd') throw new UsageError('--datastore etcd needs --etcd-servers http://HOST:2379,…');
  return undefined;
}

async function openEtcd(servers: string[], prefix: string): Promise<Storage> {
  const etcd = await import('../apiserver/storage/etcd.ts');
  return etcd.openEtcd({ servers, prefix });
}

function describe({ keys, revision, bytes, engine, createdAt }: SnapshotSummary): string {
  return `${keys} keys at revision ${revision}, ${(bytes / 1e6).toFixed(1)} MB, from ${engine}, ${createdAt}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
