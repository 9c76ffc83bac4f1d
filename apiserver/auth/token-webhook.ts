// --authentication-token-webhook-config-file: a server that is asked, by TokenReviews, whose a token is.
// Upstream: plugin/pkg/authenticator/token/webhook; what it answered is believed for a while (token/cache).
import { createHash } from 'node:crypto';
import { StartError } from '#machinery/base/start-error.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { UserInfo } from '../request.ts';
import { createWebhookClient, postReview } from '../webhook-client.ts';
import type { WebhookClient } from '../webhook-client.ts';
import { AnswerCache } from './answer-cache.ts';
import { withAuthenticatedGroup } from './identity.ts';
import type { TokenWebhookOptions } from './options.ts';
import type { RemoteTokens } from './other-tokens.ts';
import { TokenError } from './service-account-tokens.ts';
import type { AuthenticatedToken } from './service-account-tokens.ts';

const log = createLogger('authn');
const cacheLimit = 4096;
const lookupTimeoutMs = 30_000; // for all attempts together

/** Throws StartError when the kubeconfig cannot be used. */
export async function createTokenWebhook(
  { configFile, cacheTtlMs, version }: TokenWebhookOptions, ownAudiences: readonly string[], signal: AbortSignal,
  { now = Date.now, firstWaitMs = 500 }: { now?: () => number; firstWaitMs?: number } = {},
): Promise<RemoteTokens> {
  let client: WebhookClient;
  try {
    client = await createWebhookClient(configFile);
  } catch (cause) {
    throw new StartError(`--authentication-token-webhook-config-file ${configFile} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  signal.addEventListener('abort', () => client.close(), { once: true });
  // Tokens that it does not know count like users; what it says is wrong, and that it could not be asked, is not kept.
  const cache = new AnswerCache<AuthenticatedToken | undefined>(cacheLimit, () => cacheTtlMs, now);

  async function ask(token: string, audiences: readonly string[]): Promise<AuthenticatedToken | undefined> {
    let status: Record<string, unknown>;
    try {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(lookupTimeoutMs)]);
      status = await postReview(client, { kind: 'TokenReview', apiVersion: `authentication.k8s.io/${version}`, spec: { token, audiences } }, bounded, firstWaitMs);
    } catch (cause) {
      log.error('the webhook for tokens could not be asked', { error: cause });
      throw new TokenError(`the token could not be looked up: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    const told = texts(status.audiences);
    const known = told.length > 0 ? told : ownAudiences;
    const shared = audiences.filter((audience) => known.includes(audience));
    if (shared.length === 0) return undefined;
    if (status.authenticated !== true) {
      if (typeof status.error === 'string' && status.error !== '') throw new TokenError(status.error);
      return undefined;
    }
    return { user: withAuthenticatedGroup(readUser(status.user)), audiences: shared };
  }
  return {
    authenticate: (token, audiences) => cache.get(createHash('sha256').update(JSON.stringify([token, audiences])).digest('base64url'), () => ask(token, audiences)),
  };
}

function readUser(value: unknown): UserInfo {
  const { username, uid, groups, extra } = record(value);
  if (typeof username !== 'string' || username === '') throw new TokenError('the webhook knows the token, and names no user');
  const more = Object.fromEntries(Object.entries(record(extra)).map(([key, values]) => [key, texts(values)]));
  return { name: username, ...(typeof uid === 'string' && uid !== '' ? { uid } : {}), groups: texts(groups), ...(Object.keys(more).length > 0 ? { extra: more } : {}) };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : {}; // checked right here
}
/** Half a list of groups would be another user than was meant. */
function texts(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string')) throw new TokenError("the webhook's answer holds something else than texts");
  return value;
}
