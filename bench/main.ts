// `npm run bench`: the table of numbers that the project holds itself to, measured on a server of its own or on the one that
// --kubeconfig names (then --pid tells whose CPU to count).
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError, describeFlags, parseFlags } from '#machinery/base/flags.ts';
import type { FlagTable } from '#machinery/base/flags.ts';
import { loadKubeconfig } from '#machinery/client/kubeconfig.ts';
import { cpuMs, createLoad, memoryMb, repeat } from './load.ts';
import type { Load } from './load.ts';

const flags = {
  'kubeconfig': { kind: 'string', placeholder: 'FILE', help: 'Measure the server that it names instead of one of our own.' },
  'pid': { kind: 'number', placeholder: 'PID', help: 'Process whose CPU and memory are counted, with --kubeconfig.' },
  'pods': { kind: 'number', default: 5000, min: 100, help: 'Objects in the store.' },
  'clients': { kind: 'number', default: 32, min: 1, max: 256, help: 'Requests under way at a time.' },
  'watchers': { kind: 'number', default: 100, min: 1, max: 1000, help: 'Watches for the fan-out.' },
  'etcd-servers': { kind: 'string', placeholder: 'URL,…', help: 'Give our own server an external etcd.' },
} as const satisfies FlagTable;

interface Row { name: string; value: string; cpu: string; goal: string }

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(`Measures an API server and prints a table.\n\nUsage: npm run bench -- [--flags]\n\n${describeFlags(flags)}\n`);
    return;
  }
  const options = parseFlags(flags, args);
  const own = options.kubeconfig === undefined ? await startServer(options['etcd-servers']) : undefined;
  const kubeconfig = own?.kubeconfig ?? options.kubeconfig ?? '';
  const pid = own?.child.pid ?? options.pid;
  try {
    const load = createLoad(await loadKubeconfig(kubeconfig), options.clients);
    const rows: Row[] = [];
    if (own) rows.push({ name: 'start to ready', value: `${own.readyMs} ms`, cpu: '', goal: '600 ms' });
    if (pid) rows.push({ name: 'memory, just started', value: `${memoryMb(pid).toFixed(0)} MB`, cpu: '', goal: '150 MB idle' });
    await measure(load, { ...options, pid }, rows);
    load.close();
    print(rows, options.pods, options.clients);
  } finally {
    if (own) {
      own.child.kill('SIGTERM');
      await new Promise((resolve) => own.child.once('exit', resolve));
      rmSync(own.folder, { recursive: true, force: true });
    }
  }
}

/** A cluster without nodes: the API server with its controllers and scheduler idle beside it. */
async function startServer(etcdServers: string | undefined): Promise<{ child: ChildProcess; kubeconfig: string; folder: string; readyMs: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'proa-bench-'));
  const child = spawn(process.execPath, [
    join(import.meta.dirname, '../cluster/proa.js'), 'server', '--data-dir', folder, '--https-port', '0', '--runtime', 'hollow', '--nodes', '0',
    '--disable', 'controllers,scheduler', ...(etcdServers ? ['--etcd-servers', etcdServers] : []),
  ], { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('\n')) resolve(text);
    });
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
  });
  return { child, kubeconfig: join(folder, 'admin.kubeconfig'), folder, readyMs: Number(/in (\d+) ms/.exec(line)?.[1] ?? Number.NaN) };
}

interface Settings { pods: number; clients: number; watchers: number; pid: number | undefined }

async function measure(load: Load, { pods, clients, watchers, pid }: Settings, rows: Row[]): Promise<void> {
  const namespace = `bench-${Date.now()}`;
  const base = `/api/v1/namespaces/${namespace}/pods`;
  await expect(load.request('POST', '/api/v1/namespaces', { body: JSON.stringify({ metadata: { name: namespace } }) }), 201);
  const serviceAccount = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  const made = await load.request('POST', serviceAccount, { body: JSON.stringify({ metadata: { name: 'default' } }) });
  if (made.status !== 201 && made.status !== 409) throw new Error(`no ServiceAccount for the pods: ${made.status}`);

  const timed = async (name: string, goal: string, count: number, parallel: number, operation: (n: number) => Promise<void>): Promise<void> => {
    const cpu = pid ? cpuMs(pid) : 0;
    const startedAt = performance.now();
    await repeat(count, parallel, operation);
    const ms = performance.now() - startedAt;
    const cost = pid ? (cpuMs(pid) - cpu) / count : Number.NaN;
    rows.push({ name, value: parallel > 1 ? `${Math.round(count / ms * 1000)}/s` : `${(ms / count).toFixed(1)} ms`, cpu: pid ? `${cost.toFixed(cost < 10 ? 2 : 0)} ms` : '', goal });
  };
  const get = (path: string, accept?: string) => async (): Promise<void> => { await expect(load.request('GET', path, accept ? { accept } : {}), 200); };

  await timed('create', '1.0 ms', pods, clients, async (n) => { await expect(load.request('POST', base, { body: podBody(n) }), 201); });
  if (pid) rows.push({ name: `memory with ${pods} pods`, value: `${memoryMb(pid).toFixed(0)} MB`, cpu: '', goal: '300 MB' });
  await timed('get', '0.27 ms', 10_000, clients, (n) => get(`${base}/pod-${n % pods}`)());
  await timed(`list ${pods}, from cache`, '30 ms', 10, 1, get(`${base}?resourceVersion=0`));
  await timed(`list ${pods}, consistent`, '32 ms', 10, 1, get(base));
  await timed('list page of 500', '4 ms', 50, 1, get(`${base}?limit=500`));
  await timed('list, selector matching 1%', '0.6 ms', 200, 1, get(`${base}?labelSelector=shard%3D7`));
  await timed('table of 500', '12 ms', 50, 1, get(`${base}?limit=500`, 'application/json;as=Table;g=meta.k8s.io;v=v1'));
  await timed('merge patch', '1.2 ms', 2000, clients, async (n) => {
    await expect(load.request('PATCH', `${base}/pod-${n % pods}`, { body: `{"metadata":{"annotations":{"n":"${n}"}}}`, contentType: 'application/merge-patch+json' }), 200);
  });
  await fanOut(load, base, watchers, pid, pods, rows);
  await timed('delete', '1.0 ms', pods, clients, async (n) => {
    await expect(load.request('DELETE', `${base}/pod-${n}`, { body: '{"gracePeriodSeconds":0}' }), 200);
  });
  await expect(load.request('DELETE', `/api/v1/namespaces/${namespace}`), 200);
}

