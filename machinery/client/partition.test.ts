import { expect } from 'chai';
import { eventually } from '../base/abort.ts';
import type { Pod } from '../api/object.ts';
import { bookmark, event, pod, startTestServer } from './_test-server.ts';
import { createClient } from './client.ts';
import { createInformer } from './informer.ts';
import { partition } from './partition.ts';
import { pods } from './resources.ts';

const on = (node: string, one: object): object => ({ ...one, spec: { containers: [], ...(node === '' ? {} : { nodeName: node }) } });

describe('partition()', () => {
  it('gives each part its own objects and changes, from one watch', async () => {
    await using server = await startTestServer((_, response) => {
      response.write(event('ADDED', on('a', pod('x', '1'))) + event('ADDED', on('b', pod('y', '2'))) + event('ADDED', on('', pod('z', '3'))) + bookmark('3', true));
      response.write(event('MODIFIED', on('a', pod('z', '4'))) + event('MODIFIED', on('b', pod('y', '5'))) + event('DELETED', on('a', pod('x', '6'))));
    });
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(4000)]);
    const whole = createInformer<Pod>(createClient({ server: server.url }), pods);
    const part = partition(whole, 'node', ({ spec }) => spec?.nodeName ?? '');
    const heard: string[] = [];
    const [a, b] = [part('a'), part('b')];
    a.onChange(({ type, object }) => heard.push(`a ${type} ${object.metadata.name}`));
    b.onChange(({ type, object }) => heard.push(`b ${type} ${object.metadata.name}`));
    const running = whole.run(signal);
    try {
      await a.waitForSync(signal);
      await eventually(signal, () => heard.length === 5);
      expect(heard).to.deep.equal(['a added x', 'b added y', 'a added z', 'b updated y', 'a deleted x']);
      expect(server.heard).to.have.length(1);
      expect(a.list().map(({ metadata }) => metadata.name)).to.deep.equal(['z']);
      expect(a.get('a', 'y')).to.equal(undefined);
      expect(b.get('a', 'y')?.metadata.resourceVersion).to.equal('5');
      expect(part('c').list()).to.deep.equal([]);
    } finally {
      stop.abort();
      await running;
    }
  });

  it('forgets the handlers of a part that is taken again', async () => {
    await using server = await startTestServer((_, response) => response.write(event('ADDED', on('a', pod('x', '1'))) + bookmark('1', true)));
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(4000)]);
    const whole = createInformer<Pod>(createClient({ server: server.url }), pods);
    const part = partition(whole, 'node', ({ spec }) => spec?.nodeName ?? '');
    let [early, late] = [0, 0];
    part('a').onChange(() => (early += 1));
    part('a').onChange(() => (late += 1));
    const running = whole.run(signal);
    try {
      await whole.waitForSync(signal);
      expect([early, late]).to.deep.equal([0, 1]);
    } finally {
      stop.abort();
      await running;
    }
  });
});
