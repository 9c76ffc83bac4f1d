// One informer per resource, shared by the controllers of a process.
import { aborted } from '../base/abort.ts';
import { createTaskGroup } from '../base/group.ts';
import type { TaskGroup } from '../base/group.ts';
import { createInformer } from './informer.ts';
import type { Client, Informer, Informers, Resource } from './types.ts';

export function createInformers(client: Client): Informers {
  const all = new Map<string, Informer<unknown>>();
  let group: TaskGroup | undefined;
  const keyOf = (resource: Resource<unknown>): string =>
    `${resource.group}/${resource.version}/${resource.resource}${resource.metadataOnly ? '#metadata' : ''}`;

  return {
    client,
    for<T>(resource: Resource<T>): Informer<T> {
      const key = keyOf(resource);
      const known = all.get(key);
      if (known) return known as Informer<T>; // the key names the resource, the resource its type
      const informer = createInformer(client, resource);
      all.set(key, informer as Informer<unknown>);
      group?.start(`informer of ${resource.resource}`, (signal) => informer.run(signal));
      return informer;
    },
    existing<T>(resource: Resource<T>): Informer<T> | undefined {
      return all.get(keyOf(resource)) as Informer<T> | undefined; // as above
    },
    async run(signal) {
      if (group) throw new Error('the informers run already');
      group = createTaskGroup(signal);
      for (const informer of all.values()) group.start(`informer of ${informer.resource.resource}`, (own) => informer.run(own));
      await aborted(group.signal);
      await group.wait();
    },
    async waitForSync(signal) {
      await Promise.all([...all.values()].map((informer) => informer.waitForSync(signal)));
    },
  };
}
