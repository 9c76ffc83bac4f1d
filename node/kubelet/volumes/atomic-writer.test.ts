import { expect } from 'chai';
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkPath, writeAtomically, type Payload } from './atomic-writer.ts';

const payload = (files: Record<string, string>, mode = 0o640): Payload => new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));

describe('writeAtomically()', () => {
  let dir: string;
  beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'atomic-')); });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('writes files behind links, with their modes', async () => {
    expect(await writeAtomically(dir, payload({ a: '1', 'b/c': '2' }), 0)).to.equal(true);
    expect(readFileSync(join(dir, 'b/c'), 'utf8')).to.equal('2');
    expect(readlinkSync(join(dir, 'a'))).to.equal('..data/a');
    expect(readlinkSync(join(dir, '..data'))).to.match(/^\.\.1970_01_01_00_00_00\./);
    expect(statSync(join(dir, 'a')).mode & 0o777).to.equal(0o640);
  });
  it('changes all at once, drops what is gone and leaves nothing behind', async () => {
    await writeAtomically(dir, payload({ a: '1', b: '2' }), 0);
    const before = readlinkSync(join(dir, '..data'));
    expect(await writeAtomically(dir, payload({ a: '3', d: '4' }), 1000)).to.equal(true);
    expect(readFileSync(join(dir, 'a'), 'utf8')).to.equal('3');
    expect(existsSync(join(dir, before))).to.equal(false);
    expect(readdirSync(dir).filter((name) => !name.startsWith('..')).sort()).to.deep.equal(['a', 'd']);
    expect(readdirSync(dir)).to.have.length(4);
  });
  it('does nothing when nothing changed', async () => {
    await writeAtomically(dir, payload({ a: '1' }), 0);
    const before = readlinkSync(join(dir, '..data'));
    expect(await writeAtomically(dir, payload({ a: '1' }), 1000)).to.equal(false);
    expect(readlinkSync(join(dir, '..data'))).to.equal(before);
  });
});

describe('checkPath()', () => {
  for (const path of ['', '/etc/x', '../x', 'a/../../x', '..data', '..x']) {
    it(`refuses "${path}"`, () => expect(() => checkPath(path)).to.throw(/invalid path/));
  }
  it('takes ordinary ones', () => ['a', 'a/b', 'a..b', '.hidden'].forEach(checkPath));
});
