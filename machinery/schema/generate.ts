// Derives the table of built-in types: structure from the fact files in data/, doc texts from @kubernetes/client-node's
// declarations, read as text because importing that package costs more than a second. Run by `npm run generate` and by
// schema.ts when the product is missing or of another version.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

export const generatedDir = path.join(import.meta.dirname, 'generated');
const dataDir = path.join(import.meta.dirname, 'data');

/** One field: Go type as error texts name it, what it refers to, shape, flags, and the rarer facts. */
export type FieldRow = [go: string, ref: string, shape: Shape, flags: string, extra?: FieldExtra];
/** `mapOfLists`: a map whose values are lists (`extra` of a user). */
export type Shape = 'one' | 'list' | 'map' | 'mapOfLists';
export interface FieldExtra {
  patchStrategy?: string;
  patchMergeKey?: string;
  listType?: string;
  listMapKeys?: string[];
  mapType?: string;
  structType?: string;
  keyDefaults?: Record<string, unknown>;
  default?: unknown;
  /** Go structs between the type and the field that JSON does not show: error texts name them. */
  inlined?: string[];
  /** Allowed values, for types that are closed sets. */
  enum?: string[];
}
/** flags of a type: k carries kind and apiVersion, a atomic in apply, u a union. Flags of a field: r required, p pointer, e omitempty, d says which member of a union is meant. */
export interface TypeRow { flags: string; fields: Record<string, FieldRow> }
export interface Product { stamp: string; types: Record<string, TypeRow> }
/** Texts by type; the type's own under "". */
export type DocTable = Record<string, Record<string, string>>;

interface FieldFact { t: string; req?: boolean; omitempty?: boolean; default?: unknown; markers?: string[] }
interface Facts {
  enums: Record<string, { enum: boolean; values: string[] }>;
  named: Record<string, string>;
  types: Record<string, { fields: Record<string, FieldFact>; typeMeta?: boolean; markers?: string[] }>;
}
type MergeKeys = Record<string, Record<string, Omit<FieldExtra, 'default' | 'enum' | 'inlined'>>>;
type Messages = Record<string, Record<string, { type: string; inline?: boolean; json?: string }>>;

/** Types that JSON holds as something else than an object with fixed fields. */
const special: Readonly<Record<string, string>> = {
  'string': 'string', 'bool': 'boolean', 'byte': 'bytes', 'int': 'int64', 'int32': 'int32', 'int64': 'int64', 'float64': 'double', 'interface{}': 'any',
  'meta/v1/Time': 'time', 'meta/v1/MicroTime': 'microTime', 'meta/v1/Duration': 'duration', 'meta/v1/FieldsV1': 'any',
  'types.UID': 'string', 'Quantity': 'quantity', 'IntOrString': 'intOrString', 'RawExtension': 'raw',
};
const anyTypes = /^apiextensions\.k8s\.io\/v1(beta1)?\/(JSON|JSONSchemaPropsOr(Array|Bool|StringArray))$/;
const goPackages: Readonly<Record<string, string>> = { Quantity: 'resource', IntOrString: 'intstr', RawExtension: 'runtime' };

/** Their uid is a plain string; elsewhere it has a Go type of its own, which error texts name. */
const plainUid: ReadonlySet<string> = new Set(['authentication.k8s.io/v1/UserInfo', 'authorization.k8s.io/v1/SubjectAccessReviewSpec']);

/** What the product depends on; a product with another stamp is made anew. */
export function currentStamp(): string {
  const program = createHash('sha1').update(readFileSync(import.meta.filename)).digest('hex');
  const sizes = ['field-facts.json', 'merge-keys.json', 'proto-fields.json'].map((name) => statSync(path.join(dataDir, name)).size);
  return [program, ...sizes, clientNodeVersion()].join('/');
}

export function generate(): { product: Product; docs: DocTable } {
  const facts = readJson<Facts>('field-facts.json');
  const mergeKeys = readJson<MergeKeys>('merge-keys.json');
  const inlined = readInlined();
  const types: Product['types'] = {};
  for (const [name, fact] of Object.entries(facts.types)) {
    const merge = mergeKeys[name] ?? {};
    const fields: TypeRow['fields'] = {};
    for (const [field, row] of Object.entries(fact.fields)) fields[field] = fieldRow(facts, name, field === 'uid' && !plainUid.has(name) ? { ...row, t: row.t.replace('string', 'types.UID') } : row, merge[field], inlined(name)[field]);
    types[name] = { flags: `${fact.typeMeta ? 'k' : ''}${merge['$type']?.structType === 'atomic' ? 'a' : ''}${fact.markers?.includes('+union') ? 'u' : ''}`, fields };
  }
  return { product: { stamp: currentStamp(), types }, docs: readDocs(facts) };
}

