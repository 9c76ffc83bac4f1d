import { expect } from 'chai';
import type { ConfigMap } from '#machinery/api/object.ts';
import { eventually } from '#machinery/base/abort.ts';
import { configMaps, secrets } from '#machinery/client/resources.ts';
import type { Informer } from '#machinery/client/types.ts';
import type { ControllerContext } from './context.ts';
import { later } from './later.ts';

describe('later()', () => {
  it('loads a controller after a while, and runs it once its own informers have synced', async () => {
    const synced = Promise.withResolvers<void>();
    const informer = (wait: Promise<void>): Informer<unknown> => ({ waitForSync: () => wait }) as Partial<Informer<unknown>> as Informer<unknown>; // asked for no more
    const informers = { for: (resource: unknown) => informer(resource === configMaps ? synced.promise : new Promise(() => undefined)) };
    informers.for(secrets); // another's, which never comes
    const done: string[] = [];
    const stop = new AbortController();
    const controller = later(async () => (context) => {
      done.push('made');
      const own: Informer<ConfigMap> = context.informers.for(configMaps);
      return { run: async () => void done.push(`runs with ${own === undefined ? 'none' : 'its informer'}`) };
    }, 1)({ informers } as Partial<ControllerContext> as ControllerContext); // asked for no more
    const running = controller.run(stop.signal);
    expect(done).to.deep.equal([]);
    await eventually(AbortSignal.timeout(1000), () => done.length > 0, 1);
    expect(done).to.deep.equal(['made']);
    synced.resolve();
    await running;
    expect(done).to.deep.equal(['made', 'runs with its informer']);
  });
  it('does not load it when it is stopped before', async () => {
    const stop = new AbortController();
    const running = later(() => Promise.reject(new Error('loaded')))({} as ControllerContext).run(stop.signal); // not asked for anything
    stop.abort();
    await running;
  });
});
