// The webhook backend: batches of events as an EventList, sent again with growing waits while the other side is away.
// Upstream: plugin/pkg/audit/webhook, util/webhook (what is tried again, and how often).
import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { AgentOptions, RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import { UsageError } from '#machinery/base/flags.ts';
import type { AuditEvent } from './event.ts';

const attempts = 5;
const growth = 1.5;
const jitter = 0.2;
const answerTimeoutMs = 30_000;

interface Target { url: URL; tls: AgentOptions; headers: Record<string, string> }

export interface Webhook {
  /** Rejects when it was tried often enough, or for nothing. */
  send(events: readonly AuditEvent[]): Promise<void>;
  /** The server stops: what is sent now is tried once. */
  hurry(): void;
  close(): void;
}

/** Throws UsageError when the kubeconfig cannot be taken. */
export async function createWebhook(configFile: string, initialBackoffMs: number): Promise<Webhook> {
  let target: Target;
  try {
    target = await readTarget(configFile);
  } catch (cause) {
    throw new UsageError(`initializing audit webhook: ${configFile}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const agent = target.url.protocol === 'https:' ? new Agent({ ...target.tls, keepAlive: true }) : undefined;
  let hurrying: (() => void) | undefined;
  const hurried = new Promise<void>((resolvePromise) => {
    hurrying = resolvePromise;
  });
  let stopping = false;
  return {
    async send(events) {
      const body = Buffer.from(JSON.stringify({ kind: 'EventList', apiVersion: 'audit.k8s.io/v1', metadata: {}, items: events }));
      let wait = initialBackoffMs;
      for (let attempt = 1; ; attempt += 1) {
        try {
          await post(target, agent, body);
          return;
        } catch (error) {
          const again = !(error instanceof Refused) || error.code === 429 || error.code >= 500;
          if (!again || attempt >= attempts || stopping) throw error;
        }
        let timer: NodeJS.Timeout | undefined;
        await Promise.race([hurried, new Promise((done) => {
          timer = setTimeout(done, wait * (1 + Math.random() * jitter));
        })]);
        clearTimeout(timer);
        wait *= growth;
      }
    },
    hurry() {
      stopping = true;
      hurrying?.();
    },
    close: () => agent?.destroy(),
  };
}

class Refused extends Error {
  override name = 'Refused';
  readonly code: number;
  constructor(code: number) {
    super(`the audit webhook answered ${code}`);
    this.code = code;
  }
}

function post({ url, headers }: Target, agent: Agent | undefined, body: Buffer): Promise<void> {
  return new Promise((done, fail) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const outgoing = send(url, {
      method: 'POST', ...(agent ? { agent } : {}), timeout: answerTimeoutMs,
      headers: { ...headers, 'Content-Type': 'application/json', 'Content-Length': body.length },
    } satisfies RequestOptions, (answer) => {
      const code = answer.statusCode ?? 0;
      answer.on('error', fail).on('end', () => (code >= 200 && code < 300 ? done() : fail(new Refused(code)))).resume();
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${answerTimeoutMs} ms`)));
    outgoing.on('error', fail);
    outgoing.end(body);
  });
}

interface Kubeconfig {
  'current-context'?: unknown;
  contexts?: { name?: unknown; context?: { cluster?: unknown; user?: unknown } }[];
  clusters?: { name?: unknown; cluster?: Record<string, unknown> }[];
  users?: { name?: unknown; user?: Record<string, unknown> }[];
}

async function readTarget(file: string): Promise<Target> {
  const { parse } = await import('yaml');
  const parsed: unknown = parse(await readFile(file, 'utf8'));
  if (typeof parsed !== 'object' || parsed === null) throw new Error('not a kubeconfig');
  const config = parsed as Kubeconfig; // each part is checked where it is used
  const context = config.contexts?.find(({ name }) => name === config['current-context'])?.context;
  // Files for webhooks often name no context: one cluster is meant then.
  const cluster = context ? config.clusters?.find(({ name }) => name === context.cluster)?.cluster : config.clusters?.[0]?.cluster;
  const user = (context ? config.users?.find(({ name }) => name === context.user)?.user : config.users?.[0]?.user) ?? {};
  const server = cluster?.['server'];
  if (!cluster || typeof server !== 'string') throw new Error('no cluster with a server');
  const url = new URL(server);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new Error(`server ${server} is neither https nor http`);
  const pem = async (part: Record<string, unknown>, key: string): Promise<string | undefined> => {
    const data = part[`${key}-data`];
    if (typeof data === 'string' && data !== '') return Buffer.from(data, 'base64').toString();
    const path = part[key];
    return typeof path === 'string' && path !== '' ? readFile(resolve(dirname(file), path), 'utf8') : undefined;
  };
  const [ca, cert, key] = await Promise.all([pem(cluster, 'certificate-authority'), pem(user, 'client-certificate'), pem(user, 'client-key')]);
  const { token } = user;
  for (const unsupported of ['exec', 'auth-provider', 'username']) if (user[unsupported] !== undefined) throw new Error(`authentication by ${unsupported} is not supported; certificates and tokens are`);
  return {
    url,
    tls: { ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}), ...(cluster['insecure-skip-tls-verify'] === true ? { rejectUnauthorized: false } : {}) },
    headers: typeof token === 'string' ? { Authorization: `Bearer ${token}` } : {},
  };
}
