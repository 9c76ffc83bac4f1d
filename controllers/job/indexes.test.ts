import { expect } from 'chai';
import fc from 'fast-check';
import { addIndexes, countCommon, countIndexes, formatIndexes, hasIndex, lowestMissing, mergeIndexes, parseIndexes } from './indexes.ts';

const sets = fc.uniqueArray(fc.nat(30));
const of = (...indexes: number[]): ReturnType<typeof addIndexes> => addIndexes([], indexes);

describe('indexes of a job', () => {
  const texts: [indexes: number[], text: string][] = [[[], ''], [[3], '3'], [[3, 4], '3,4'], [[0, 1, 2, 5, 7, 8, 9], '0-2,5,7-9']];
  for (const [indexes, text] of texts) it(`are written as ${JSON.stringify(text)}`, () => expect(formatIndexes(of(...indexes))).to.equal(text));
  it('are read up to the number of completions', () => expect(parseIndexes('0-2,5,8-12,20', 10)).to.deep.equal([[0, 2], [5, 5], [8, 9]]));
  it('are read without what is broken', () => expect(parseIndexes('x,1,2-y,-3,4', 10)).to.deep.equal([[1, 1], [4, 4]]));
  it('survive being written', () => fc.assert(fc.property(sets, (set) => {
    expect(parseIndexes(formatIndexes(of(...set)), 31)).to.deep.equal(of(...set));
  })));
  it('are sets', () => fc.assert(fc.property(sets, sets, (a, b) => {
    const both = mergeIndexes(of(...a), of(...b));
    expect(countIndexes(both)).to.equal(new Set([...a, ...b]).size);
    expect(countCommon(of(...a), of(...b))).to.equal(a.filter((index) => b.includes(index)).length);
    for (let index = 0; index <= 31; index++) expect(hasIndex(both, index)).to.equal(a.includes(index) || b.includes(index));
  })));
  it('that are missing come in order', () => {
    expect(lowestMissing(of(0, 2, 3), 3, 10)).to.deep.equal([1, 4, 5]);
    expect(lowestMissing(of(0, 2, 3), 9, 5)).to.deep.equal([1, 4]);
    expect(lowestMissing(of(7), 9, 2)).to.deep.equal([0, 1]);
    expect(lowestMissing([], 0, 5)).to.deep.equal([]);
  });
});
