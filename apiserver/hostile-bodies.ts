// Request bodies that nobody means well with, and what has to come of them: a 4xx Status, soon, from a server that goes on. Used by
// bodies.test.ts and by the long run in soak/.
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { loadProtobuf } from '#machinery/schema/protobuf.ts';
import type { TestServer } from './testing.ts';

export interface HostileBody {
  title: string;
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  contentType: string;
  body: Buffer;
  headers?: Record<string, string>;
  /** The only codes that are right; otherwise anything below 500 is. */
  codes?: readonly number[];
}

const json = 'application/json';
const yaml = 'application/yaml';
const protobuf = 'application/vnd.kubernetes.protobuf';
const jsonPatch = 'application/json-patch+json';
const mergePatch = 'application/merge-patch+json';
const strategicPatch = 'application/strategic-merge-patch+json';
const applyPatch = 'application/apply-patch+yaml';
const pods = '/api/v1/namespaces/default/pods';
const maps = '/api/v1/namespaces/default/configmaps';
const revisions = '/apis/apps/v1/namespaces/default/controllerrevisions';
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const bad = [400] as const;
/** Wrong in its content, or already in its form. */
const refused = [400, 413, 422] as const;

/** An object that stands for all of them: patches aim at it. */
export const target = { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'target' }, data: { a: 'b' } };
const pod = { kind: 'Pod', apiVersion: 'v1', metadata: { name: 'p', labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }], resources: { limits: { cpu: '1' } } }] } };

/** Puts the target there, and the ServiceAccount that admission waits for a second for. */
export async function prepare(server: TestServer): Promise<void> {
  for (const [resource, body] of [['configmaps', target], ['serviceaccounts', { metadata: { name: 'default' } }]] as const) {
    const made = await server.call('POST', `/api/v1/namespaces/default/${resource}`, { body });
    if (made.status !== 201) throw new Error(`${resource} cannot be created: ${made.text}`);
  }
}

function nested(open: string, close: string, levels: number, inner = ''): string {
  return open.repeat(levels) + inner + close.repeat(levels);
}
const objects = (levels: number): string => nested('{"a":', '}', levels, '1');
const arrays = (levels: number): string => nested('[', ']', levels);
const withField = (name: string, value: string, kind = 'ConfigMap', apiVersion = 'v1'): string => `{"kind":"${kind}","apiVersion":"${apiVersion}","metadata":{"name":"x"},"${name}":${value}}`;

