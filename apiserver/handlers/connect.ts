// Connect subresources: logs, exec, attach, port-forward and the proxies. Requests go on to the node's kubelet (or the pod, or
// the service's endpoint); upgraded connections are spliced byte for byte, but for logs, which become messages. Upstream: registry/core/pod/rest and util/proxy.
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import { finished, pipeline } from 'node:stream/promises';
import type { Duplex, Transform } from 'node:stream';
import { http } from '#machinery/base/http.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Node, Pod, Service, KubeObject } from '#machinery/api/object.ts';
import { badRequest, internalError, invalid, notFound, serviceUnavailable, StatusError } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import type { RequestState } from '../filters/context.ts';
import { forbiddenFor } from '../filters/forbidden.ts';
import { isTrue } from '../filters/request-info.ts';
import { methodNotAllowed, noSuchResource, serveWatchSocket } from './api.ts';
import type { ApiDeps, ApiRequest } from './api.ts';
import type { ProxySite } from './proxy-rewrite.ts';
import type { Served } from './served.ts';
import { readyEndpoints } from './service-endpoints.ts';

/** Where a connection goes. */
interface Target {
  secure: boolean;
  host: string;
  port: number;
  /** With the query. */
  path: string;
  /** TLS options when it is a kubelet; proxied pods and services are not checked, as upstream. */
  tls: RequestOptions;
}
const log = createLogger('apiserver');

interface ConnectRequest { deps: ApiDeps; context: RequestState; served: Served; namespace: string }

const upgradeOnly = new Set(['exec', 'attach', 'portforward']);

/** Requests that are no upgrades. */
export async function serveConnect({ deps, context, response, served, namespace }: ApiRequest): Promise<void> {
  const connect: ConnectRequest = { deps, context, served, namespace };
  const { subresource } = context.info;
  if (subresource === 'log') return serveLog(connect, response);
  await check(connect);
  if (upgradeOnly.has(subresource)) throw badRequest('Upgrade request required');
  const target = await locate(connect);
  if (subresource !== 'proxy') return forward(context, response, target, false);
  const method = context.request.method ?? 'GET';
  // Relative links of a page at `…/proxy` would lead past it.
  if (splitQuery(target.path)[0] === '/' && !context.info.path.endsWith('/') && (method === 'GET' || method === 'HEAD')) {
    const [path, search] = splitQuery(context.request.url ?? '');
    response.writeHead(301, { Location: `${path}/${search}` });
    response.end();
    return;
  }
  await forward(context, response, target, true);
}

/** `search` begins with the question mark, when there is one. */
function splitQuery(url: string): [path: string, search: string] {
  const mark = url.indexOf('?');
  return mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark)];
}

/** The upgrade event's share; whatever goes wrong before the other side answers is thrown, and becomes the answer. */
export async function serveUpgrade(deps: ApiDeps, context: RequestState, socket: Duplex, head: Buffer): Promise<void> {
  const { info } = context;
  if (info.isResourceRequest && info.verb === 'watch') return serveWatchSocket(deps, context, socket, head);
  const served = info.isResourceRequest ? deps.resources.find(info.group, info.version, info.resource) : undefined;
  if (!served) throw noSuchResource();
  const namespace = served.row.namespaced ? info.namespace : '';
  const row = served.row.subresources.find(({ name }) => name === info.subresource);
  if (info.subresource === '' || !row) throw badRequest(`${info.path} cannot be upgraded`);
  const connect: ConnectRequest = { deps, context, served, namespace };
  if (info.subresource === 'log') return serveLogSocket(connect, socket, head);
  if (!row.connect) throw badRequest(`${info.resource}/${info.subresource} cannot be upgraded`);
  await check(connect);
  await splice(context, socket, head, await locate(connect));
}

