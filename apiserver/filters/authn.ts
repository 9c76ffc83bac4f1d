// Who sent this? What an authenticating proxy says first, then client certificates, bearer tokens, and the WebSocket sub-protocol
// that carries one; the first that knows the caller wins. A credential that is not good does not stop the next one, but none good at all is a 401.
import type { IncomingMessage } from 'node:http';
import { createLogger } from '#machinery/base/log.ts';
import { unauthorized } from '#machinery/api/status.ts';
import { CertificateError, createCertificateAuthenticator } from '../auth/certificates.ts';
import { anonymous } from '../auth/identity.ts';
import { bootstrapTokens, readTokenFile, withLookups } from '../auth/other-tokens.ts';
import { createRequestHeaderAuthenticator } from '../auth/request-headers.ts';
import { createTokenAuthenticator, TokenError, type TokenAuthenticator } from '../auth/service-account-tokens.ts';
import type { ServerDeps } from '../backend.ts';
import type { RequestContext, UserInfo } from '../request.ts';
import type { Authenticator } from './seams.ts';

const log = createLogger('authn');
const bearerProtocol = 'base64url.bearer.authorization.k8s.io.';
const base64url = /^[A-Za-z0-9_-]+$/;

export function createAuthenticator(deps: Pick<ServerDeps, 'config' | 'backend'>, now: () => number = Date.now): Authenticator & { tokens: TokenAuthenticator } {
  const certificates = createCertificateAuthenticator(deps.config.clientCa, now);
  const { requestHeader, tokenFile, bootstrapTokenAuth, serviceAccount } = deps.config;
  const proxies = createRequestHeaderAuthenticator(requestHeader, now);
  const lookups = [...tokenFile === undefined ? [] : [readTokenFile(tokenFile)], ...bootstrapTokenAuth ? [bootstrapTokens(deps.backend, now)] : []];
  const tokens = withLookups(createTokenAuthenticator(serviceAccount, deps.backend, now), lookups, serviceAccount.audiences);
  return {
    tokens,
    authenticate(request) {
      const problems: string[] = [];
      const attempt = (work: () => UserInfo | undefined): UserInfo | undefined => {
        try {
          return work();
        } catch (error) {
          if (!(error instanceof TokenError) && !(error instanceof CertificateError)) throw error;
          problems.push(error.message);
          return undefined;
        }
      };
      const user = attempt(() => proxies.authenticate(request)) ?? attempt(() => certificates.authenticate(request))
        ?? attempt(() => {
          const token = bearerToken(request);
          return token === undefined ? undefined : tokens.authenticate(token).user;
        })
        ?? attempt(() => {
          const token = protocolToken(request);
          return token === undefined ? undefined : tokens.authenticate(token).user;
        });
      if (user !== undefined) {
        hideCredentials(request);
        proxies.clear(request);
        return user;
      }
      if (problems.length === 0) return undefined;
      log.info('credentials refused', { path: request.url?.split('?')[0], problems });
      throw unauthorized();
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

/** The step of the chain: sets `context.user` or throws 401. Without a promise unless the authenticator needs one. */
export function authenticateRequest(context: RequestContext, authenticator: Authenticator, config: { anonymousAuth: boolean }): Promise<void> | void {
  const found = authenticator.authenticate(context.request);
  if (found instanceof Promise) return found.then((user) => settle(context, user, config.anonymousAuth));
  settle(context, found, config.anonymousAuth);
}

function settle(context: RequestContext, user: UserInfo | undefined, anonymousAuth: boolean): void {
  if (user === undefined && !anonymousAuth && !openPaths.has(context.info.path)) throw unauthorized();
  context.user = user ?? anonymous;
}
