import { expect } from 'chai';
import { WrittenObjects } from './written.ts';

interface Thing { metadata: { namespace: string; name: string; uid: string; resourceVersion: string; deletionTimestamp?: string } }
const thing = (resourceVersion: string, uid = 'u'): Thing => ({ metadata: { namespace: 'ns', name: 'a', uid, resourceVersion } });

describe('WrittenObjects', () => {
  let time = 0;
  let cached: Thing | undefined;
  let written: WrittenObjects;
  beforeEach(() => {
    time = 0;
    cached = undefined;
    written = new WrittenObjects(() => time);
  });
  it('waits until the cache has the version or a later one', () => {
    written.wrote('o', 'pod', thing('10'), () => cached);
    const seen = [written.seen('o'), written.seen('other')];
    cached = thing('9');
    seen.push(written.seen('o'));
    cached = thing('11');
    seen.push(written.seen('o'));
    expect(seen).to.deep.equal([false, true, false, true]);
  });
  it('waits until a deletion shows', () => {
    const hides: (Thing | undefined)[] = [undefined, thing('1', 'another'), { metadata: { ...thing('2').metadata, deletionTimestamp: 'x' } }];
    for (const hide of hides) {
      cached = thing('1');
      written.deleted('o', 'pod', cached, () => cached);
      expect(written.seen('o')).to.equal(false);
      cached = hide;
      expect(written.seen('o')).to.equal(true);
    }
  });
  it('gives up on what was overtaken', () => {
    written.wrote('o', 'pod', thing('10'), () => cached);
    time = 30_001;
    expect(written.seen('o')).to.equal(true);
  });
});
