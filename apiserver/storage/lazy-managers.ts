// managedFields are a third of what a parsed object takes, and hardly anybody reads them: objects of the cache have them parsed from
// their bytes on use.
import type { KubeObject, ObjectMeta } from '#machinery/api/object.ts';
import { endOfValue } from './json-text.ts';

type Entries = NonNullable<ObjectMeta['managedFields']>;
interface Source { readonly bytes: Buffer; parsed: WeakRef<Entries> | undefined }

const sources = new WeakMap<object, Source>();

/** Copies of the object have them as a plain member. `bytes` is the object as JSON. */
export function leaveManagersInBytes(object: KubeObject, bytes: Buffer): void {
  if (!object.metadata?.managedFields) return;
  // A new object: turning a member of the old one into an accessor would make it a slow one.
  const { managedFields: _managers, ...metadata } = object.metadata;
  sources.set(metadata, { bytes, parsed: undefined });
  object.metadata = Object.defineProperty(metadata, 'managedFields', accessor);
}

/** One for all, so that objects share their shape. */
const accessor: PropertyDescriptor = {
  enumerable: true, configurable: true,
  get(this: object): Entries | undefined {
    const source = sources.get(this);
    if (!source) return undefined;
    let entries = source.parsed?.deref();
    if (!entries) {
      entries = parseManagers(source.bytes);
      source.parsed = new WeakRef(entries);
    }
    return entries;
  },
};

const begins = '"managedFields":';

function parseManagers(bytes: Buffer): Entries {
  // Inside of strings its quotes would be escaped, and metadata comes before anything that could have such a member, too.
  const start = bytes.indexOf(begins) + begins.length;
  return JSON.parse(bytes.toString('utf8', start, endOfValue(bytes, start))) as Entries; // part of what we wrote
}
