// GET /openapi/v2 and /openapi/v3…: documents are derived from the table of resources and the schema when someone asks, and kept
// as compressed bytes only. Loaded with the first request, by nothing that "ready" waits for.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { loadSchema } from '#machinery/schema/schema.ts';
import { knownVersions } from '../resources/runtime-config.ts';
import type { ResourceRow } from '../resources/resource.ts';
import { document } from './document.ts';
import type { CustomSchema, Sources } from './document.ts';
import { otherDocuments } from './operations.ts';
import type { OtherDocument } from './operations.ts';

export interface OpenApiResponse { status: number; headers: Record<string, string>; body: Buffer }
export interface OpenApi {
  /** `target` is the path with its query; header names in lower case, as node:http has them. 404 for paths that are not ours. */
  handle(target: string, headers: Readonly<Record<string, string | string[] | undefined>>): Promise<OpenApiResponse>;
}
export interface OpenApiOptions {
  customSchema?: CustomSchema;
  serverVersion?: string;
}

/** What all kept documents together may take; the ones not asked for longest go first. */
const limitBytes = 6 * 1024 * 1024;
const json = 'application/json';
const protobuf2 = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const protobuf3 = 'application/com.github.proto-openapi.spec.v3.v1.0+protobuf';

/** `rows` is asked at each request, so that resources may come and go. */
export function createOpenApi(rows: () => readonly ResourceRow[], options: OpenApiOptions = {}): OpenApi {
  const customSchema = options.customSchema ?? (() => undefined);
  const serverVersion = options.serverVersion ?? 'unversioned';
  const kept = new Map<string, Promise<Buffer>>();
  const sizes = new Map<string, number>();

  let program: Promise<string> | undefined;

  /** Names the content without making it: a document follows from its rows, the schema and this program. */
  async function hashOf({ rows: own, others }: Contents): Promise<string> {
    program ??= readProgram();
    const hash = createHash('sha512').update(serverVersion).update(await program);
    for (const row of own) {
      const { strategy: _, convert: __, ...facts } = row;
      hash.update(JSON.stringify([facts, customSchema(row)]));
    }
    hash.update(JSON.stringify(others));
    return hash.digest('hex').toUpperCase();
  }

  async function sources({ rows: own, others }: Contents): Promise<Sources> {
    const schema = await loadSchema();
    return { schema, docs: await schema.loadDocs(), groupVersions: groupVersionsOf(own), customSchema, serverVersion, others };
  }

  /** The compressed bytes under a key that changes with the content; concurrent callers share the work. */
  async function compressed(key: string, make: () => Promise<Buffer>): Promise<Buffer> {
    const known = kept.get(key);
    const bytes = known ?? make().then((plain) => promisify(gzip)(plain, { level: 5 }));
    kept.delete(key);
    kept.set(key, bytes);
    if (known) return known;
    try {
      sizes.set(key, (await bytes).length);
    } catch (error) {
      kept.delete(key);
      throw error;
    }
    for (const oldest of [...sizes.keys()]) {
      if ([...sizes.values()].reduce((sum, size) => sum + size, 0) <= limitBytes) break;
      if (oldest === key) continue;
      sizes.delete(oldest);
      kept.delete(oldest);
    }
    return bytes;
  }

  async function version3(target: string, query: URLSearchParams, accept: string): Promise<Answer> {
    const byPath = byDocument(rows());
    if (target === '/openapi/v3') {
      const paths: Record<string, { serverRelativeURL: string }> = {};
      for (const [name, own] of [...byPath].sort(([a], [b]) => a < b ? -1 : 1)) {
        paths[name] = { serverRelativeURL: `/openapi/v3/${name}?hash=${await hashOf(own)}` };
      }
      const body = Buffer.from(JSON.stringify({ paths }));
      return { type: json, etag: createHash('sha512').update(body).digest('hex').toUpperCase(), bytes: body };
    }
    const name = target.slice('/openapi/v3/'.length);
    const own = byPath.get(name);
    if (!own) return { status: 404 };
    const type = choose(accept, [json, protobuf3, protobuf3.replace('v3.v1.0', 'v3@v1.0')]);
    if (type === undefined) return { status: 406 };
    const etag = await hashOf(own);
    const asked = query.get('hash');
    if (asked !== null && asked !== '' && asked !== etag) return { status: 301, location: `/openapi/v3/${name}?hash=${etag}` };
    const make = async () => document(3, own.rows, await sources(own));
    const immutable = Boolean(asked);
    if (type === json) return { type, etag, immutable, gzipped: await compressed(`3 json ${name} ${etag}`, async () => Buffer.from(JSON.stringify(await make()))) };
    const { encodeDocument } = await import('./protobuf.ts');
    return { type: protobuf3, etag, immutable, gzipped: await compressed(`3 protobuf ${name} ${etag}`, async () => encodeDocument(3, await make())) };
  }

  async function version2(accept: string): Promise<Answer> {
    const type = choose(accept, [json, protobuf2, protobuf2.replace('v2.v1.0', 'v2@v1.0')]);
    if (type === undefined) return { status: 406 };
    const all: Contents = { rows: rows(), others: otherDocuments(groupsOf(rows())) };
    const etag = await hashOf(all);
    const make = async () => document(2, all.rows, { ...await sources(all), groupVersions: everyGroupVersion(all.rows) });
    if (type === json) return { type, etag, gzipped: await compressed(`2 json ${etag}`, async () => Buffer.from(JSON.stringify(await make()))) };
    const { encodeDocument } = await import('./protobuf.ts');
    return { type: protobuf2, etag, gzipped: await compressed(`2 protobuf ${etag}`, async () => encodeDocument(2, await make())) };
  }

  return {
    async handle(target, headers) {
      const url = new URL(target, 'https://localhost');
      const asked = url.pathname.replace(/\/$/, '');
      const accept = headerOf(headers, 'accept') || '*/*';
      const answer = asked === '/openapi/v2' ? await version2(accept)
        : asked === '/openapi/v3' || asked.startsWith('/openapi/v3/') ? await version3(asked, url.searchParams, accept)
        : { status: 404 };
      return respond(answer, headers);
    },
  };
}