/** What upstream checks on top of the request's own authorization: opening a stream into a pod takes `create` whatever the method; then admission. */
async function check({ deps, context, served, namespace }: ConnectRequest): Promise<void> {
  const { info, user } = context;
  const method = context.request.method ?? 'GET';
  if (upgradeOnly.has(info.subresource)) {
    if (method !== 'GET' && method !== 'POST') throw methodNotAllowed();
    if (!user) throw new Error('an authorized request has a user');
    if (info.verb !== 'create') {
      const asked = { ...info, verb: 'create' };
      const decision = await deps.authorizer.authorize(user, asked);
      if (!decision.allowed) throw forbiddenFor(user, asked, decision.reason);
    }
  }
  const sub = served.row.subresources.find(({ name }) => name === info.subresource);
  const options: KubeObject = { kind: sub?.kind ?? 'Options', apiVersion: sub?.groupVersion ?? served.apiVersion, ...optionsOf(context) };
  await deps.storeOf(served).admission('CONNECT', { context, namespace, name: info.name, subresource: info.subresource, dryRun: false, options: {} }, options);
}

/** The query as the options object that admission sees, empty fields left out as upstream does. */
function optionsOf({ info, query }: RequestState): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  switch (info.subresource) {
    case 'exec': case 'attach':
      for (const name of ['stdin', 'stdout', 'stderr', 'tty']) if (isTrue(query.get(name))) options[name] = true;
      if (query.get('container')) options['container'] = query.get('container');
      if (info.subresource === 'exec') options['command'] = query.has('command') ? query.getAll('command') : null;
      break;
    case 'portforward': {
      const ports = query.getAll('ports').flatMap((text) => text.split(',')).map(Number).filter(Number.isInteger);
      if (ports.length > 0) options['ports'] = ports;
      break;
    }
    default:
      if (info.parts.length > 0) options['path'] = `/${info.parts.join('/')}${info.path.endsWith('/') ? '/' : ''}`;
  }
  return options;
}

async function locate(request: ConnectRequest): Promise<Target> {
  const { context: { info } } = request;
  switch (`${request.served.id}/${info.subresource}`) {
    case 'pods/exec': return podStream(request, 'exec');
    case 'pods/attach': return podStream(request, 'attach');
    case 'pods/portforward': return portForward(request);
    case 'pods/proxy': return podProxy(request);
    case 'services/proxy': return serviceProxy(request);
    case 'nodes/proxy': return nodeProxy(request);
    default: throw noSuchResource();
  }
}

async function objectOf({ deps, context }: ConnectRequest, id: string, namespace: string, name: string): Promise<Readonly<KubeObject>> {
  await deps.cache.waitForLatest(context.signal);
  const object = deps.backend.lookup(id, namespace, name);
  if (!object) throw notFound({ group: '', resource: id }, name);
  return object;
}
const podOf = async (request: ConnectRequest, name = request.context.info.name): Promise<Pod> => await objectOf(request, 'pods', request.namespace, name) as unknown as Pod; // the cache of pods holds Pods

async function kubeletTarget(request: ConnectRequest, nodeName: string, path: string, insecure = false): Promise<Target> {
  const node = await objectOf(request, 'nodes', '', nodeName) as unknown as Node; // the cache of nodes holds Nodes
  const { host, port } = request.deps.kubelets.addressOf(node);
  return { secure: true, host, port, path, tls: request.deps.kubelets.tls(insecure) };
}

