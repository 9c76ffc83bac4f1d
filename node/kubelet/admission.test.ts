// Which pods count when the node looks whether one more fits.
import { expect } from 'chai';
import type { Node, Pod } from '#machinery/api/object.ts';
import { activePods, refusal } from './admission.ts';

const pod = (uid: string, phase = 'Running'): Pod => ({ metadata: { uid, name: uid, namespace: 'n' }, spec: { containers: [{ name: 'c' }] }, status: { phase } });

describe('activePods()', () => {
  const workers: Record<string, { stage: string; rejected: boolean }> = {
    running: { stage: 'sync', rejected: false }, leaving: { stage: 'terminating', rejected: false }, refused: { stage: 'terminating', rejected: true },
    done: { stage: 'terminating', rejected: false }, over: { stage: 'terminated', rejected: false }, forced: { stage: 'terminating', rejected: false },
  };
  // "forced" is no longer in the API: its containers end while its successor starts.
  const known = [pod('running'), pod('leaving'), pod('refused', 'Pending'), pod('done', 'Succeeded'), pod('over'), pod('unseen', 'Pending')];
  it('are those that the API knows and that still use the node', () => {
    expect(activePods(known, (uid) => workers[uid]).map(({ metadata }) => metadata.uid)).to.deep.equal(['running', 'leaving']);
  });
  it('leave room for as many pods as the scheduler counts', () => {
    const others = activePods(known, (uid) => workers[uid]);
    expect(refusal(pod('new', 'Pending'), others, { pods: '3' }, undefined)).to.equal(undefined);
    expect(refusal(pod('new', 'Pending'), others, { pods: '2' }, undefined)).to.deep.equal({ reason: 'OutOfpods', message: "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2" });
  });
});

describe('refusal()', () => {
  const wants = (amount: string): Pod => ({ ...pod('gadgets'), spec: { containers: [{ name: 'c', resources: { requests: { 'example.com/gadget': amount } } }] } });
  const node: Node = { metadata: { name: 'n' }, status: { allocatable: { 'example.com/gadget': '2', 'pods': '10' } } };
  it('counts extended resources as the Node has them', () => {
    expect(refusal(wants('1'), [wants('1')], { pods: '110' }, node)).to.equal(undefined);
    expect(refusal(wants('2'), [wants('1')], { pods: '110' }, node)).to.deep.equal({ reason: 'OutOfexample.com/gadget', message: "Node didn't have enough resource: example.com/gadget, requested: 2, used: 1, capacity: 2" });
  });
  it('takes no offence at extended resources that the Node does not know', () => {
    expect(refusal(wants('1'), [], { pods: '110' }, undefined)).to.equal(undefined);
  });
});