/** Events to `watchers` watches: the server's CPU per event and watcher, the write's own cost taken off. */
async function fanOut(load: Load, base: string, watchers: number, pid: number | undefined, pods: number, rows: Row[]): Promise<void> {
  const newest = JSON.parse((await expect(load.request('GET', `${base}?limit=1`, { keepBody: true }), 200)).body) as { metadata: { resourceVersion: string } };
  const count = 300;
  let serial = 0; // a patch that changes nothing is no event
  const patch = (n: number) => async (): Promise<void> => {
    await expect(load.request('PATCH', `${base}/pod-${n % pods}`, { body: `{"metadata":{"annotations":{"fan":"${serial++}"}}}`, contentType: 'application/merge-patch+json' }), 200);
  };
  for (const [name, together, goal] of [['one at a time', 1, '45 us'], ['ten together', 10, '25 us']] as const) {
    const quiet = pid ? cpuMs(pid) : 0;
    await repeat(count, together, (n) => patch(n)());
    const write = pid ? cpuMs(pid) - quiet : 0;
    let seen = 0;
    const watches = [];
    for (let n = 0; n < watchers; n++) {
      let from = 0;
      watches.push(await load.stream(`${base}?watch=1&resourceVersion=${newest.metadata.resourceVersion}`, (chunk) => {
        for (from = chunk.indexOf(10); from >= 0; from = chunk.indexOf(10, from + 1)) seen += 1;
      }));
    }
    await settled(() => seen); // what happened since `newest`
    const before = seen;
    const cpu = pid ? cpuMs(pid) : 0;
    await repeat(count, together, (n) => patch(n)());
    for (const end = Date.now() + 30_000; seen < before + count * watchers && Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, 5));
    if (seen - before !== count * watchers) throw new Error(`${watchers} watchers saw ${seen - before} of ${count * watchers} events`);
    const cost = pid ? Math.max(0, cpuMs(pid) - cpu - write) * 1000 / (count * watchers) : Number.NaN;
    rows.push({ name: `watch fan-out, ${watchers} watchers, ${name}`, value: '', cpu: pid ? `${cost.toFixed(0)} us` : '', goal });
    for (const watch of watches) watch.close();
  }
}

async function settled(value: () => number): Promise<void> {
  for (let last = -1; last !== value();) {
    last = value();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

async function expect(answer: ReturnType<Load['request']>, status: number): ReturnType<Load['request']> {
  const { status: got, ...rest } = await answer;
  if (got !== status) throw new Error(`expected ${status}, got ${got} ${rest.body}`);
  return { status: got, ...rest };
}

/** A pod of about 3.2 kB, as a Deployment of a web application makes them. */
function podBody(n: number): string {
  const env = Array.from({ length: 12 }, (_, i) => ({ name: `SETTING_${i}`, value: `a value of some length for setting number ${i}` }));
  return JSON.stringify({
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name: `pod-${n}`, labels: { app: 'bench', shard: String(n % 100), 'pod-template-hash': '6d4b75cb6d' }, annotations: { 'example.com/checksum': 'x'.repeat(64) } },
    spec: {
      automountServiceAccountToken: false, nodeName: `node-${n % 50}`,
      containers: ['app', 'sidecar'].map((name) => ({
        name, image: `example.test/${name}:1.0`, env, ports: [{ containerPort: 8080, name: `${name}-http` }],
        resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } },
        readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 5 },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      })),
      volumes: [{ name: 'data', emptyDir: {} }],
    },
  });
}

function print(rows: readonly Row[], pods: number, clients: number): void {
  const columns = [['', 'measured', 'CPU each', 'goal'], ...rows.map(({ name, value, cpu, goal }) => [name, value, cpu, goal])];
  const widths = [0, 1, 2, 3].map((i) => Math.max(...columns.map((row) => row[i]?.length ?? 0)));
  process.stdout.write(`${pods} pods, ${clients} clients; CPU is the server's alone\n\n`);
  for (const row of columns) process.stdout.write(`${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ').trimEnd()}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(error instanceof UsageError ? 2 : 1);
}
