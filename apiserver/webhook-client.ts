// Posts JSON to the server that a kubeconfig names: audit events, and questions who somebody is and may.
// Upstream: apiserver/pkg/util/webhook (what is tried again, and how often).
import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { AgentOptions, RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import { createBackoff } from '#machinery/base/backoff.ts';
import { sleep } from '#machinery/base/clock.ts';

const answerTimeoutMs = 30_000;
const answerLimitBytes = 1 << 20;
const attempts = 5;
const mostConnections = 64; // more questions wait for one of these

export interface WebhookClient {
  /** The text of the answer. Rejects with WebhookRefusal when it is no success, and when it does not come in time. */
  post(body: unknown, signal?: AbortSignal): Promise<string>;
  close(): void;
}

export class WebhookRefusal extends Error {
  override name = 'WebhookRefusal';
  readonly code: number;
  readonly retryAfter: boolean;
  constructor(code: number, retryAfter = false) {
    super(`the webhook answered ${code}`);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** Throws an Error that says what is wrong with the file. */
export async function createWebhookClient(kubeconfig: string): Promise<WebhookClient> {
  const { url, tls, headers } = await readTarget(kubeconfig);
  const agent = url.protocol === 'https:' ? new Agent({ ...tls, keepAlive: true, maxSockets: mostConnections }) : undefined;
  return {
    post: (body, signal) => new Promise((done, fail) => {
      const bytes = Buffer.from(JSON.stringify(body));
      const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
      const outgoing = send(url, {
        method: 'POST', ...(agent ? { agent } : {}), ...(signal ? { signal } : {}), timeout: answerTimeoutMs,
        headers: { ...headers, 'Content-Type': 'application/json', Accept: 'application/json', 'Content-Length': bytes.length },
      } satisfies RequestOptions, (answer) => {
        const code = answer.statusCode ?? 0;
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > answerLimitBytes) outgoing.destroy(new Error(`the webhook's answer is longer than ${answerLimitBytes} bytes`));
          else chunks.push(chunk);
        }).on('error', fail).on('end', () => {
          if (code >= 200 && code < 300) done(Buffer.concat(chunks).toString());
          else fail(new WebhookRefusal(code, answer.headers['retry-after'] !== undefined));
        });
      });
      outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${answerTimeoutMs} ms`)));
      outgoing.on('error', fail);
      outgoing.end(bytes);
    }),
    close: () => agent?.destroy(),
  };
}

/** Answers of kind and version to a review; tried again with growing waits while that may help. The signal bounds it all. */
export async function postReview(client: WebhookClient, review: { kind: string; apiVersion: string; spec: unknown }, signal: AbortSignal, firstWaitMs = 500): Promise<Record<string, unknown>> {
  const waits = createBackoff({ baseMs: firstWaitMs, maxMs: 60_000, factor: 1.5, jitter: 0.2 });
  for (let attempt = 1; ; attempt += 1) {
    try {
      return readReview(await client.post({ ...review, metadata: {} }, signal), review);
    } catch (error) {
      if (attempt >= attempts || signal.aborted || !mayPass(error)) throw error;
    }
    await sleep(waits.nextMs(), signal);
  }
}

function mayPass(error: unknown): boolean {
  if (error instanceof WebhookRefusal) return error.retryAfter || [429, 500, 504].includes(error.code);
  return error instanceof Error && 'code' in error && error.code === 'ECONNRESET';
}

function readReview(text: string, { kind, apiVersion }: { kind: string; apiVersion: string }): Record<string, unknown> {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    throw new Error('the webhook answered something other than JSON', { cause });
  }
  const found = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>; // each member is checked
  if (found.kind !== kind || found.apiVersion !== apiVersion) throw new Error(`the webhook answered no ${kind} of ${apiVersion}`);
  const status = found.status ?? {};
  if (typeof status !== 'object' || Array.isArray(status)) throw new Error(`the webhook's ${kind} has no readable status`);
  return status as Record<string, unknown>; // neither null nor an array
}

interface Target { url: URL; tls: AgentOptions; headers: Record<string, string> }

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
  for (const unsupported of ['exec', 'auth-provider', 'username', 'tokenFile']) if (user[unsupported] !== undefined) throw new Error(`authentication by ${unsupported} is not supported; certificates and tokens are`);
  if (cluster['proxy-url'] !== undefined) throw new Error('proxy-url is not supported');
  const serverName = cluster['tls-server-name'];
  return {
    url,
    tls: {
      ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}), ...(typeof serverName === 'string' ? { servername: serverName } : {}),
      ...(cluster['insecure-skip-tls-verify'] === true ? { rejectUnauthorized: false } : {}),
    },
    headers: typeof token === 'string' ? { Authorization: `Bearer ${token}` } : {},
  };
}
