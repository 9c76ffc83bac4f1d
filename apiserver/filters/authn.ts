// Who sent this? What an authenticating proxy says first, then client certificates, bearer tokens, and the WebSocket sub-protocol
// that carries one; the first that knows the caller wins. A credential that is not good does not stop the next one, but none good at all is a 401.
import type { IncomingMessage } from 'node:http';
import { createLogger } from '#machinery/base/log.ts';
import { unauthorized } from '#machinery/api/status.ts';
import { CertificateError, createCertificateAuthenticator } from '../auth/certificates.ts';
import { anonymous } from '../auth/identity.ts';
import { bootstrapTokens, readTokenFile, withLookups, withRemote } from '../auth/other-tokens.ts';
import type { AnyTokenAuthenticator, RemoteTokens } from '../auth/other-tokens.ts';
import { createRequestHeaderAuthenticator } from '../auth/request-headers.ts';
import { createTokenAuthenticator, TokenError } from '../auth/service-account-tokens.ts';
import type { ServerDeps } from '../backend.ts';
import type { RequestContext, UserInfo } from '../request.ts';
import type { Authenticator } from './seams.ts';

const log = createLogger('authn');
const bearerProtocol = 'base64url.bearer.authorization.k8s.io.';
const base64url = /^[A-Za-z0-9_-]+$/;

/** `remote`: who is asked about tokens that nobody here knows. Only their requests wait; every other is answered without a promise. */
export function createAuthenticator(
  deps: Pick<ServerDeps, 'config' | 'backend'>, now: () => number = Date.now, remote?: RemoteTokens,
): Authenticator & { tokens: AnyTokenAuthenticator } {
  const certificates = createCertificateAuthenticator(deps.config.clientCa, now);
  const { requestHeader, tokenFile, bootstrapTokenAuth, serviceAccount } = deps.config;
  const proxies = createRequestHeaderAuthenticator(requestHeader, now);
  const lookups = [...tokenFile === undefined ? [] : [readTokenFile(tokenFile)], ...bootstrapTokenAuth ? [bootstrapTokens(deps.backend, now)] : []];
  const local = withLookups(createTokenAuthenticator(serviceAccount, deps.backend, now), lookups, serviceAccount.audiences);
  const tokens: AnyTokenAuthenticator = remote ? withRemote(local, remote, serviceAccount.audiences) : local;
  return {
    tokens,
    authenticate(request) {
      const problems: string[] = [];
      const refused = (error: unknown): undefined => {
        if (!(error instanceof TokenError) && !(error instanceof CertificateError)) throw error;
        problems.push(error.message);
        return undefined;
      };
      const attempt = <T>(work: () => T): T | undefined => {
        try {
          return work();
        } catch (error) {
          return refused(error);
        }
      };
      const settled = (user: UserInfo | undefined): UserInfo | undefined => {
        if (user !== undefined) {
          hideCredentials(request);
          proxies.clear(request);
          return user;
        }
        if (problems.length === 0) return undefined;
        log.info('credentials refused', { path: request.url?.split('?')[0], problems });
        throw unauthorized();
      };
      type Answer = Promise<UserInfo | undefined> | UserInfo | undefined;
      const byToken = (tokenOf: (request: IncomingMessage) => string | undefined, otherwise: () => Answer): Answer => {
        const found = attempt(() => {
          const token = tokenOf(request);
          return token === undefined ? undefined : tokens.authenticate(token);
        });
        if (found instanceof Promise) return found.catch(refused).then((answer) => (answer ? settled(answer.user) : otherwise()));
        return found ? settled(found.user) : otherwise();
      };
      const user = attempt(() => proxies.authenticate(request)) ?? attempt(() => certificates.authenticate(request));
      return user ? settled(user) : byToken(bearerToken, () => byToken(protocolToken, () => settled(undefined)));
    },
  };
}

function bearerToken({ headers }: IncomingMessage): string | undefined {
  const [scheme = '', token = ''] = (headers.authorization ?? '').trim().split(' ');
  return scheme.toLowerCase() === 'bearer' && token !== '' ? token : undefined;
}

function isWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket' && (headers.connection ?? '').toLowerCase().split(',').some((part) => part.trim() === 'upgrade');
}

function protocolsOf({ headers }: IncomingMessage): string[] {
  return (headers['sec-websocket-protocol'] ?? '').split(',').map((part) => part.trim()).filter((part) => part !== '');
}

/** Upstream: authentication/request/websocket/protocol.go. */
function protocolToken(request: IncomingMessage): string | undefined {
  if (!isWebSocket(request)) return undefined;
  const protocols = protocolsOf(request);
  const carrying = protocols.filter((protocol) => protocol.startsWith(bearerProtocol));
  const [protocol] = carrying;
  if (protocol === undefined) return undefined;
  if (carrying.length > 1) throw new TokenError('multiple base64.bearer.authorization tokens specified');
  const encoded = protocol.slice(bearerProtocol.length);
  if (encoded === '') return undefined;
  if (!base64url.test(encoded)) throw new TokenError('invalid base64.bearer.authorization token encoding');
  if (carrying.length === protocols.length) throw new TokenError('missing additional subprotocol');
  return Buffer.from(encoded, 'base64url').toString();
}

/** Nothing behind authentication gets to see the token; the sub-protocol that carried one is never echoed. */
function hideCredentials(request: IncomingMessage): void {
  delete request.headers.authorization;
  if (request.headers['sec-websocket-protocol']?.includes(bearerProtocol)) {
    request.headers['sec-websocket-protocol'] = protocolsOf(request).filter((protocol) => !protocol.startsWith(bearerProtocol)).join(', ');
  }
}

/** What may be asked without saying who one is. Exact paths, as upstream's anonymous.conditions. */
const openPaths: ReadonlySet<string> = new Set(['/healthz', '/livez', '/readyz', '/version', '/version/']);

/** Whether requests without credentials go on to authorization, or on which paths alone. */
export type AnonymousAuth = boolean | ReadonlySet<string>;

/** The step of the chain: sets `context.user` or throws 401. Without a promise unless the authenticator needs one. */
export function authenticateRequest(context: RequestContext, authenticator: Authenticator, config: { anonymousAuth: AnonymousAuth }): Promise<void> | void {
  const found = authenticator.authenticate(context.request);
  if (found instanceof Promise) return found.then((user) => settle(context, user, config.anonymousAuth));
  settle(context, found, config.anonymousAuth);
}

function settle(context: RequestContext, user: UserInfo | undefined, anonymousAuth: AnonymousAuth): void {
  const { path } = context.info;
  if (user === undefined && !(typeof anonymousAuth === 'boolean' ? anonymousAuth || openPaths.has(path) : anonymousAuth.has(path))) throw unauthorized();
  context.user = user ?? anonymous;
}