/** Writes the product, each file in one step so that a reader never sees half of it. */
export function write({ product, docs }: { product: Product; docs: DocTable }): void {
  mkdirSync(generatedDir, { recursive: true });
  for (const [name, content] of [['docs.json', docs], ['types.json', product]] as const) {
    const temporary = path.join(generatedDir, `.${name}.${process.pid}`);
    writeFileSync(temporary, JSON.stringify(content));
    renameSync(temporary, path.join(generatedDir, name));
  }
}

function fieldRow(facts: Facts, owner: string, fact: FieldFact, merge: MergeKeys[string][string] | undefined, inlined: string[] | undefined): FieldRow {
  const pointer = fact.t.startsWith('*');
  const { go, ref, shape, named } = resolve(facts, owner, pointer ? fact.t.slice(1) : fact.t);
  const closed = named === undefined ? undefined : facts.enums[named];
  const extra: FieldExtra = {
    ...merge,
    ...(fact.default === undefined ? {} : { default: fact.default }),
    ...(closed?.enum ? { enum: closed.values } : {}),
    ...(inlined ? { inlined } : {}),
  };
  const flags = `${fact.req ? 'r' : ''}${pointer ? 'p' : ''}${fact.omitempty ? 'e' : ''}${fact.markers?.includes('+unionDiscriminator') ? 'd' : ''}`;
  return Object.keys(extra).length > 0 ? [go, ref, shape, flags, extra] : [go, ref, shape, flags];
}

/** Field -> structs it is inlined from, of a type. Protobuf keeps those structs apart, so its table knows them. */
function readInlined(): (typeName: string) => Record<string, string[]> {
  const bySuffix = new Map(Object.entries(readJson<Messages>('proto-fields.json')).map(([name, fields]) => [name.split('.').slice(-3).join('.'), fields]));
  const collect = (suffix: string, above: string[], into: Record<string, string[]>): void => {
    for (const [name, field] of Object.entries(bySuffix.get(suffix) ?? {})) {
      if (!field.inline) {
        if (above.length > 0) into[field.json ?? name] = above;
        continue;
      }
      const type = field.type.split('.');
      const inner = type.length > 1 ? type.slice(-3).join('.') : [...suffix.split('.').slice(0, 2), ...type].join('.');
      collect(inner, [...above, type.at(-1) ?? ''], into);
    }
  };
  return (typeName) => {
    const [group = '', version = '', name = ''] = typeName.split('/');
    const folder = group === 'internal.apiserver.k8s.io' ? 'apiserverinternal' : group.split('.')[0] ?? '';
    const fields: Record<string, string[]> = {};
    collect(`${folder}.${version}.${name}`, [], fields);
    return fields;
  };
}

interface Resolved { go: string; ref: string; shape: Shape; named?: string }

/** `[]Container` of core/v1/PodSpec is a list of core/v1/Container, which Go prints as []v1.Container. */
function resolve(facts: Facts, owner: string, text: string): Resolved {
  if (text.startsWith('*')) return resolve(facts, owner, text.slice(1));
  const [, key, rest] = /^map\[([^\]]*)\](.*)$/.exec(text) ?? [];
  if (key !== undefined && rest !== undefined) {
    const value = resolve(facts, owner, rest);
    const goKey = special[key] ? key : goName(key, owner);
    return { go: `map[${goKey}]${value.go}`, ref: value.ref, shape: value.shape === 'list' ? 'mapOfLists' : 'map' };
  }
  if (text === '[]byte') return { go: '[]uint8', ref: 'bytes', shape: 'one' };
  if (text.startsWith('[]')) {
    const item = resolve(facts, owner, text.slice(2));
    if (item.shape !== 'one') throw new Error(`${owner} has a list of ${item.go}, which this table cannot say`);
    return { ...item, go: `[]${item.go}`, shape: 'list' };
  }
  const full = fullName(facts, owner, text);
  const known = special[full];
  const go = goName(text, owner);
  if (known !== undefined) return { go, ref: known, shape: 'one' };
  if (anyTypes.test(full)) return { go, ref: 'any', shape: 'one' };
  const under = facts.named[full];
  if (under !== undefined) {
    const resolved = resolve(facts, full, under);
    // An alias of another package's type prints as that; a named string or list by its own name.
    return { ...resolved, go: special[under] ? go : resolved.shape === 'one' ? resolved.go : go, named: resolved.named ?? full };
  }
  if (facts.types[full] === undefined) throw new Error(`${owner} refers to ${text}, which is in no fact file`);
  return { go, ref: full, shape: 'one' };
}

