import { expect } from 'chai';
import type { Client } from '#machinery/client/types.ts';
import { createMetricsSource } from './metrics.ts';

const never = new AbortController().signal;
/** Serves what `answers` has, by path; keeps what was asked. */
function serving(answers: Record<string, unknown>): { client: Client; asked: string[] } {
  const asked: string[] = [];
  const client = {
    async raw(_method: string, path: string) {
      asked.push(path);
      const body = answers[path];
      if (body instanceof Error) throw body;
      return body === undefined ? { status: 404, body: '404 page not found' } : { status: 200, body: JSON.stringify(body) };
    },
  } as Partial<Client> as Client; // asked for no more
  return { client, asked };
}
const group = (preferred: string, ...versions: string[]): object => ({ kind: 'APIGroup', preferredVersion: { version: preferred }, versions: versions.map((version) => ({ version })) });
const custom = '/apis/custom.metrics.k8s.io';
async function errorOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'none', (error: Error) => error.message);
}

describe('createMetricsSource()', () => {
  it('asks the preferred version of the custom metrics API for pods, and once which that is', async () => {
    const path = `${custom}/v1beta2/namespaces/n/pods/*/hits?labelSelector=app%3Da&metricLabelSelector=verb%3DGET`;
    const { client, asked } = serving({
      [custom]: group('v1beta2', 'v1beta1', 'v1beta2'),
      [path]: { items: [{ describedObject: { name: 'p1' }, timestamp: '2026-01-01T00:00:00Z', windowSeconds: 30, value: '1500m' }, { describedObject: { name: 'p2' }, timestamp: '2026-01-01T00:00:00Z', value: '2' }] },
    });
    const source = createMetricsSource(client, () => 0);
    const found = await source.ofPods('n', 'app=a', 'hits', 'verb=GET', never);
    expect([...found]).to.deep.equal([['p1', { milli: 1500, at: Date.UTC(2026, 0, 1), windowMs: 30_000 }], ['p2', { milli: 2000, at: Date.UTC(2026, 0, 1), windowMs: 60_000 }]]);
    await source.ofPods('n', 'app=a', 'hits', 'verb=GET', never);
    expect(asked).to.deep.equal([custom, path, path]);
  });
  it('reads the older version', async () => {
    const path = `${custom}/v1beta1/namespaces/n/ingresses.networking.k8s.io/main/hits`;
    const { client } = serving({ [custom]: group('v1beta1', 'v1beta1'), [path]: { items: [{ value: '7' }] } });
    expect(await createMetricsSource(client, () => 0).ofObject('n', 'ingresses.networking.k8s.io', 'main', 'hits', '', never)).to.equal(7000);
  });
  it('asks for a namespace by a path of its own', async () => {
    const { client } = serving({ [custom]: group('v1', 'v1', 'v1beta2'), [`${custom}/v1beta2/namespaces/n/metrics/hits`]: { items: [{ value: '3' }] } });
    expect(await createMetricsSource(client, () => 0).ofObject('n', undefined, 'n', 'hits', '', never)).to.equal(3000);
  });
  it('gives every series of an external metric', async () => {
    const { client } = serving({ '/apis/external.metrics.k8s.io/v1beta1/namespaces/n/queue?labelSelector=a%3Db': { items: [{ value: '10' }, { value: '500m' }] } });
    expect(await createMetricsSource(client, () => 0).external('n', 'queue', 'a=b', never)).to.deep.equal([10_000, 500]);
  });
  it('says what is missing', async () => {
    const nobody = createMetricsSource(serving({}).client, () => 0);
    expect(await errorOf(nobody.ofPods('n', 'app=a', 'hits', '', never))).to.equal('unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered');
    expect(await errorOf(nobody.external('n', 'queue', '', never))).to.equal('unable to fetch metrics from external metrics API: the server could not find the requested resource (get queue.external.metrics.k8s.io)');
    const empty = createMetricsSource(serving({ [custom]: group('v1beta2', 'v1beta2'), [`${custom}/v1beta2/namespaces/n/pods/*/hits`]: { items: [] }, [`${custom}/v1beta2/namespaces/n/services/s/hits`]: { items: [{ value: '1' }, { value: '2' }] } }).client, () => 0);
    expect(await errorOf(empty.ofPods('n', '', 'hits', '', never))).to.equal('no metrics returned from custom metrics API');
    expect(await errorOf(empty.ofObject('n', 'services', 's', 'hits', '', never))).to.match(/returned 2 results when we asked for exactly one$/);
    expect(await errorOf(createMetricsSource(serving({ [custom]: new Error('connection refused') }).client, () => 0).ofPods('n', '', 'hits', '', never))).to.equal('unable to fetch metrics from custom metrics API: connection refused');
  });
});
