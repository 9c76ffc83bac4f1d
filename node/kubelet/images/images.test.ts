import { expect } from 'chai';
import { credentialsFor, registryOf } from './credentials.ts';
import { withDefaultTag } from './images.ts';

describe('withDefaultTag()', () => {
  for (const [image, expected] of [['nginx', 'nginx:latest'], ['a/b:1', 'a/b:1'], ['localhost:5000/x', 'localhost:5000/x:latest'], [`x@sha256:${'a'.repeat(64)}`, `x@sha256:${'a'.repeat(64)}`]] as const) {
    it(`${image} is ${expected}`, () => expect(withDefaultTag(image)).to.equal(expected));
  }
  for (const image of ['', 'Nginx', 'a b', 'x:', ':1', 'x@sha256:zz']) it(`refuses "${image}"`, () => expect(() => withDefaultTag(image)).to.throw(/couldn't parse image name/));
});

describe('credentialsFor()', () => {
  const secret = (auths: object) => ({ metadata: {}, data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') } });
  it('finds the registry of an image, the longest path first', () => {
    const found = credentialsFor('r.example/team/x:1', [secret({ 'r.example': { auth: Buffer.from('u:p:q').toString('base64') }, 'https://r.example/team': { username: 'v', password: 'w' }, 'other.example': { username: 'n' } })]);
    expect(found.map(({ username, password }) => `${username} ${password}`)).to.deep.equal(['v w', 'u p:q']);
  });
  it('leaves an image without a registry to the engine, with the credentials of its own', () => {
    expect(registryOf('nginx')).to.equal('');
    expect(registryOf('team/nginx')).to.equal('');
    expect(registryOf('localhost/x')).to.equal('localhost');
    const secrets = [secret({ 'https://index.own.example/v1/': { username: 'own', password: 'p' }, 'r.example': { username: 'other', password: 'p' } })];
    for (const image of ['nginx', 'team/nginx', 'own.example/team/nginx']) expect(credentialsFor(image, secrets).map(({ username }) => username), image).to.deep.equal(['own']);
    expect(credentialsFor('r.example/x', secrets).map(({ username }) => username)).to.deep.equal(['other']);
  });
  it('throws on a secret that is no JSON', () => expect(() => credentialsFor('x', [{ metadata: {}, data: { '.dockercfg': 'AAAA' } }])).to.throw());
});