function fullName(facts: Facts, owner: string, text: string): string {
  if (special[text] !== undefined || text.includes('/')) return text;
  for (const home of [owner.slice(0, owner.lastIndexOf('/')), 'meta/v1']) {
    const full = `${home}/${text}`;
    if (special[full] !== undefined || facts.types[full] !== undefined || facts.named[full] !== undefined) return full;
  }
  return text;
}

function goName(text: string, owner: string): string {
  if (goPackages[text] !== undefined) return `${goPackages[text]}.${text}`;
  if (special[text] !== undefined && !text.includes('/')) return text === 'interface{}' ? 'interface {}' : text;
  const [, version, name] = text.split('/');
  return version === undefined ? `${owner.split('/')[1]}.${text}` : `${version}.${name}`;
}

// ---- doc texts

function readDocs(facts: Facts): DocTable {
  const folder = path.join(clientNodeDir(), 'dist', 'gen', 'models');
  const byTail = new Map<string, string[]>();
  for (const name of Object.keys(facts.types)) {
    const tail = name.slice(name.indexOf('/') + 1);
    byTail.set(tail, [...byTail.get(tail) ?? [], name]);
  }
  const docs: DocTable = {};
  for (const file of readdirSync(folder)) {
    const [, label = '', version, kind] = /^([A-Z][a-z]*)??(V\d+(?:(?:alpha|beta)\d+)?)(\w+)\.d\.ts$/.exec(file) ?? [];
    if (version === undefined || kind === undefined) continue;
    const candidates = byTail.get(`${version.toLowerCase()}/${kind}`)?.filter((name) => label === '' || name.startsWith(label.toLowerCase()));
    if (!candidates) continue;
    const texts = parseDeclaration(readFileSync(path.join(folder, file), 'utf8'));
    // Class names leave the group out; among types of the same name the one with the same fields is meant.
    const name = candidates.find((candidate) => sameFields(facts, candidate, texts.fields));
    if (name !== undefined) docs[name] = texts.docs;
  }
  return docs;
}

function sameFields(facts: Facts, name: string, fields: ReadonlySet<string>): boolean {
  const own = Object.keys(facts.types[name]?.fields ?? {});
  const meta = facts.types[name]?.typeMeta ? 2 : 0;
  return own.length + meta === fields.size && own.every((field) => fields.has(field.replace(/^\$/, ''))); // `$ref` is `ref` there
}

const memberPattern = /(?:\/\*\*\n((?:\s*\*(?!\/)[^\n]*\n)*)\s*\*\/\n)?\s*(?:'([^'\n]+)'\??: |export declare class )/g;

/** The members of a model class and the comments before them. */
function parseDeclaration(source: string): { fields: Set<string>; docs: Record<string, string> } {
  const fields = new Set<string>();
  const docs: Record<string, string> = {};
  const start = source.lastIndexOf('/**', source.indexOf('export declare class'));
  for (const [, comment, member] of source.slice(Math.max(start, 0)).matchAll(memberPattern)) {
    // The generator renames members that are no good identifiers in its languages.
    const field = member === undefined ? '' : member.replace(/^_/, '').replace(/^x_kubernetes_.*/, (name) => name.replaceAll('_', '-'));
    if (field !== '') fields.add(field);
    const text = comment?.split('\n').map((line) => line.replace(/^\s*\* ?/, '')).join('\n').trim().replace(/\\(['"`\\])/g, '$1');
    if (text) docs[field] = text;
  }
  return { fields, docs };
}

function clientNodeDir(): string {
  const entry = createRequire(import.meta.url).resolve('@kubernetes/client-node');
  return entry.slice(0, entry.lastIndexOf(`${path.sep}dist${path.sep}`));
}
function clientNodeVersion(): string {
  return (JSON.parse(readFileSync(path.join(clientNodeDir(), 'package.json'), 'utf8')) as { version: string }).version;
}
function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(path.join(dataDir, name), 'utf8')) as T; // our own file, its form is this module's business
}

if (import.meta.main) {
  const started = performance.now();
  const made = generate();
  write(made);
  const documented = Object.keys(made.docs).length;
  process.stdout.write(`machinery/schema/generated: ${Object.keys(made.product.types).length} types, ${documented} documented, in ${Math.round(performance.now() - started)} ms\n`);
}
