// The server on loopback, real UDP and TCP; dns-packet reads and writes the other side's messages, as an independent opinion.
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { expect } from 'chai';
import * as dnsPacket from 'dns-packet';
import type { Answer, DecodedPacket, Packet, Question } from 'dns-packet';
import type { Service } from '#machinery/api/object.ts';
import { readResolvConf, parseUpstream } from './forward.ts';
import type { RecordSource } from './records.ts';
import { startServer } from './server.ts';
import { ttlsOf } from './wire.ts';

const service: Service = { metadata: { name: 'web', namespace: 'default' }, spec: { clusterIP: '10.43.0.20', ports: [{ name: 'http', port: 80 }] } };
const external: Service = { metadata: { name: 'out', namespace: 'default' }, spec: { type: 'ExternalName', externalName: 'www.example.com' } };
const many: Service = { metadata: { name: 'many', namespace: 'default' }, spec: { clusterIP: 'None' } };
const source: RecordSource = {
  hasNamespace: (name) => name === 'default',
  service: (_namespace, name) => [service, external, many].find(({ metadata }) => metadata.name === name),
  slices: (_namespace, name) => (name === 'many'
    ? [{ metadata: {}, addressType: 'IPv4', endpoints: Array.from({ length: 200 }, (_, i) => ({ addresses: [`10.42.1.${i}`] })), ports: [] }] : []),
  servicesByIp: () => [],
  slicesByIp: () => [],
};

async function sendUdp(port: number, message: Buffer, timeoutMs = 1500): Promise<Buffer | undefined> {
  const socket = createSocket('udp4');
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(undefined), timeoutMs);
      socket.on('error', reject);
      socket.on('message', (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      socket.send(message, port, '127.0.0.1');
    });
  } finally {
    socket.close();
  }
}
async function sendTcp(port: number, messages: Buffer[]): Promise<Buffer[]> {
  const socket = connect(port, '127.0.0.1');
  const replies: Buffer[] = [];
  let received = Buffer.alloc(0);
  const framed = Buffer.concat(messages.flatMap((message) => [Buffer.from([message.length >> 8, message.length & 255]), message]));
  socket.write(framed.subarray(0, 5)); // in two pieces, as networks do
  setImmediate(() => socket.write(framed.subarray(5)));
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const length = received.readUInt16BE(0);
      replies.push(received.subarray(2, 2 + length));
      received = received.subarray(2 + length);
    }
    if (replies.length === messages.length) break;
  }
  socket.destroy();
  return replies;
}
const encode = (question: Question, more: Partial<Packet> = {}): Buffer =>
  dnsPacket.encode({ type: 'query', id: 4711, flags: dnsPacket.RECURSION_DESIRED, questions: [question], ...more });
const opt = (udpPayloadSize: number, ednsVersion = 0): Answer => ({ type: 'OPT', name: '.', udpPayloadSize, extendedRcode: 0, ednsVersion, flags: 0, flag_do: false, options: [] });
const rcodeOf = (reply: Buffer | undefined): number | undefined => (reply === undefined ? undefined : reply.readUInt16BE(2) & 15);

