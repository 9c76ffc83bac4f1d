// One informer seen as many: each part holds the objects of one key (a node's pods). What watches the parts costs one watch.
import type { Change, Informer } from './types.ts';

/**
 * Parts of an informer that somebody else runs. An object's key may change once, from '' (nobody's) to its own. A part asked for
 * again takes the place of the earlier one, whose handlers hear nothing more.
 */
export function partition<T>(whole: Informer<T>, name: string, keyOf: (object: T) => string): (key: string) => Informer<T> {
  const handlers = new Map<string, ((change: Change<T>) => void)[]>();
  whole.addIndex(name, (object) => {
    const key = keyOf(object);
    return key === '' ? [] : [key];
  });
  whole.onChange((change) => {
    const key = keyOf(change.object);
    // It got its key after it was made: new to that part.
    const entered = change.type === 'updated' && keyOf(change.old) !== key;
    for (const handler of handlers.get(key) ?? []) handler(entered ? { type: 'added', object: change.object } : change);
  });
  return (key) => {
    const own: ((change: Change<T>) => void)[] = [];
    handlers.set(key, own);
    return {
      resource: whole.resource,
      run: () => Promise.resolve(),
      hasSynced: () => whole.hasSynced(),
      waitForSync: (signal) => whole.waitForSync(signal),
      get(namespace, object) {
        const found = whole.get(namespace, object);
        return found !== undefined && keyOf(found) === key ? found : undefined;
      },
      list: (namespace) => whole.byIndex(name, key).filter((object) => namespace === undefined || ((object as { metadata?: { namespace?: string } }).metadata?.namespace ?? '') === namespace),
      addIndex: (index, keys) => whole.addIndex(index, keys),
      byIndex: (index, value) => whole.byIndex(index, value).filter((object) => keyOf(object) === key),
      onChange(handler) {
        own.push(handler);
        for (const object of whole.byIndex(name, key)) handler({ type: 'added', object });
      },
    };
  };
}
