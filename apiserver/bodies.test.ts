// What hostile bodies come to: a 4xx Status from a server that goes on. The long form is `npm run soak -- bodies`.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { expect } from 'chai';
import fc from 'fast-check';
import { namedBodies, prepare, randomBodies, randomPatches, rawRequest, target, wrongAnswer } from './hostile-bodies.ts';
import type { HostileBody } from './hostile-bodies.ts';
import { startTestServer } from './testing.ts';
import type { TestServer } from './testing.ts';

describe('hostile bodies', function () {
  this.timeout(60_000);
  let server: TestServer;
  const delay = monitorEventLoopDelay({ resolution: 20 });
  before(async () => {
    server = await startTestServer();
    await prepare(server);
    delay.enable();
  });
  after(async () => {
    delay.disable();
    await server.stop();
  });

  it('that have a name are each refused with a Status', async () => {
    const wrong: string[] = [];
    for (const body of await namedBodies(false)) {
      const started = performance.now();
      const answer = await wrongAnswer(server, body);
      const tookMs = performance.now() - started;
      if (answer !== undefined) wrong.push(`${body.title}: ${answer}`);
      if (tookMs > 15_000) wrong.push(`${body.title}: took ${Math.round(tookMs)} ms`);
    }
    expect(wrong.join('\n')).to.equal('');
  });
  for (const [title, arbitrary] of [['bodies', randomBodies()], ['operations', randomPatches()]] as const) {
    it(`random ${title} never make the server fail`, () => fc.assert(fc.asyncProperty(arbitrary, async (body: HostileBody) => {
      expect(await wrongAnswer(server, body)).to.equal(undefined);
    }), { numRuns: 150, seed: 20_260_101, interruptAfterTimeLimit: 8000, endOnFailure: true }));
  }
  const head = 'POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
  const raw: [string, string, RegExp][] = [
    ['a length beyond the body', `${head}Content-Length: 1000\r\n\r\n{}`, /^(HTTP\/1\.1 400 .*)?$/],
    ['a length short of the body', `${head}Content-Length: 2\r\nConnection: close\r\n\r\n{}{}{}{}`, /^HTTP\/1\.1 4\d\d /],
    ['a negative length', `${head}Content-Length: -1\r\n\r\n{}`, /^HTTP\/1\.1 400 /],
    ['two lengths', `${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, /^HTTP\/1\.1 400 /],
    ['a length and chunks', `${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`, /^HTTP\/1\.1 400 /],
    ['a chunk without a length', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`, /^(HTTP\/1\.1 400 .*)?$/],
    ['a length beyond the limit', `${head}Content-Length: 99999999999\r\n\r\n{}`, /^HTTP\/1\.1 413 /],
  ];
  for (const [title, text, answer] of raw) {
    it(`${title} is refused`, async () => {
      expect(await rawRequest(server, text, AbortSignal.timeout(10_000))).to.match(answer);
    });
  }
  it('left the server answering, without a pause of seconds, and nothing else behind', async () => {
    expect((await server.call('GET', '/readyz')).status).to.equal(200);
    expect(delay.max / 1e6).to.be.lessThan(2000);
    expect(({} as Record<string, unknown>)['polluted']).to.equal(undefined);
    expect((await server.call('GET', '/api/v1/namespaces/default/configmaps/target')).body['data']).to.deep.equal(target.data);
  });
});
