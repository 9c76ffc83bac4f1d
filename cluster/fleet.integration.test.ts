// Several hollow nodes share a process, many of them a thread of it: they act as themselves, run pods, and go when a later start asks for fewer.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { eventually } from '#machinery/base/abort.ts';
import { createClient } from '#machinery/client/client.ts';
import { nodes, pods } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';
import type { Pod } from '#machinery/api/object.ts';
import { startCluster } from './cluster.ts';
import type { Cluster } from './cluster.ts';

describe('hollow nodes that share a process', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'proa-fleet-'));
  let cluster: Cluster | undefined;
  let client: Client;
  const bounded = (): AbortSignal => AbortSignal.timeout(30_000);
  const start = async (count: number): Promise<void> => {
    cluster = await startCluster({ dataDir, runtime: 'hollow', nodes: count });
    client = createClient(cluster.client);
  };
  const stop = async (): Promise<void> => {
    client.close();
    await cluster?.stop();
    cluster = undefined;
  };
  const running = ({ status }: Pod): boolean => status?.phase === 'Running' && status.conditions?.some(({ type, status: state }) => type === 'Ready' && state === 'True') === true;

  after(async () => {
    await cluster?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('register each as itself and run the pods bound to them', async () => {
    await start(12); // in a thread
    const signal = bounded();
    const { items } = await client.list(nodes, '', {}, signal);
    expect(items).to.have.length(12);
    for (const { metadata } of items) {
      const name = metadata.name ?? '';
      await client.create(pods, 'default', { metadata: { name: `on-${name}` }, spec: { nodeName: name, automountServiceAccountToken: false, containers: [{ name: 'c', image: 'example.test/a:1' }] } }, signal);
    }
    await eventually(signal, async () => (await client.list(pods, 'default', {}, signal)).items.every(running), 50);
    const found = await client.list(pods, 'default', {}, signal);
    expect(new Set(found.items.map(({ status }) => status?.podIP)).size).to.equal(12);
    for (const { metadata } of found.items) {
      expect((await client.raw('GET', `/api/v1/namespaces/default/pods/${metadata.name}/log`, signal)).status).to.equal(200);
    }
  });

  it('go with their pods when a later start asks for fewer', async () => {
    await stop();
    await start(2);
    const signal = bounded();
    await eventually(signal, async () => (await client.list(nodes, '', {}, signal)).items.length === 2, 50);
    await eventually(signal, async () => (await client.list(pods, 'default', {}, signal)).items.length === 2, 50);
    await stop();
    await start(1);
    const again = bounded();
    await eventually(again, async () => (await client.list(nodes, '', {}, again)).items.length === 1, 50);
    await stop();
  });
});
