import { expect } from 'chai';
import { loadKubeconfig, parseKubeconfig } from './kubeconfig.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const good = {
  'current-context': 'c',
  contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
  clusters: [{ name: 'k', cluster: { 'server': 'https://x:1', 'certificate-authority-data': base64('CA') } }],
  users: [{ name: 'u', user: { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') } }],
};
async function refusal(change: object): Promise<string> {
  try {
    await parseKubeconfig(JSON.stringify({ ...good, ...change }), '/');
  } catch (error) {
    return (error as Error).message; // nothing else is thrown
  }
  return 'accepted';
}

describe('parseKubeconfig()', () => {
  it('reads JSON', async () => {
    expect(await parseKubeconfig(JSON.stringify(good), '/')).to.deep.equal({ server: 'https://x:1', ca: 'CA', cert: 'CERT', key: 'KEY' });
  });
  it('reads YAML', async () => {
    const yaml = 'current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters: [{name: k, cluster: {server: "http://x"}}]\nusers: [{name: u, user: {token: t, tokenFile: f}}]\n';
    expect(await parseKubeconfig(yaml, '/d')).to.deep.equal({ server: 'http://x', token: 't', tokenFile: '/d/f' });
  });
  for (const [change, message] of [
    [{ 'current-context': '' }, /no current-context/],
    [{ 'current-context': 'd' }, /no context d/],
    [{ clusters: [] }, /names the cluster k/],
    [{ users: [] }, /names the user u/],
    [{ clusters: [{ name: 'k', cluster: {} }] }, /has no server/],
    [{ users: [{ name: 'u', user: { exec: {} } }] }, /by exec, which is not supported/],
    [{ users: [{ name: 'u', user: { 'client-key-data': 'eA==' } }] }, /only one of/],
  ] as [object, RegExp][]) {
    it(`refuses ${JSON.stringify(change).slice(0, 60)}`, async () => {
      expect(await refusal(change)).to.match(message);
    });
  }
  it('names the file that cannot be read', async () => {
    let message = '';
    await loadKubeconfig('/nowhere/x').catch((error: Error) => (message = error.message));
    expect(message).to.match(/kubeconfig \/nowhere\/x cannot be read/);
  });
});