/** Clients keep documents by their hash for a year, so another build must have other hashes, whatever its version says. */
async function readProgram(): Promise<string> {
  const folder = import.meta.dirname;
  const files = (await readdir(folder)).filter((name) => /\.[jt]s$/.test(name) && !name.includes('.test.')).sort();
  const hash = createHash('sha512').update((await loadSchema()).stamp);
  for (const name of files) hash.update(await readFile(path.join(folder, name)));
  return hash.digest('hex');
}

type Answer =
  | { status: 404 | 406 }
  | { status: 301; location: string }
  | { type: string; etag: string; bytes: Buffer }
  | { type: string; etag: string; gzipped: Buffer; immutable?: boolean };

async function respond(answer: Answer | { status: number }, headers: Readonly<Record<string, string | string[] | undefined>>): Promise<OpenApiResponse> {
  const nothing = Buffer.alloc(0);
  if ('location' in answer) return { status: 301, headers: { location: answer.location }, body: nothing };
  if ('status' in answer) return { status: answer.status, headers: answer.status === 406 ? { vary: 'Accept' } : {}, body: nothing };
  const etag = `"${answer.etag}"`;
  const common: Record<string, string> = { 'content-type': answer.type, etag, 'vary': 'Accept, Accept-Encoding' };
  if ('immutable' in answer && answer.immutable) {
    common['cache-control'] = 'public, immutable';
    common['expires'] = new Date(Date.now() + 365 * 24 * 3600 * 1000).toUTCString();
  }
  const asked = headerOf(headers, 'if-none-match').split(',').map((one) => one.trim().replace(/^W\//, ''));
  if (asked.includes(etag) || asked.includes('*')) return { status: 304, headers: common, body: nothing };
  if ('bytes' in answer) return { status: 200, headers: common, body: answer.bytes };
  if (/\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(headerOf(headers, 'accept-encoding'))) {
    return { status: 200, headers: { ...common, 'content-encoding': 'gzip' }, body: answer.gzipped };
  }
  return { status: 200, headers: common, body: await promisify(gunzip)(answer.gzipped) };
}

function headerOf(headers: Readonly<Record<string, string | string[] | undefined>>, name: string): string {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value ?? '';
}

/** The best offer for an Accept header: by quality, then by the order in which the client lists them. */
function choose(accept: string, offers: readonly string[]): string | undefined {
  const clauses = accept.split(',').map((clause) => {
    const [type = '', ...parameters] = clause.split(';').map((part) => part.trim());
    const quality = parameters.find((one) => one.startsWith('q='));
    return { type: type.toLowerCase(), quality: quality === undefined ? 1 : Number(quality.slice(2)) || 0 };
  }).filter(({ quality }) => quality > 0).sort((a, b) => b.quality - a.quality);
  for (const { type } of clauses) {
    const match = offers.find((offer) => type === '*/*' || offer === type || (type.endsWith('/*') && offer.startsWith(type.slice(0, -1))));
    if (match !== undefined) return match;
  }
  return undefined;
}

/** What one document describes. */
interface Contents { rows: readonly ResourceRow[]; others: readonly OtherDocument[] }

/** `api/v1`, `apis/apps/v1` and the rows in it; `apis/apps`, `version` and the like, which hold no resources. */
function byDocument(rows: readonly ResourceRow[]): Map<string, Contents> {
  const groups = Map.groupBy(rows, (row) => row.group === '' ? `api/${row.version}` : `apis/${row.group}/${row.version}`);
  return new Map<string, Contents>([
    ...[...groups].map(([name, own]): [string, Contents] => [name, { rows: own, others: [] }]),
    ...otherDocuments(groupsOf(rows)).map((one): [string, Contents] => [one.name, { rows: [], others: [one] }]),
  ]);
}
function groupsOf(rows: readonly ResourceRow[]): string[] {
  return [...new Set(rows.map(({ group }) => group))].filter((group) => group !== '').sort();
}
interface GroupVersion { group: string; version: string }
function groupVersionsOf(rows: readonly GroupVersion[]): GroupVersion[] {
  return [...new Map(rows.map(({ group, version }) => [`${group}/${version}`, { group, version }])).values()].sort((a, b) => a.group < b.group ? -1 : a.group > b.group ? 1 : a.version < b.version ? -1 : 1);
}
/** Also those that are not served: version 2 names them all. */
function everyGroupVersion(rows: readonly GroupVersion[]): GroupVersion[] {
  const known = [...knownVersions].map((one) => one.split('/')).map(([group = '', version = '']) => ({ group, version }));
  return groupVersionsOf([...known, ...rows]);
}
