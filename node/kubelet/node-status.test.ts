// What the kubelet says of its node beyond its own machine.
import { expect } from 'chai';
import { extendedAllocatable } from './node-status.ts';

describe('extendedAllocatable()', () => {
  const cases: [title: string, capacity: Record<string, string>, allocatable: Record<string, string>, expected: Record<string, string | null>][] = [
    ['offers what the capacity was given', { 'cpu': '2', 'example.com/gadget': '5' }, { cpu: '2' }, { 'example.com/gadget': '5' }],
    ['follows a changed amount', { 'example.com/gadget': '7' }, { 'example.com/gadget': '5' }, { 'example.com/gadget': '7' }],
    ['withdraws what has no capacity any more', { cpu: '2' }, { 'cpu': '2', 'example.com/gadget': '5' }, { 'example.com/gadget': null }],
    ['has nothing to say when both agree', { 'example.com/gadget': '5' }, { 'example.com/gadget': '5' }, {}],
    ['leaves native resources alone', { 'cpu': '4', 'hugepages-2Mi': '1Gi' }, { cpu: '2' }, {}],
  ];
  for (const [title, capacity, allocatable, expected] of cases) it(title, () => expect(extendedAllocatable({ capacity, allocatable })).to.deep.equal(expected));
  it('has nothing to say of a node that is not known', () => expect(extendedAllocatable(undefined)).to.deep.equal({}));
});
