import { expect } from 'chai';
import { eventually } from '../base/abort.ts';
import type { Pod } from '../api/object.ts';
import { bookmark, event, json, pod, startTestServer } from './_test-server.ts';
import type { Heard } from './_test-server.ts';
import { createClient } from './client.ts';
import { createInformer } from './informer.ts';
import { createInformers } from './informers.ts';
import { pods } from './resources.ts';
import type { Change, Informer } from './types.ts';

const text = (changes: Change<Pod>[]): string[] => changes.map(({ type, object }) => `${type} ${object.metadata.name} ${object.metadata.resourceVersion}`);
const isWatch = ({ url }: Heard): boolean => url.searchParams.get('watch') === 'true';

async function withInformer(url: string, work: (informer: Informer<Pod>, changes: Change<Pod>[], signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(4000)]);
  const informer = createInformer(createClient({ server: url }), pods);
  const changes: Change<Pod>[] = [];
  informer.onChange((change) => changes.push(change));
  const running = informer.run(signal);
  try {
    await work(informer, changes, signal);
  } finally {
    stop.abort();
    await running;
  }
}

describe('createInformer()', () => {
  it('fills itself by a streaming list and follows', async () => {
    await using server = await startTestServer((_, response) => {
      response.write(event('ADDED', pod('x', '1', { managedFields: [{}] })) + event('ADDED', pod('y', '2')) + bookmark('3', true));
      response.write(event('MODIFIED', pod('x', '4')) + event('DELETED', pod('y', '5')));
    });
    await withInformer(server.url, async (informer, changes, signal) => {
      await informer.waitForSync(signal);
      await eventually(signal, () => changes.length === 4);
      expect(text(changes)).to.deep.equal(['added x 1', 'added y 2', 'updated x 4', 'deleted y 5']);
      expect(informer.list('a').map((one) => one.metadata.name)).to.deep.equal(['x']);
      expect(changes[0]?.object.metadata.managedFields).to.equal(undefined);
      expect(server.heard[0]?.url.searchParams.get('sendInitialEvents')).to.equal('true');
    });
  });

  it('is not synced before the initial events end', async () => {
    await using server = await startTestServer((_, response) => response.write(event('ADDED', pod('x', '1'))));
    await withInformer(server.url, async (informer, _changes, signal) => {
      await eventually(signal, () => server.heard.length === 1);
      expect(informer.hasSynced()).to.equal(false);
      expect(informer.list()).to.deep.equal([]);
    });
  });

  for (const [title, refuse] of [
    ['a refusal', (heard, response) => json(response, 422, { kind: 'Status', code: 422, reason: 'Invalid' })],
    ['a bookmark that is not the end', (heard, response) => response.write(bookmark('1'))],
  ] as [string, (heard: Heard, response: import('node:http').ServerResponse) => void][]) {
    it(`lists in pages and watches after ${title}`, async () => {
      await using server = await startTestServer((heard, response) => {
        if (heard.url.searchParams.has('sendInitialEvents')) refuse(heard, response);
        else if (isWatch(heard)) response.write(event('ADDED', pod('z', '9')));
        else if (heard.url.searchParams.has('continue')) json(response, 200, { metadata: { resourceVersion: '8' }, items: [pod('y', '2')] });
        else json(response, 200, { metadata: { resourceVersion: '8', continue: 'more' }, items: [{ ...pod('x', '1'), kind: undefined }] });
      });
      await withInformer(server.url, async (informer, changes, signal) => {
        await eventually(signal, () => changes.length === 3);
        expect(text(changes)).to.deep.equal(['added x 1', 'added y 2', 'added z 9']);
        expect(informer.get('a', 'x')?.kind).to.equal('Pod');
        expect(server.heard.at(-1)?.url.searchParams.get('resourceVersion')).to.equal('8');
      });
    });
  }

  it('resumes from the last bookmark when a watch ends', async () => {
    await using server = await startTestServer((heard, response) => {
      if (heard.url.searchParams.has('sendInitialEvents')) response.end(bookmark('3', true) + bookmark('7'));
      else response.flushHeaders();
    });
    await withInformer(server.url, async (_informer, _changes, signal) => {
      await eventually(signal, () => server.heard.length === 2);
      expect(server.heard[1]?.url.searchParams.get('resourceVersion')).to.equal('7');
    });
  });

  it('lists again after 410 and tells what went and what came', async () => {
    let lists = 0;
    await using server = await startTestServer((heard, response) => {
      if (heard.url.searchParams.has('sendInitialEvents')) {
        lists += 1;
        if (lists === 1) response.end(event('ADDED', pod('x', '1')) + event('ADDED', pod('same', '1')) + bookmark('3', true));
        else response.write(event('ADDED', pod('y', '8')) + event('ADDED', pod('same', '1')) + bookmark('9', true));
      } else json(response, 410, { kind: 'Status', code: 410, reason: 'Expired' });
    });
    await withInformer(server.url, async (informer, changes, signal) => {
      await eventually(signal, () => informer.get('a', 'y') !== undefined);
      expect(text(changes)).to.deep.equal(['added x 1', 'added same 1', 'deleted x 1', 'added y 8']);
    });
  });

  it('tells an object that was made anew as deleted and added', async () => {
    await using server = await startTestServer((_, response) => {
      response.write(event('ADDED', pod('x', '1')) + bookmark('3', true) + event('MODIFIED', pod('x', '4', { uid: 'other' })));
    });
    await withInformer(server.url, async (_informer, changes, signal) => {
      await eventually(signal, () => changes.length === 3);
      expect(changes.map(({ type }) => type)).to.deep.equal(['added', 'deleted', 'added']);
    });
  });

  it('keeps indexes, and survives a handler that throws', async () => {
    await using server = await startTestServer((_, response) => {
      response.write(event('ADDED', pod('x', '1', { labels: { app: 'one' } })) + bookmark('3', true));
      response.write(event('MODIFIED', pod('x', '4', { labels: { app: 'two' } })));
    });
    await withInformer(server.url, async (informer, changes, signal) => {
      informer.addIndex('app', ({ metadata }) => [metadata.labels?.app ?? '']);
      await eventually(signal, () => changes.length === 2);
      expect(informer.byIndex('app', 'one')).to.deep.equal([]);
      expect(informer.byIndex('app', 'two')).to.have.length(1);
      expect(() => informer.byIndex('none', 'x')).to.throw(/no index/);
    });
  });

  it('tells a late handler what is there', async () => {
    await using server = await startTestServer((_, response) => response.write(event('ADDED', pod('x', '1')) + bookmark('3', true)));
    await withInformer(server.url, async (informer, _changes, signal) => {
      await informer.waitForSync(signal);
      const late: Change<Pod>[] = [];
      informer.onChange((change) => late.push(change));
      expect(text(late)).to.deep.equal(['added x 1']);
    });
  });
});

describe('createInformers()', () => {
  it('shares one informer per resource and starts late ones at once', async () => {
    await using server = await startTestServer((_, response) => response.write(bookmark('3', true)));
    const stop = new AbortController();
    const informers = createInformers(createClient({ server: server.url }));
    const running = informers.run(stop.signal);
    const informer = informers.for(pods);
    expect(informers.for({ ...pods })).to.equal(informer);
    expect(informers.existing(pods)).to.equal(informer);
    await informers.waitForSync(AbortSignal.timeout(3000));
    stop.abort();
    await running;
    expect(server.heard).to.have.length(1);
  });
});
