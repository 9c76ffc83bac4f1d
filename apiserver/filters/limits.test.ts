import { expect } from 'chai';
import type { RequestInfo, UserInfo } from '../request.ts';
import { PlainError } from './errors.ts';
import { createLimits } from './limits.ts';

const info = (verb: string, path = '/api/v1/pods'): RequestInfo => ({ isResourceRequest: true, path, verb, apiPrefix: 'api', group: '', version: 'v1', namespace: '', resource: 'pods', subresource: '', name: '', parts: [] });
const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups });
const never = new AbortController().signal;

describe('createLimits()', () => {
  function lane(reading = 1) {
    const limits = createLimits({ reading, changing: 1 });
    const enter = (name: string, { verb = 'get', waitMs = 10_000, signal = never, groups = [] as string[], path = '/x' } = {}) =>
      limits.enter(user(name, ...groups), info(verb, path), () => waitMs, () => signal);
    return { limits, enter };
  }
  const failure = async (entered: ReturnType<ReturnType<typeof lane>['enter']>): Promise<unknown> => {
    try {
      await entered;
      return undefined;
    } catch (error) {
      return error;
    }
  };

  it('gives places at once while there are some, and counts reading and changing apart', () => {
    const { limits, enter } = lane();
    expect(enter('a')).to.be.a('function');
    expect(enter('a', { verb: 'create' })).to.be.a('function');
    expect(limits.counts()).to.deep.equal({ reading: 1, changing: 1, readingWaiting: 0, changingWaiting: 0 });
  });
  it('0 is no limit', () => {
    const { enter } = lane(0);
    for (let i = 0; i < 1000; i += 1) expect(enter('a')).to.be.a('function');
  });
  it('serves waiting users in turn: who floods waits behind himself', async () => {
    const { enter } = lane();
    let leave = enter('flood') as () => void;
    const order: string[] = [];
    const waiting = ['flood', 'flood', 'flood', 'quiet'].map(async (name) => {
      const next = await enter(name);
      order.push(name);
      leave = next;
    });
    for (let i = 0; i < 4; i += 1) {
      leave();
      await new Promise(setImmediate);
    }
    await Promise.all(waiting);
    expect(order).to.deep.equal(['flood', 'quiet', 'flood', 'flood']);
    leave();
  });
  it('turns away with 429 and Retry-After whose wait takes too long, and forgets him', async () => {
    const { limits, enter } = lane();
    const leave = enter('a') as () => void;
    const error = await failure(enter('b', { waitMs: 5 }));
    expect(error).to.be.instanceOf(PlainError);
    expect(error).to.deep.include({ code: 429, message: 'Too many requests, please try again later.', headers: { 'Retry-After': '1' } });
    expect(limits.counts().readingWaiting).to.equal(0);
    leave();
    expect(limits.counts().reading).to.equal(0);
  });
  it('bounds the line of one user and all lines together', async () => {
    const { limits, enter } = lane();
    await enter('a');
    const stop = new AbortController();
    const held: Promise<unknown>[] = [];
    const refusedOf = async (name: string, count: number): Promise<number> => {
      let refused = 0;
      for (let i = 0; i < count; i += 1) {
        const result = failure(enter(name, { signal: stop.signal }));
        held.push(result);
        if (await Promise.race([result, new Promise((resolve) => setImmediate(resolve, 'waits'))]) instanceof PlainError) refused += 1;
      }
      return refused;
    };
    expect(await refusedOf('flood', 310)).to.equal(10);
    let refused = 0;
    for (let i = 0; i < 10; i += 1) refused += await refusedOf(`u${i}`, 300);
    expect(refused).to.equal(100);
    expect(limits.counts().readingWaiting).to.equal(3200);
    stop.abort(new Error('gone'));
    await Promise.all(held);
    expect(limits.counts().readingWaiting).to.equal(0);
  });
  it('a request that ends while it waits gives its turn away', async () => {
    const { enter } = lane();
    const leave = enter('a') as () => void;
    const gone = new AbortController();
    const left = failure(enter('b', { signal: gone.signal }));
    const stays = enter('c');
    gone.abort(new Error('the client has gone'));
    expect(await left).to.have.property('message', 'the client has gone');
    leave();
    expect(await stays).to.be.a('function');
  });
  it('lets system:masters and probes in whatever the load', async () => {
    const { enter } = lane();
    await enter('a');
    expect(enter('root', { groups: ['system:masters'] })).to.be.a('function');
    expect(enter('b', { path: '/readyz/etcd' })).to.be.a('function');
  });
});
