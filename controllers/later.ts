// Controllers that nobody misses in the first moment: loading them costs time that others need in it.
import { sleep } from '#machinery/base/clock.ts';
import type { Informer, Informers, Resource } from '#machinery/client/types.ts';
import type { CreateController } from './context.ts';

/** The controller that `load` brings. It waits for the informers that it asked for, not for others', which may never come. */
export function later(load: () => Promise<CreateController>, afterMs = 1000): CreateController {
  return (context) => ({
    async run(signal) {
      await sleep(afterMs, signal).catch(() => undefined); // seen just below
      if (signal.aborted) return;
      const create = await load();
      const asked: Informer<unknown>[] = [];
      const informers: Informers = {
        ...context.informers,
        for<T>(resource: Resource<T>): Informer<T> {
          const informer = context.informers.for(resource);
          asked.push(informer as Informer<unknown>); // only waited for
          return informer;
        },
      };
      const controller = create({ ...context, informers });
      await Promise.all(asked.map(async (informer) => informer.waitForSync(signal)));
      await controller.run(signal);
    },
  });
}
