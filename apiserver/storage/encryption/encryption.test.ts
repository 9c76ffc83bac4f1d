import { createDecipheriv, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { eventually } from '#machinery/base/abort.ts';
import { StartError } from '#machinery/base/start-error.ts';
import { startTestServer } from '../../testing.ts';
import type { TestServer } from '../../testing.ts';
import { openSqlite } from '../sqlite.ts';
import type { Storage } from '../storage.ts';
import { parseEncryptionConfiguration, ruleFor } from './configuration.ts';
import { encryptingStorage } from './encrypting-storage.ts';
import { encrypt } from './encryption.ts';
import { aescbc, aesgcm, secretbox } from './transformers.ts';
import type { Transformer } from './transformers.ts';

const key = (bytes: number): Buffer => Buffer.alloc(bytes, 'k');
const all: Record<string, (name: string, secret: Buffer) => Transformer> = { aesgcm, aescbc, secretbox: (name, secret) => secretbox(name, secret, xsalsa20poly1305) };
const configuration = (providers: string, resources = 'secrets'): string => `kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [${resources}]\n  providers: ${providers}\n`;
const keyed = (provider: string, name: string, secret = key(32).toString('base64')): string => `{ ${provider}: { keys: [{ name: ${name}, secret: "${secret}" }] } }`;
const at = '/registry/secrets/default/x';

describe('transformers of values at rest', () => {
  for (const [name, make] of Object.entries(all)) {
    it(`${name} opens what it sealed, and never seals twice alike`, () => {
      const transformer = make('one', key(32));
      const plain = Buffer.from('{"kind":"Secret"}');
      const [first, second] = [transformer.seal(plain, at), transformer.seal(plain, at)];
      expect(first.equals(second)).to.equal(false);
      expect(first.includes('Secret')).to.equal(false);
      expect(transformer.open(first, at).equals(plain)).to.equal(true);
      expect(transformer.prefix).to.equal(`k8s:enc:${name}:v1:one:`);
    });
    it(`${name} refuses another key, and what is cut off`, () => {
      const sealed = make('one', key(32)).seal(Buffer.alloc(64, 'x'), at);
      const opened = (): Buffer => make('one', Buffer.alloc(32, 'o')).open(sealed, at);
      if (name === 'aescbc') {
        // Padding that happens to fit is all it could notice.
        try {
          expect(opened().equals(Buffer.alloc(64, 'x'))).to.equal(false);
        } catch (error) {
          expect(error).to.be.instanceOf(Error);
        }
      } else expect(opened).to.throw();
      expect(() => make('one', key(32)).open(sealed.subarray(0, 20), at)).to.throw();
    });
  }
  it('aesgcm and secretbox notice a changed bit; aesgcm also another place', () => {
    for (const transformer of [aesgcm('a', key(16)), secretbox('a', key(32), xsalsa20poly1305)]) {
      const sealed = transformer.seal(Buffer.from('plain'), at);
      sealed[sealed.length - 3] = (sealed.at(-3) ?? 0) ^ 1;
      expect(() => transformer.open(sealed, at)).to.throw();
    }
    expect(() => aesgcm('a', key(16)).open(aesgcm('a', key(16)).seal(Buffer.from('plain'), at), '/registry/secrets/default/y')).to.throw();
  });
  it('the layout is upstream\'s: nonce, ciphertext, tag; the key as additional data', () => {
    const sealed = aesgcm('a', key(32)).seal(Buffer.from('plain'), at);
    const decipher = createDecipheriv('aes-256-gcm', key(32), sealed.subarray(0, 12)).setAAD(Buffer.from(at)).setAuthTag(sealed.subarray(-16));
    expect(Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]).toString()).to.equal('plain');
    const block = aescbc('a', key(32)).seal(Buffer.from('plain'), at);
    const cbc = createDecipheriv('aes-256-cbc', key(32), block.subarray(0, 16));
    expect(Buffer.concat([cbc.update(block.subarray(16)), cbc.final()]).toString()).to.equal('plain');
  });
});

