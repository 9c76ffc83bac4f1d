// DNS over UDP and TCP on one address and port: cluster names from records.ts, all others from the forwarder.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { randomUUID } from 'node:crypto';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { aborted } from '#machinery/base/abort.ts';
import { createLogger } from '#machinery/base/log.ts';
import { createForwarder } from './forward.ts';
import { answer, type Answer, type RecordSource } from './records.ts';
import { FormatError, readQuery, types, writeError, writeReply, type DnsRecord, type Query, type Reply } from './wire.ts';

const log = createLogger('dns');
const maxUdpBytes = 4096;
const maxConnections = 512;
const idleMs = 10_000;
const maxPipelined = 64;
const aliasMs = 3_000;
const typeNames = new Map<number, string>(Object.entries(types).map(([name, number]) => [number, name]));

export interface ServerOptions {
  address: string;
  /** 0: any that is free for UDP and TCP. */
  port: number;
  zone: string;
  ttl: number;
  /** Addresses of resolvers for other names; empty: those of the machine. */
  upstream: readonly string[];
  /** undefined until the informers have synced: SERVFAIL till then. */
  source: () => RecordSource | undefined;
}
export interface DnsServer { readonly port: number; stop(): Promise<void> }

/** Resolves once both sockets listen; rejects when they cannot. */
export async function startServer(options: ServerOptions, signal: AbortSignal): Promise<DnsServer> {
  const stopping = new AbortController();
  const running = AbortSignal.any([signal, stopping.signal]);
  const { udp, tcp, port } = await listen(options.address, options.port);
  const forwarder = createForwarder(options.upstream, () => ({ ip: options.address, port }));
  /** A name that nobody else asks for: when it comes in, an upstream leads back to us. */
  const probe = `${randomUUID()}.loop-probe.invalid`;
  let looping = false;
  const serial = Math.floor(Date.now() / 1000);

  /** The reply's bytes; undefined when there is nothing to say. */
  async function handle(message: Buffer, overTcp: boolean): Promise<Buffer | undefined> {
    let query: Query | undefined;
    try {
      query = readQuery(message);
    } catch (error) {
      if (error instanceof FormatError) return writeError(message, 'FORMERR');
      throw error;
    }
    if (!query) return undefined;
    const maxBytes = overTcp ? 65_535 : Math.min(maxUdpBytes, query.edns?.udpBytes ?? 512);
    const reply = (partial: Partial<Reply>): Buffer => writeReply(query, { rcode: 'NOERROR', authoritative: false, answers: [], ...partial }, maxBytes);
    if (query.opcode !== 0) return reply({ rcode: 'NOTIMP' });
    if (query.edns && query.edns.version !== 0) return reply({ rcode: 'BADVERS' });
    if (query.class !== 1) return reply({ rcode: 'REFUSED' });
    if (query.type === types.AXFR || query.type === types.IXFR) return reply({ rcode: 'REFUSED' });
    if (query.labels.join('.').toLowerCase() === probe) {
      looping = true;
      log.error('a resolver of this machine leads back to this server: names outside the cluster are not resolved', { upstreams: forwarder.upstreams() });
      return reply({ rcode: 'SERVFAIL' });
    }
    const source = options.source();
    if (!source) return reply({ rcode: 'SERVFAIL' });
    const own = answer(source, { zone: options.zone, ttl: options.ttl, serial }, query.labels, typeNames.get(query.type) ?? 'other');
    if (own) {
      const answers = own.alias === undefined ? shuffled(own.answers) : [...own.answers, ...(await follow(own.alias, query, source))];
      return reply({ ...own, answers, authoritative: true });
    }
    if (looping) return reply({ rcode: 'SERVFAIL' });
    const forwarded = await forwarder.forward(message, query, overTcp, running);
    if (!forwarded) return reply({ rcode: 'SERVFAIL' });
    return forwarded.length <= maxBytes ? forwarded : reply({ rcode: 'NOERROR' });
  }

  /** The addresses behind an ExternalName, so that clients that do not follow aliases get there too. */
  async function follow(name: string, query: Query, source: RecordSource): Promise<DnsRecord[]> {
    const found: DnsRecord[] = [];
    let target = name;
    for (let depth = 0; depth < 8; depth += 1) {
      const own: Answer | undefined = answer(source, { zone: options.zone, ttl: options.ttl, serial }, target.split('.'), typeNames.get(query.type) ?? 'other');
      if (!own) return [...found, ...(await resolveOutside(target, query.type))];
      found.push(...own.answers);
      if (own.alias === undefined) return found;
      target = own.alias;
    }
    return found; // aliases that go round in circles
  }
  async function resolveOutside(name: string, type: number): Promise<DnsRecord[]> {
    const question = Buffer.alloc(name.length + 6);
    let at = 0;
    const labels = name.split('.');
    for (const label of labels) {
      question[at] = label.length;
      question.write(label, at + 1, 'latin1');
      at += 1 + label.length;
    }
    question.writeUInt16BE(type, at + 1);
    question.writeUInt16BE(1, at + 3);
    const header = Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    const query: Query = { id: 0, opcode: 0, recursionDesired: true, checkingDisabled: false, labels, type, class: 1, question, edns: undefined };
    if (looping) return [];
    const reply = await forwarder.forward(Buffer.concat([header, question]), query, false, AbortSignal.any([running, AbortSignal.timeout(aliasMs)]));
    if (!reply) return [];
    const { decode } = await import('dns-packet');
    const found: DnsRecord[] = [];
    for (const record of decode(reply).answers ?? []) {
      const ttl = 'ttl' in record ? Math.min(record.ttl ?? options.ttl, options.ttl) : options.ttl;
      if (record.type === 'A' || record.type === 'AAAA') found.push({ name: record.name, ttl, type: record.type, ip: record.data });
      else if (record.type === 'CNAME') found.push({ name: record.name, ttl, type: 'CNAME', target: record.data });
    }
    return found;
  }

  serveUdp(udp, (message) => handle(message, false));
  const connections = serveTcp(tcp, (message) => handle(message, true));
  const stop = async (): Promise<void> => {
    stopping.abort();
    for (const connection of connections) connection.destroy();
    await Promise.all([new Promise<void>((resolve) => udp.close(() => resolve())), new Promise<void>((resolve) => tcp.close(() => resolve()))]);
  };
  let stopped: Promise<void> | undefined;
  const stopOnce = (): Promise<void> => (stopped ??= stop());
  aborted(signal).then(stopOnce).catch((error: unknown) => log.error('stopping failed', { error }));
  if (forwarder.upstreams().length > 0) {
    const labels = probe.split('.');
    const question = Buffer.concat([...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])), Buffer.from([0, 0, types.HINFO, 0, 1])]);
    const query: Query = { id: 0, opcode: 0, recursionDesired: true, checkingDisabled: false, labels, type: types.HINFO, class: 1, question, edns: undefined };
    const message = Buffer.concat([Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), question]);
    forwarder.forward(message, query, false, running).catch((error: unknown) => log.debug('loop probe failed', { error }));
  }
  return { port, stop: stopOnce };
}

