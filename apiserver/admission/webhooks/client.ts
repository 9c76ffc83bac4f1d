// Calls webhooks: HTTPS to a URL or a Service, over connections that are kept, within the webhook's time, with bounded answers.
// It has no credentials to give away, and follows no redirects. Upstream: apiserver/pkg/util/webhook/client.go; texts are Go's.
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { StatusError } from '#machinery/api/status.ts';
import type { Status } from '#machinery/api/status.ts';
import type { Backend } from '../../backend.ts';
import { resolveService } from './service.ts';
import type { Address } from './service.ts';

export interface WebhookClientConfig {
  url?: string;
  service?: { namespace: string; name: string; path?: string; port?: number };
  /** PEM in base64. */
  caBundle?: string;
}

/** The webhook could not be asked or gave no answer; `code` is what a client of it would have got. */
export class WebhookCallError extends Error {
  override name = 'WebhookCallError';
  readonly code: number;
  /** Whoever asked went away: nobody's fault. */
  readonly cancelled: boolean;
  constructor(message: string, code: number, cancelled = false) {
    super(message);
    this.code = code;
    this.cancelled = cancelled;
  }
}

export interface WebhookClient {
  /** The parsed answer. `timeoutMs` bounds all of the call. Throws WebhookCallError. */
  call(config: WebhookClientConfig, body: string, timeoutMs: number, signal: AbortSignal): Promise<unknown>;
  close(): void;
}

/** A patch in base64 may be a third larger than the largest object, and is mostly a part of it. */
const maxAnswerBytes = 8 * 1024 * 1024;
/** Connections to so many different servers are kept. */
const maxAgents = 100;
const idleMs = 60_000;

export function createWebhookClient(backend: Pick<Backend, 'lookup' | 'cached'>): WebhookClient {
  const agents = new Map<string, Agent>();

  function agentFor({ host, serverName }: Target, caBundle: string): Agent {
    const key = `${host} ${caBundle}`;
    let agent = agents.get(key);
    if (agent) agents.delete(key); // back at the end: the first is the one longest unused
    else {
      agent = new Agent({
        keepAlive: true, timeout: idleMs, maxFreeSockets: 8, ...(caBundle === '' ? {} : { ca: Buffer.from(caBundle, 'base64').toString() }),
        // The name is checked even when the connection goes to an address. Given with the request, connections would not be kept.
        servername: isIP(serverName) === 0 ? serverName : '', checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
      });
    }
    agents.set(key, agent);
    if (agents.size > maxAgents) {
      const [oldest, unused] = agents.entries().next().value ?? [];
      if (oldest !== undefined) agents.delete(oldest);
      // Calls that still run on it come to their end; then nothing keeps its connections.
      unused?.destroy();
    }
    return agent;
  }

  return {
    async call(config, body, timeoutMs, signal) {
      const target = targetOf(config);
      const { host, path, address } = target;
      const pathAndQuery = `${path}?timeout=${Math.max(1, Math.ceil(timeoutMs / 1000))}s`;
      const failed = (why: string): string => `Post ${JSON.stringify(`https://${host}${pathAndQuery}`)}: ${why}`;
      let where: Address;
      try {
        where = address ?? resolveService(backend, config.service?.namespace ?? '', config.service?.name ?? '', config.service?.port ?? 443);
      } catch (error) {
        throw new WebhookCallError(failed(error instanceof Error ? error.message : String(error)), 503);
      }
      // Not AbortSignal.timeout(), which would stay behind each call until its time is over.
      const time = new AbortController();
      const timer = setTimeout(() => time.abort(), Math.max(1, timeoutMs));
      const bound = AbortSignal.any([signal, time.signal]);
      try {
        const answer = await post({ agent: agentFor(target, config.caBundle ?? ''), host, path: pathAndQuery, where, body, signal: bound });
        return readAnswer(answer.code, answer.body);
      } catch (error) {
        if (error instanceof WebhookCallError) throw error;
        if (signal.aborted) throw new WebhookCallError(failed('context canceled'), 503, true);
        if (time.signal.aborted) throw new WebhookCallError(failed('context deadline exceeded'), 503);
        throw new WebhookCallError(failed(inGoWords(error, where)), 503);
      } finally {
        clearTimeout(timer);
      }
    },
    close() {
      for (const agent of agents.values()) agent.destroy();
      agents.clear();
    },
  };
}

interface Target {
  /** With the port, as the request names it. */
  host: string;
  path: string;
  serverName: string;
  /** Where that is, unless it is a Service. */
  address?: Address;
}

function targetOf({ url, service }: WebhookClientConfig): Target {
  if (service) {
    const { namespace, name, path = '', port = 443 } = service;
    const serverName = `${name}.${namespace}.svc`;
    return { host: `${serverName}:${port}`, path: new URL(path, 'https://service').pathname, serverName };
  }
  let target: URL;
  try {
    target = new URL(url ?? '');
  } catch {
    throw new WebhookCallError('webhook configuration must have either service or URL', 500);
  }
  const serverName = target.hostname.replace(/^\[|\]$/g, '');
  return { host: target.host, path: target.pathname, serverName, address: { host: serverName, port: target.port === '' ? 443 : Number(target.port) } };
}

