// Health and metrics over HTTPS. Health is open; the rest needs a certificate of the clients' CA or a bearer token that the API server
// knows (TokenReview), and may get the path (SubjectAccessReview), as with upstream's delegated authentication and authorization.
import { constants } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { createLogger } from '../base/log.ts';
import { createClient } from '../client/client.ts';
import type { Client, Resource } from '../client/types.ts';
import type { ServingConfig } from './flags.ts';

const log = createLogger('serving');
const answerForMs = 10_000;
const maxRemembered = 256;

interface User { username?: string; uid?: string; groups?: string[] }
interface TokenReview { status?: { authenticated?: boolean; user?: User } }
interface AccessReview { status?: { allowed?: boolean } }
const tokenReviews: Resource<TokenReview> = { group: 'authentication.k8s.io', version: 'v1', resource: 'tokenreviews', kind: 'TokenReview', namespaced: false };
const accessReviews: Resource<AccessReview> = { group: 'authorization.k8s.io', version: 'v1', resource: 'subjectaccessreviews', kind: 'SubjectAccessReview', namespaced: false };

export interface Pages {
  /** Names of checks and why each fails; undefined: it holds. */
  ready(): readonly (readonly [name: string, why: string | undefined])[];
  metrics(): Promise<string>;
  /** Further pages by path, each an object that is shown as JSON. */
  readonly documents?: Readonly<Record<string, () => unknown>>;
}

/** `component` is upstream's name of the process. Listens, then calls `onListening` with the port, and serves until the signal aborts. Rejects when the port cannot be had. */
export async function serve(component: string, config: ServingConfig, client: Client, pages: Pages, signal: AbortSignal, onListening?: (port: number) => void): Promise<void> {
  const { cert, key } = config.certificate ?? (await ownCertificate(component, config.address));
  const own = [config.authentication, config.authorization].map((each) => each && createClient(each));
  const authorize = createAuthorizer({ authentication: own[0] ?? client, authorization: own[1] ?? client }, config.openPaths, signal);
  const byCertificate = config.clientCa === undefined ? {} : { ca: config.clientCa, requestCert: true, rejectUnauthorized: false, secureOptions: constants.SSL_OP_NO_TICKET }; // who has none may have a token; a resumed session tells of no certificate
  const server = createServer({ cert, key, minVersion: 'TLSv1.2', ...byCertificate }, (request, response) => {
    const answer = (code: number, text: string, type = 'text/plain; charset=utf-8'): void => {
      response.writeHead(code, { 'content-type': type, 'x-content-type-options': 'nosniff' });
      response.end(text);
    };
    respond(request, pages, authorize).then((page) => answer(...page), (error: unknown) => {
      log.warn('request failed', { path: request.url, error });
      answer(500, 'internal error\n');
    });
  });
  server.headersTimeout = 10_000;
  server.listen({ host: config.address, port: config.port });
  await once(server, 'listening', { signal });
  const address = server.address();
  onListening?.(typeof address === 'object' && address ? address.port : config.port);
  if (!signal.aborted) await once(signal, 'abort');
  server.closeAllConnections();
  server.close();
  for (const each of own) each?.close();
}

type Page = readonly [code: number, text: string, type?: string];
type Authorize = (request: IncomingMessage, path: string) => Promise<readonly [code: number, text: string] | undefined>;

async function respond(request: IncomingMessage, pages: Pages, authorize: Authorize): Promise<Page> {
  const url = new URL(request.url ?? '/', 'https://localhost');
  const refused = await authorize(request, url.pathname);
  if (refused) return refused;
  if (request.method !== 'GET' && request.method !== 'HEAD') return [405, 'only GET is served\n'];
  switch (url.pathname) {
    case '/healthz':
    case '/livez': return [200, 'ok'];
    case '/readyz': {
      const checks = pages.ready();
      const failed = checks.some(([, why]) => why !== undefined);
      if (!failed && !url.searchParams.has('verbose')) return [200, 'ok'];
      const lines = checks.map(([name, why]) => (why === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${why}\n`));
      return [failed ? 500 : 200, `${lines.join('')}readyz check ${failed ? 'failed' : 'passed'}\n`];
    }
    case '/metrics': return [200, await pages.metrics()];
  }
  const document = pages.documents?.[url.pathname];
  if (document) return [200, `${JSON.stringify(document())}\n`, 'application/json'];
  const others = Object.keys(pages.documents ?? {}).map((path) => `, ${path}`).join('');
  return [404, `${url.pathname} is not served; there are /healthz, /livez, /readyz, /metrics${others}\n`];
}

interface Reviewers { authentication: Client; authorization: Client }
function createAuthorizer(reviewers: Reviewers, openPaths: readonly string[], signal: AbortSignal): Authorize {
  const remembered = new Map<string, { until: number; refusal: readonly [number, string] | undefined }>();
  return async (request, path) => {
    if (openPaths.some((open) => (open.endsWith('*') ? path.startsWith(open.slice(0, -1)) : path === open))) return undefined;
    const user = userOf(request.socket as TLSSocket); // of an HTTPS server
    const token = user ? undefined : /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (!user && !token) return [401, 'a bearer token is needed\n'];
    const verb = (request.method ?? 'GET').toLowerCase();
    const key = `${verb} ${path} ${JSON.stringify(user ?? token)}`;
    const known = remembered.get(key);
    if (known && known.until > Date.now()) return known.refusal;
    const refusal = await ask(reviewers, user ?? token ?? '', verb, path, signal);
    if (remembered.size >= maxRemembered) remembered.clear();
    remembered.set(key, { until: Date.now() + answerForMs, refusal });
    return refusal;
  };
}

/** Who a certificate of the clients' CA names. */
function userOf(socket: TLSSocket): User | undefined {
  if (!socket.authorized) return undefined;
  const subject = socket.getPeerCertificate().subject as { CN?: string; O?: string | string[] } | undefined; // none without a certificate
  return subject?.CN ? { username: subject.CN, groups: subject.O === undefined ? [] : [subject.O].flat() } : undefined;
}

async function ask({ authentication, authorization }: Reviewers, who: User | string, verb: string, path: string, signal: AbortSignal): Promise<readonly [number, string] | undefined> {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(answerForMs)]);
  const user = typeof who === 'string' ? await reviewed(authentication, who, bound) : who;
  if (!user) return [401, 'Unauthorized\n'];
  const spec = { user: user.username, uid: user.uid, groups: user.groups, nonResourceAttributes: { path, verb } };
  const access = await authorization.create(accessReviews, '', { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec }, bound);
  return access.status?.allowed ? undefined : [403, `forbidden: User "${user.username ?? ''}" cannot ${verb} path "${path}"\n`];
}
async function reviewed(client: Client, token: string, signal: AbortSignal): Promise<User | undefined> {
  const { status } = await client.create(tokenReviews, '', { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } }, signal);
  return status?.authenticated ? status.user : undefined;
}

/** Good for a year, unknown to everybody: who checks it gives --tls-cert-file. */
async function ownCertificate(component: string, address: string): Promise<{ cert: string; key: string }> {
  const { createCa, issueCertificate } = await import('../pki/pki.ts');
  const ips = ['127.0.0.1', ...(address === '0.0.0.0' || address === '::' || address === '127.0.0.1' ? [] : [address])];
  return issueCertificate(await createCa(`${component}-ca`), { commonName: component, usages: ['server'], dnsNames: ['localhost'], ips });
}