/** Clients that take the first address spread over all. Aliases stay first. */
function shuffled(records: readonly DnsRecord[]): DnsRecord[] {
  const copy = [...records];
  if (copy[0]?.type !== 'A' && copy[0]?.type !== 'AAAA') return copy;
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    const [a, b] = [copy[i], copy[j]];
    if (a && b) [copy[i], copy[j]] = [b, a];
  }
  return copy;
}

async function listen(address: string, wanted: number): Promise<{ udp: UdpSocket; tcp: Server; port: number }> {
  for (let tries = 0; ; tries += 1) {
    const tcp = createServer({ noDelay: true });
    tcp.maxConnections = maxConnections;
    await new Promise<void>((resolve, reject) => {
      tcp.once('error', reject);
      tcp.listen(wanted, address, () => resolve());
    });
    const bound = tcp.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : wanted;
    const udp = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' });
    try {
      await new Promise<void>((resolve, reject) => {
        udp.once('error', reject);
        udp.bind(port, address, () => {
          udp.removeListener('error', reject);
          resolve();
        });
      });
      return { udp, tcp, port };
    } catch (error) {
      udp.close();
      await new Promise<void>((resolve) => tcp.close(() => resolve()));
      // A port that TCP gave us can be taken for UDP; another one will do.
      if (wanted !== 0 || tries >= 10) throw error;
    }
  }
}

type Handler = (message: Buffer) => Promise<Buffer | undefined>;

function serveUdp(socket: UdpSocket, handle: Handler): void {
  socket.on('error', (error) => log.warn('UDP socket failed', { error }));
  socket.on('message', (message, { address, port }) => {
    handle(message).then((reply) => {
      if (reply) socket.send(reply, port, address, (error) => {
        if (error) log.debug('answer not sent', { to: address, error });
      });
    }).catch((error: unknown) => log.error('query failed', { error }));
  });
}

function serveTcp(server: Server, handle: Handler): Set<Socket> {
  const connections = new Set<Socket>();
  server.on('error', (error) => log.warn('TCP socket failed', { error }));
  server.on('connection', (socket) => {
    connections.add(socket);
    let received = Buffer.alloc(0);
    let pending = 0;
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on('error', (error) => log.debug('connection failed', { error }));
    socket.on('close', () => connections.delete(socket));
    const work = (): void => {
      while (pending < maxPipelined && received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const message = received.subarray(2, 2 + received.readUInt16BE(0));
        received = received.subarray(2 + message.length);
        pending += 1;
        handle(message).then((reply) => {
          if (!reply || socket.destroyed) return;
          const length = Buffer.alloc(2);
          length.writeUInt16BE(reply.length);
          socket.write(Buffer.concat([length, reply]));
        }).catch((error: unknown) => log.error('query failed', { error })).finally(() => {
          pending -= 1;
          socket.resume();
          work();
        });
      }
      if (pending >= maxPipelined) socket.pause();
    };
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      work();
    });
  });
  return connections;
}
