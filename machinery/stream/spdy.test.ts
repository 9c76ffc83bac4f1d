import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { duplexPair, type Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createSpdySession } from './spdy.ts';
import { spdyDictionary } from './_spdy-dictionary.ts';

function pair() {
  const [left, right] = duplexPair() as [Duplex, Duplex];
  return { client: createSpdySession(left, 'client'), server: createSpdySession(right, 'server'), raw: left };
}
async function first<T>(iterable: AsyncIterable<T>): Promise<T> {
  for await (const value of iterable) return value;
  throw new Error('ended with nothing');
}

describe('SPDY session', () => {
  it('the dictionary is the one of the draft', () => {
    expect(spdyDictionary.length).to.equal(1423);
    expect(createHash('sha256').update(spdyDictionary).digest('hex').slice(0, 16)).to.equal('51d27341373f923f');
  });

  it('carries headers, data both ways and half-closes', async () => {
    const { client, server } = pair();
    const opened = await client.open({ streamType: 'data', port: '80' });
    const accepted = await first(server.incoming);
    expect(accepted.headers).to.deep.equal({ streamtype: 'data', port: '80' });
    await accepted.reply();
    opened.end('question');
    expect(await text(accepted)).to.equal('question');
    accepted.end('answer');
    expect(await text(opened)).to.equal('answer');
    client.close();
    await Promise.all([client.closed, server.closed]);
  });

  it('keeps the compressor in step over many streams', async () => {
    const { client, server } = pair();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const stream of server.incoming) {
        await stream.reply();
        seen.push(stream.headers.requestid ?? '');
        if (seen.length === 50) return;
      }
    })();
    for (let n = 0; n < 50; n++) await client.open({ streamType: 'error', port: '8080', requestID: String(n) });
    await reading;
    expect(seen).to.deep.equal(Array.from({ length: 50 }, (_, n) => String(n)));
    client.close();
    await server.closed;
  });

  it('a megabyte arrives whole, and a slow reader holds the writer back', async () => {
    const { client, server } = pair();
    const opened = await client.open({ streamtype: 'data' });
    const accepted = await first(server.incoming);
    const data = Buffer.alloc(1 << 20, 'x');
    opened.end(data);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(accepted.readableLength).to.be.lessThan(200_000);
    expect((await text(accepted)).length).to.equal(data.length);
    client.close();
    await server.closed;
  });

  it('destroying a stream resets it at the peer and leaves the others alone', async () => {
    const { client, server } = pair();
    const iterator = server.incoming[Symbol.asyncIterator]();
    const a = await client.open({ n: 'a' });
    const b = await client.open({ n: 'b' });
    const atServer = [(await iterator.next()).value, (await iterator.next()).value];
    a.destroy();
    expect(await text(atServer[0])).to.equal('');
    b.end('still here');
    expect(await text(atServer[1])).to.equal('still here');
    client.close();
    await server.closed;
  });

  it('ping() is answered; streams end when the transport goes', async () => {
    const { client, server, raw } = pair();
    await client.ping();
    const opened = await client.open({ n: 'a' });
    await first(server.incoming);
    raw.destroy();
    await client.closed;
    expect(opened.destroyed).to.equal(true);
  });

  it('a header block that is not zlib ends the session', async () => {
    const [left, right] = duplexPair() as [Duplex, Duplex];
    const server = createSpdySession(right, 'server');
    left.write(Buffer.from('8003000100000010000000010000000000006e6f6e73656e', 'hex'));
    await server.closed;
  });
});