/** A resolver that counts what it is asked. */
async function startResolver(answers: (question: Question) => Answer[], ttlZero = false): Promise<{ port: number; asked: string[]; stop: () => void }> {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (message, { port, address }) => {
    const query = dnsPacket.decode(message);
    const [question] = query.questions ?? [];
    if (!question) return;
    if (question.name.endsWith('loop-probe.invalid')) return;
    asked.push(question.name);
    if (question.name === 'silent.example.com') return;
    const found = answers(question);
    const rcode = found.length === 0 ? 3 : 0;
    socket.send(dnsPacket.encode({ type: 'response', id: query.id, flags: dnsPacket.RECURSION_AVAILABLE | rcode, questions: [question], answers: found.map((record) => (ttlZero ? { ...record, ttl: 0 } : record)) }), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, asked, stop: () => socket.close() };
}

async function withServer(test: (port: number, asked: string[]) => Promise<void>, options: { synced?: boolean; upstream?: (resolver: number) => string[] } = {}): Promise<void> {
  const resolver = await startResolver(({ name, type }) => (name === 'www.example.com' && type === 'A' ? [{ type: 'A', name, ttl: 60, data: '192.0.2.80' }] : []));
  const stop = new AbortController();
  const server = await startServer({
    address: '127.0.0.1', port: 0, zone: 'cluster.local', ttl: 5, upstream: options.upstream?.(resolver.port) ?? [`127.0.0.1:${resolver.port}`],
    source: () => (options.synced === false ? undefined : source),
  }, stop.signal);
  try {
    await test(server.port, resolver.asked);
  } finally {
    stop.abort();
    await server.stop();
    resolver.stop();
  }
}
const web: Question = { type: 'A', name: 'web.default.svc.cluster.local' };
const decode = (reply: Buffer | undefined): DecodedPacket => dnsPacket.decode(reply ?? Buffer.alloc(0));

describe('startServer()', () => {
  it('answers over UDP and TCP on one port', () => withServer(async (port) => {
    const [overTcp, second] = await sendTcp(port, [encode(web), encode({ type: 'A', name: 'missing.default.svc.cluster.local' })]);
    for (const reply of [await sendUdp(port, encode(web)), overTcp]) {
      const { id, flag_aa, flag_rd, flag_ra, questions, answers } = decode(reply);
      expect({ id, flag_aa, flag_rd, flag_ra }).to.deep.equal({ id: 4711, flag_aa: true, flag_rd: true, flag_ra: true });
      expect(questions?.[0]?.name).to.equal(web.name);
      expect(answers?.[0]).to.include({ type: 'A', name: web.name, ttl: 5, data: '10.43.0.20' });
    }
    expect(rcodeOf(second)).to.equal(3);
    expect(decode(second).authorities?.[0]?.type).to.equal('SOA');
  }));
  it('cuts an answer that is too long for UDP, by what the client can take, and not over TCP', () => withServer(async (port) => {
    const question: Question = { type: 'A', name: 'many.default.svc.cluster.local' };
    const small = await sendUdp(port, encode(question));
    expect(small?.length).to.be.lessThanOrEqual(512);
    expect(decode(small).flag_tc).to.equal(true);
    expect(decode(small).answers).to.not.have.length(0);
    const large = decode(await sendUdp(port, encode(question, { additionals: [opt(4096)] })));
    expect([large.flag_tc, large.answers?.length, large.additionals?.[0]?.type]).to.deep.equal([false, 200, 'OPT']);
    const [whole] = await sendTcp(port, [encode(question)]);
    expect(decode(whole).answers).to.have.length(200);
  }));
  it('asks upstream for other names once, and passes its answer on', () => withServer(async (port, asked) => {
    const question: Question = { type: 'A', name: 'www.example.com' };
    for (const name of ['www.example.com', 'WWW.example.com']) {
      const { id, questions, answers, flag_aa } = decode(await sendUdp(port, encode({ ...question, name })));
      expect([id, questions?.[0]?.name, flag_aa]).to.deep.equal([4711, name, false]);
      expect(answers?.[0]).to.include({ data: '192.0.2.80' });
    }
    expect(asked).to.deep.equal(['www.example.com']);
    expect(rcodeOf(await sendUdp(port, encode({ type: 'A', name: 'none.example.com' })))).to.equal(3);
  }));
  it('follows an ExternalName', () => withServer(async (port) => {
    const { answers } = decode(await sendUdp(port, encode({ type: 'A', name: 'out.default.svc.cluster.local' })));
    expect(answers?.map((record) => ('data' in record ? record.data : ''))).to.deep.equal(['www.example.com', '192.0.2.80']);
  }));
  it('says SERVFAIL when no upstream answers', () => withServer(async (port) => {
    expect(rcodeOf(await sendUdp(port, encode({ type: 'A', name: 'www.example.com' }), 4000))).to.equal(2);
    expect(rcodeOf(await sendUdp(port, encode(web)))).to.equal(0);
  }, { upstream: () => ['127.0.0.1:1'] }));
  it('says SERVFAIL until the names are known', () => withServer(async (port) => {
    expect(rcodeOf(await sendUdp(port, encode(web)))).to.equal(2);
  }, { synced: false }));
  it('refuses zone transfers, other classes, other operations and newer EDNS', () => withServer(async (port) => {
    const ask = async (message: Buffer): Promise<number | undefined> => rcodeOf(await sendUdp(port, message));
    expect(await ask(encode({ ...web, type: 'AXFR' }))).to.equal(5);
    expect(await ask(encode({ ...web, class: 'CH' }))).to.equal(5);
    const update = encode(web);
    update[2] = 5 << 3;
    expect(await ask(update)).to.equal(4);
    const newer = decode(await sendUdp(port, encode(web, { additionals: [opt(1232, 1)] })));
    expect(newer.additionals?.[0]).to.include({ type: 'OPT', extendedRcode: 1 });
  }));
  it('lives through garbage', () => withServer(async (port) => {
    const cut = encode(web).subarray(0, 20);
    expect(rcodeOf(await sendUdp(port, cut))).to.equal(1);
    const twice = encode(web);
    twice.writeUInt16BE(2, 4);
    expect(rcodeOf(await sendUdp(port, twice))).to.equal(1);
    const pointer = encode(web);
    pointer[12] = 0xc0;
    expect(rcodeOf(await sendUdp(port, pointer))).to.equal(1);
    const promised = encode(web);
    promised.writeUInt16BE(40, 10); // additional records that are not there
    expect(rcodeOf(await sendUdp(port, promised))).to.equal(1);
    for (const message of [Buffer.from('hi'), decodeAsReply(encode(web))]) expect(await sendUdp(port, message, 100)).to.equal(undefined);
    expect(rcodeOf(await sendUdp(port, encode(web)))).to.equal(0);
  }));
  it('does not ask itself', async () => {
    const stop = new AbortController();
    const first = await startServer({ address: '127.0.0.1', port: 0, zone: 'cluster.local', ttl: 5, upstream: [], source: () => source }, stop.signal);
    await first.stop();
    const again = await startServer({ address: '127.0.0.1', port: first.port, zone: 'cluster.local', ttl: 5, upstream: [`127.0.0.1:${first.port}`], source: () => source }, stop.signal);
    const startedAt = Date.now();
    expect(rcodeOf(await sendUdp(again.port, encode({ type: 'A', name: 'www.example.com' })))).to.equal(2);
    expect(Date.now() - startedAt).to.be.lessThan(1000);
    await again.stop();
  });
  it('notices a resolver that leads back to it', async () => {
    const stop = new AbortController();
    let target = 0;
    const relay = createSocket('udp4');
    relay.on('message', (message) => relay.send(message, target, '127.0.0.1'));
    await new Promise<void>((resolve) => relay.bind(0, '127.0.0.1', resolve));
    const server = await startServer({ address: '127.0.0.1', port: 0, zone: 'cluster.local', ttl: 5, upstream: [`127.0.0.1:${relay.address().port}`], source: () => source }, stop.signal);
    target = server.port;
    await new Promise((resolve) => setTimeout(resolve, 50)); // the probe goes round
    const startedAt = Date.now();
    expect(rcodeOf(await sendUdp(server.port, encode({ type: 'A', name: 'www.example.com' })))).to.equal(2);
    expect(Date.now() - startedAt).to.be.lessThan(1000);
    await server.stop();
    relay.close();
  });
  it('rejects when the port is taken', () => withServer(async (port) => {
    const failure = await startServer({ address: '127.0.0.1', port, zone: 'cluster.local', ttl: 5, upstream: [], source: () => source }, new AbortController().signal).catch((error: unknown) => error);
    expect(failure).to.have.property('code', 'EADDRINUSE');
  }));
});

function decodeAsReply(message: Buffer): Buffer {
  message[2] = (message[2] ?? 0) | 0x80;
  return message;
}

describe('readResolvConf()', () => {
  it('takes nameservers, but no loopback stubs', () => {
    expect(readResolvConf('# x\nsearch a\nnameserver 127.0.0.53\n nameserver 192.0.2.1\nnameserver ::1\nnameserver fd00::1\nnameserver bad\n')).to.deep.equal([{ ip: '192.0.2.1', port: 53 }, { ip: 'fd00::1', port: 53 }]);
  });
});
describe('parseUpstream()', () => {
  const cases: [string, unknown][] = [['192.0.2.1', { ip: '192.0.2.1', port: 53 }], ['192.0.2.1:54', { ip: '192.0.2.1', port: 54 }], ['fd00::1', { ip: 'fd00::1', port: 53 }], ['[fd00::1]:54', { ip: 'fd00::1', port: 54 }], ['example.com', undefined], ['192.0.2.1:0', undefined], ['', undefined]];
  for (const [text, expected] of cases) it(`"${text}"`, () => expect(parseUpstream(text)).to.deep.equal(expected));
});
describe('ttlsOf()', () => {
  it('finds every TTL of a message with compressed names', () => {
    const message = dnsPacket.encode({ type: 'response', questions: [web], answers: [{ type: 'A', name: web.name, ttl: 7, data: '10.0.0.1' }, { type: 'CNAME', name: 'a.b', ttl: 9, data: 'c.d' }], additionals: [opt(512)] });
    expect(ttlsOf(message).map(({ seconds }) => seconds)).to.deep.equal([7, 9]);
  });
});
