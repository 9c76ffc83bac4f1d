// Who outside is asked about tokens, by the flags: OpenID Connect issuers, then a webhook. Loaded only when a flag asks for it.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { sleep, systemClock } from '#machinery/base/clock.ts';
import type { Clock } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import { StartError } from '#machinery/base/start-error.ts';
import { parseToken, signatureAlgorithms } from '#machinery/pki/jwt.ts';
import type { ApiserverConfig } from '../config.ts';
import type { AnonymousAuth } from '../filters/authn.ts';
import { followFile } from '../follow-file.ts';
import { AnswerCache } from './answer-cache.ts';
import { withAuthenticatedGroup } from './identity.ts';
import { createFetch, IssuerKeys } from './jwks.ts';
import { createJwtAuthenticator } from './jwt-authenticator.ts';
import type { JwtAuthenticator } from './jwt-authenticator.ts';
import { parseAuthenticationConfiguration, readAuthenticationConfiguration } from './jwt-config.ts';
import type { JwtConfig } from './jwt-config.ts';
import type { AuthOptions, OidcOptions } from './options.ts';
import type { RemoteTokens } from './other-tokens.ts';
import { TokenError } from './service-account-tokens.ts';
import type { AuthenticatedToken } from './service-account-tokens.ts';

const log = createLogger('authn');
const cacheLimit = 4096;
const cacheMs = 10_000; // upstream's for tokens that were found good; the others are looked at each time
const healthyWithinMs = 60_000;

export interface StartedRemoteTokens extends RemoteTokens {
  /** What the file says of requests without credentials; undefined: the flag counts. */
  anonymous: AnonymousAuth | undefined;
}

/** Throws StartError when a file cannot be used. Everything that goes on behind it stops with the signal. */
export async function startRemoteTokens(
  { configFile, oidc, tokenWebhook }: AuthOptions, config: Pick<ApiserverConfig, 'serviceAccount' | 'anonymousAuth'>, signal: AbortSignal, connect: typeof createFetch = createFetch,
  clock: Pick<Clock, 'sleep'> = systemClock,
): Promise<StartedRemoteTokens> {
  const { issuer: own, audiences } = config.serviceAccount;
  const algorithms = oidc?.algorithms ?? signatureAlgorithms;
  let text = '';
  let found: JwtConfig;
  try {
    if (configFile !== undefined) text = await readFile(configFile, 'utf8');
    found = configFile !== undefined ? await parseAuthenticationConfiguration(text, [own])
      : readAuthenticationConfiguration(oidc ? await documentOf(oidc) : {}, [own]);
  } catch (cause) {
    throw new StartError(`${configFile === undefined ? '--oidc-*' : `--authentication-config ${configFile}`} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const { anonymous } = found;
  if (anonymous && config.anonymousAuth) throw new StartError('--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file');
  const webhook = tokenWebhook && await (await import('./token-webhook.ts')).createTokenWebhook(tokenWebhook, audiences, signal);
  let current = await startIssuers(found, algorithms, audiences, signal, connect);
  if (configFile !== undefined) {
    followFile(configFile, text, async (changed) => {
      const next = await parseAuthenticationConfiguration(changed, [own]);
      if (!isDeepStrictEqual(next.anonymous, anonymous)) throw new Error('the anonymous configuration cannot be changed while the server runs');
      const started = await startIssuers(next, algorithms, audiences, signal, connect);
      // As long as an issuer does not answer, the ones before stay.
      await Promise.race([started.ready, sleep(healthyWithinMs, signal)]);
      if (started.problems().length > 0) {
        started.stop();
        throw new Error(started.problems().join(', '));
      }
      current.stop();
      current = started;
    }, signal, clock).catch((error: unknown) => log.error('the authentication configuration is not looked at any more', { error }));
  }
  const issuers: RemoteTokens = { authenticate: (token, wanted) => current.authenticate(token, wanted) };
  const members = webhook ? inTurn([issuers, webhook]) : issuers;
  return {
    anonymous: anonymous && (anonymous.enabled && anonymous.paths.length === 0 ? true : new Set(anonymous.enabled ? anonymous.paths : [])),
    authenticate: (token, wanted) => members.authenticate(token, wanted),
  };
}

/** Asks one after the other; what is wrong is told of all who knew the token. */
function inTurn(members: readonly RemoteTokens[]): RemoteTokens {
  return {
    async authenticate(token, audiences) {
      const problems: TokenError[] = [];
      for (const member of members) {
        try {
          const found = await member.authenticate(token, audiences);
          if (found) return found;
        } catch (error) {
          if (!(error instanceof TokenError)) throw error;
          problems.push(error);
        }
      }
      const [first] = problems;
      if (!first) return undefined;
      throw problems.length === 1 ? first : new TokenError(`[${problems.map(({ message }) => message).join(', ')}]`, { cause: first });
    },
  };
}

interface Issuers extends RemoteTokens {
  ready: Promise<unknown>;
  /** Of issuers that do not answer. */
  problems(): string[];
  stop(): void;
}

async function startIssuers(config: JwtConfig, algorithms: readonly string[], ownAudiences: readonly string[], signal: AbortSignal, connect: typeof createFetch): Promise<Issuers> {
  const stopping = new AbortController();
  const inner = AbortSignal.any([signal, stopping.signal]);
  const known = new Map<string, JwtAuthenticator>();
  const keys: IssuerKeys[] = [];
  for (const issuer of config.issuers) {
    const source = new IssuerKeys(issuer.url, issuer.discoveryUrl, await connect(issuer.certificateAuthority), inner);
    keys.push(source);
    known.set(issuer.url, createJwtAuthenticator(issuer, source, algorithms));
  }
  const ready = Promise.all(keys.map((one) => one.discover()));
  ready.catch((error: unknown) => log.error('issuers are not asked any more', { error }));
  const cache = new AnswerCache<AuthenticatedToken>(cacheLimit, () => cacheMs, Date.now);
  return {
    ready,
    problems: () => keys.flatMap(({ problem }) => problem ?? []),
    stop: () => stopping.abort(new Error('other issuers took over')),
    authenticate(token, audiences) {
      const shared = audiences.filter((audience) => ownAudiences.includes(audience));
      const parsed = shared.length === 0 ? undefined : parseToken(token);
      const authenticator = known.get(issuerOf(parsed?.claims.iss));
      if (!parsed || !authenticator) return undefined;
      const key = createHash('sha256').update(JSON.stringify([token, shared])).digest('base64url');
      return cache.get(key, async () => ({ user: withAuthenticatedGroup(await authenticator.authenticate(parsed)), audiences: shared }));
    },
  };
}

/** Tokens of one issuer name it without its scheme. */
function issuerOf(claim: unknown): string {
  return claim === 'accounts.google.com' ? 'https://accounts.google.com' : typeof claim === 'string' ? claim : '';
}

/** The flags as the file that says the same. */
async function documentOf(oidc: OidcOptions): Promise<Record<string, unknown>> {
  return { jwt: [{
    issuer: { url: oidc.issuerUrl, audiences: [oidc.clientId], ...(oidc.caFile === undefined ? {} : { certificateAuthority: await readFile(oidc.caFile, 'utf8') }) },
    claimMappings: {
      username: { claim: oidc.usernameClaim, prefix: oidc.usernamePrefix },
      ...(oidc.groupsClaim === '' ? {} : { groups: { claim: oidc.groupsClaim, prefix: oidc.groupsPrefix } }),
    },
    claimValidationRules: oidc.requiredClaims.map(({ claim, value }) => ({ claim, requiredValue: value })),
  }] };
}