/** The cases that have a name. `large`: also those that keep the server busy for seconds. */
export async function namedBodies(large: boolean): Promise<HostileBody[]> {
  const codec = await loadProtobuf();
  const message = codec.encode(pod);
  const definition = codec.encode({ kind: 'CustomResourceDefinition', apiVersion: 'apiextensions.k8s.io/v1', metadata: { name: 'x' } });
  if (!message || !definition) throw new Error('built-in kinds have messages');
  const cases: HostileBody[] = [];
  const add = (title: string, method: HostileBody['method'], path: string, contentType: string, body: string | Buffer, codes: readonly number[] | 'any' = bad, headers?: Record<string, string>): void => {
    cases.push({ title: `${title} (${method} ${contentType})`, method, path, contentType, body: Buffer.from(body as string), ...(codes === 'any' ? {} : { codes }), ...(headers ? { headers } : {}) }); // from() takes either
  };

  for (const levels of large ? [1500, 5000, 100_000] : [1500, 100_000]) {
    for (const [what, text] of [['objects', objects(levels)], ['arrays', arrays(levels)]] as const) {
      add(`${levels} levels of ${what}`, 'POST', maps, json, text);
      add(`${levels} levels of ${what} in a typed field`, 'POST', maps, json, withField('data', text));
      add(`${levels} levels of ${what} in an unknown field`, 'POST', maps, json, withField('nothing', text));
      add(`${levels} levels of ${what} in a free field`, 'POST', revisions, json, withField('data', text, 'ControllerRevision', 'apps/v1'));
      add(`${levels} levels of ${what}`, 'PUT', `${maps}/target`, json, text);
      add(`${levels} levels of ${what}`, 'PATCH', `${maps}/target`, mergePatch, `{"data":${text}}`, refused);
      add(`${levels} levels of ${what}`, 'PATCH', `${maps}/target`, strategicPatch, `{"data":${text}}`, refused);
      add(`${levels} levels of ${what}`, 'PATCH', `${maps}/target`, jsonPatch, `[{"op":"add","path":"/data","value":${text}}]`, refused);
      add(`${levels} levels of ${what}`, 'PATCH', `${maps}/target?fieldManager=f`, applyPatch, withField('data', text), [400, 413, 415, 422]);
      add(`${levels} levels of ${what}`, 'DELETE', `${maps}/target`, json, text);
    }
    add(`${levels} levels of schemas`, 'POST', definitions, json, withField('spec', nested('{"versions":[{"schema":{"openAPIV3Schema":', '}}]}', 1, nested('{"properties":{"a":', '}}', levels, '{}')), 'CustomResourceDefinition', 'apiextensions.k8s.io/v1'));
    add(`${levels} brackets`, 'POST', maps, yaml, '['.repeat(large ? levels : 1000));
    add(`${levels} dashes`, 'POST', maps, yaml, '- '.repeat(large ? 20_000 : 1000));
    add(`${levels} question marks`, 'POST', maps, yaml, '? '.repeat(large ? 20_000 : 1000));
  }
  for (const number of ['1e400', `1${'0'.repeat(400)}`, '-1e999999999', '9223372036854775808', '0.1']) {
    const text = JSON.stringify(pod).replace('80', number);
    add(`${number.slice(0, 20)} as a port`, 'POST', pods, json, text, refused);
    add(`${number.slice(0, 20)} in a free field`, 'POST', `${revisions}?dryRun=All`, json, withField('revision', number, 'ControllerRevision', 'apps/v1'), 'any');
    add(`${number.slice(0, 20)} as a grace period`, 'DELETE', `${maps}/target`, json, `{"gracePeriodSeconds":${number}}`, bad);
  }
  add('a member twice', 'POST', `${maps}?fieldValidation=Strict`, json, '{"kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","a":"2"}}');
  add('a member twice', 'POST', `${maps}?fieldValidation=Strict`, yaml, 'kind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: b\n  a: c\n');
  for (const value of ['null', '[]', '"text"', '7', 'true', '{"name":{}}', '{"labels":[]}', '{"name":"x","ownerReferences":[null]}', '{"name":"x","creationTimestamp":7}', '{"name":"x","finalizers":{}}']) {
    add(`metadata ${value}`, 'POST', `${maps}?dryRun=All`, json, `{"metadata":${value}}`, refused);
    add(`metadata ${value}`, 'PATCH', `${maps}/target?dryRun=All`, mergePatch, `{"metadata":${value}}`, 'any');
  }
  for (const value of ['null', '[]', '{}', '7', 'false']) {
    add(`apiVersion ${value}`, 'POST', maps, json, `{"apiVersion":${value},"kind":"ConfigMap","metadata":{}}`, refused);
    add(`apiVersion ${value}`, 'PATCH', `${maps}/target?fieldManager=f`, applyPatch, `{"apiVersion":${value},"kind":"ConfigMap","metadata":{}}`);
    add(`kind ${value}`, 'PATCH', `${maps}/target?fieldManager=f`, applyPatch, `{"apiVersion":"v1","kind":${value},"metadata":{}}`);
  }
  for (const value of ['null', '[]', '"text"', '7', 'true', '', '{', '}', '{"a"}', 'nul', '\0', '\ufeff{}']) {
    for (const [method, path, type] of [['POST', maps, json], ['PUT', `${maps}/target`, json], ['PATCH', `${maps}/target?dryRun=All`, jsonPatch], ['PATCH', `${maps}/target?dryRun=All`, mergePatch], ['PATCH', `${maps}/target?dryRun=All`, strategicPatch]] as const) {
      add(`the body ${JSON.stringify(value)}`, method, path, type, value, type === json ? [400, 422] : [200, 400, 422]);
    }
    if (!['', 'null'].includes(value)) add(`the body ${JSON.stringify(value)}`, 'DELETE', `${maps}/nothing`, json, value, [400]);
  }
  const wrongUtf8 = Buffer.concat([Buffer.from('{"metadata":{"name":"x"},"data":{"a":"'), Buffer.from([0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80]), Buffer.from('"}}')]);
  add('invalid UTF-8', 'POST', `${maps}?dryRun=All`, json, wrongUtf8, 'any');
  add('invalid UTF-8', 'POST', `${maps}?dryRun=All`, yaml, wrongUtf8, 'any');
  add('half a surrogate pair', 'POST', `${maps}?dryRun=All`, json, '{"metadata":{"name":"x"},"data":{"a":"\\ud800"}}', 'any');
  for (const key of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    add(`${key} as a field`, 'POST', `${maps}?fieldValidation=Strict`, json, `{"metadata":{"name":"x"},"${key}":{"polluted":"yes"}}`);
    add(`${key} as a key`, 'POST', `${maps}?dryRun=All`, json, `{"metadata":{"name":"x","labels":{"${key}":"yes"}},"data":{"${key}":"yes"}}`, 'any');
    add(`${key} as a key`, 'PATCH', `${maps}/target?dryRun=All`, mergePatch, `{"data":{"${key}":"yes"},"${key}":{"polluted":"yes"}}`, 'any');
    add(`${key} as a key`, 'PATCH', `${maps}/target?dryRun=All`, strategicPatch, `{"data":{"${key}":"yes"},"${key}":{"polluted":"yes"}}`, 'any');
    add(`${key} in a path`, 'PATCH', `${maps}/target?dryRun=All`, jsonPatch, `[{"op":"add","path":"/${key}/polluted","value":"yes"}]`, refused);
    add(`${key} as a kind`, 'POST', maps, json, `{"kind":"${key}","metadata":{"name":"x"}}`);
  }
  add('a string of 2.9 MB', 'POST', maps, json, withField('data', JSON.stringify({ a: 'x'.repeat(2_900_000) })), [400, 413, 422]);
  add('a name of 1 MB', 'POST', maps, json, JSON.stringify({ metadata: { name: 'x'.repeat(1_000_000) } }), [422]);
  add('200,000 unknown fields', 'POST', `${maps}?fieldValidation=Strict`, json, `{${Array.from({ length: 200_000 }, (_, i) => `"f${i}":1`).join(',')}}`);
  add('a body beyond 3 MB', 'POST', maps, json, Buffer.alloc(3 * 1024 * 1024 + 1, 0x20), [413]);
  add('10,001 operations', 'PATCH', `${maps}/target`, jsonPatch, `[${Array.from({ length: 10_001 }, () => '{"op":"test","path":"/data/a","value":"b"}').join(',')}]`, [413]);
  add('copies of copies', 'PATCH', `${maps}/target`, jsonPatch, JSON.stringify([{ op: 'add', path: '/data/x', value: {} }, ...Array.from({ length: 9000 }, () => ({ op: 'copy', from: '/data', path: '/data/x' }))]), [400, 413, 422]);
  add('a number where text belongs, in a list of 100,000', 'POST', pods, json, JSON.stringify({ metadata: { name: 'x' }, spec: { containers: Array.from({ length: 100_000 }, () => 7) } }));

  add('half of a message', 'POST', pods, protobuf, message.subarray(0, message.length / 2));
  add('a message without its last byte', 'POST', pods, protobuf, message.subarray(0, -1));
  add('an envelope of nothing', 'POST', pods, protobuf, Buffer.from('k8s\0'));
  add('no envelope', 'POST', pods, protobuf, message.subarray(4));
  add('a length of 4 GB', 'POST', pods, protobuf, Buffer.concat([Buffer.from('k8s\0'), Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x0f])]));
  add('a varint without an end', 'POST', pods, protobuf, Buffer.concat([Buffer.from('k8s\0'), Buffer.alloc(1000, 0xff)]));
  add('groups in groups', 'POST', pods, protobuf, Buffer.concat([Buffer.from('k8s\0'), Buffer.alloc(1_000_000, 0x2b)]));
  add('another kind\'s message', 'POST', pods, protobuf, definition);
  add('a message that is JSON', 'POST', pods, protobuf, JSON.stringify(pod));
  add('JSON that is a message', 'POST', pods, json, message);
  for (const levels of large ? [2000, 100_000] : [2000]) add(`${levels} levels of schemas`, 'POST', definitions, protobuf, nestedSchemas(definition, levels));

  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghij'.split('').map((name, i) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${'abcdefghij'.charAt(i)}`).join(',')}]\n`).join('')}`;
  add('aliases of aliases', 'POST', maps, yaml, bomb);
  add('an alias of itself', 'POST', maps, yaml, 'metadata: &a\n  name: x\n  labels: *a\n');
  add('an alias of nothing', 'POST', maps, yaml, 'metadata: *nothing\n');
  const keys = large ? 60_000 : 4000;
  add(`${keys} keys`, 'POST', `${maps}?dryRun=All`, yaml, `metadata:\n  name: x\ndata:\n${Array.from({ length: keys }, (_, i) => `  k${i}: v\n`).join('')}`, 'any');
  add(`${keys} merges`, 'POST', maps, yaml, `a: &a {x: 1}\nb:\n${'  <<: *a\n'.repeat(keys)}`);
  add('tabs', 'POST', maps, yaml, '\tmetadata:\n\t\tname: x\n');
  add('a tag of a program', 'POST', maps, yaml, 'metadata: !!js/function "function(){}"\n', refused);
  for (const [name, packed] of [['gzip', gzipSync(JSON.stringify(target))], ['deflate', deflateSync(JSON.stringify(target))]] as const) {
    add(`a body packed with ${name}`, 'POST', maps, json, packed, bad, { 'Content-Encoding': name });
  }
  for (const type of ['text/plain', 'application/cbor', 'application/x-www-form-urlencoded', 'application/', '/']) {
    add('a type that is not served', 'POST', maps, type, JSON.stringify(target), [415]);
    add('a type that is no patch', 'PATCH', `${maps}/target`, type, '{}', [415]);
  }
  return cases;
}

