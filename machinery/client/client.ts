// Requests to one API server over node:https with kept-alive connections; watches as async generators over their lines.
import { readFile } from 'node:fs/promises';
import type * as http from 'node:http';
import https from 'node:https';
import { createSecureContext } from 'node:tls';
import { sleep } from '../base/clock.ts';
import { http as plain } from '../base/http.ts';
import { apiVersionOf } from '../api/object.ts';
import type { KubeList } from '../api/object.ts';
import { StatusError } from '../api/status.ts';
import type { Status } from '../api/status.ts';
import type { Client, ClientConfig, ListOptions, PatchType, Resource, WatchEvent, WriteOptions } from './types.ts';

const patchTypes: Record<PatchType, string> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml', // JSON is YAML
};
/** Requests at a time; the rest waits in the agent's queue. Watches have sockets of their own. */
const maxSockets = 32;
/** The API server ends requests after 60 s; a little longer, so that its answer is the one that is seen. */
const quietRequestMs = 65_000;
/** Bookmarks come at least once a minute; a watch that asked for them and hears nothing this long is dead. */
const quietWatchMs = 150_000;
/** As client-go: 429 and 5xx answers that say when to come back are tried again this often. */
const maxRetries = 10;
const maxLineBytes = 32 << 20;

interface Answer { status: number; headers: http.IncomingHttpHeaders; body: string }
interface Call {
  method: string;
  path: string;
  headers: Record<string, string | number>;
  body?: string;
  signal: AbortSignal;
}

/** Sockets that several clients of one server share: those that differ in their token, or in whom they act as, only. */
export interface Connections { agent: http.Agent; watchAgent: http.Agent }

export function createConnections(config: ClientConfig): Connections {
  const secure = config.server.startsWith('https:');
  const transport = secure ? https : plain;
  // Made once: an agent that gets certificates parses them for each connection, 1 ms of two or three.
  const { ca, cert, key } = config;
  const tls = secure ? { secureContext: createSecureContext({ ca, cert, key }), rejectUnauthorized: config.insecureSkipTlsVerify !== true } : {};
  return {
    agent: new transport.Agent({ keepAlive: true, maxSockets, maxFreeSockets: 8, scheduling: 'lifo', ...tls }),
    watchAgent: new transport.Agent({ keepAlive: true, maxFreeSockets: 0, ...tls }),
  };
}

