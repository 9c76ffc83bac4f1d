// An API server seen through a bad network: a proxy that loses requests and answers, refuses at random, breaks watches in the middle of
// a line and delays them. What is random comes from a seed; what goes wrong when also depends on when requests come.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { sleep } from '#machinery/base/clock.ts';
import type { ClientConfig } from '#machinery/client/types.ts';

export interface FaultProxy {
  readonly url: string;
  /** Faults happen while it is true. */
  broken: boolean;
  /** Nothing passes at all: connections are reset, also those that are open. */
  cutOff: boolean;
  /** How often each fault happened. */
  readonly counts: Record<string, number>;
  close(): Promise<void>;
}

export interface FaultProxyOptions {
  server: ClientConfig;
  /** Who requests without a token are. */
  user: string;
  random: () => number;
  /** Answered here; others go to the server. */
  local?: (path: string) => unknown;
}

/** Numbers from 0 to 1, the same for the same seed. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Hop by hop, or made anew. */
const ownHeaders = new Set(['connection', 'transfer-encoding', 'host', 'keep-alive']);
const isLease = (path: string): boolean => path.includes('/leases');

export async function startFaultProxy({ server, user, random, local }: FaultProxyOptions): Promise<FaultProxy> {
  const target = new URL(server.server);
  const agent = new Agent({ keepAlive: true, ca: server.ca, cert: server.cert, key: server.key });
  // Requests with a token of their own must not be somebody by certificate too.
  const anonymous = new Agent({ keepAlive: true, ca: server.ca });
  const counts: Record<string, number> = {};
  const chance = (fault: string, share: number): boolean => {
    const hit = proxy.broken && random() < share;
    if (hit) counts[fault] = (counts[fault] ?? 0) + 1;
    return hit;
  };
  const refuse = (response: ServerResponse, code: number, reason: string, headers: Record<string, string> = {}): void => {
    response.writeHead(code, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: `${reason} by accident`, reason, code }));
  };

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    const path = new URL(url, 'http://proxy').pathname;
    const isWatch = url.includes('watch=true');
    const isWrite = method !== 'GET';
    if (proxy.cutOff) return void request.socket.destroy();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answer = local?.(path);
    if (answer !== undefined) {
      response.writeHead(200, { 'content-type': 'application/json' });
      return void response.end(JSON.stringify(answer));
    }
    // The lease has its own tests; here a lost one would mostly mean that nothing else is tried.
    if (!isLease(path)) {
      if (chance('reset before', 0.03)) return void request.socket.destroy();
      if (chance('timeout', 0.01)) {
        await sleep(1000 + random() * 2000, AbortSignal.timeout(10_000));
        return void request.socket.destroy();
      }
      if (chance('500', 0.04)) return refuse(response, 500, 'InternalError');
      if (chance('429', 0.03)) return refuse(response, 429, 'TooManyRequests', random() < 0.5 ? { 'retry-after': '1' } : {});
      if (chance('503', 0.02)) return refuse(response, 503, 'ServiceUnavailable');
      if (isWatch && chance('410', 0.1)) return refuse(response, 410, 'Expired');
      if ((method === 'PUT' || method === 'PATCH') && chance('409', 0.08)) return refuse(response, 409, 'Conflict');
      if (chance('slow', 0.1)) await sleep(random() * 300, AbortSignal.timeout(10_000));
    }
    const isLost = isWrite && !isLease(path) && chance('answer lost', 0.05);

    const headers: Record<string, string | string[]> = {};
    for (const [name, value] of Object.entries(request.headers)) if (value !== undefined && !ownHeaders.has(name)) headers[name] = value;
    const byToken = headers.authorization !== undefined;
    const outgoing = httpsRequest({
      host: target.hostname, port: target.port, method, path: url, agent: byToken ? anonymous : agent,
      headers: byToken ? headers : { ...headers, 'impersonate-user': user },
    });
    response.on('close', () => outgoing.destroy());
    outgoing.on('error', () => response.destroy());
    outgoing.end(Buffer.concat(chunks));
    const [incoming] = await once(outgoing, 'response') as [IncomingMessage]; // as Node has it
    if (isLost) {
      incoming.resume();
      await once(incoming, 'close');
      return void request.socket.destroy();
    }
    response.writeHead(incoming.statusCode ?? 502, Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !ownHeaders.has(name))));
    if (isWatch) return passWatch(incoming, response);
    for await (const chunk of incoming) {
      if (!isLease(path) && chance('answer cut', 0.005)) return void response.destroy();
      response.write(chunk);
    }
    response.end();
  }

  /** In order, but late at times, and not to the end. */
  async function passWatch(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    response.flushHeaders();
    for await (const chunk of incoming) {
      const bytes = chunk as Buffer;
      if (chance('events late', 0.04)) await sleep(random() * 1500, AbortSignal.timeout(10_000));
      if (chance('watch ended', 0.005)) break;
      if (chance('watch cut', 0.01)) {
        response.write(bytes.subarray(0, Math.floor(bytes.length * random())), () => response.destroy());
        return;
      }
      if (response.destroyed) return;
      response.write(bytes);
    }
    response.end();
  }

  const listener = createServer((request, response) => {
    response.on('error', () => undefined); // the other side went away; that is what this is for
    pass(request, response).catch(() => response.destroy());
  });
  listener.keepAliveTimeout = 60_000;
  listener.listen({ host: '127.0.0.1', port: 0 });
  await once(listener, 'listening');
  const address = listener.address();
  if (typeof address !== 'object' || !address) throw new Error('the proxy has no port');
  let cutOff = false;
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${address.port}`, broken: false, counts,
    get cutOff() {
      return cutOff;
    },
    set cutOff(value) {
      cutOff = value;
      if (value) listener.closeAllConnections();
    },
    async close() {
      listener.closeAllConnections();
      listener.close();
      await once(listener, 'close');
      for (const each of [agent, anonymous]) each.destroy();
    },
  };
  return proxy;
}
