// Objects and lists as protobuf, for clients that ask for it. The codec is loaded by the first of them.
import type { KubeObject, ListMeta } from '#machinery/api/object.ts';
import type { ProtobufCodec } from '#machinery/schema/protobuf.ts';
import type { CachedObject } from '../storage/cache.ts';

type Item = Pick<CachedObject, 'object'>;

export async function loadProtobuf(): Promise<ProtobufCodec> {
  return (await import('#machinery/schema/protobuf.ts')).loadProtobuf();
}

/** Messages of cached states. They go with their states, so there are never more of them than those. */
const bodies = new WeakMap<Item, Uint8Array>();
const yieldEvery = 100;

/** The message of one object, made once. Undefined for kinds without one. */
export function bodyOf(codec: ProtobufCodec, item: Item): Uint8Array | undefined {
  let body = bodies.get(item);
  if (!body) {
    body = codec.encodeBody(item.object);
    if (body) bodies.set(item, body);
  }
  return body;
}

/** The list in parts; undefined when the kind has no message. Other requests get their turn in between. */
export async function protobufList(list: { kind: string; apiVersion: string; metadata: ListMeta }, items: readonly Item[]): Promise<Buffer[] | undefined> {
  const [codec, { encodeList }] = await Promise.all([loadProtobuf(), import('#machinery/schema/protobuf.ts')]);
  const meta = codec.encodeBody(list as KubeObject); // what a list has in common with an object is its metadata
  if (!meta) return undefined;
  const messages: Uint8Array[] = [];
  let made = 0;
  for (const item of items) {
    if (!bodies.has(item) && (made += 1) % yieldEvery === 0) await new Promise(setImmediate);
    const body = bodyOf(codec, item);
    if (!body) return undefined;
    messages.push(body);
  }
  return encodeList({ kind: list.kind, apiVersion: list.apiVersion }, meta, messages).map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength));
}
