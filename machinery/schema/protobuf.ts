// Built-in objects as protobuf and back (application/vnd.kubernetes.protobuf), from the table of messages in data/proto-fields.json.
// Rules: an envelope of `k8s\0` and runtime.Unknown; fields in ascending order, map entries by sorted key, repeated scalars not packed;
// what is not a pointer in Go is written even when empty. Upstream: apimachinery's serializer/protobuf, generated.proto files.
import { readFile } from 'node:fs/promises';
import protobuf from 'protobufjs/minimal.js';
import type { KubeObject } from '../api/object.ts';
import { parseApiVersion } from '../api/object.ts';
import { canonicalQuantity } from '../api/quantity.ts';

const { Reader, Writer } = protobuf;
type Reader = InstanceType<typeof Reader>;
type Writer = InstanceType<typeof Writer>;

interface RawField { n: number; type: string; label: 'optional' | 'repeated' | 'map'; key?: string; inline?: true; json?: string; always?: true }
interface Field extends RawField { name: string; scalar: boolean }
interface Message { name: string; fields: Field[]; byNumber: Map<number, Field> }
type Table = Record<string, Record<string, RawField>>;
type Json = Record<string, unknown>;

/** The bytes are no protobuf object, or one of a kind that has no message; the message says which. */
export class ProtobufError extends Error {
  override name = 'ProtobufError';
}

export interface ProtobufCodec {
  /** Decodes an enveloped object; apiVersion and kind come from the envelope. Zero values of Go are left out. Throws ProtobufError. */
  decode(bytes: Uint8Array): KubeObject;
  /** Encodes with the envelope; undefined when the kind has no message (custom resources). */
  encode(object: KubeObject): Buffer | undefined;
  /** The message alone, as it stands inside an envelope or as an item of a list; undefined when the kind has none. */
  encodeBody(object: Readonly<KubeObject>): Uint8Array | undefined;
  /** True for the kinds that can be encoded. */
  has(apiVersion: string, kind: string): boolean;
}

const magic = Buffer.from('k8s\0');
const meta = 'k8s.io.apimachinery.pkg.apis.meta.v1';
let loading: Promise<ProtobufCodec> | undefined;

/** The codec of all built-in kinds; its table is read at the first call. */
export function loadProtobuf(): Promise<ProtobufCodec> {
  loading ??= readFile(new URL('./data/proto-fields.json', import.meta.url), 'utf8').then((text) => createProtobufCodec(JSON.parse(text) as Table));
  return loading;
}

export function isProtobuf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && magic.equals(bytes.subarray(0, 4));
}

