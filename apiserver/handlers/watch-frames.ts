// Frames of a watch: each change in the form that was asked for, made once for all watchers that want the same.
import type { KubeObject } from '#machinery/api/object.ts';
import type { Status } from '#machinery/api/status.ts';
import { notAcceptable } from '#machinery/api/status.ts';
import type { CachedObject, CacheEvent } from '../storage/cache.ts';
import { protobufType } from './negotiate.ts';
import type { OutputForm } from './negotiate.ts';
import { bodyOf, loadProtobuf } from './protobuf.ts';
import type { Served } from './served.ts';
import { includeObject, partialJson, tableJson } from './table.ts';

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

export interface Encoder {
  /** The parts of a frame that nobody else is likely to want. */
  once(type: EventType, item: CachedObject): readonly Buffer[];
  /** A frame that other watchers get too. */
  shared(type: EventType, item: CachedObject): Buffer;
  bookmark(revision: bigint, initialEventsEnd: boolean): Buffer;
  error(status: Status): Buffer;
  /** Whole batches as those get them who select nothing; undefined where each watcher gets frames of its own. */
  readonly batches: WeakMap<readonly CacheEvent[], Buffer> | undefined;
}

/** Throws 406 and, for parameters of Tables, 400. */
export async function createEncoder(form: OutputForm, served: Served, query: URLSearchParams): Promise<Encoder> {
  return form.mediaType === protobufType ? protobufEncoder(form, served) : jsonEncoder(form, served, query);
}

type Batches = WeakMap<readonly CacheEvent[], Buffer>;
const jsonBatches = new WeakMap<Served, Batches>();
const protobufBatches = new WeakMap<Served, Batches>();
function batchesOf(all: WeakMap<Served, Batches>, served: Served): Batches {
  let batches = all.get(served);
  if (!batches) all.set(served, batches = new WeakMap());
  return batches;
}

const heads: Record<EventType, Buffer> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'), MODIFIED: Buffer.from('{"type":"MODIFIED","object":'), DELETED: Buffer.from('{"type":"DELETED","object":'),
};
const tail = Buffer.from('}\n');

function frame(type: EventType, bytes: Buffer): Buffer {
  return Buffer.concat([heads[type], bytes, tail]);
}

/** The newest frames: watchers that are awake at the same time find them here, nobody holds them for long. */
class FrameCache {
  readonly #frames = new Map<CachedObject, Buffer>();
  get(item: CachedObject, make: () => Buffer): Buffer {
    let found = this.#frames.get(item);
    if (!found) {
      found = make();
      this.#frames.set(item, found);
      if (this.#frames.size > 128) for (const oldest of this.#frames.keys()) {
        this.#frames.delete(oldest);
        break;
      }
    }
    return found;
  }
}
const frameCaches = (): Record<EventType, FrameCache> => ({ ADDED: new FrameCache(), MODIFIED: new FrameCache(), DELETED: new FrameCache() });
const jsonFrames = frameCaches();
const protobufFrames = frameCaches();

function jsonEncoder(form: OutputForm, served: Served, query: URLSearchParams): Encoder {
  const { transform } = form;
  const { row, apiVersion } = served;
  const error = (status: Status): Buffer => Buffer.from(`{"type":"ERROR","object":${JSON.stringify(status)}}\n`);
  if (!transform) {
    return {
      batches: batchesOf(jsonBatches, served),
      once: (type, item) => [heads[type], item.bytes, tail],
      shared: (type, item) => jsonFrames[type].get(item, () => frame(type, item.bytes)),
      error,
      bookmark: (revision, end) => Buffer.from(`{"type":"BOOKMARK","object":${JSON.stringify({ kind: row.kind, apiVersion, metadata: metadataOf(revision, end) })}}\n`),
    };
  }
  if (transform.kind === 'PartialObjectMetadataList') throw notAcceptable(`you requested PartialObjectMetadataList, but the requested object is not a list (${row.kind})`);
  let shape: (item: Pick<CachedObject, 'object' | 'bytes'>) => string;
  if (transform.kind === 'Table') {
    const include = includeObject(query);
    let first = true;
    shape = (item) => {
      const text = tableJson(row, [item], transform.version, include, { ...(item.object.metadata?.resourceVersion ? { resourceVersion: item.object.metadata.resourceVersion } : {}) }, Date.now(), first);
      first = false;
      return text;
    };
  } else shape = (item) => partialJson(item, transform.version);
  const make = (type: EventType, item: CachedObject): Buffer => frame(type, Buffer.from(shape(item)));
  return {
    batches: undefined,
    once: (type, item) => [make(type, item)],
    shared: make,
    error,
    bookmark(revision, end) {
      const object = { kind: row.kind, apiVersion, metadata: metadataOf(revision, end) };
      return Buffer.from(`{"type":"BOOKMARK","object":${shape({ object, bytes: Buffer.from(JSON.stringify(object)) })}}\n`);
    },
  };
}

function metadataOf(revision: bigint, end: boolean): { resourceVersion: string; annotations?: Record<string, string> } {
  return { resourceVersion: String(revision), ...(end ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}) };
}

/** Frames with their length in front. Tables do not come this way, and only metadata of kinds without a message: negotiation sees to it. */
async function protobufEncoder({ transform }: OutputForm, served: Served): Promise<Encoder> {
  const { row, apiVersion } = served;
  const [codec, { encodeEnvelope, encodeWatchFrame }] = await Promise.all([loadProtobuf(), import('#machinery/schema/protobuf.ts')]);
  const own = { kind: row.kind, apiVersion };
  const encoded = (object: KubeObject): Buffer => {
    const bytes = codec.encode(object);
    if (!bytes) throw new Error(`${object.apiVersion} ${object.kind} has no protobuf message`);
    return bytes;
  };
  const partial = ({ metadata }: Readonly<KubeObject>): KubeObject => ({ kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${transform?.version ?? 'v1'}`, metadata: metadata ?? {} });
  if (transform && transform.kind !== 'PartialObjectMetadata') throw notAcceptable(`you requested ${transform.kind}, but the requested object is not a list (${row.kind})`);
  const whole = (item: Pick<CachedObject, 'object'>): Buffer => {
    const body = bodyOf(codec, item);
    return body ? encodeEnvelope(own, body) : encoded(item.object);
  };
  const frameOf = (type: EventType, item: CachedObject): Buffer => encodeWatchFrame(type, transform ? encoded(partial(item.object)) : whole(item));
  return {
    batches: transform ? undefined : batchesOf(protobufBatches, served),
    once: (type, item) => [frameOf(type, item)],
    shared: (type, item) => (transform ? frameOf(type, item) : protobufFrames[type].get(item, () => frameOf(type, item))),
    bookmark(revision, end) {
      const object = { ...own, metadata: metadataOf(revision, end) };
      return encodeWatchFrame('BOOKMARK', encoded(transform ? partial(object) : object));
    },
    error: (status) => encodeWatchFrame('ERROR', encoded({ ...status })),
  };
}
