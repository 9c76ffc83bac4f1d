import { expect } from 'chai';
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import type { ObjectMeta } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import { Expectations } from './expectations.ts';
import { claim, isNamespaceTerminating, sameValue } from './pods.ts';

const selector = labelSelectorFromObject({ matchLabels: { app: 'x' } });
const controlledBy = (uid: string): ObjectMeta => ({ ownerReferences: [{ apiVersion: 'v1', kind: 'K', name: 'o', uid, controller: true }] });

async function claimed(candidates: ObjectMeta[], owner: ObjectMeta = { uid: 'me' }, allowed = true): Promise<{ mine: string[]; adopted: string[]; released: string[]; asked: number }> {
  const log = { adopted: [] as string[], released: [] as string[], asked: 0 };
  const mine = await claim({
    owner: { metadata: owner }, selector, candidates: candidates.map((metadata) => ({ metadata })),
    mayAdopt: () => {
      log.asked += 1;
      return Promise.resolve(allowed);
    },
    adopt: ({ metadata }) => Promise.resolve(void log.adopted.push(metadata.name ?? '')),
    release: ({ metadata }) => Promise.resolve(void log.released.push(metadata.name ?? '')),
  });
  return { mine: mine.map(({ metadata }) => metadata.name ?? ''), ...log };
}
const labels = { app: 'x' };

describe('claim()', () => {
  it('keeps its own, adopts matching orphans, releases what no longer matches, leaves the rest', async () => {
    expect(await claimed([
      { name: 'own', labels, ...controlledBy('me') }, { name: 'left', ...controlledBy('me') }, { name: 'foreign', labels, ...controlledBy('other') },
      { name: 'orphan', labels }, { name: 'second', labels }, { name: 'stranger' }, { name: 'dying', labels, deletionTimestamp: 'now' },
    ])).to.deep.equal({ mine: ['own', 'orphan', 'second'], adopted: ['orphan', 'second'], released: ['left'], asked: 1 });
  });
  it('neither adopts nor releases once the owner is being deleted', async () => {
    expect(await claimed([{ name: 'left', ...controlledBy('me') }, { name: 'orphan', labels }], { uid: 'me', deletionTimestamp: 'now' })).to.deep.equal({ mine: [], adopted: [], released: [], asked: 0 });
  });
  it('does not adopt when a fresh look says no', async () => {
    expect(await claimed([{ name: 'orphan', labels }], { uid: 'me' }, false)).to.deep.include({ mine: [], adopted: [] });
  });
});

describe('sameValue()', () => {
  for (const [a, b, same] of [
    [undefined, null, true], [[], undefined, true], [{ a: [] }, {}, true], [{ a: 1 }, { a: 1, b: null }, true],
    [{}, undefined, false], [{ a: {} }, {}, false], [[1], [1, 2], false], [{ a: '1' }, { a: 1 }, false], [[], {}, false],
  ] as [unknown, unknown, boolean][]) {
    it(`${JSON.stringify(a)} and ${JSON.stringify(b)}: ${same}`, () => {
      expect(sameValue(a, b)).to.equal(same);
      expect(sameValue(b, a)).to.equal(same);
    });
  }
});

it('isNamespaceTerminating() goes by the cause', () => {
  expect(isNamespaceTerminating(new StatusError(403, 'Forbidden', 'x', { causes: [{ reason: 'NamespaceTerminating' }] }))).to.equal(true);
  expect(isNamespaceTerminating(new StatusError(403, 'Forbidden', 'namespace is terminating'))).to.equal(false);
});

describe('Expectations', () => {
  it('are satisfied when all that was done has been seen, or after five minutes', () => {
    let now = 0;
    const expectations = new Expectations(() => now);
    expect(expectations.satisfied('k')).to.equal(true);
    expectations.expectCreations('k', 2);
    expectations.created('k');
    expect(expectations.satisfied('k')).to.equal(false);
    expectations.created('k');
    expect(expectations.satisfied('k')).to.equal(true);
    expectations.expectDeletions('k', ['a', 'b']);
    expectations.deleted('k', 'a');
    expectations.deleted('k', 'a');
    expect(expectations.satisfied('k')).to.equal(false);
    now += 5 * 60_000 + 1;
    expect(expectations.satisfied('k')).to.equal(true);
  });
});
