// Names that are not the cluster's: asked at the machine's own resolvers, answers kept for a while. Answers pass through as
// bytes, so record types that nobody here knows work too.
import { createSocket } from 'node:dgram';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, isIP, isIPv6 } from 'node:net';
import { createLogger } from '#machinery/base/log.ts';
import { ttlsOf, type Query } from './wire.ts';

const log = createLogger('dns');
const attemptMs = 2_000;
const maxTries = 4;
const maxConcurrent = 1_000;
const maxCached = 10_000;
const maxCachedBytes = 4_096;
/** Nothing is kept longer, as the usual `cache 30`. */
const maxCacheSeconds = 30;
const rereadMs = 5_000;

export interface Upstream { ip: string; port: number }
export interface Forwarder {
  /** The whole answer with the query's id; undefined when nobody answered. */
  forward(message: Buffer, query: Query, overTcp: boolean, signal: AbortSignal): Promise<Buffer | undefined>;
  upstreams(): readonly Upstream[];
}

/** `1.2.3.4`, `1.2.3.4:53`, `::1`, `[::1]:53`; undefined for anything else. */
export function parseUpstream(text: string): Upstream | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [];
  const ip = isIPv6(text) ? text : bracketed ?? plain ?? '';
  const number = port === undefined || isIPv6(text) ? 53 : Number(port);
  return isIP(ip) !== 0 && number > 0 && number < 65_536 ? { ip, port: number } : undefined;
}

/** The resolvers a resolv.conf names, without loopback stubs: their resolver may well be us, and pods' queries would go round in circles. */
export function readResolvConf(text: string): Upstream[] {
  const found: Upstream[] = [];
  for (const line of text.split('\n')) {
    const [, ip = ''] = /^\s*nameserver\s+(\S+)/.exec(line) ?? [];
    if (isIP(ip) !== 0 && !ip.startsWith('127.') && ip !== '::1') found.push({ ip, port: 53 });
  }
  return found;
}

export function createForwarder(configured: readonly string[], self: () => Upstream, paths = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']): Forwarder {
  const fixed = configured.map((text) => {
    const upstream = parseUpstream(text);
    if (!upstream) throw new Error(`"${text}" is not the address of a DNS server`);
    return upstream;
  });
  const cache = new Map<string, { message: Buffer; storedAt: number; expiresAt: number }>();
  let current: Upstream[] = fixed;
  let readAt = -Infinity;
  let concurrent = 0;

  function upstreams(): Upstream[] {
    if (fixed.length === 0 && Date.now() - readAt > rereadMs) {
      readAt = Date.now();
      current = [];
      for (const path of paths) {
        current = tryRead(path);
        if (current.length > 0) break; // the second one names what is behind systemd-resolved's stub
      }
    }
    const own = self();
    return current.filter(({ ip, port }) => ip !== own.ip || port !== own.port);
  }

  function fromCache(key: string, query: Query): Buffer | undefined {
    const entry = cache.get(key);
    if (!entry) return undefined;
    cache.delete(key);
    if (entry.expiresAt <= Date.now()) return undefined;
    cache.set(key, entry); // used last
    const message = Buffer.from(entry.message);
    const age = Math.floor((Date.now() - entry.storedAt) / 1000);
    for (const { at, seconds } of ttlsOf(message)) message.writeUInt32BE(Math.max(0, seconds - age), at);
    message.writeUInt16BE(query.id, 0);
    query.question.copy(message, 12); // the case of this question
    return message;
  }
  function toCache(key: string, message: Buffer): void {
    const flags = message.readUInt16BE(2);
    const rcode = flags & 15;
    if ((flags & 0x200) !== 0 || (rcode !== 0 && rcode !== 3) || message.length > maxCachedBytes) return;
    const ttls = ttlsOf(message);
    // Nothing found and no SOA: no one says how long that holds.
    const negative = rcode === 3 || message.readUInt16BE(6) === 0;
    if (negative && !ttls.some(({ soa }) => soa)) return;
    const seconds = Math.min(maxCacheSeconds, ...ttls.map((ttl) => ttl.seconds));
    if (seconds <= 0) return;
    cache.set(key, { message, storedAt: Date.now(), expiresAt: Date.now() + seconds * 1000 });
    const [oldest] = cache.keys();
    if (cache.size > maxCached && oldest !== undefined) cache.delete(oldest);
  }

  return {
    upstreams,
    async forward(message, query, overTcp, signal) {
      const { labels, type, edns } = query;
      const key = JSON.stringify([labels.map((label) => label.toLowerCase()), type, query.class, edns?.udpBytes ?? 0, edns?.dnssec ?? false, query.checkingDisabled, query.recursionDesired, overTcp]);
      const cached = fromCache(key, query);
      if (cached) return cached;
      const servers = upstreams();
      if (servers.length === 0 || concurrent >= maxConcurrent) return undefined;
      concurrent += 1;
      try {
        for (let i = 0; i < Math.max(servers.length, Math.min(maxTries, 2 * servers.length)); i += 1) {
          const server = servers[i % servers.length];
          if (!server || signal.aborted) return undefined;
          try {
            const reply = await (overTcp ? askTcp : askUdp)(server, message, query, AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]));
            toCache(key, Buffer.from(reply));
            reply.writeUInt16BE(query.id, 0);
            return reply;
          } catch (error) {
            if (!signal.aborted) log.info('upstream did not answer', { server: `${server.ip}:${server.port}`, name: labels.join('.'), error });
          }
        }
        return undefined;
      } finally {
        concurrent -= 1;
      }
    },
  };
}