describe('EncryptionConfiguration', () => {
  const resources = [{ group: '', resource: 'secrets' }, { group: '', resource: 'configmaps' }, { group: 'apps', resource: 'deployments' }];
  const read = (text: string) => parseEncryptionConfiguration(text, resources);
  async function refusal(text: string): Promise<string> {
    try {
      await read(text);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('taken');
  }

  it('the first rule that means a key counts', async () => {
    const rules = await read(`${configuration(`[${keyed('aesgcm', 'a')}]`)}- resources: ['*.']\n  providers: [${keyed('aesgcm', 'b')}]\n- resources: ['*.apps', widgets.example.com]\n  providers: [${keyed('aesgcm', 'c')}]\n- resources: ['*.*']\n  providers: [{ identity: {} }, ${keyed('aesgcm', 'd')}]\n`);
    const first = (place: string): string | undefined => ruleFor(rules, place)?.transformers[0]?.prefix;
    expect(first(at)).to.equal('k8s:enc:aesgcm:v1:a:');
    expect(first('/registry/configmaps/default/x')).to.equal('k8s:enc:aesgcm:v1:b:');
    expect(first('/registry/deployments/default/x')).to.equal('k8s:enc:aesgcm:v1:c:');
    expect(first('/registry/example.com/widgets/default/x')).to.equal('k8s:enc:aesgcm:v1:c:');
    expect(first('/registry/leases/default/x')).to.equal('');
    expect(first('/registry/ranges/serviceips')).to.equal(undefined);
  });

  for (const [title, text, says] of [
    ['no YAML', '{', /^not YAML: /],
    ['another kind', 'kind: Config\napiVersion: v1\n', /must be of kind EncryptionConfiguration/],
    ['no rules', 'kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n', 'resources: Required value: at least one resources is required'],
    ['no providers', configuration('[]'), 'resources[0].providers: Required value: at least one resources[0].providers is required'],
    ['a provider that nobody knows', configuration('[{ rot13: {} }]'), 'resources[0].providers[0]: Invalid value: provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity'],
    ['two providers in one', configuration('[{ identity: {}, aescbc: {} }]'), 'resources[0].providers[0]: Invalid value: more than one provider specified in a single element, should split into different list elements'],
    ['a key service', configuration('[{ kms: { name: a } }]'), /^resources\[0\]\.providers\[0\]\.kms: Forbidden: key services are not supported yet/],
    ['no keys', configuration('[{ aescbc: { keys: [] } }]'), 'resources[0].providers[0].aescbc.keys: Required value: at least one keys is required'],
    ['a short key', configuration(`[${keyed('secretbox', 'a', key(16).toString('base64'))}]`), 'resources[0].providers[0].secretbox.keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 16, expected one of [32]'],
    ['a key that is no base64', configuration(`[${keyed('aescbc', 'a', 'not base64!')}]`), 'resources[0].providers[0].aescbc.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 encoded'],
    ['capital letters', configuration('[{ identity: {} }]', 'Secrets'), 'resources[0].resources[0]: Invalid value: "Secrets": resource name should not contain capital letters'],
    ['a bare star', configuration('[{ identity: {} }]', '"*"'), `resources[0].resources[0]: Invalid value: "*": use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources`],
    ['events of the other group', configuration('[{ identity: {} }]', 'events.events.k8s.io'), /stored using the 'events' API group/],
    ['twice the same', configuration('[{ identity: {} }]', 'secrets, secrets'), /the same resource cannot be specified multiple times$/],
    ['one that masks another', configuration('[{ identity: {} }]', 'secrets, "*."'), /will be masked$/],
  ] as const) {
    it(`refuses ${title}`, async () => {
      const message = await refusal(text);
      if (typeof says === 'string') expect(message).to.equal(says);
      else expect(message).to.match(says);
      expect(message).not.to.include(key(16).toString('base64'));
    });
  }
});

describe('a store with encryption', () => {
  let folder: string;
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'proa-encryption-')); });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('hands what it cannot open on as it is stored, and reads the rest', async () => {
    const engine = await openSqlite({ path: join(folder, 'state.db') });
    try {
      const under = async (name: string): Promise<Storage> => {
        const rules = await parseEncryptionConfiguration(configuration(`[${keyed('aesgcm', name)}]`), []);
        return encryptingStorage(engine, () => rules);
      };
      const [mine, other] = [await under('mine'), await under('other')];
      await mine.put(at, Buffer.from('secret'), { expected: 0n });
      await other.put(`${at}2`, Buffer.from('theirs'), { expected: 0n });
      await mine.put('/registry/configmaps/default/x', Buffer.from('plain'), { expected: 0n });
      const { items } = await mine.range({ prefix: '/registry/' });
      expect(items.map(({ value }) => value.toString('latin1').slice(0, 25))).to.deep.equal(['plain', 'secret', 'k8s:enc:aesgcm:v1:other:' + (items[2]?.value.toString('latin1').charAt(24) ?? '')]);
      expect((await engine.get('/registry/configmaps/default/x')).value?.value.toString()).to.equal('plain');
      expect([await mine.isStale?.(at), await other.isStale?.(at), await mine.isStale?.('/registry/configmaps/default/x'), await mine.isStale?.('/registry/secrets/none')]).to.deep.equal([false, true, false, false]);
      for await (const { events } of mine.watch('/registry/secrets/', 0n, AbortSignal.timeout(2000))) {
        const [event] = events;
        if (event?.type === 'put') {
          expect(event.value.toString()).to.equal('secret');
          break;
        }
      }
      const refused = await mine.put(at, Buffer.from('again'), { expected: 0n });
      expect(!refused.ok && refused.current?.value.toString()).to.equal('secret');
    } finally {
      await engine.close();
    }
  });

  it('takes a changed file when it is told to look, and keeps the old one when that cannot be used', async () => {
    const file = join(folder, 'config.yaml');
    writeFileSync(file, configuration(`[${keyed('aesgcm', 'one')}]`));
    const stop = new AbortController();
    const engine = await openSqlite({ path: join(folder, 'state.db') });
    const storage = await encrypt(engine, { file, reload: true }, stop.signal, 10);
    try {
      const head = async (name: string): Promise<string> => {
        await storage.put(`/registry/secrets/a/${name}`, Buffer.from('x'), { expected: 0n });
        return (await engine.get(`/registry/secrets/a/${name}`)).value?.value.toString('latin1').slice(0, 22) ?? '';
      };
      expect(await head('1')).to.equal('k8s:enc:aesgcm:v1:one:');
      writeFileSync(file, 'nonsense');
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(await head('2')).to.equal('k8s:enc:aesgcm:v1:one:');
      writeFileSync(file, configuration(`[${keyed('aesgcm', 'two')}, ${keyed('aesgcm', 'one')}]`));
      let n = 3;
      await eventually(AbortSignal.timeout(3000), async () => (await head(String(n += 1))) === 'k8s:enc:aesgcm:v1:two:', 20);
      expect((await storage.get('/registry/secrets/a/1')).value?.value.toString()).to.equal('x');
    } finally {
      stop.abort();
      await engine.close();
    }
  });

  it('does not start with a file that cannot be used', async () => {
    const engine = await openSqlite({ path: join(folder, 'state.db') });
    let message = '';
    try {
      await encrypt(engine, { file: join(folder, 'none.yaml'), reload: false }, AbortSignal.timeout(1000));
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      ({ message } = error);
    }
    expect(message).to.match(/^--encryption-provider-config .*none\.yaml cannot be used: ENOENT/);
  });

  it('leaves nothing readable on disk, and a rewrite changes the key', async () => {
    const path = join(folder, 'state.db');
    const file = join(folder, 'config.yaml');
    const needle = randomBytes(16).toString('hex');
    const onDisk = (text: string): boolean => readdirSync(folder).some((name) => name.startsWith('state.db') && existsSync(join(folder, name)) && readFileSync(join(folder, name)).includes(text));
    const start = (providers: string): Promise<TestServer> => {
      writeFileSync(file, configuration(providers));
      return startTestServer({ storage: { engine: 'sqlite', path }, options: { encryption: { file, reload: false } } });
    };
    const secret = '/api/v1/namespaces/default/secrets/s';
    const value = Buffer.from(needle).toString('base64');
    let server = await start(`[${keyed('secretbox', 'old')}]`);
    expect((await server.call('POST', '/api/v1/namespaces/default/secrets', { body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data: { a: value } } })).status).to.equal(201);
    await server.stop();
    expect([onDisk(value), onDisk('k8s:enc:secretbox:v1:old:')]).to.deep.equal([false, true]);

    server = await start(`[${keyed('aesgcm', 'new')}, ${keyed('secretbox', 'old')}]`);
    const { body } = await server.call('GET', secret);
    expect((body as { data?: { a?: string } }).data?.a).to.equal(value);
    const version = (object: Record<string, unknown>): string => (object as { metadata: { resourceVersion: string } }).metadata.resourceVersion;
    const replaced = await server.call('PUT', secret, { body });
    expect(version(replaced.body)).not.to.equal(version(body));
    expect(version((await server.call('PUT', secret, { body: replaced.body })).body)).to.equal(version(replaced.body));
    await server.stop();
    expect(onDisk('k8s:enc:aesgcm:v1:new:')).to.equal(true);

    server = await start(`[${keyed('aesgcm', 'new')}]`);
    expect((await server.call('GET', secret)).status).to.equal(200);
    await server.stop();
  });
});
