import { expect } from 'chai';
import type { CachedObject } from './cache.ts';
import { SortedObjects } from './sorted-objects.ts';

const prefix = '/registry/pods/';
function pod(namespace: string, name: string, labels?: Record<string, string>): CachedObject {
  const object = { metadata: { namespace, name, ...(labels ? { labels } : {}) } };
  return { key: `${prefix}${namespace}/${name}`, namespace, name, object, bytes: Buffer.alloc(0), revision: 1n };
}

describe('SortedObjects.list() by label', () => {
  for (const [what, others] of [['few objects', 10], ['many objects', 1000]] as const) {
    it(`among ${what} follows puts, changes of the label and deletions`, () => {
      const objects = new SortedObjects<CachedObject>({ id: 'pods', prefix, decode: () => ({}) });
      const names = (options: { namespace?: string; after?: string; limit?: number } = {}, label = { key: 'app', value: 'a' }): string[] =>
        objects.list({ label, ...options }).map(({ namespace, name }) => `${namespace}/${name}`);
      for (let i = 0; i < others; i += 1) objects.set(pod('z', `other-${i}`, i % 2 === 0 ? { app: 'other' } : undefined));
      objects.set(pod('n', 'two', { app: 'a' }));
      objects.set(pod('n', 'one', { app: 'a', tier: 'x' }));
      objects.set(pod('m', 'three', { app: 'a' }));
      expect(names()).to.deep.equal(['m/three', 'n/one', 'n/two']);
      expect(names({ namespace: 'n' })).to.deep.equal(['n/one', 'n/two']);
      expect(names({ after: `${prefix}n/one` })).to.deep.equal(['n/two']);
      expect(names({ limit: 1 })).to.deep.equal(['m/three']);
      expect(names({}, { key: 'constructor', value: 'a' })).to.deep.equal([]);
      objects.set(pod('n', 'two', { app: 'b' }));
      objects.set(pod('m', 'four', { app: 'a' }));
      objects.delete('m', 'three');
      expect(names()).to.deep.equal(['m/four', 'n/one']);
      for (const key of ['k1', 'k2', 'k3', 'k4', 'k5']) expect(names({}, { key, value: 'x' })).to.deep.equal([]);
      objects.delete('n', 'one');
      objects.set(pod('n', 'five', { app: 'a' }));
      expect(names()).to.deep.equal(['m/four', 'n/five']);
    });
  }
});
