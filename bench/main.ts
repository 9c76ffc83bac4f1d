// `npm run bench`: the table of numbers that the project holds itself to, measured on servers of its own or on those that
// --kubeconfig and --beside name.
import { UsageError, describeFlags, parseFlags } from '#machinery/base/flags.ts';
import type { FlagTable } from '#machinery/base/flags.ts';
import { loadKubeconfig } from '#machinery/client/kubeconfig.ts';
import { createLoad } from './load.ts';
import { measureRequests } from './requests.ts';
import type { Target } from './requests.ts';
import { apiserverOnly, startServer } from './server.ts';
import type { OwnServer } from './server.ts';
import { Table } from './table.ts';

const groups = ['start', 'requests', 'scheduling', 'workloads', 'fleet', 'containers'] as const;

const flags = {
  'rows': { kind: 'string', default: groups.join(','), placeholder: 'NAME,…', help: `What to measure: ${groups.join(', ')}. Servers of others take part in requests only.` },
  'kubeconfig': { kind: 'string', placeholder: 'FILE', help: 'Measure the server that it names instead of one of our own.' },
  'pid': { kind: 'number', placeholder: 'PID', help: 'Process whose CPU and memory are counted, with --kubeconfig.' },
  'beside': { kind: 'string', placeholder: 'FILE', help: 'Kubeconfig of a second server, measured in the same run.' },
  'beside-pid': { kind: 'number', placeholder: 'PID', help: 'Its process.' },
  'etcd-servers': { kind: 'string', placeholder: 'URL,…', help: 'Put a second server of our own beside the first, on this etcd.' },
  'pods': { kind: 'number', default: 5000, min: 100, help: 'Objects in the store.' },
  'clients': { kind: 'number', default: 32, min: 1, max: 256, help: 'Requests under way at a time.' },
  'watchers': { kind: 'number', default: 100, min: 1, max: 1000, help: 'Watches for the fan-out.' },
} as const satisfies FlagTable;

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(`Measures an API server, or two side by side, and prints a table.\n\nUsage: npm run bench -- [--flags]\n\n${describeFlags(flags)}\n`);
    return;
  }
  const options = parseFlags(flags, args);
  const rows = new Set(options.rows.split(','));
  for (const row of rows) if (!(groups as readonly string[]).includes(row)) throw new UsageError(`--rows: there is no "${row}"; names: ${groups.join(', ')}`);
  const etcdFlags = options['etcd-servers'] === undefined ? [] : ['--etcd-servers', options['etcd-servers']];
  const own = options.kubeconfig === undefined;
  const labels = [own ? 'proa, sqlite' : options.kubeconfig ?? '', ...etcdFlags.length > 0 ? ['proa, etcd'] : [], ...options.beside === undefined ? [] : [options.beside]];
  const table = new Table(labels);
  const notes: string[] = [];

  if (rows.has('start') && own) {
    const { measureStart } = await import('./start.ts');
    await measureStart(table);
  }
  if (rows.has('requests')) {
    const started: OwnServer[] = [];
    const targets: Target[] = [];
    const add = async (kubeconfig: string, pid: number | undefined): Promise<void> => {
      targets.push({ label: labels[targets.length] ?? '', load: createLoad(await loadKubeconfig(kubeconfig), options.clients), pid });
    };
    const addOwn = async (more: readonly string[]): Promise<void> => {
      const server = await startServer([...apiserverOnly, ...more]);
      started.push(server);
      table.set('start to ready, API server alone', '', targets.length, { measured: `${server.readyMs} ms` });
      await add(server.kubeconfig, server.pid);
    };
    try {
      if (options.kubeconfig === undefined) await addOwn([]);
      else await add(options.kubeconfig, options.pid);
      if (etcdFlags.length > 0) await addOwn(etcdFlags);
      if (options.beside !== undefined) await add(options.beside, options['beside-pid']);
      await measureRequests(targets, options, table);
    } finally {
      for (const { load } of targets) load.close();
      for (const server of started) await server.stop();
    }
  }
  if (rows.has('scheduling') && own) await (await import('./scheduling.ts')).measureScheduling(table);
  if (rows.has('workloads') && own) await (await import('./scale.ts')).measureWorkloads(table);
  if (rows.has('fleet') && own) await (await import('./scale.ts')).measureFleet(table);
  if (rows.has('containers') && own) {
    const missing = await (await import('./containers.ts')).measureContainers(table);
    if (missing !== undefined) notes.push(`rows with containers left out: ${missing}`);
  }
  process.stdout.write(`${options.pods} pods, ${options.clients} clients; CPU is the server's alone, in steps of the kernel's 10 ms\n\n${table.toString()}\n${notes.map((note) => `${note}\n`).join('')}`);
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(error instanceof UsageError ? 2 : 1);
}
