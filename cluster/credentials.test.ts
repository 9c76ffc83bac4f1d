// Which nodes an earlier start had, as told by their credentials.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { forgetNode, formerNodes } from './credentials.ts';

describe('formerNodes()', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'credentials-test-'));
    mkdirSync(join(folder, 'pki'));
    for (const name of ['host', 'host-2', 'my-serving']) {
      for (const file of [`node-${name}`, `node-${name}-serving`]) for (const ending of ['crt', 'key']) writeFileSync(join(folder, 'pki', `${file}.${ending}`), '');
    }
    writeFileSync(join(folder, 'pki', 'apiserver.crt'), '');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('names those that are no longer asked for, whatever they are called', () => {
    expect(formerNodes(folder, ['host']).sort()).to.deep.equal(['host-2', 'my-serving']);
    expect(formerNodes(folder, ['host', 'host-2', 'my-serving'])).to.deep.equal([]);
  });
  it('no longer names one that was forgotten, and forgetting takes nobody else\'s files', () => {
    forgetNode(folder, 'host-2');
    forgetNode(folder, 'host-2');
    expect(formerNodes(folder, []).sort()).to.deep.equal(['host', 'my-serving']);
    expect(readdirSync(join(folder, 'pki'))).to.have.lengthOf(9);
  });
});
