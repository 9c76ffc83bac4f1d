import { createServer, request } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { ChunkStream } from './stream.ts';

describe('ChunkStream', () => {
  const servers: Server[] = [];
  const listen = async (answer: (stream: ChunkStream, response: ServerResponse) => Promise<void>): Promise<number> => {
    const server = createServer((_request, response) => {
      response.flushHeaders();
      answer(new ChunkStream(response), response).then(() => response.end(), () => response.destroy());
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  };
  const text = async (port: number): Promise<string> => {
    const answer = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => request({ port }, resolve).on('error', reject).end());
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  };
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.close();
      server.closeAllConnections();
    }
  });

  it('sends shared pieces and copied parts of any size, in order', async () => {
    const parts = [Buffer.from('a'.repeat(10)), Buffer.alloc(0), Buffer.from('b'.repeat(300_000)), Buffer.from('c')];
    const shared = Buffer.from('shared\n');
    const port = await listen(async (stream) => {
      await stream.write(shared);
      await stream.copy(parts);
      await stream.write(shared);
      await stream.copy([]);
    });
    const expected = `shared\n${Buffer.concat(parts).toString()}shared\n`;
    expect(await text(port) === expected).to.equal(true);
    expect(await text(port) === expected, 'the same pieces again').to.equal(true);
  });

  it('answers HTTP/1.0, which knows no chunks, and a request behind another on its connection', async () => {
    const port = await listen(async (stream) => {
      await stream.write(Buffer.from('one,'));
      await stream.copy([Buffer.from('two')]);
    });
    const raw = (bytes: string): Promise<string> => new Promise((resolve, reject) => {
      let got = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes)).setEncoding('utf8');
      socket.on('data', (data: string) => { got += data; }).on('close', () => resolve(got)).on('error', reject);
    });
    expect((await raw('GET / HTTP/1.0\r\n\r\n')).split('\r\n\r\n')[1]).to.equal('one,two');
    const both = await raw('GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect(both.match(/^HTTP\/1\.1 200/gm)).to.have.length(2);
    expect(both.match(/one,/g)).to.have.length(2);
    expect(both.match(/two/g)).to.have.length(2);
  });

  it('waits for a reader that is slow and settles when it goes', async () => {
    let settled: (value: string) => void = () => undefined;
    const outcome = new Promise<string>((resolve) => { settled = resolve; });
    const port = await listen(async (stream) => {
      const piece = Buffer.alloc(1024 * 1024);
      let waited = 0;
      while (!stream.gone) {
        const full = stream.write(piece);
        if (full) {
          waited += 1;
          await full;
        }
        await new Promise(setImmediate);
      }
      await stream.copy([piece]);
      settled(waited > 0 ? 'waited' : 'never waited');
    });
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')).pause();
    setTimeout(() => socket.destroy(), 200);
    expect(await outcome).to.equal('waited');
  });
});
