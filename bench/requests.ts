// Rows of single requests and of watches: the cost of each kind of request, on a store that holds a few thousand pods. Where several
// servers are measured, each row is run on one after the other, so that a noisy minute meets them all.
import { cpuMs, memoryMb, repeat } from './load.ts';
import type { Load } from './load.ts';
import type { Table } from './table.ts';

export interface Target {
  label: string;
  load: Load;
  /** Whose CPU and memory are counted. */
  pid: number | undefined;
}
export interface Settings { pods: number; clients: number; watchers: number }

export async function measureRequests(targets: readonly Target[], { pods, clients, watchers }: Settings, table: Table): Promise<void> {
  const namespace = `bench-${Date.now()}`;
  const base = `/api/v1/namespaces/${namespace}/pods`;
  for (const { load } of targets) {
    await expect(load.request('POST', '/api/v1/namespaces', { body: JSON.stringify({ metadata: { name: namespace } }) }), 201);
    const made = await load.request('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { body: JSON.stringify({ metadata: { name: 'default' } }) });
    if (made.status !== 201 && made.status !== 409) throw new Error(`no ServiceAccount for the pods: ${made.status}`);
  }

  type Operation = (load: Load, n: number) => Promise<unknown>;
  const timed = async (name: string, goal: string, count: number, parallel: number, operation: Operation): Promise<void> => {
    for (const [column, { load, pid }] of targets.entries()) {
      const cpu = pid ? cpuMs(pid) : 0;
      const startedAt = performance.now();
      await repeat(count, parallel, async (n) => { await operation(load, n); });
      const ms = performance.now() - startedAt;
      const cost = pid ? (cpuMs(pid) - cpu) / count : Number.NaN;
      table.set(name, goal, column, { measured: parallel > 1 ? `${Math.round(count / ms * 1000)}/s` : `${(ms / count).toFixed(1)} ms`, ...(pid ? { cpu: `${cost.toFixed(cost < 10 ? 2 : 0)} ms` } : {}) });
    }
  };
  const get = (path: string, accept?: string): Operation => (load) => expect(load.request('GET', path, accept ? { accept } : {}), 200);

  await timed('create', '1.0 ms', pods, clients, (load, n) => expect(load.request('POST', base, { body: podBody(n) }), 201));
  await timed('get', '0.27 ms', 10_000, clients, (load, n) => get(`${base}/pod-${n % pods}`)(load, n));
  await timed(`list ${pods}, from cache`, '30 ms', 10, 1, get(`${base}?resourceVersion=0`));
  await timed(`list ${pods}, consistent`, '32 ms', 10, 1, get(base));
  await timed('list page of 500', '4 ms', 50, 1, get(`${base}?limit=500`));
  await timed('list, selector matching 1%', '0.6 ms', 200, 1, get(`${base}?labelSelector=shard%3D7`));
  await timed('table of 500', '12 ms', 50, 1, get(`${base}?limit=500`, 'application/json;as=Table;g=meta.k8s.io;v=v1'));
  await timed('merge patch', '1.2 ms', 2000, clients, (load, n) => expect(load.request('PATCH', `${base}/pod-${n % pods}`, { body: `{"metadata":{"annotations":{"n":"${n}"}}}`, contentType: 'application/merge-patch+json' }), 200));
  for (const [column, target] of targets.entries()) await fanOut(target, base, watchers, pods, table, column);
  for (const [column, { pid }] of targets.entries()) if (pid) table.set(`memory with ${pods} pods, under load`, '300 MB', column, { measured: `${memoryMb(pid).toFixed(0)} MB` });
  await timed('delete', '1.0 ms', pods, clients, (load, n) => expect(load.request('DELETE', `${base}/pod-${n}`, { body: '{"gracePeriodSeconds":0}' }), 200));
  for (const { load } of targets) await expect(load.request('DELETE', `/api/v1/namespaces/${namespace}`), 200);
}

/** Events to `watchers` watches: the server's CPU per event and watcher, the write's own cost taken off. */
async function fanOut({ load, pid }: Target, base: string, watchers: number, pods: number, table: Table, column: number): Promise<void> {
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
    const startedAt = performance.now();
    await repeat(count, together, (n) => patch(n)());
    for (const end = Date.now() + 30_000; seen < before + count * watchers && Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, 5));
    if (seen - before !== count * watchers) throw new Error(`${watchers} watchers saw ${seen - before} of ${count * watchers} events`);
    const rate = Math.round(count * watchers / (performance.now() - startedAt) * 1000);
    const cost = pid ? Math.max(0, cpuMs(pid) - cpu - write) * 1000 / (count * watchers) : Number.NaN;
    table.set(`watch fan-out, ${watchers} watchers, ${name}`, goal, column, { measured: `${rate}/s`, ...(pid ? { cpu: `${cost.toFixed(0)} us` } : {}) });
    for (const watch of watches) watch.close();
  }
}

async function settled(value: () => number): Promise<void> {
  for (let last = -1; last !== value();) {
    last = value();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

export async function expect(answer: ReturnType<Load['request']>, status: number): ReturnType<Load['request']> {
  const { status: got, ...rest } = await answer;
  if (got !== status) throw new Error(`expected ${status}, got ${got} ${rest.body}`);
  return { status: got, ...rest };
}

/** A pod that is served as 3.3 kB, of which nearly half says who manages which field. */
export function podBody(n: number): string {
  const env = Array.from({ length: 4 }, (_, i) => ({ name: `SETTING_${i}`, value: `value of setting ${i}` }));
  return JSON.stringify({
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name: `pod-${n}`, labels: { app: 'bench', shard: String(n % 100), 'pod-template-hash': '6d4b75cb6d' }, annotations: { 'example.com/checksum': 'x'.repeat(64) } },
    spec: {
      automountServiceAccountToken: false, nodeName: `node-${n % 50}`,
      containers: ['app'].map((name) => ({
        name, image: `example.test/${name}:1.0`, env, ports: [{ containerPort: 8080, name: `${name}-http` }],
        resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } },
        readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 5 },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      })),
      volumes: [{ name: 'data', emptyDir: {} }],
    },
  });
}