/** A definition whose schema nests `levels` deep. */
function nestedSchemas(envelope: Buffer, levels: number): Buffer {
  const length = (value: number): number[] => value < 128 ? [value] : [value % 128 + 128, ...length(Math.floor(value / 128))];
  const parts: number[][] = [];
  let size = 0;
  // Field 29, additionalProperties or any other: what counts is that each is a message in a message.
  const wrap = (tag: number[]): void => {
    const head = [...tag, ...length(size)];
    parts.push(head);
    size += head.length;
  };
  for (let i = 0; i < levels && size < 2_800_000; i += 1) wrap([0xda, 0x01]); // `not`
  for (const tag of [0x0a, 0x22, 0x3a, 0x12]) wrap([tag]); // openAPIV3Schema, schema, versions, spec
  const inner = Buffer.from(parts.reverse().flat());
  const kind = envelope.indexOf('CustomResourceDefinition') + 'CustomResourceDefinition'.length;
  return Buffer.concat([envelope.subarray(0, kind), Buffer.from([0x12, ...length(inner.length)]), inner]);
}

/** Bodies that come from valid ones by chance. */
export function randomBodies(): fc.Arbitrary<HostileBody> {
  const text = JSON.stringify(pod);
  const mutated = fc.array(fc.tuple(fc.nat(text.length - 1), fc.oneof(fc.string({ maxLength: 6, unit: 'binary' }), fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', 'null', '1e9', '-')), fc.nat(4)), { minLength: 1, maxLength: 4 })
    .map((edits) => edits.reduce((made, [at, insert, cut]) => made.slice(0, at) + insert + made.slice(at + cut), text));
  const substituted = fc.tuple(fc.nat(40), fc.jsonValue({ maxDepth: 3 })).map(([nth, value]) => {
    let seen = -1;
    return JSON.stringify(pod, (_key, one: unknown) => {
      seen += 1;
      return seen === nth && nth > 0 ? value : one;
    });
  });
  const bytes = fc.uint8Array({ maxLength: 300 }).map((data) => Buffer.from(data));
  const body = fc.oneof(mutated.map((made) => Buffer.from(made)), substituted.map((made) => Buffer.from(made)), bytes, bytes.map((data) => Buffer.concat([Buffer.from('k8s\0'), data])), fc.json().map((made) => Buffer.from(made)));
  const where = fc.constantFrom<[HostileBody['method'], string, string]>(
    ['POST', `${pods}?dryRun=All`, json], ['POST', `${pods}?dryRun=All&fieldValidation=Strict`, json], ['POST', `${pods}?dryRun=All`, yaml], ['POST', `${pods}?dryRun=All`, protobuf],
    ['POST', `${definitions}?dryRun=All`, json], ['PUT', `${maps}/target?dryRun=All`, json], ['PUT', `${maps}/target?dryRun=All`, protobuf],
    ['PATCH', `${maps}/target?dryRun=All`, jsonPatch], ['PATCH', `${maps}/target?dryRun=All`, mergePatch], ['PATCH', `${maps}/target?dryRun=All`, strategicPatch],
    ['PATCH', `${maps}/target?dryRun=All&fieldManager=f`, applyPatch], ['DELETE', `${maps}/nothing`, json], ['DELETE', '/api/v1/namespaces/nothing/configmaps', json], ['DELETE', `${maps}/nothing`, protobuf],
    ['POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', json], ['POST', `${pods}/nothing/eviction`, json], ['PUT', '/apis/apps/v1/namespaces/default/deployments/nothing/scale', json],
  );
  return fc.tuple(where, body).map(([[method, path, contentType], made]) => ({ title: `${method} ${path} ${contentType}`, method, path, contentType, body: made }));
}

/** Bodies of random operations as JSON patch, which random bytes never become. */
export function randomPatches(): fc.Arbitrary<HostileBody> {
  const pointer = fc.constantFrom('', '/', '/data', '/data/a', '/data/-', '/metadata', '/metadata/name', '/metadata/labels/x', '/kind', '/~2', '/data/~1', '/__proto__/x', 'data', '/metadata/managedFields/0');
  const operation = fc.record({ op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'nope'), path: pointer, from: pointer, value: fc.jsonValue({ maxDepth: 2 }) }, { requiredKeys: [] });
  return fc.array(operation, { maxLength: 6 }).map((operations) => ({
    title: 'random operations', method: 'PATCH', path: `${maps}/target?dryRun=All`, contentType: jsonPatch, body: Buffer.from(JSON.stringify(operations)),
  }));
}

/** Sends one; undefined when the answer is right, otherwise what is wrong with it. */
export async function wrongAnswer(server: TestServer, { method, path, contentType, body, headers, codes }: HostileBody): Promise<string | undefined> {
  const answer = await server.call(method, path, { body, headers: { 'Content-Type': contentType, 'Content-Length': String(body.length), ...headers } });
  // Upstream answers so when a configuration that is applied does not fit its type.
  const asUpstream = contentType === applyPatch && answer.status === 500 && /^failed to (?:create typed|convert) /.test(String(answer.body['message']));
  if ((answer.status >= 500 && !asUpstream) || (codes && !codes.includes(answer.status))) return `${answer.status} ${answer.text.slice(0, 300)}`;
  if (answer.status >= 400 && (answer.body['kind'] !== 'Status' || answer.body['code'] !== answer.status || typeof answer.body['message'] !== 'string')) return `no Status: ${answer.text.slice(0, 300)}`;
  return undefined;
}

/** A request as raw text, for what no HTTP client sends; the answer's first line, '' when the connection ends without one. */
export function rawRequest(server: TestServer, text: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: server.port, ...server.clientOptions(), signal } as ConnectionOptions); // Node takes a signal here
    let answer = '';
    socket.setEncoding('latin1');
    socket.on('secureConnect', () => socket.end(text));
    socket.on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve(answer.split('\r\n', 1)[0] ?? '') : reject(error)));
    socket.on('close', () => resolve(answer.split('\r\n', 1)[0] ?? ''));
  });
}