/** The container that is meant: named, or the only one. */
function containerOf(pod: Pod, asked: string): string {
  const names = (list: { name: string }[] | undefined): string[] => (list ?? []).map(({ name }) => name);
  const containers = names(pod.spec?.containers);
  const initContainers = names(pod.spec?.initContainers);
  const ephemeral = names(pod.spec?.ephemeralContainers);
  const name = pod.metadata.name ?? '';
  if (asked !== '') {
    if ([...containers, ...initContainers, ...ephemeral].includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const [only] = containers;
  if (containers.length === 1 && only !== undefined) return only;
  if (only === undefined) throw badRequest(`a container name must be specified for pod ${name}`);
  throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]`
    + (initContainers.length > 0 ? ` or one of the init containers: [${initContainers.join(' ')}]` : '')
    + (ephemeral.length > 0 ? ` or one of the ephemeral containers: [${ephemeral.join(' ')}]` : ''));
}

async function podStream(request: ConnectRequest, what: 'exec' | 'attach'): Promise<Target> {
  const { query } = request.context;
  const pod = await podOf(request);
  const container = containerOf(pod, query.get('container') ?? '');
  const { nodeName } = pod.spec ?? {};
  if (!nodeName) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const params = new URLSearchParams();
  // Attach shows output unless told otherwise (defaults of PodAttachOptions and PodExecOptions).
  const on = (name: string, byDefault: boolean): boolean => (query.has(name) ? isTrue(query.get(name)) : byDefault);
  if (on('stdin', false)) params.append('input', '1');
  if (on('stdout', true)) params.append('output', '1');
  if (on('stderr', true)) params.append('error', '1');
  if (on('tty', false)) params.append('tty', '1');
  if (what === 'exec') for (const word of query.getAll('command')) params.append('command', word);
  return kubeletTarget(request, nodeName, `/${what}/${request.namespace}/${pod.metadata.name}/${container}?${params}`);
}

async function portForward(request: ConnectRequest): Promise<Target> {
  const pod = await podOf(request);
  const { nodeName } = pod.spec ?? {};
  if (!nodeName) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const ports = request.context.query.getAll('ports');
  const params = new URLSearchParams();
  if (ports.length > 0) params.append('port', ports.join(','));
  return kubeletTarget(request, nodeName, `/portForward/${request.namespace}/${pod.metadata.name}${ports.length > 0 ? `?${params}` : ''}`);
}

/** `name`, `name:port`, `scheme:name:port`. */
function splitProxyName(text: string, what: string): { scheme: 'http' | 'https'; name: string; port: string } {
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (parts.length === 1) return { scheme: 'http', name: first, port: '' };
  if (parts.length === 2) return { scheme: 'http', name: first, port: second };
  if (parts.length === 3 && (first === 'http' || first === 'https' || first === '')) return { scheme: first === 'https' ? 'https' : 'http', name: second, port: third };
  throw badRequest(`invalid ${what} request ${JSON.stringify(text)}`);
}

function proxyPath({ context: { info, request } }: ConnectRequest): string {
  const slash = info.path.endsWith('/') && info.parts.length > 0 ? '/' : '';
  return `/${info.parts.map(encodeSegment).join('/')}${slash}${splitQuery(request.url ?? '')[1]}`;
}
const encodeSegment = (segment: string): string => encodeURIComponent(segment).replace(/%(3A|40|24|2C|3B|26|3D|2B)/g, decodeURIComponent);

/** Proxies reach pods, never the machine itself or link-local services. */
function allowed(address: string): boolean {
  if (isIP(address) === 0) return false;
  return !/^(0\.|127\.|169\.254\.|22[4-9]\.|2[3-5]\d\.)/.test(address) && address !== '::' && address !== '::1' && !/^(fe[89ab]|ff)/i.test(address);
}

async function podProxy(request: ConnectRequest): Promise<Target> {
  const { scheme, name, port } = splitProxyName(request.context.info.name, 'pod');
  const pod = await podOf(request, name);
  const chosen = port !== '' ? port : String(pod.spec?.containers.find(({ ports }) => ports?.length)?.ports?.[0]?.containerPort ?? (scheme === 'https' ? 443 : 80));
  const host = pod.status?.podIP ?? pod.status?.podIPs?.[0]?.ip ?? '';
  if (!allowed(host)) throw badRequest('address not allowed');
  return { secure: scheme === 'https', host, port: portNumber(chosen), path: proxyPath(request), tls: { rejectUnauthorized: false } };
}

function portNumber(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > 65535) throw badRequest(`invalid port ${JSON.stringify(text)}`);
  return number;
}

async function serviceProxy(request: ConnectRequest): Promise<Target> {
  const { scheme, name, port } = splitProxyName(request.context.info.name, 'service');
  const service = await objectOf(request, 'services', request.namespace, name) as unknown as Service; // the cache of services holds Services
  const ports = service.spec?.ports ?? [];
  // A number stands for the service's port of that number, a name for itself.
  let wanted = port;
  if (/^\d+$/.test(port)) {
    const found = ports.find((one) => one.port === Number(port));
    if (!found) throw serviceUnavailable(`no service port ${port} found for service ${JSON.stringify(name)}`);
    wanted = found.name ?? '';
  }
  const candidates = readyEndpoints(request.deps.backend, request.namespace, name, wanted);
  const chosen = candidates[Math.floor(Math.random() * candidates.length)];
  if (!chosen) throw serviceUnavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  if (!allowed(chosen.host)) throw badRequest('address not allowed');
  return { secure: scheme === 'https', host: chosen.host, port: chosen.port, path: proxyPath(request), tls: { rejectUnauthorized: false } };
}

async function nodeProxy(request: ConnectRequest): Promise<Target> {
  const { scheme, name, port } = splitProxyName(request.context.info.name, 'node');
  const target = await kubeletTarget(request, name, proxyPath(request));
  if (port === '' || Number(port) === target.port) return target;
  // Our certificate is for the kubelet alone; other ports of the node are spoken to without it.
  return { ...target, secure: scheme === 'https', port: portNumber(port), tls: { rejectUnauthorized: false } };
}

const logNumbers = { tailLines: 0, limitBytes: 1, sinceSeconds: 1 } as const;

async function serveLog(request: ConnectRequest, response: ServerResponse): Promise<void> {
  const target = await logTarget(request);
  if (target) return forward(request.context, response, target, false);
  response.statusCode = 204;
  response.end();
}

const logProtocols = ['', 'binary.k8s.io', 'base64.binary.k8s.io'];

/** Logs as messages of a WebSocket, for browsers; an empty one comes first. Upstream: wsstream's Reader. */
async function serveLogSocket(request: ConnectRequest, socket: Duplex, head: Buffer): Promise<void> {
  const { context } = request;
  const { acceptWebSocket, chooseProtocol, isWebSocket } = await import('#machinery/stream/web-socket.ts');
  if (!isWebSocket(context.request)) throw badRequest(`${context.info.path} cannot be upgraded to ${context.request.headers.upgrade}`);
  const protocol = chooseProtocol(context.request, logProtocols);
  if (protocol === undefined) throw badRequest(`unknown sub-protocol; known are ${logProtocols.filter(Boolean).join(', ')}`);
  const target = await logTarget(request);
  if (!target) throw badRequest('the pod is on no node yet: there are no logs');
  const outgoing = open(target, 'GET', headersFor(context, target, false), context.signal);
  const answered = answerOf(context, outgoing, target);
  outgoing.end();
  const answer = await answered;
  const code = answer.statusCode ?? 502;
  if (code >= 300) throw await refusal(answer, code);
  const messages = await acceptWebSocket(context.request, socket, head, protocol);
  messages.on('error', () => answer.destroy());
  messages.on('close', () => answer.destroy());
  const base64 = protocol.startsWith('base64.');
  const send = (chunk: Buffer): Promise<void> => new Promise((resolve, reject) => {
    messages.send(base64 ? chunk.toString('base64') : chunk, { binary: !base64 }, (error) => (error ? reject(error) : resolve()));
  });
  const closed = new Promise<void>((resolve) => messages.once('close', () => resolve()));
  try {
    await send(Buffer.alloc(0));
    for await (const chunk of answer) await send(chunk as Buffer); // no encoding was set
  } catch (error) {
    if (messages.readyState === messages.OPEN) log.warn('logs broke off', { path: context.info.path, error });
  }
  messages.close(1000);
  await closed; // the library gives up on a client that does not answer after 30 s
}

/** Undefined: the pod is on no node yet. */
async function logTarget(request: ConnectRequest): Promise<Target | undefined> {
  const { context } = request;
  const { query } = context;
  const errors: FieldError[] = [];
  const params = new URLSearchParams();
  for (const flag of ['follow', 'previous', 'timestamps']) if (isTrue(query.get(flag)) && query.get(flag) !== '') params.append(flag, 'true');
  if (query.has('sinceSeconds') && query.has('sinceTime')) errors.push({ type: 'Forbidden', field: '[]', detail: 'at most one of `sinceTime` or `sinceSeconds` may be specified' });
  for (const [name, least] of Object.entries(logNumbers)) {
    const text = query.get(name);
    if (text === null || text === '') continue;
    if (!/^[+-]?\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
    if (Number(text) < least) errors.push({ type: 'Invalid', field: name, value: Number(text), detail: least === 0 ? 'must be greater than or equal to 0' : 'must be greater than 0' });
    params.append(name, String(Number(text)));
  }
  const since = query.get('sinceTime');
  if (since !== null && since !== '') {
    if (Number.isNaN(Date.parse(since))) throw badRequest(`parsing time ${JSON.stringify(since)}: it is not in RFC 3339`);
    params.append('sinceTime', since);
  }
  const stream = query.get('stream') ?? '';
  if (stream !== '' && stream !== 'All' && stream !== 'Stdout' && stream !== 'Stderr') errors.push({ type: 'NotSupported', field: 'stream', value: stream, detail: 'supported values: "All", "Stderr", "Stdout"' });
  else if ((stream === 'Stdout' || stream === 'Stderr') && query.has('tailLines')) errors.push({ type: 'Forbidden', field: '', detail: '`tailLines` and specific `stream` are mutually exclusive for now' });
  if (errors.length > 0) throw invalid({ group: '', kind: 'PodLogOptions' }, context.info.name, errors);
  params.append('stream', stream === '' ? 'All' : stream);

  const pod = await podOf(request);
  const container = containerOf(pod, query.get('container') ?? '');
  const { nodeName } = pod.spec ?? {};
  if (!nodeName) return undefined;
  const path = `/containerLogs/${request.namespace}/${pod.metadata.name}/${container}?${params}`;
  return kubeletTarget(request, nodeName, path, isTrue(query.get('insecureSkipTLSVerifyBackend')));
}

const hopByHop = new Set(['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'proxy-connection']);

function open(target: Target, method: string, headers: Record<string, string | string[]>, signal: AbortSignal): ClientRequest {
  // Without a name the TLS one would be taken from the Host header, which may be the client's.
  const options: RequestOptions = { servername: isIP(target.host) === 0 ? target.host : '', ...target.tls, host: target.host, port: target.port, path: target.path, method, headers, agent: false, signal };
  return target.secure ? httpsRequest(options) : http.request(options);
}

function headersFor({ request }: RequestState, target: Target, keep: boolean): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    // Credentials are ours to check, not the backend's to see.
    if (value === undefined || hopByHop.has(name) || name === 'authorization' || name === 'host' || name.startsWith('impersonate-')) continue;
    if (keep || name === 'accept' || name === 'user-agent') headers[name] = value;
  }
  headers['host'] = authority(target);
  return headers;
}
const authority = ({ host, port }: Target): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** What a proxied backend is told of the way to it; it sees the Host the client asked for. */
function proxyHeaders({ request }: RequestState, target: Target, site: ProxySite, headers: Record<string, string | string[]>): void {
  headers['host'] = site.requested;
  headers['x-forwarded-uri'] = `${site.prefix}${splitQuery(target.path)[0]}`;
  const before = request.headers['x-forwarded-for'];
  const peer = request.socket.remoteAddress;
  if (peer !== undefined) headers['x-forwarded-for'] = before === undefined ? peer : `${[before].flat().join(', ')}, ${peer}`;
}

function proxySite({ info, request }: RequestState, target: Target): ProxySite {
  const [path] = splitQuery(request.url ?? '');
  // The path as it was sent, less the segments after `proxy`.
  const kept = path.replace(/\/+$/, '').split('/');
  return { prefix: kept.slice(0, kept.length - info.parts.length).join('/').replace(/^\/*/, '/'), backend: authority(target), requested: request.headers.host ?? authority(target) };
}

/** The streams that change a page's links, of which there are none when it is no page or cannot be read. */
async function pageStreams(answer: IncomingMessage, method: string, site: ProxySite): Promise<Transform[] | undefined> {
  const type = (answer.headers['content-type'] ?? '').split(';')[0]?.trim();
  const code = answer.statusCode ?? 502;
  if (type !== 'text/html' || answer.headers.location !== undefined) return undefined;
  const encoding = answer.headers['content-encoding'] ?? '';
  if (encoding !== '' && encoding !== 'gzip' && encoding !== 'deflate') {
    log.warn('a proxied page is in an encoding that is not known; its links stay', { encoding });
    return undefined;
  }
  if (method === 'HEAD' || code === 204 || code === 304) return [];
  const { LinkRewriter } = await import('./proxy-rewrite.ts');
  if (encoding === '') return [new LinkRewriter(site)];
  const zlib = await import('node:zlib');
  return encoding === 'gzip' ? [zlib.createGunzip(), new LinkRewriter(site), zlib.createGzip()] : [zlib.createInflateRaw(), new LinkRewriter(site), zlib.createDeflateRaw()];
}

function unreachable(target: Target, cause: unknown): StatusError {
  const error = internalError(`error dialing backend: ${cause instanceof Error ? cause.message : String(cause)}`);
  error.cause = new Error(`${target.host}:${target.port}`, { cause });
  return error;
}

function unproxied(target: Target, cause: unknown): StatusError {
  const error = serviceUnavailable(`error trying to reach service: ${cause instanceof Error ? cause.message : String(cause)}`);
  error.cause = new Error(`${target.host}:${target.port}`, { cause });
  return error;
}

const corsHeaders = new Set(['access-control-allow-credentials', 'access-control-allow-headers', 'access-control-allow-methods', 'access-control-allow-origin']);

/** The answer's head. To be called before the request is sent. */
function answerOf(context: RequestState, outgoing: ClientRequest, target: Target, failure = unreachable): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', (error) => reject(context.ended ? error : failure(target, error)));
    outgoing.once('upgrade', (_answer, socket) => {
      socket.destroy();
      reject(badRequest('the backend wants an upgrade that was not asked for'));
    });
  });
}

/** One request and its streamed answer. `proxy`: everything passes; otherwise (logs) a refusal becomes a Status. */
async function forward(context: RequestState, response: ServerResponse, target: Target, proxy: boolean): Promise<void> {
  const method = context.request.method ?? 'GET';
  const site = proxy ? proxySite(context, target) : undefined;
  const headers = headersFor(context, target, proxy);
  if (site) proxyHeaders(context, target, site, headers);
  const outgoing = open(target, method, headers, context.signal);
  const answered = answerOf(context, outgoing, target, proxy ? unproxied : unreachable);
  if (proxy && method !== 'GET' && method !== 'HEAD') pipeline(context.request, outgoing).catch(() => undefined); // `answered` tells
  else outgoing.end();
  let answer: IncomingMessage;
  try {
    answer = await answered;
  } catch (error) {
    if (context.ended && response.destroyed) return;
    throw error;
  }
  const code = answer.statusCode ?? 502;
  if (!proxy && code >= 300) throw await refusal(answer, code);
  response.statusCode = code;
  for (const [name, value] of Object.entries(answer.headers)) if (value !== undefined && !hopByHop.has(name) && !(proxy && corsHeaders.has(name))) response.setHeader(name, value);
  const page = site && await pageStreams(answer, method, site);
  if (page) response.removeHeader('content-length');
  if (site && answer.headers.location) {
    const { rewriteLink } = await import('./proxy-rewrite.ts');
    response.setHeader('location', rewriteLink(answer.headers.location, site));
  }
  if (!proxy && !response.hasHeader('content-type')) response.setHeader('Content-Type', 'text/plain');
  response.flushHeaders();
  try {
    await (page && page.length > 0 ? pipeline([answer, ...page, response]) : pipeline(answer, response));
  } catch (error) {
    if (!response.destroyed) throw error;
  }
}

/** What the kubelet said, as a Status of the API server. */
async function refusal(answer: IncomingMessage, code: number): Promise<StatusError> {
  let text = '';
  answer.setEncoding('utf8');
  for await (const chunk of answer) {
    text += String(chunk);
    if (text.length > 50_000) break;
  }
  text = text.trim();
  if (code === 500) return internalError(text);
  const reasons: Record<number, string> = { 400: 'BadRequest', 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound', 409: 'Conflict', 429: 'TooManyRequests', 503: 'ServiceUnavailable' };
  return new StatusError(code, reasons[code] ?? 'Unknown', text === '' ? `the kubelet answered with ${code}` : text, {});
}

/** Repeats the upgrade to the backend and, when it says 101, ties the two connections together. Anything else is passed on as the answer. */
async function splice(context: RequestState, socket: Duplex, head: Buffer, target: Target): Promise<void> {
  const { request } = context;
  const headers = headersFor(context, target, true);
  headers['connection'] = 'Upgrade';
  headers['upgrade'] = request.headers.upgrade ?? '';
  if (request.headers['sec-websocket-protocol'] === '') delete headers['sec-websocket-protocol'];
  const outgoing = open(target, request.method ?? 'GET', headers, context.signal);
  outgoing.end();
  const result = await new Promise<{ answer: IncomingMessage; other?: Duplex; first?: Buffer }>((resolve, reject) => {
    outgoing.once('upgrade', (answer, other, first) => resolve({ answer, other, first }));
    outgoing.once('response', (answer) => resolve({ answer }));
    outgoing.once('error', (error) => reject(unreachable(target, error)));
  });
  const { answer, other, first } = result;
  let lines = `HTTP/1.1 ${answer.statusCode ?? 502} ${answer.statusMessage ?? ''}\r\n`;
  for (let at = 0; at < answer.rawHeaders.length; at += 2) {
    const name = answer.rawHeaders[at] ?? '';
    if (other || !hopByHop.has(name.toLowerCase())) lines += `${name}: ${answer.rawHeaders[at + 1] ?? ''}\r\n`;
  }
  if (!other) {
    socket.write(`${lines}Connection: close\r\n\r\n`);
    await pipeline(answer, socket).catch(() => socket.destroy());
    return;
  }
  socket.write(`${lines}\r\n`);
  if ('allowHalfOpen' in other) other.allowHalfOpen = true;
  if (first && first.length > 0) socket.write(first);
  if (head.length > 0) other.write(head);
  const stop = (): void => {
    socket.destroy();
    other.destroy();
  };
  context.signal.addEventListener('abort', stop, { once: true });
  // pipe() ends the other side when one side ends, and waits when it cannot take more; errors end both.
  socket.on('error', stop);
  other.on('error', stop);
  socket.pipe(other);
  other.pipe(socket);
  await Promise.allSettled([finished(socket, { cleanup: true }), finished(other, { cleanup: true })]);
  context.signal.removeEventListener('abort', stop);
}