export function createProtobufCodec(table: Table): ProtobufCodec {
  const messages = new Map<string, Message>();
  const find = (name: string): Message | undefined => {
    const known = messages.get(name);
    if (known) return known;
    const raw = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!raw) return undefined;
    const scope = name.slice(0, name.lastIndexOf('.') + 1);
    const fields = Object.entries(raw).map(([field, row]): Field => {
      const scalar = scalars.has(row.type);
      return { ...row, name: row.json ?? field, scalar, type: scalar || row.type.includes('.') ? row.type : scope + row.type };
    }).sort((a, b) => a.n - b.n);
    const message: Message = { name, fields, byNumber: new Map(fields.map((field) => [field.n, field])) };
    messages.set(name, message);
    return message;
  };
  const need = (name: string): Message => {
    const message = find(name);
    if (!message) throw new ProtobufError(`no protobuf message ${name}`);
    return message;
  };
  /** Options, Status and the like live in meta/v1 whatever group version they are sent for. */
  const messageOf = (apiVersion: string, kind: string): Message | undefined => {
    const { group, version } = parseApiVersion(apiVersion);
    return (packageOf(group, version) && find(`${packageOf(group, version)}.${kind}`)) || find(`${meta}.${kind}`);
  };

  const decodeMessage = (reader: Reader, end: number, message: Message, into: Json = {}): Json => {
    while (reader.pos < end) {
      const tag = reader.uint32();
      const field = message.byNumber.get(tag >>> 3);
      if (!field) {
        reader.skipType(tag & 7);
        continue;
      }
      if ((tag & 7) !== wireType(field) && !(field.label === 'repeated' && (tag & 7) === 2)) throw new ProtobufError(`proto: wrong wireType = ${tag & 7} for field ${field.name}`);
      if (field.label === 'map') {
        const [key, value] = decodeEntry(reader, field);
        if (typeof into[field.name] !== 'object') into[field.name] = {};
        Object.defineProperty(into[field.name], key, { value, enumerable: true, writable: true, configurable: true });
      } else if (field.label === 'repeated') {
        const list = (into[field.name] ??= []) as unknown[];
        if (field.scalar && (tag & 7) === 2 && field.type !== 'string' && field.type !== 'bytes') {
          for (const stop = reader.uint32() + reader.pos; reader.pos < stop;) list.push(scalar(reader, field.type));
        } else list.push(decodeValue(reader, field));
      } else if (field.inline) {
        const stop = reader.uint32() + reader.pos;
        decodeMessage(reader, stop, need(field.type), into);
      } else {
        const value = decodeValue(reader, field);
        if (value !== undefined && !(field.always && isZero(value))) into[field.name] = value;
      }
    }
    return into;
  };
  const decodeEntry = (reader: Reader, field: Field): [string, unknown] => {
    let key = '';
    let value: unknown = field.scalar ? (field.type === 'string' || field.type === 'bytes' ? '' : 0) : {};
    for (const stop = reader.uint32() + reader.pos; reader.pos < stop;) {
      const tag = reader.uint32();
      if (tag >>> 3 === 1) key = reader.string();
      else if (tag >>> 3 === 2) value = decodeValue(reader, field) ?? null;
      else reader.skipType(tag & 7);
    }
    return [key, value];
  };
  const decodeValue = (reader: Reader, field: Field): unknown => {
    if (field.scalar) return scalar(reader, field.type);
    const end = reader.uint32() + reader.pos;
    if (end > reader.len) throw new ProtobufError('unexpected end of protobuf data');
    const inner = decodeMessage(reader, end, need(field.type));
    const special = specials[field.type];
    return special ? special.decode(inner) : inner;
  };

  const encodeMessage = (writer: Writer, message: Message, object: Json): void => {
    for (const field of message.fields) {
      if (field.inline) {
        writer.uint32(field.n << 3 | 2).fork();
        encodeMessage(writer, need(field.type), object);
        writer.ldelim();
        continue;
      }
      const value = object[field.name];
      if (field.label === 'map') {
        for (const [key, item] of Object.entries((value ?? {}) as Json).sort(([a], [b]) => (a < b ? -1 : 1))) {
          writer.uint32(field.n << 3 | 2).fork().uint32(10).string(key);
          encodeValue(writer, { ...field, n: 2 }, item);
          writer.ldelim();
        }
      } else if (field.label === 'repeated') {
        for (const item of (value ?? []) as unknown[]) encodeValue(writer, field, item);
      } else if (value !== undefined && value !== null) encodeValue(writer, field, value);
      else if (field.always) encodeValue(writer, field, field.scalar ? zero(field.type) : undefined);
    }
  };
  const encodeValue = (writer: Writer, field: Field, value: unknown): void => {
    if (field.scalar) {
      writeScalar(writer, field.n, field.type, value);
      return;
    }
    const special = specials[field.type];
    writer.uint32(field.n << 3 | 2).fork();
    const inner = special ? special.encode(value) : (value ?? {}) as Json;
    if (inner) encodeMessage(writer, need(field.type), inner);
    writer.ldelim();
  };

  const encodeBody = (object: Readonly<KubeObject>): Uint8Array | undefined => {
    const message = messageOf(object.apiVersion ?? '', object.kind ?? '');
    if (!message) return undefined;
    const body = Writer.create();
    encodeMessage(body, message, object);
    return body.finish();
  };

  return {
    has: (apiVersion, kind) => messageOf(apiVersion, kind) !== undefined,
    decode(bytes) {
      if (!isProtobuf(bytes)) throw new ProtobufError('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
      try {
        let apiVersion = '';
        let kind = '';
        let raw: Uint8Array = new Uint8Array();
        const reader = Reader.create(bytes.subarray(4));
        while (reader.pos < reader.len) {
          const tag = reader.uint32();
          if (tag >>> 3 === 1) {
            for (const stop = reader.uint32() + reader.pos; reader.pos < stop;) {
              const inner = reader.uint32();
              if (inner >>> 3 === 1) apiVersion = reader.string();
              else if (inner >>> 3 === 2) kind = reader.string();
              else reader.skipType(inner & 7);
            }
          } else if (tag >>> 3 === 2) raw = reader.bytes();
          else reader.skipType(tag & 7);
        }
        const message = messageOf(apiVersion, kind);
        if (!message) throw new ProtobufError(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
        const inner = Reader.create(raw);
        return { kind, apiVersion, ...decodeMessage(inner, inner.len, message) };
      } catch (error) {
        if (error instanceof ProtobufError) throw error;
        throw new ProtobufError(`cannot decode protobuf: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
    },
    encode(object) {
      const body = encodeBody(object);
      return body && Buffer.concat(envelope(object, [body]));
    },
    encodeBody,
  };
}

/** What goes around a message, which may come in parts. */
function envelope({ apiVersion = '', kind = '' }: Readonly<KubeObject>, body: readonly Uint8Array[]): Uint8Array[] {
  let length = 0;
  for (const part of body) length += part.length;
  const head = Writer.create();
  head.uint32(10).fork().uint32(10).string(apiVersion).uint32(18).string(kind).ldelim().uint32(18).uint32(length);
  return [magic, head.finish(), ...body, envelopeEnd];
}
const envelopeEnd = Writer.create().uint32(26).string('').uint32(34).string('').finish();

/** An object around its message, see encodeBody(). */
export function encodeEnvelope(type: Readonly<KubeObject>, body: Uint8Array): Buffer {
  return Buffer.concat(envelope(type, [body]));
}

/** A list of a kind in parts that make one body: all lists have their metadata at 1 and their items at 2. `meta` is the message of a list without items. */
export function encodeList(type: Readonly<KubeObject>, meta: Uint8Array, items: readonly Uint8Array[]): Uint8Array[] {
  const parts: Uint8Array[] = [meta];
  for (const item of items) parts.push(Writer.create().uint32(18).uint32(item.length).finish(), item);
  return envelope(type, parts);
}

const packages: Readonly<Record<string, string>> = {
  'apiextensions.k8s.io': 'k8s.io.apiextensions_apiserver.pkg.apis.apiextensions',
  'apiregistration.k8s.io': 'k8s.io.kube_aggregator.pkg.apis.apiregistration',
  'meta.k8s.io': 'k8s.io.apimachinery.pkg.apis.meta',
  'internal.apiserver.k8s.io': 'k8s.io.api.apiserverinternal',
};
function packageOf(group: string, version: string): string | undefined {
  if (group !== '' && group.includes('.') && !group.endsWith('.k8s.io')) return undefined;
  return `${Object.hasOwn(packages, group) ? packages[group] : `k8s.io.api.${group === '' ? 'core' : group.split('.')[0]}`}.${version}`;
}

const scalars: ReadonlySet<string> = new Set(['string', 'bytes', 'bool', 'int32', 'int64', 'double']);

function wireType({ scalar: isScalar, type, label }: Field): number {
  if (!isScalar || label === 'map' || type === 'string' || type === 'bytes') return 2;
  return type === 'double' ? 1 : 0;
}

function scalar(reader: Reader, type: string): unknown {
  switch (type) {
    case 'string': return reader.string();
    case 'bytes': return Buffer.from(reader.bytes()).toString('base64');
    case 'bool': return reader.bool();
    case 'int32': return reader.int32();
    case 'int64': return Number(reader.int64());
    default: return reader.double();
  }
}
function zero(type: string): unknown {
  return type === 'string' || type === 'bytes' ? '' : type === 'bool' ? false : 0;
}
function writeScalar(writer: Writer, n: number, type: string, value: unknown): void {
  switch (type) {
    case 'string': writer.uint32(n << 3 | 2).string(String(value)); break;
    case 'bytes': writer.uint32(n << 3 | 2).bytes(Buffer.from(String(value), 'base64')); break;
    case 'bool': writer.uint32(n << 3).bool(value === true); break;
    case 'int32': writer.uint32(n << 3).int32(Number(value)); break;
    case 'int64': writer.uint32(n << 3).int64(Number(value)); break;
    default: writer.uint32(n << 3 | 1).double(Number(value));
  }
}
/** Empty messages stay: they are structs that JSON shows as {}. Absent times and quantities are undefined already. */
function isZero(value: unknown): boolean {
  return value === '' || value === 0 || value === false;
}

interface Special { decode(inner: Json): unknown; encode(value: unknown): Json | undefined }

const decodeTime = (digits: number) => (inner: Json): string | undefined => {
  if (inner.seconds === undefined && inner.nanos === undefined) return undefined;
  const seconds = Number(inner.seconds ?? 0);
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return digits === 0 ? `${whole}Z` : `${whole}.${String(Math.floor(Number(inner.nanos ?? 0) / 1000)).padStart(6, '0')}Z`;
};
const encodeTime = (micro: boolean) => (value: unknown): Json | undefined => {
  if (typeof value !== 'string' || value === '') return undefined;
  const fraction = /\.(\d+)/.exec(value)?.[1] ?? '';
  return { seconds: Math.floor(Date.parse(value.replace(/\.\d+/, '')) / 1000), nanos: micro ? Number(fraction.padEnd(6, '0').slice(0, 6)) * 1000 : 0 };
};
const items: Special = { decode: (inner) => inner.items ?? [], encode: (value) => ({ items: value ?? [] }) };
const json: Special = {
  decode(inner) {
    if (typeof inner.raw !== 'string' && typeof inner.Raw !== 'string') return undefined;
    const bytes = Buffer.from(String(inner.raw ?? inner.Raw), 'base64');
    return bytes.length === 0 ? undefined : JSON.parse(bytes.toString('utf8')) as unknown;
  },
  encode(value) {
    if (value === undefined) return undefined;
    const bytes = Buffer.from(JSON.stringify(value)).toString('base64');
    return { raw: bytes, Raw: bytes };
  },
};
const durations: readonly [string, bigint][] = [['h', 3_600_000_000_000n], ['m', 60_000_000_000n], ['s', 1_000_000_000n], ['ms', 1_000_000n], ['us', 1000n], ['µs', 1000n], ['ns', 1n]];
const schemaOr = (list: string): Special => ({
  decode: (inner) => inner.schema ?? inner[list],
  encode: (value) => (Array.isArray(value) ? { [list]: value } : { schema: value }),
});

const specials: Readonly<Record<string, Special | undefined>> = Object.fromEntries([
  [`${meta}.Time`, { decode: decodeTime(0), encode: encodeTime(false) }],
  [`${meta}.MicroTime`, { decode: decodeTime(6), encode: encodeTime(true) }],
  [`${meta}.Duration`, {
    decode: (inner: Json) => formatDuration(BigInt(Number(inner.duration ?? 0))),
    encode: (value: unknown) => ({ duration: typeof value === 'string' ? parseDuration(value) : 0 }),
  }],
  [`${meta}.FieldsV1`, json],
  [`${meta}.Verbs`, items],
  ['k8s.io.apimachinery.pkg.runtime.RawExtension', json],
  ['k8s.io.apimachinery.pkg.api.resource.Quantity', { decode: (inner: Json) => decodeQuantity(String(inner.string ?? '0')), encode: (value: unknown) => ({ string: String(value ?? '0') }) }],
  ['k8s.io.apimachinery.pkg.util.intstr.IntOrString', {
    decode: (inner: Json) => (inner.type === 1 ? inner.strVal ?? '' : inner.intVal ?? 0),
    encode: (value: unknown) => (typeof value === 'string' ? { type: 1, intVal: 0, strVal: value } : { type: 0, intVal: value ?? 0, strVal: '' }),
  }],
  ...['authentication', 'authorization', 'certificates'].flatMap((group) => ['v1', 'v1beta1'].map((version) => [`k8s.io.api.${group}.${version}.ExtraValue`, items])),
  ...['v1', 'v1beta1'].flatMap((version) => {
    const prefix = `k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.${version}`;
    return [
      [`${prefix}.JSON`, json],
      [`${prefix}.JSONSchemaPropsOrArray`, schemaOr('jSONSchemas')],
      [`${prefix}.JSONSchemaPropsOrStringArray`, schemaOr('property')],
      [`${prefix}.JSONSchemaPropsOrBool`, {
        decode: (inner: Json) => inner.schema ?? inner.allows ?? false,
        encode: (value: unknown) => (typeof value === 'object' && value !== null ? { allows: true, schema: value } : { allows: value === true }),
      }],
    ];
  }),
]) as Record<string, Special>;

/** Canonical, as everything that is read. */
function decodeQuantity(text: string): string {
  return /^(?:0|[1-9]\d{0,2}(?:m|k|M|G|Ki|Mi|Gi)?)$/.test(text) ? text : canonicalQuantity(text);
}

/** Go's time.Duration text to nanoseconds. */
function parseDuration(text: string): number {
  let sum = 0;
  for (const [, number = '0', unit = 's'] of text.matchAll(/([\d.]+)(h|ms|us|µs|ns|m|s)/g)) sum += Number(number) * Number(durations.find(([name]) => name === unit)?.[1] ?? 0n);
  return Math.round(text.startsWith('-') ? -sum : sum);
}
/** Nanoseconds as Go prints a time.Duration. */
function formatDuration(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return '0s';
  const sign = nanoseconds < 0n ? '-' : '';
  const n = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = (value: bigint, unit: bigint): string => {
    const rest = String(value % unit).padStart(String(unit).length - 1, '0').replace(/0+$/, '');
    return `${value / unit}${rest === '' ? '' : `.${rest}`}`;
  };
  if (n < 1000n) return `${sign}${n}ns`;
  if (n < 1_000_000n) return `${sign}${fraction(n, 1000n)}µs`;
  if (n < 1_000_000_000n) return `${sign}${fraction(n, 1_000_000n)}ms`;
  const hours = n / 3_600_000_000_000n;
  const minutes = n / 60_000_000_000n % 60n;
  return `${sign}${hours > 0n ? `${hours}h` : ''}${hours > 0n || minutes > 0n ? `${minutes}m` : ''}${fraction(n % 60_000_000_000n, 1_000_000_000n)}s`;
}

/** A frame of a watch: four bytes of length, then a bare WatchEvent whose object is enveloped. */
export function encodeWatchFrame(type: string, object: Buffer): Buffer {
  const event = Writer.create();
  event.uint32(10).string(type).uint32(18).fork().uint32(10).bytes(object).ldelim();
  const body = event.finish();
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}
