// What each built-in type looks like: fields, how lists merge, what is required. Loaded lazily, by nothing that "ready" waits
// for; a type is built when it is first asked for, doc texts are a file of their own.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { currentStamp, generate, generatedDir, write } from './generate.ts';
import type { DocTable, FieldExtra, FieldRow, Product, Shape, TypeRow } from './generate.ts';

export type Scalar = 'string' | 'boolean' | 'bytes' | 'int32' | 'int64' | 'double' | 'any' | 'raw' | 'time' | 'microTime' | 'duration' | 'quantity' | 'intOrString';

export interface Field extends Readonly<FieldExtra> {
  readonly name: string;
  readonly shape: Shape;
  /** What one value, item or map value is; `type` is set exactly for 'struct'. */
  readonly kind: Scalar | 'struct';
  readonly type: Type | undefined;
  /** As Go prints the field's type: `[]v1.Container`. */
  readonly goType: string;
  readonly required: boolean;
  readonly pointer: boolean;
  readonly omitEmpty: boolean;
  /** Says which member of its union is set. */
  readonly discriminator: boolean;
}

export interface Type {
  /** `core/v1/PodSpec`; `core` stands for the empty group. */
  readonly name: string;
  /** `PodSpec` */
  readonly shortName: string;
  /** Without kind and apiVersion, see `isObject`. */
  readonly fields: ReadonlyMap<string, Field>;
  /** Carries kind and apiVersion. */
  readonly isObject: boolean;
  /** Server-side apply takes it as one value. */
  readonly atomic: boolean;
  /** At most one field is set, apart from a discriminator. */
  readonly union: boolean;
}

export interface Schema {
  /** The type of a kind; group '' is the core group. Options (DeleteOptions and the like) are in every group. */
  typeFor(group: string, version: string, kind: string): Type | undefined;
  type(name: string): Type | undefined;
  names(): string[];
  /** Differs when the table does. */
  readonly stamp: string;
  /** Doc texts, read anew at each call: they are large and seldom needed. */
  loadDocs(): Promise<DocTable>;
}

let loading: Promise<Schema> | undefined;

/** The one schema of the process; the first call reads it (some milliseconds), or derives it when it is missing or stale. */
export function loadSchema(): Promise<Schema> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(): Promise<Schema> {
  try {
    const product = JSON.parse(await readFile(path.join(generatedDir, 'types.json'), 'utf8')) as Product; // written by generate.ts, stamp checked next
    if (product.stamp === currentStamp()) return createSchema(product, () => readFile(path.join(generatedDir, 'docs.json'), 'utf8').then((text) => JSON.parse(text) as DocTable));
  } catch (error) {
    if (!(error instanceof SyntaxError) && (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const made = generate();
  try {
    write(made);
  } catch (error) {
    // An installation that may not be written to: the table is made at each start, which costs part of a second.
    if (!['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return createSchema(made.product, () => Promise.resolve(generate().docs));
  }
  return createSchema(made.product, () => Promise.resolve(JSON.parse(readFileSync(path.join(generatedDir, 'docs.json'), 'utf8')) as DocTable));
}

/** For tests: a schema of types of one's own. */
export function createSchema(product: Pick<Product, 'types'> & Partial<Product>, loadDocs: () => Promise<DocTable> = () => Promise.resolve({})): Schema {
  const built = new Map<string, Type>();
  const type = (name: string): Type | undefined => {
    const known = built.get(name);
    if (known) return known;
    const row = Object.hasOwn(product.types, name) ? product.types[name] : undefined;
    if (!row) return undefined;
    const made = buildType(name, row, type);
    built.set(name, made);
    return made;
  };
  return {
    type,
    stamp: product.stamp ?? '',
    typeFor: (group, version, kind) => type(`${group === '' ? 'core' : group}/${version}/${kind}`)
      ?? (metaKinds.has(kind) ? type(`meta/v1/${kind}`) : undefined),
    names: () => Object.keys(product.types),
    loadDocs,
  };
}

const metaKinds: ReadonlySet<string> = new Set(['DeleteOptions', 'CreateOptions', 'UpdateOptions', 'PatchOptions', 'GetOptions', 'ListOptions', 'WatchEvent', 'Status',
  'APIGroup', 'APIGroupList', 'APIResourceList', 'APIVersions', 'Table', 'PartialObjectMetadata', 'PartialObjectMetadataList']);

function buildType(name: string, row: TypeRow, lookup: (name: string) => Type | undefined): Type {
  const fields = new Map<string, Field>();
  for (const [field, facts] of Object.entries(row.fields)) fields.set(field, buildField(field, facts, lookup));
  return {
    name, shortName: name.slice(name.lastIndexOf('/') + 1), fields,
    isObject: row.flags.includes('k'), atomic: row.flags.includes('a'), union: row.flags.includes('u'),
  };
}

function buildField(name: string, [goType, ref, shape, flags, extra]: FieldRow, lookup: (name: string) => Type | undefined): Field {
  const struct = ref.includes('/');
  return {
    name, shape, goType, ...extra,
    kind: struct ? 'struct' : ref as Scalar, // the generator writes no other names without a slash
    // Looked up late: types refer to each other in circles.
    get type() { return struct ? lookup(ref) : undefined; },
    required: flags.includes('r'), pointer: flags.includes('p'), omitEmpty: flags.includes('e'), discriminator: flags.includes('d'),
  };
}