interface Post { agent: Agent; host: string; path: string; where: Address; body: string; signal: AbortSignal }

async function post({ agent, host, path, where, body, signal }: Post): Promise<{ code: number; body: string }> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = httpsRequest({
      agent, signal, method: 'POST', host: where.host, port: where.port, path,
      headers: {
        'Host': host, 'Content-Type': 'application/json', 'Accept': 'application/json, */*', 'User-Agent': 'kube-apiserver-admission',
        'Content-Length': Buffer.byteLength(body),
      },
    }, resolve);
    outgoing.on('error', reject);
    outgoing.end(body);
  });
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > maxAnswerBytes) {
      answer.destroy();
      throw new WebhookCallError(`the answer is larger than ${maxAnswerBytes} bytes`, 503);
    }
    parts.push(part);
  }
  return { code: answer.statusCode ?? 0, body: Buffer.concat(parts).toString() };
}

function readAnswer(code: number, body: string): unknown {
  if (code < 200 || code > 206) {
    const status = statusIn(body);
    if (status) throw new WebhookCallError(status.message ?? 'unknown', status.code ?? code);
    throw new WebhookCallError(plainRefusal(code, body), code);
  }
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw new WebhookCallError(`couldn't get version/kind; json parse error: ${error instanceof Error ? error.message : String(error)}`, 503);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new WebhookCallError("couldn't get version/kind; json parse error: the answer is no JSON object", 503);
  }
  const status = statusIn(body);
  if (status) throw new WebhookCallError(status.message ?? 'unknown', status.code ?? 500);
  return value;
}

/** A Status of a failure. */
function statusIn(body: string): Partial<Status> | undefined {
  if (!body.includes('"Status"')) return undefined;
  try {
    const value = JSON.parse(body) as Partial<Status> | null;
    return value?.kind === 'Status' && value.apiVersion === 'v1' && value.status !== 'Success' ? StatusError.from(value).status : undefined;
  } catch {
    return undefined;
  }
}

const refusals: Readonly<Record<number, string>> = {
  400: 'the server rejected our request for an unknown reason',
  401: 'the server has asked for the client to provide credentials',
  403: 'forbidden',
  404: 'the server could not find the requested resource',
  405: 'the server does not allow this method on the requested resource',
  406: 'the server was unable to respond with a content type that the client supports',
  409: 'the server reported a conflict',
  410: 'the server could not find the requested resource',
  413: 'the server responded with the status code 413 but did not return more information',
  415: 'the server was unable to process the request due to its content type',
  422: 'the server rejected our request due to an error in our request',
  429: 'the server has received too many requests and has asked us to try again later',
  503: 'the server is currently unable to handle the request',
  504: 'the server was unable to return a response in the time allotted, but may still be processing the request',
};
const maxShownBytes = 2048;

/** As client-go words an answer that is no Status. */
function plainRefusal(code: number, body: string): string {
  const text = body.trim().slice(0, maxShownBytes);
  if (code === 403 && text !== '') return `forbidden: ${text}`;
  const known = refusals[code];
  if (known !== undefined) return known;
  return code >= 500 ? `an error on the server (${JSON.stringify(text === '' ? 'unknown' : text)}) has prevented the request from succeeding`
    : `the server responded with the status code ${code} but did not return more information`;
}

/** What Go's HTTP client says when a connection fails in the same way. */
function inGoWords(error: unknown, { host, port }: Address): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const dial = (why: string): string => `dial tcp ${host.includes(':') ? `[${host}]` : host}:${port}: ${why}`;
  switch (code) {
    case 'ECONNREFUSED': return dial('connect: connection refused');
    case 'EHOSTUNREACH': return dial('connect: no route to host');
    case 'ENETUNREACH': return dial('connect: network is unreachable');
    case 'ETIMEDOUT': return dial('connect: connection timed out');
    case 'ENOTFOUND': case 'EAI_AGAIN': return `dial tcp: lookup ${host}: no such host`;
    case 'ECONNRESET': return message.includes('hang up') ? 'EOF' : 'read: connection reset by peer';
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE': case 'SELF_SIGNED_CERT_IN_CHAIN': case 'DEPTH_ZERO_SELF_SIGNED_CERT': case 'UNABLE_TO_GET_ISSUER_CERT': case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return 'tls: failed to verify certificate: x509: certificate signed by unknown authority';
    case 'CERT_SIGNATURE_FAILURE':
      return 'tls: failed to verify certificate: x509: certificate signed by unknown authority (possibly because the signature could not be verified)';
    case 'CERT_HAS_EXPIRED': case 'CERT_NOT_YET_VALID':
      return 'tls: failed to verify certificate: x509: certificate has expired or is not yet valid';
    case 'ERR_TLS_CERT_ALTNAME_INVALID': return `tls: failed to verify certificate: x509: ${message}`;
    default: return message;
  }
}