/** Nothing is connected before the first request. */
export function createClient(config: ClientConfig, { agent, watchAgent }: Connections = createConnections(config)): Client {
  const base = new URL(config.server);
  const secure = base.protocol === 'https:';
  if (!secure && base.protocol !== 'http:') throw new Error(`server ${config.server} is neither https nor http`);
  const transport = secure ? https : plain;
  const prefix = base.pathname.replace(/\/+$/, '');
  const userAgent = config.userAgent ?? 'proa';
  const as = config.impersonate && { 'impersonate-user': config.impersonate.user, 'impersonate-group': [...config.impersonate.groups] };
  const target = { protocol: base.protocol, hostname: base.hostname.replace(/^\[|\]$/g, ''), port: base.port || (secure ? 443 : 80) };

  async function authorization(signal: AbortSignal): Promise<string | undefined> {
    if (config.getToken) return `Bearer ${await config.getToken(signal)}`;
    if (config.tokenFile !== undefined) return `Bearer ${(await readFile(config.tokenFile, { encoding: 'utf8', signal })).trim()}`;
    return config.token === undefined ? undefined : `Bearer ${config.token}`;
  }

  /** Resolves with the answer's head; the caller reads or destroys the body. */
  async function send(call: Call, through: http.Agent, quietMs: number): Promise<http.IncomingMessage> {
    const bearer = config.getToken || config.tokenFile !== undefined || config.token !== undefined ? await authorization(call.signal) : undefined;
    call.signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const request = transport.request({
        ...target, method: call.method, path: prefix + call.path, agent: through, signal: call.signal,
        headers: { 'user-agent': userAgent, ...as, ...(bearer === undefined ? {} : { authorization: bearer }), ...call.headers },
      });
      request.setTimeout(quietMs, () => request.destroy(new Error(`no data for ${quietMs} ms`)));
      request.on('response', resolve);
      request.on('error', (cause: NodeJS.ErrnoException) => {
        if (call.signal.aborted) return reject(call.signal.reason as Error);
        // A kept-alive connection that the server closed just as it was used: reading again is safe, writing is not.
        if (request.reusedSocket && cause.code === 'ECONNRESET' && call.method === 'GET') return resolve(send(call, through, quietMs));
        reject(new Error(`${call.method} ${config.server}${call.path}: ${cause.message || cause.code}`, { cause }));
      });
      request.end(call.body);
    });
  }

  async function readBody(call: Call, response: http.IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    return new Promise((resolve, reject) => {
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(chunks.length === 1 ? chunks[0]!.toString('utf8') : Buffer.concat(chunks).toString('utf8')));
      response.on('error', (cause) => {
        if (call.signal.aborted) return reject(call.signal.reason as Error);
        reject(new Error(`${call.method} ${config.server}${call.path}: the answer broke off: ${cause.message}`, { cause }));
      });
    });
  }

  async function exchange(call: Call): Promise<Answer> {
    for (let attempt = 0; ; attempt += 1) {
      const response = await send(call, agent, quietRequestMs);
      const body = await readBody(call, response);
      const status = response.statusCode ?? 0;
      const retryAfter = Number(response.headers['retry-after']);
      const again = (status === 429 || status >= 500) && response.headers['retry-after'] !== undefined && Number.isFinite(retryAfter);
      if (!again || attempt >= maxRetries) return { status, headers: response.headers, body };
      await sleep(Math.min(60, Math.max(0, retryAfter)) * 1000, call.signal);
    }
  }

  function check(call: { method: string; path: string }, status: number, body: string): unknown {
    if (status >= 200 && status < 300) return body === '' ? undefined : JSON.parse(body);
    throw errorOf(call, status, body);
  }

  async function ask(method: string, path: string, accept: string, signal: AbortSignal, body?: unknown, contentType = 'application/json'): Promise<unknown> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const call: Call = {
      method, path, signal, ...(text === undefined ? {} : { body: text }),
      headers: { accept, ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }) },
    };
    const answer = await exchange(call);
    return check(call, answer.status, answer.body);
  }

  return {
    server: config.server,
    async get<T>(resource: Resource<T>, namespace: string, name: string, signal: AbortSignal) {
      return (await ask('GET', pathOf(resource, namespace, name), acceptOf(resource, ''), signal)) as T; // the resource names its type
    },
    async list<T>(resource: Resource<T>, namespace: string, options: ListOptions, signal: AbortSignal) {
      const path = pathOf(resource, namespace) + query(listQuery(options));
      const list = (await ask('GET', path, acceptOf(resource, 'List'), signal)) as KubeList<T>; // as above
      list.items ??= []; // an empty list may travel as null
      return list;
    },
    async create<T>(resource: Resource<T>, namespace: string, object: unknown, signal: AbortSignal, options: WriteOptions & { name?: string } = {}) {
      const path = pathOf(resource, namespace, options.name, options.subresource) + query(writeQuery(options));
      return (await ask('POST', path, 'application/json', signal, object)) as T;
    },
    async update<T>(resource: Resource<T>, namespace: string, name: string, object: unknown, signal: AbortSignal, options: WriteOptions = {}) {
      const path = pathOf(resource, namespace, name, options.subresource) + query(writeQuery(options));
      return (await ask('PUT', path, 'application/json', signal, object)) as T;
    },
    async patch<T>(resource: Resource<T>, namespace: string, name: string, type: PatchType, body: unknown, signal: AbortSignal, options: WriteOptions = {}) {
      const path = pathOf(resource, namespace, name, options.subresource) + query(writeQuery(options));
      return (await ask('PATCH', path, 'application/json', signal, body, patchTypes[type])) as T;
    },
    async delete(resource, namespace, name, options, signal) {
      await ask('DELETE', pathOf(resource, namespace, name), 'application/json', signal, deleteBody(options));
    },
    async deleteCollection(resource, namespace, options, signal) {
      await ask('DELETE', pathOf(resource, namespace) + query(listQuery(options)), 'application/json', signal, deleteBody(options));
    },
    async *watch<T>(resource: Resource<T>, namespace: string, options: ListOptions & { allowWatchBookmarks?: boolean; sendInitialEvents?: boolean; timeoutSeconds?: number }, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
      const path = pathOf(resource, namespace) + query({
        watch: 'true', ...listQuery(options),
        ...(options.allowWatchBookmarks ? { allowWatchBookmarks: 'true' } : {}),
        ...(options.sendInitialEvents === undefined ? {} : { sendInitialEvents: String(options.sendInitialEvents) }),
        ...(options.timeoutSeconds === undefined ? {} : { timeoutSeconds: String(options.timeoutSeconds) }),
      });
      const call: Call = { method: 'GET', path, signal, headers: { accept: acceptOf(resource, '') } };
      const response = await send(call, watchAgent, options.allowWatchBookmarks ? quietWatchMs : 0);
      try {
        if (response.statusCode !== 200) throw errorOf(call, response.statusCode ?? 0, await readBody(call, response));
        for await (const line of linesOf(response)) {
          const event = JSON.parse(line) as WatchEvent<T> | { type: 'ERROR'; object: Partial<Status> }; // the watch protocol
          if (event.type === 'ERROR') throw StatusError.from(event.object);
          yield event;
        }
      } catch (cause) {
        signal.throwIfAborted();
        if (cause instanceof StatusError) throw cause;
        throw new Error(`watch ${config.server}${path} broke off: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      } finally {
        response.destroy();
      }
    },
    async raw(method, path, signal, body, headers = {}) {
      const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
      const answer = await exchange({
        method, path, signal, ...(text === undefined ? {} : { body: text }),
        headers: { accept: 'application/json, */*', ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }), ...headers },
      });
      return { status: answer.status, body: answer.body };
    },
    close() {
      agent.destroy();
      watchAgent.destroy();
    },
  };
}

/** `/api/v1/namespaces/a/pods/x/status`. */
export function pathOf(resource: Resource<unknown>, namespace: string, name?: string, subresource?: string): string {
  let path = `${resource.group === '' ? '/api' : '/apis'}/${apiVersionOf(resource.group, resource.version)}`;
  if (resource.namespaced && namespace !== '') path += `/namespaces/${encodeURIComponent(namespace)}`;
  path += `/${resource.resource}`;
  if (name !== undefined) {
    if (name === '') throw new Error(`a request for one of ${resource.resource} needs a name`); // would hit the whole collection
    path += `/${encodeURIComponent(name)}`;
  }
  return subresource ? `${path}/${subresource}` : path;
}

function acceptOf(resource: Resource<unknown>, suffix: '' | 'List'): string {
  return resource.metadataOnly ? `application/json;as=PartialObjectMetadata${suffix};g=meta.k8s.io;v=v1,application/json` : 'application/json';
}

function query(values: Record<string, string>): string {
  const text = new URLSearchParams(values).toString();
  return text === '' ? '' : `?${text}`;
}

function listQuery(options: ListOptions): Record<string, string> {
  const values: Record<string, string> = {};
  if (options.labelSelector) values.labelSelector = options.labelSelector;
  if (options.fieldSelector) values.fieldSelector = options.fieldSelector;
  if (options.limit) values.limit = String(options.limit);
  if (options.continue) values.continue = options.continue;
  if (options.resourceVersion !== undefined) values.resourceVersion = options.resourceVersion;
  if (options.resourceVersionMatch) values.resourceVersionMatch = options.resourceVersionMatch;
  return values;
}

function writeQuery(options: WriteOptions): Record<string, string> {
  return {
    ...(options.fieldManager ? { fieldManager: options.fieldManager } : {}),
    ...(options.dryRun ? { dryRun: 'All' } : {}),
    ...(options.force ? { force: 'true' } : {}),
  };
}

function deleteBody(options: { gracePeriodSeconds?: number; propagationPolicy?: string; preconditions?: object }): object | undefined {
  const { gracePeriodSeconds, propagationPolicy, preconditions } = options;
  if (gracePeriodSeconds === undefined && propagationPolicy === undefined && preconditions === undefined) return undefined;
  return {
    kind: 'DeleteOptions', apiVersion: 'v1',
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
    ...(preconditions === undefined ? {} : { preconditions }),
  };
}

function errorOf(call: { method: string; path: string }, status: number, body: string): Error {
  try {
    const parsed = JSON.parse(body) as Partial<Status> | null; // checked by its kind
    if (parsed?.kind === 'Status') return StatusError.from({ code: status, ...parsed });
  } catch {
    // not JSON: told below, as text
  }
  return new StatusError(status, '', `${call.method} ${call.path}: ${status} ${body.slice(0, 200)}`);
}

/** Lines of a byte stream; a line may come in any number of pieces. */
export async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let pieces: Buffer[] = [];
  let held = 0;
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      if (held > 0) {
        pieces.push(chunk.subarray(start, end));
        yield Buffer.concat(pieces).toString('utf8');
        pieces = [];
        held = 0;
      } else if (end > start) yield chunk.toString('utf8', start, end);
      start = end + 1;
    }
    if (start < chunk.length) {
      pieces.push(chunk.subarray(start));
      held += chunk.length - start;
      if (held > maxLineBytes) throw new Error(`a line of more than ${maxLineBytes} bytes`);
    }
  }
  if (held > 0) throw new Error('the stream ended inside a line');
}
