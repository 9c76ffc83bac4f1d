import { expect } from 'chai';
import { createFakeBackend } from '../../auth/fake-backend.ts';
import type { FakeBackend } from '../../auth/fake-backend.ts';
import { createWebhookClient, WebhookCallError } from './client.ts';
import type { WebhookClient, WebhookClientConfig } from './client.ts';
import { startTestWebhook } from './testing.ts';
import type { TestWebhook } from './testing.ts';

describe('createWebhookClient()', () => {
  let webhook: TestWebhook;
  let backend: FakeBackend;
  let client: WebhookClient;
  const { signal } = new AbortController();
  const body = JSON.stringify({ request: { uid: 'u' } });
  before(async () => {
    webhook = await startTestWebhook();
  });
  after(() => webhook.stop());
  beforeEach(() => {
    backend = createFakeBackend({ services: [{ metadata: { namespace: 'default', name: 'hook' }, spec: { type: 'ClusterIP', ports: [{ name: 'https', port: 8443 }] } }] });
    client = createWebhookClient(backend);
  });
  afterEach(() => client.close());

  const service = (change: Partial<NonNullable<WebhookClientConfig['service']>> = {}): WebhookClientConfig => ({ service: { namespace: 'default', name: 'hook', path: '/x', port: 8443, ...change }, caBundle: webhook.caBundle });
  async function failure(config: WebhookClientConfig, until = signal): Promise<string> {
    try {
      await client.call(config, body, 2000, until);
    } catch (error) {
      if (error instanceof WebhookCallError) return `${error.code} ${error.message}`;
      throw error;
    }
    return 'answered';
  }
  function slice(name: string, port: number, ready: boolean | undefined, labels: Record<string, string> = { 'kubernetes.io/service-name': 'hook' }): void {
    backend.put('endpointslices.discovery.k8s.io', {
      metadata: { namespace: 'default', name, labels }, addressType: 'IPv4', ports: [{ name: 'https', port }],
      endpoints: [{ addresses: ['127.0.0.1'], conditions: ready === undefined ? {} : { ready } }],
    });
  }

  it('asks a ready endpoint of a Service, under the name of the Service', async () => {
    slice('a', 1, false);
    slice('b', webhook.port, undefined);
    slice('c', 1, true, { 'kubernetes.io/service-name': 'other' });
    await client.call(service(), body, 2500, signal);
    expect([webhook.asked.at(-1)?.path, webhook.asked.at(-1)?.headers.host]).to.deep.equal(['/x?timeout=3s', 'hook.default.svc:8443']);
  });
  it('keeps connections, and opens none for a configuration that names the same server', async () => {
    slice('b', webhook.port, true);
    await client.call(service(), body, 2000, signal);
    const before = webhook.connections();
    for (let at = 0; at < 5; at += 1) await client.call(service({ path: `/${at}` }), body, 2000, signal);
    expect(webhook.connections() - before).to.equal(0);
  });
  it('does not take the connection of one CA for another', async () => {
    slice('b', webhook.port, true);
    await client.call(service(), body, 2000, signal);
    expect(await failure({ ...service(), caBundle: webhook.otherCaBundle })).to.match(/^503 Post ".*": tls: failed to verify certificate: x509: certificate signed by unknown authority$/);
  });
  it('says which names a certificate is for when it is for others', async () => {
    backend.put('services', { metadata: { namespace: 'default', name: 'other' }, spec: { ports: [{ name: 'https', port: 443 }] } });
    slice('b', webhook.port, true, { 'kubernetes.io/service-name': 'other' });
    expect(await failure(service({ name: 'other', port: 443 }))).to.match(/x509: .*other\.default\.svc/);
  });
  it('cannot ask a Service without endpoints, port or existence, or of a type that has none', async () => {
    expect(await failure(service())).to.equal('503 Post "https://hook.default.svc:8443/x?timeout=2s": no endpoints available for service "hook"');
    expect(await failure(service({ port: 443 }))).to.equal('503 Post "https://hook.default.svc:443/x?timeout=2s": no service port 443 found for service "hook"');
    expect(await failure(service({ name: 'none' }))).to.match(/: service "none" not found$/);
    backend.put('services', { metadata: { namespace: 'default', name: 'far' }, spec: { type: 'ExternalName', externalName: 'example.com' } });
    expect(await failure(service({ name: 'far' }))).to.match(/: unsupported service type "ExternalName"$/);
  });
  it('lets go when whoever asked does', async () => {
    slice('b', webhook.port, true);
    webhook.answers = { '/x': () => () => undefined };
    const gone = new AbortController();
    setTimeout(() => gone.abort(new Error('gone')), 100);
    expect(await failure(service(), gone.signal)).to.match(/: context canceled$/);
    webhook.answers = {};
  });
  it('keeps agents of so many servers only', async () => {
    slice('b', webhook.port, true);
    for (let at = 0; at < 120; at += 1) expect(await failure({ url: `https://127.0.0.1:1/${at}`, caBundle: Buffer.from(`ca ${at}`).toString('base64') })).to.match(/^503 Post/);
    expect(await failure(service())).to.equal('answered');
  });
});
