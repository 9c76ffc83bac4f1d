import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseFlags, UsageError } from '#machinery/base/flags.ts';
import { startTestServer } from '../testing.ts';
import { authFlags, readAuthOptions } from './options.ts';
import type { RemoteTokens } from './other-tokens.ts';
import { TokenError } from './service-account-tokens.ts';
import { createTokenWebhook } from './token-webhook.ts';

interface Review { kind: string; apiVersion: string; spec: { token: string; audiences: string[] } }
type Reply = { code?: number; headers?: Record<string, string>; text?: string; status?: unknown };

describe('createTokenWebhook()', () => {
  let folder: string;
  let kubeconfig: string;
  let server: Server;
  let asked: Review[];
  let reply: (review: Review, count: number) => Reply;
  const stop = new AbortController();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'token-webhook-'));
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
        asked.push(review);
        const { code = 200, headers = {}, text, status } = reply(review, asked.length);
        if (code === 0) request.socket.resetAndDestroy();
        else response.writeHead(code, headers).end(text ?? JSON.stringify({ kind: review.kind, apiVersion: review.apiVersion, status }));
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, JSON.stringify({ clusters: [{ name: 'a', cluster: { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ask` } }] }));
  });
  beforeEach(() => {
    asked = [];
  });
  after(async () => {
    stop.abort(new Error('the test is over'));
    server.close().closeAllConnections();
    await rm(folder, { recursive: true });
  });
  const clock = { at: 0 };
  const made = (): Promise<RemoteTokens> => createTokenWebhook({ configFile: kubeconfig, cacheTtlMs: 1000, version: 'v1' }, ['api'], stop.signal, { now: () => clock.at, firstWaitMs: 1 });
  const problem = async (tokens: RemoteTokens): Promise<string> => Promise.resolve(tokens.authenticate('t', ['api'])).then((found) => `found ${JSON.stringify(found)}`, (error: unknown) => (error instanceof TokenError ? error.message : `another error: ${String(error)}`));
  const ann = { authenticated: true, user: { username: 'ann', uid: 'u', groups: ['devs'], extra: { a: ['b'] } } };

  it('asks for the audiences wanted, and believes the answer for a while', async () => {
    reply = () => ({ status: ann });
    const tokens = await made();
    const user = { name: 'ann', uid: 'u', groups: ['devs', 'system:authenticated'], extra: { a: ['b'] } };
    const [one, other] = await Promise.all([tokens.authenticate('t', ['api', 'x']), tokens.authenticate('t', ['api', 'x'])]);
    expect(one).to.deep.equal({ user, audiences: ['api'] });
    expect(other?.user).to.equal(one?.user);
    expect(asked).to.deep.equal([{ kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v1', metadata: {}, spec: { token: 't', audiences: ['api', 'x'] } }]);
    clock.at += 1000;
    await tokens.authenticate('t', ['api', 'x']);
    expect(asked).to.have.length(2);
  });
  it('believes for a while that nobody has a token, but not that one is wrong', async () => {
    reply = (_, count) => ({ status: { authenticated: false, ...(count > 1 ? { error: 'revoked' } : {}) } });
    const tokens = await made();
    expect(await problem(tokens)).to.equal('found undefined');
    expect(await problem(tokens)).to.equal('found undefined');
    expect(asked).to.have.length(1);
    clock.at += 1000;
    expect([await problem(tokens), await problem(tokens)]).to.deep.equal(['revoked', 'revoked']);
    expect(asked).to.have.length(3);
  });
  it('takes the audiences that the answer names', async () => {
    reply = () => ({ status: { ...ann, audiences: ['y'] } });
    const tokens = await made();
    expect(await tokens.authenticate('t', ['api'])).to.equal(undefined);
    expect((await tokens.authenticate('t', ['y']))?.audiences).to.deep.equal(['y']);
  });
  for (const [title, passing] of [['a 500', { code: 500 }], ['a 429', { code: 429 }], ['a 504', { code: 504 }], ['a 503 with Retry-After', { code: 503, headers: { 'retry-after': '1' } }], ['a connection that was reset', { code: 0 }]] as const) {
    it(`tries again after ${title}, five times at most`, async () => {
      reply = (_, count) => (count < 3 ? passing : { status: ann });
      expect(await problem(await made())).to.include('ann');
      expect(asked).to.have.length(3);
      asked = [];
      reply = () => passing;
      expect(await problem(await made())).to.include('the token could not be looked up');
      expect(asked).to.have.length(5);
    });
  }
  for (const [title, answer, text] of [
    ['a 403', { code: 403 }, 'the webhook answered 403'], ['a 503', { code: 503 }, 'the webhook answered 503'], ['a way elsewhere', { code: 302, headers: { location: '/x' } }, 'the webhook answered 302'],
    ['no JSON', { text: 'yes' }, 'something other than JSON'], ['null', { text: 'null' }, 'no TokenReview of authentication.k8s.io/v1'],
    ['another version', { text: '{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1beta1","status":{"authenticated":true,"user":{"username":"x"}}}' }, 'no TokenReview of authentication.k8s.io/v1'],
    ['a status that is a word', { status: 'yes' }, 'no readable status'], ['too much', { text: 'x'.repeat(2 << 20) }, 'is longer than'],
    ['nobody', { status: { authenticated: true, user: {} } }, 'names no user'], ['groups that are none', { status: { authenticated: true, user: { username: 'x', groups: ['a', 1] } } }, 'something else than texts'],
    ['a word for yes', { status: { authenticated: 'true', user: { username: 'x' } } }, 'found undefined'], ['nothing', { status: undefined }, 'found undefined'],
  ] as const) {
    it(`refuses a token when the answer is ${title}`, async () => {
      reply = () => answer;
      expect(await problem(await made())).to.include(text);
      expect(asked).to.have.length(1);
    });
  }
  it('is asked last by a server that names it, about what nobody else knows', async () => {
    reply = ({ spec }) => ({ status: spec.token === 'good' ? ann : { authenticated: false } });
    const auth = readAuthOptions(parseFlags(authFlags, [`--authentication-token-webhook-config-file=${kubeconfig}`, '--authentication-token-webhook-version=v1']));
    const api = await startTestServer({ options: { auth }, tokenFile: 'file,bob,b' });
    try {
      const whoAmI = async (token: string) => api.call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { as: 'nobody', headers: { authorization: `Bearer ${token}` }, body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' } });
      expect((await whoAmI('good')).body['status']).to.deep.equal({ userInfo: { username: 'ann', uid: 'u', groups: ['devs', 'system:authenticated'], extra: { a: ['b'] } } });
      expect((await whoAmI('bad')).status).to.equal(401);
      expect((await whoAmI('file')).status).to.equal(201);
      expect(asked.map(({ spec }) => spec.token)).to.deep.equal(['good', 'bad']);
    } finally {
      await api.stop();
    }
  });
  for (const [title, content] of [['is not there', undefined], ['names no server', '{}'], ['wants a program to be run', '{"clusters":[{"cluster":{"server":"https://x"}}],"users":[{"user":{"exec":{}}}]}'], ['is at another scheme', '{"clusters":[{"cluster":{"server":"ftp://x"}}]}'], ['goes through a proxy', '{"clusters":[{"cluster":{"server":"https://x","proxy-url":"http://p"}}]}']] as const) {
    it(`cannot be made of a kubeconfig that ${title}`, async () => {
      const file = join(folder, 'bad');
      await (content === undefined ? rm(file, { force: true }) : writeFile(file, content));
      const error: unknown = await createTokenWebhook({ configFile: file, cacheTtlMs: 1000, version: 'v1' }, [], stop.signal).catch((refusal: unknown) => refusal);
      expect(String(error)).to.match(/^StartError: --authentication-token-webhook-config-file .* cannot be used: /);
    });
  }
  for (const flag of ['--authentication-token-webhook-version=v2', '--authentication-token-webhook-cache-ttl=soon']) {
    it(`refuses ${flag}`, () => expect(() => readAuthOptions(parseFlags(authFlags, ['--authentication-token-webhook-config-file=/x', flag]))).to.throw(UsageError));
  }
});
