import { expect } from 'chai';
import type { Client } from '#machinery/client/types.ts';
import { createScales, scaleOrGone } from './scale.ts';

const never = new AbortController().signal;
const discovery = (kinds: Record<string, string[]>): unknown => ({
  kind: 'APIGroupDiscoveryList',
  items: [{ metadata: { name: 'g' }, versions: [{ version: 'v1', resources: Object.entries(kinds).map(([kind, subresources]) => ({
    resource: `${kind.toLowerCase()}s`, responseKind: { kind }, scope: 'Namespaced', verbs: ['get'], subresources: subresources.map((subresource) => ({ subresource })),
  })) }] }],
});

function server(kinds: Record<string, string[]>, answers: Record<string, unknown> = {}): { calls: string[]; kinds: Record<string, string[]>; client: Client } {
  const calls: string[] = [];
  const self = { calls, kinds, client: {
    raw: async (method: string, path: string) => {
      calls.push(`${method} ${path}`);
      if (path === '/api') return { status: 200, body: '{"kind":"APIGroupDiscoveryList","items":[]}' };
      if (path === '/apis') return { status: 200, body: JSON.stringify(discovery(self.kinds)) };
      if (path in answers) return { status: 200, body: JSON.stringify(answers[path]) };
      return { status: 404, body: '{"kind":"Status","reason":"NotFound","message":"gone","code":404}' };
    },
  } as unknown as Client }; // asked for no more
  return self;
}

describe('createScales()', () => {
  it('finds the resource of a kind and asks for its scale', async () => {
    const path = '/apis/g/v1/namespaces/n/things/a/scale';
    const { client, calls } = server({ Thing: ['scale'] }, { [path]: { spec: { replicas: 4 } } });
    const scales = createScales(client, () => 0);
    const thing = await scales.resourceOf('g', 'v1', 'Thing', never);
    expect((await scaleOrGone(scales, thing, 'n', 'a', never))?.spec?.replicas).to.equal(4);
    expect(calls).to.deep.equal(['GET /api', 'GET /apis', `GET ${path}`]);
  });
  it('tells an object that is gone from a kind without a scale', async () => {
    const { client } = server({ Thing: ['scale'], Other: ['status'] });
    const scales = createScales(client, () => 0);
    expect(await scaleOrGone(scales, await scales.resourceOf('g', 'v1', 'Thing', never), 'n', 'a', never)).to.equal(undefined);
    const message = await scaleOrGone(scales, await scales.resourceOf('g', '', 'Other', never), 'n', 'a', never).then(() => '', (error: Error) => error.message);
    expect(message).to.equal('others.g does not implement the scale subresource');
  });
  it('asks again for a kind that it does not know, but not at once', async () => {
    let now = 0;
    const api = server({});
    const scales = createScales(api.client, () => now);
    const ask = (): Promise<string> => scales.resourceOf('g', 'v1', 'Thing', never).then(({ resource }) => resource, (error: Error) => error.message);
    expect(await ask()).to.equal('no matches for kind "Thing" in version "g/v1"');
    api.kinds = { Thing: ['scale'] };
    expect(await ask()).to.match(/no matches/);
    expect(api.calls).to.have.length(2);
    now = 31_000;
    expect(await ask()).to.equal('things');
  });
});
