// Health and metrics over HTTPS: what is open, who may read the rest.
import { request } from 'node:https';
import { expect } from 'chai';
import type { Client } from '../client/types.ts';
import { createCa, issueCertificate } from '../pki/pki.ts';
import type { ServingConfig } from './flags.ts';
import { serve } from './serve.ts';

/** Knows the tokens `reader` and `other`; only the former may get /metrics and /configz. `asked` lists the reviews. */
function reviewing(asked: string[]): Client {
  return {
    async create<T>(...[resource, , object]: Parameters<Client['create']>): Promise<T> {
      const { spec } = object as { spec: { token?: string; user?: string; nonResourceAttributes?: { path: string; verb: string } } };
      asked.push(resource.resource);
      const status = resource.resource === 'tokenreviews'
        ? { authenticated: ['reader', 'other'].includes(spec.token ?? ''), user: { username: spec.token } }
        : { allowed: spec.user === 'reader' && ['/metrics', '/configz'].includes(spec.nonResourceAttributes?.path ?? '') && spec.nonResourceAttributes?.verb === 'get' };
      return { status } as T;
    },
  } as Partial<Client> as Client; // reviews are all that is asked for
}

interface Answer { code: number; text: string }
type Get = (path: string, token?: string, method?: string, pair?: { cert: string; key: string }) => Promise<Answer>;
async function withServer(test: (get: Get, asked: string[]) => Promise<void>, ready: readonly (readonly [string, string | undefined])[] = [], more: Partial<ServingConfig> = {}): Promise<void> {
  const asked: string[] = [];
  const stop = new AbortController();
  const config: ServingConfig = { address: '127.0.0.1', port: 0, certificate: undefined, openPaths: ['/healthz', '/readyz', '/livez'], ...more };
  let running: Promise<void> | undefined;
  const port = await new Promise<number>((resolve, reject) => {
    running = serve('test', config, reviewing(asked), { ready: () => ready, metrics: async () => 'some_metric 1\n', documents: { '/configz': () => ({ a: 1 }) } }, stop.signal, resolve);
    running.catch(reject);
  });
  const get: Get = (path, token, method = 'GET', pair) => new Promise<Answer>((resolve, reject) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    request({ host: '127.0.0.1', port, path, method, headers, rejectUnauthorized: false, agent: false, ...pair }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('end', () => resolve({ code: response.statusCode ?? 0, text }));
    }).on('error', reject).end();
  });
  try {
    await test(get, asked);
  } finally {
    stop.abort();
    await running;
  }
}

describe('serve()', () => {
  it('answers health to everybody', () => withServer(async (get, asked) => {
    for (const path of ['/healthz', '/livez', '/readyz']) expect(await get(path)).to.deep.equal({ code: 200, text: 'ok' });
    expect(asked).to.deep.equal([]);
  }));
  it('says what is not ready', () => withServer(async (get) => {
    expect(await get('/readyz')).to.deep.equal({ code: 500, text: '[-]informer-sync failed: not yet\nreadyz check failed\n' });
  }, [['informer-sync', 'not yet']]));
  it('shows metrics to who may get them, and asks once', () => withServer(async (get, asked) => {
    for (let i = 0; i < 2; i += 1) expect(await get('/metrics', 'reader')).to.deep.equal({ code: 200, text: 'some_metric 1\n' });
    expect(asked).to.deep.equal(['tokenreviews', 'subjectaccessreviews']);
  }));
  it('shows further pages as JSON to who may get them', () => withServer(async (get) => {
    expect(await get('/configz', 'reader')).to.deep.equal({ code: 200, text: '{"a":1}\n' });
    expect((await get('/configz', 'other')).code).to.equal(403);
  }));
  it('knows who shows a certificate of the clients\' CA', async () => {
    const [ca, foreign] = await Promise.all([createCa('clients'), createCa('others')]);
    const pair = (of: typeof ca, commonName: string): Promise<{ cert: string; key: string }> => issueCertificate(of, { commonName, organizations: ['team'], usages: ['client'] });
    const [reader, other, stranger] = await Promise.all([pair(ca, 'reader'), pair(ca, 'other'), pair(foreign, 'reader')]);
    await withServer(async (get, asked) => {
      expect((await get('/metrics', undefined, 'GET', reader)).code).to.equal(200);
      expect(asked, 'no token is looked at').to.deep.equal(['subjectaccessreviews']);
      expect(await get('/metrics', undefined, 'GET', other)).to.deep.equal({ code: 403, text: 'forbidden: User "other" cannot get path "/metrics"\n' });
      expect((await get('/metrics', undefined, 'GET', stranger)).code).to.equal(401);
      expect((await get('/metrics', 'reader', 'GET', stranger)).code, 'by its token').to.equal(200);
      expect((await get('/healthz')).code).to.equal(200);
    }, [], { clientCa: ca.cert });
  });
  const refusals: [title: string, path: string, token: string | undefined, method: string, code: number, text: string][] = [
    ['nobody', '/metrics', undefined, 'GET', 401, 'a bearer token is needed\n'],
    ['an unknown token', '/metrics', 'nonsense', 'GET', 401, 'Unauthorized\n'],
    ['a user without the right', '/metrics', 'other', 'GET', 403, 'forbidden: User "other" cannot get path "/metrics"\n'],
    ['a path without the right', '/debug', 'reader', 'GET', 403, 'forbidden: User "reader" cannot get path "/debug"\n'],
    ['a write', '/healthz', undefined, 'POST', 405, 'only GET is served\n'],
  ];
  for (const [title, path, token, method, code, text] of refusals) it(`refuses ${title}`, () => withServer(async (get) => {
    expect(await get(path, token, method)).to.deep.equal({ code, text });
  }));
});