function tryRead(path: string): Upstream[] {
  try {
    return readResolvConf(readFileSync(path, 'utf8'));
  } catch (error) {
    log.debug('resolvers not read', { path, error });
    return [];
  }
}

/** With an id of our own, so that an answer cannot be guessed from the client's. */
function withNewId(message: Buffer): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(randomInt(65_536), 0);
  return copy;
}
function isAnswerTo(reply: Buffer, sent: Buffer, query: Query): boolean {
  return reply.length >= 12 && reply.readUInt16BE(0) === sent.readUInt16BE(0) && (reply.readUInt16BE(2) & 0x8000) !== 0
    && reply.length >= 12 + query.question.length
    && reply.toString('latin1', 12, 12 + query.question.length).toLowerCase() === query.question.toString('latin1').toLowerCase();
}

function askUdp(server: Upstream, message: Buffer, query: Query, signal: AbortSignal): Promise<Buffer> {
  const sent = withNewId(message);
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server.ip) ? 'udp6' : 'udp4');
    const end = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.close();
      settle();
    };
    const onAbort = (): void => end(() => reject(signal.reason as Error)); // an abort's reason is an Error here
    socket.on('error', (error) => end(() => reject(error)));
    socket.on('message', (reply) => {
      if (isAnswerTo(reply, sent, query)) end(() => resolve(reply)); // anything else is not ours; go on waiting
    });
    if (signal.aborted) return end(() => reject(signal.reason as Error));
    signal.addEventListener('abort', onAbort);
    // The callback is told of a failure too (no route), typed or not.
    socket.connect(server.port, server.ip, (error?: Error) => (error ? end(() => reject(error)) : socket.send(sent)));
  });
}

function askTcp(server: Upstream, message: Buffer, query: Query, signal: AbortSignal): Promise<Buffer> {
  const sent = withNewId(message);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.ip, port: server.port });
    let received = Buffer.alloc(0);
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    signal.addEventListener('abort', () => fail(signal.reason as Error), { once: true });
    socket.on('error', fail);
    socket.on('close', () => reject(new Error('connection closed before the answer')));
    socket.on('connect', () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(sent.length);
      socket.write(Buffer.concat([length, sent]));
    });
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const reply = Buffer.from(received.subarray(2, 2 + received.readUInt16BE(0)));
      socket.destroy();
      if (isAnswerTo(reply, sent, query)) resolve(reply);
      else reject(new Error('the answer is to another question'));
    });
  });
}
