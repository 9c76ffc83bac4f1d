import { expect } from 'chai';
import { createFakeStorage } from '../storage/fake-storage.ts';
import { rangeKey } from '../storage/keys.ts';
import { StorageUnavailableError, type Storage } from '../storage/storage.ts';
import { createRangeAllocation, decode, encode, type RangeAllocation } from './range-allocation.ts';

describe('createRangeAllocation()', () => {
  let storage: ReturnType<typeof createFakeStorage> & { puts: number; lost: boolean };
  const open = (): RangeAllocation => createRangeAllocation('servicenodeports', '30000-32767', () => storage as unknown as Storage); // what it calls is faked
  beforeEach(async () => {
    const fake = createFakeStorage();
    storage = {
      ...fake, puts: 0, lost: false,
      async put(...about) {
        storage.puts += 1;
        const result = await fake.put(...about);
        if (storage.lost) throw new StorageUnavailableError('the answer was lost');
        return result;
      },
    };
    await open().replace(new Set(), 0n);
    storage.puts = 0;
  });
  const add = (offset: number) => (taken: Set<number>): void => {
    if (taken.has(offset)) throw new Error(`${offset} is taken`);
    taken.add(offset);
  };

  it('writes as upstream does: a big-endian bitmap in base64', async () => {
    for (const [taken, data] of [[[], ''], [[0], 'AQ=='], [[9, 1], 'AgI='], [[2767], `gA${'A'.repeat(460)}==`]] as const) {
      const bytes = encode('30000-32767', new Set(taken));
      expect(JSON.parse(bytes.toString())).to.deep.equal({ kind: 'RangeAllocation', apiVersion: 'v1', metadata: {}, range: '30000-32767', data });
      expect([...(await decode(bytes)).taken].toSorted((a, b) => a - b)).to.deep.equal([...taken].toSorted((a, b) => a - b));
    }
  });
  it('reads what another server stored as protobuf', async () => {
    const { loadProtobuf } = await import('#machinery/schema/protobuf.ts');
    const bytes = (await loadProtobuf()).encode({ kind: 'RangeAllocation', apiVersion: 'v1', metadata: {}, range: '30000-32767', data: 'AgI=' });
    expect([...(await decode(Buffer.from(bytes ?? []))).taken]).to.deep.equal([1, 9]);
  });
  it('refuses what is no allocation', async () => {
    for (const bad of ['{}', '{"range":1}', '{"range":"1-2","data":7}', 'no']) {
      const failed = await decode(Buffer.from(bad)).then(() => false, () => true);
      expect(failed, bad).to.equal(true);
    }
  });
  it('changes that come together share a write; who is refused does not hinder the others', async () => {
    const allocation = open();
    await allocation.change(add(7));
    storage.puts = 0;
    const results = await Promise.allSettled([7, 8, 9, 8].map((offset) => allocation.change(add(offset))));
    expect(results.map(({ status }) => status)).to.deep.equal(['rejected', 'fulfilled', 'fulfilled', 'rejected']);
    expect(storage.puts).to.equal(1);
    expect([...(await allocation.read()).taken]).to.deep.equal([7, 8, 9]);
  });
  it('two servers: nothing is lost, and a refusal is true at that moment', async () => {
    const [one, two] = [open(), open()];
    await one.change(add(1));
    await two.change(add(2));
    await one.change((taken) => taken.delete(2));
    await two.change(add(2)); // what `two` remembers says that it is taken
    expect([...(await one.read()).taken]).to.deep.equal([1, 2]);
  });
  it('after a write whose answer was lost it reads what is there', async () => {
    const allocation = open();
    storage.lost = true;
    expect(await allocation.change(add(1)).then(() => undefined, (error: unknown) => error)).to.be.instanceOf(StorageUnavailableError);
    storage.lost = false;
    expect(await allocation.change(add(1)).then(() => 'taken twice', (error: Error) => error.message)).to.equal('1 is taken');
  });
  it('replace() fails when it was changed since', async () => {
    const allocation = open();
    const { revision } = await allocation.read();
    await allocation.change(add(1));
    expect(await allocation.replace(new Set(), revision)).to.equal(false);
    expect((await storage.get(rangeKey('servicenodeports'))).revision).to.equal(3n);
  });
});
