// The scheduling row: nodes that are objects only, a scheduler in a process of its own, pods from the load generator; until all are bound.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { loadKubeconfig } from '#machinery/client/kubeconfig.ts';
import { cpuMs, createLoad, memoryMb, repeat } from './load.ts';
import { expect } from './requests.ts';
import { apiserverOnly, ownNodeFlags, startServer } from './server.ts';
import type { Table } from './table.ts';

export async function measureScheduling(table: Table, { nodes = 1000, pods = 3000, clients = 32, column = 0, flags = [] as readonly string[] } = {}): Promise<void> {
  const server = await startServer([...apiserverOnly, ...flags]);
  const load = createLoad(await loadKubeconfig(server.kubeconfig), clients);
  const scheduler = spawn(process.execPath, [...ownNodeFlags, join(import.meta.dirname, '../cluster/proa.js'), 'scheduler', '--kubeconfig', server.kubeconfig, '--leader-elect=false', '--secure-port=0'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const pid = scheduler.pid ?? 0;
  try {
    const capacity = { cpu: '32', memory: '64Gi', pods: '110' };
    await repeat(nodes, clients, async (n) => {
      const name = `node-${n}`;
      await expect(load.request('POST', '/api/v1/nodes', { body: JSON.stringify({ metadata: { name, labels: { 'kubernetes.io/hostname': name } } }) }), 201);
      const status = { capacity, allocatable: capacity, conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }] };
      await expect(load.request('PATCH', `/api/v1/nodes/${name}/status`, { body: JSON.stringify({ status }), contentType: 'application/merge-patch+json' }), 200);
      await expect(load.request('PATCH', `/api/v1/nodes/${name}`, { body: '{"spec":{"taints":null}}', contentType: 'application/merge-patch+json' }), 200);
    });
    await load.request('POST', '/api/v1/namespaces/default/serviceaccounts', { body: '{"metadata":{"name":"default"}}' });
    await new Promise((resolve) => setTimeout(resolve, 2000)); // the scheduler has seen them all and is idle
    let bound = 0;
    const watch = await load.stream('/api/v1/pods?watch=1&fieldSelector=spec.nodeName!%3D', (chunk) => {
      for (let at = chunk.indexOf('{"type":"ADDED"'); at >= 0; at = chunk.indexOf('{"type":"ADDED"', at + 1)) bound += 1;
    });
    const cpu = cpuMs(pid);
    const startedAt = performance.now();
    await repeat(pods, clients, async (n) => {
      const body = { metadata: { name: `pod-${n}`, labels: { app: 'bench' } }, spec: { automountServiceAccountToken: false, containers: [{ name: 'app', image: 'example.test/app:1.0', resources: { requests: { cpu: '100m', memory: '64Mi' } } }] } };
      await expect(load.request('POST', '/api/v1/namespaces/default/pods', { body: JSON.stringify(body) }), 201);
    });
    for (const end = Date.now() + 120_000; bound < pods; await new Promise((resolve) => setTimeout(resolve, 5))) {
      if (scheduler.exitCode !== null || Date.now() > end) throw new Error(`only ${bound} of ${pods} pods were scheduled`);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const cost = (cpuMs(pid) - cpu) / pods;
    const name = `scheduling, ${nodes} nodes, ${pods} pods`;
    table.set(name, '600/s, 1.0 ms', column, { measured: `${Math.round(pods / seconds)}/s`, cpu: `${cost.toFixed(2)} ms` });
    table.set('memory of the scheduler then', '100 MB', column, { measured: `${memoryMb(pid).toFixed(0)} MB` });
    watch.close();
  } finally {
    load.close();
    if (scheduler.exitCode === null) {
      const ended = new Promise((resolve) => scheduler.once('exit', resolve));
      scheduler.kill('SIGTERM');
      await ended;
    }
    await server.stop();
  }
}
