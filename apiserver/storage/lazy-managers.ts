// managedFields are a third of what a parsed object takes, and hardly anybody reads them: objects of the cache have them parsed from
// their bytes on use.
import type { KubeObject, ObjectMeta } from '#machinery/api/object.ts';

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

/** Of the list or object that begins there. */
function endOfValue(bytes: Buffer, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length; at += 1) {
    switch (bytes[at]) {
      case 0x22: // a string: on to its end
        for (at += 1; bytes[at] !== 0x22; at += 1) if (bytes[at] === 0x5c) at += 1;
        break;
      case 0x5b: case 0x7b: depth += 1; break;
      case 0x5d: case 0x7d:
        depth -= 1;
        if (depth === 0) return at + 1;
        break;
      default:
    }
  }
  throw new Error('the bytes of an object end in the middle of its managers');
}
