// Bearer tokens that are looked up as they are: those of a file (--token-auth-file) and bootstrap tokens, which are Secrets.
// Upstream: authentication/token/tokenfile, plugin/pkg/auth/authenticator/token/bootstrap.
import { createHash, timingSafeEqual } from 'node:crypto';
import { createLogger } from '#machinery/base/log.ts';
import type { Secret } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import type { UserInfo } from '../request.ts';
import { withAuthenticatedGroup } from './identity.ts';
import { invalidToken, TokenError } from './service-account-tokens.ts';
import type { AuthenticatedToken, TokenAuthenticator } from './service-account-tokens.ts';

const log = createLogger('authn');

/** undefined: the token is none of these. */
export type TokenLookup = (token: string) => UserInfo | undefined;

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Lines of `token,user,uid[,"group,group"]`. Throws an Error that says what is wrong with which line. */
export function readTokenFile(text: string): TokenLookup {
  const users = new Map<string, UserInfo>(); // by digest: how long a look-up takes tells nothing of the tokens
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    const [token = '', name = '', uid = '', groups = ''] = fields(line);
    if (fields(line).length < 3) throw new Error(`line ${i + 1} must have at least 3 columns (token, user name, user uid), found ${fields(line).length}`);
    if (token === '') {
      log.warn('empty token skipped', { line: i + 1 });
      return;
    }
    if (users.has(digest(token))) log.warn('a token stands twice, the later line counts', { line: i + 1 });
    users.set(digest(token), withAuthenticatedGroup({ name, ...(uid === '' ? {} : { uid }), groups: groups === '' ? [] : groups.split(',') }));
  });
  return (token) => users.get(digest(token));
}

/** CSV: values may stand in quotes, quotes inside them twice. */
function fields(line: string): string[] {
  return [...`,${line.trim()}`.matchAll(/,(?:\s*"((?:[^"]|"")*)"[^,]*|([^,]*))/g)].map(([, quoted, plain]) => (quoted === undefined ? (plain ?? '').trim() : quoted.replaceAll('""', '"')));
}

const bootstrappers = 'system:bootstrappers';
const extraGroup = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

/** Tokens `id.secret` of Secrets `kube-system/bootstrap-token-ID` that may be used to authenticate and have not expired. */
export function bootstrapTokens(backend: Pick<Backend, 'lookup'>, now: () => number = Date.now): TokenLookup {
  return (token) => {
    const [, id, secret] = /^([a-z0-9]{6})\.([a-z0-9]{16})$/.exec(token) ?? [];
    if (id === undefined || secret === undefined) return undefined;
    const found = backend.lookup('secrets', 'kube-system', `bootstrap-token-${id}`) as unknown as Secret | undefined; // what is kept there
    if (found?.type !== 'bootstrap.kubernetes.io/token' || found.metadata.deletionTimestamp !== undefined) return undefined;
    const value = (key: string): string => Buffer.from(found.data?.[key] ?? '', 'base64').toString();
    const refuse = (why: string): undefined => {
      log.info('bootstrap token refused', { id, why });
      return undefined;
    };
    const held = Buffer.from(value('token-secret'));
    if (held.length !== secret.length || !timingSafeEqual(held, Buffer.from(secret))) return refuse('its secret is another');
    if (value('token-id') !== id) return refuse('its id is another');
    const expiration = value('expiration');
    if (expiration !== '' && !(Date.parse(expiration) > now())) return refuse('it has expired');
    if (value('usage-bootstrap-authentication') !== 'true') return refuse('it may not be used to authenticate');
    const extra = value('auth-extra-groups') === '' ? [] : value('auth-extra-groups').split(',');
    if (!extra.every((group) => extraGroup.test(group))) return refuse('a group of it has no name for bootstrappers');
    return withAuthenticatedGroup({ name: `system:bootstrap:${id}`, groups: [...new Set([bootstrappers, ...extra])].sort() });
  };
}

/** Asks these first: what they know needs no signature. They say nothing of audiences, so their tokens are for the API server's own. */
export function withLookups(tokens: TokenAuthenticator, lookups: readonly TokenLookup[], ownAudiences: readonly string[]): TokenAuthenticator {
  if (lookups.length === 0) return tokens;
  return {
    authenticate(token, audiences = ownAudiences) {
      const shared = audiences.filter((audience) => ownAudiences.includes(audience));
      if (shared.length > 0) {
        for (const lookup of lookups) {
          const user = lookup(token);
          if (user) return { user, audiences: shared };
        }
      }
      return tokens.authenticate(token, audiences);
    },
  };
}

export interface AnyTokenAuthenticator {
  /** As TokenAuthenticator's, and answers later where somebody else has to be asked. */
  authenticate(token: string, audiences?: readonly string[]): AuthenticatedToken | Promise<AuthenticatedToken>;
}

/** Those outside who know tokens: OpenID Connect issuers, a webhook. */
export interface RemoteTokens {
  /** undefined: the token is none of theirs. Throws or rejects with TokenError when it is, and is not good. */
  authenticate(token: string, audiences: readonly string[]): AuthenticatedToken | undefined | Promise<AuthenticatedToken | undefined>;
}

/** Asks those outside about what nobody here knows. */
export function withRemote(local: TokenAuthenticator, remote: RemoteTokens, ownAudiences: readonly string[]): AnyTokenAuthenticator {
  return {
    authenticate(token, audiences = ownAudiences) {
      let problem: TokenError;
      try {
        return local.authenticate(token, audiences);
      } catch (error) {
        if (!(error instanceof TokenError)) throw error;
        problem = error;
      }
      const found = joining(problem, () => remote.authenticate(token, audiences));
      if (found instanceof Promise) return found.catch((error: unknown) => joining(problem, () => { throw error; })).then((answer) => answer ?? refuse(problem));
      return found ?? refuse(problem);
    },
  };
}

function refuse(error: TokenError): never {
  throw error;
}

/** What is wrong with a token is told of all who knew it, as upstream's union. */
function joining<T>(before: TokenError, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TokenError) || before.message === invalidToken) throw error;
    throw new TokenError(`[${before.message}, ${error.message}]`, { cause: error });
  }
}
