// For tests: a real API server on a free port over an embedded store in a temporary folder, and a small client for it.
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCa, createTokenKeys, issueCertificate } from '#machinery/pki/pki.ts';
import type { KeyPair } from '#machinery/pki/pki.ts';
import type { ApiserverConfig } from './config.ts';
import { startApiserver } from './main.ts';
import type { Storage } from './storage/storage.ts';

export interface Answer { status: number; headers: IncomingHttpHeaders; text: string; body: Record<string, unknown> }
export interface Call { body?: unknown; headers?: Record<string, string>; as?: 'admin' | 'nobody' | 'guest' }
export interface TestServer {
  url: string;
  port: number;
  config: ApiserverConfig;
  ca: KeyPair;
  /** The whole answer; a body that is a string or Buffer is sent as it is, anything else as JSON. */
  call(method: string, path: string, call?: Call): Promise<Answer>;
  /** The answer as it begins. */
  open(method: string, path: string, call?: Call): Promise<IncomingMessage>;
  clientOptions(as?: Call['as']): { ca: string; cert?: string; key?: string };
  /** `keepConnections`: the client goes on asking while the server stops. */
  stop(options?: { keepConnections: boolean }): Promise<void>;
}

let made: Promise<{ ca: KeyPair; serving: KeyPair; admin: KeyPair; guest: KeyPair; tokens: { privateKey: string; publicKey: string } }> | undefined;

async function credentials() {
  const ca = await createCa('test-ca');
  const [serving, admin, guest, tokens] = await Promise.all([
    issueCertificate(ca, { commonName: 'apiserver', usages: ['server', 'client'], dnsNames: ['localhost'], ips: ['127.0.0.1'] }),
    issueCertificate(ca, { commonName: 'admin', organizations: ['system:masters'], usages: ['client'] }),
    issueCertificate(ca, { commonName: 'guest', usages: ['client'] }),
    createTokenKeys(),
  ]);
  return { ca, serving, admin, guest, tokens };
}

export async function startTestServer(change: Partial<ApiserverConfig> = {}, wrapStorage?: (storage: Storage) => Storage): Promise<TestServer> {
  const { ca, serving, admin, guest, tokens } = await (made ??= credentials());
  const folder = await mkdtemp(join(tmpdir(), 'apiserver-'));
  const stop = new AbortController();
  const config: ApiserverConfig = {
    bindAddresses: ['127.0.0.1'], httpsPort: 0, advertiseAddress: '192.0.2.1', storage: { engine: 'sqlite', path: join(folder, 'state.db') },
    serving, clientCa: ca.cert,
    serviceAccount: { issuer: 'https://kubernetes.default.svc.cluster.local', audiences: ['https://kubernetes.default.svc.cluster.local'], signingKey: tokens.privateKey, publicKeys: [tokens.publicKey] },
    kubeletClient: { cert: admin.cert, key: admin.key, ca: ca.cert },
    serviceClusterIpRange: '10.43.0.0/16', serviceNodePortRange: { from: 30000, to: 32767 }, anonymousAuth: false, eventTtlSeconds: 3600, watchCacheBytes: 8 * 1024 * 1024,
    ...change,
  };
  const running = await startApiserver(config, stop.signal, wrapStorage);
  await running.ready;
  const agents = { admin: new Agent({ keepAlive: true, ca: ca.cert, cert: admin.cert, key: admin.key }), guest: new Agent({ keepAlive: true, ca: ca.cert, cert: guest.cert, key: guest.key }), nobody: new Agent({ keepAlive: true, ca: ca.cert }) };

  function open(method: string, path: string, { body, headers = {}, as = 'admin' }: Call = {}): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const raw = typeof body === 'string' || Buffer.isBuffer(body) ? body : body === undefined ? undefined : JSON.stringify(body);
      const outgoing = httpsRequest({ host: '127.0.0.1', port: running.port, method, path, agent: agents[as], headers: { ...(raw === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(raw) }), ...headers } }, resolve);
      outgoing.on('error', reject);
      outgoing.end(raw);
    });
  }
  return {
    url: running.url, port: running.port, config, ca, open,
    async call(method, path, call) {
      const answer = await open(method, path, call);
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString();
      let parsed: Record<string, unknown> = {};
      if (answer.headers['content-type']?.startsWith('application/json')) parsed = JSON.parse(text) as Record<string, unknown>;
      return { status: answer.statusCode ?? 0, headers: answer.headers, text, body: parsed };
    },
    clientOptions: (as = 'admin') => ({ ca: ca.cert, ...(as === 'admin' ? { cert: admin.cert, key: admin.key } : as === 'guest' ? { cert: guest.cert, key: guest.key } : {}) }),
    async stop({ keepConnections } = { keepConnections: false }) {
      if (!keepConnections) for (const agent of Object.values(agents)) agent.destroy();
      stop.abort(new Error('the test is over'));
      await running.stopped;
      for (const agent of Object.values(agents)) agent.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Lines of a watch, parsed, one at a time; fails when none comes within `ms`. */
export function watchLines(answer: IncomingMessage, ms = 2000): { next(): Promise<{ type: string; object: Record<string, unknown> & { metadata: Record<string, unknown> } }>; ended(): Promise<void>; close(): void } {
  let pending = '';
  const lines: string[] = [];
  let wake: (() => void) | undefined;
  let over = false;
  answer.setEncoding('utf8');
  answer.on('data', (chunk: string) => {
    pending += chunk;
    const parts = pending.split('\n');
    pending = parts.pop() ?? '';
    lines.push(...parts);
    wake?.();
  });
  answer.on('close', () => {
    over = true;
    wake?.();
  });
  answer.on('error', () => undefined);
  const wait = (until: () => boolean): Promise<void> => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('nothing came')), ms);
    wake = () => {
      if (!until() && !over) return;
      clearTimeout(timer);
      wake = undefined;
      resolve();
    };
    wake();
  });
  return {
    async next() {
      await wait(() => lines.length > 0);
      const line = lines.shift();
      if (line === undefined) throw new Error('the watch has ended');
      return JSON.parse(line) as { type: string; object: Record<string, unknown> & { metadata: Record<string, unknown> } };
    },
    ended: () => wait(() => over),
    close: () => answer.destroy(),
  };
}
