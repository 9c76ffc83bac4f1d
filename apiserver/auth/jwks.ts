// The keys of one issuer: where they are is asked until it is known, the keys are fetched when a token needs one that is not there.
// Bounded: one request at a time, never two within `restMs`, growing waits after failures, short answers only.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { createBackoff } from '#machinery/base/backoff.ts';
import { systemClock, type Clock } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import { isSignedWith, type ParsedToken } from '#machinery/pki/jwt.ts';
import { TokenError } from './service-account-tokens.ts';

const log = createLogger('authn');
const restMs = 10_000;
const staleMs = 3_600_000;
const answerTimeoutMs = 10_000;
const answerLimitBytes = 1 << 20;
const mostRedirects = 5;

export interface KeySource {
  /** Rejects with TokenError unless one of the issuer's keys made the signature. */
  verify(token: ParsedToken): Promise<void>;
}

export type Fetch = (url: string, signal: AbortSignal) => Promise<unknown>;

export class IssuerKeys implements KeySource {
  readonly #issuer: string;
  readonly #discoveryUrl: string;
  readonly #fetch: Fetch;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #waits = createBackoff({ baseMs: restMs, maxMs: 120_000 });
  #keysUrl: string | undefined;
  #problem = 'not asked yet';
  #keys: { id: string; key: KeyObject }[] = [];
  #fetchedAt = -Infinity;
  #notBefore = -Infinity;
  #fetching: Promise<boolean> | undefined;

  /** Everything stops with the signal. */
  constructor(issuer: string, discoveryUrl: string, fetch: Fetch, signal: AbortSignal, clock: Clock = systemClock) {
    this.#issuer = issuer;
    this.#discoveryUrl = discoveryUrl === '' ? `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration` : discoveryUrl;
    this.#fetch = fetch;
    this.#signal = signal;
    this.#clock = clock;
  }

  /** Why it cannot be used yet; undefined when it can. */
  get problem(): string | undefined {
    return this.#keysUrl === undefined ? `oidc: authenticator for issuer "${this.#issuer}" is not healthy: ${this.#problem}` : undefined;
  }

  /** Settles when the issuer said where its keys are, or the signal aborts. */
  async discover(): Promise<void> {
    const waits = createBackoff({ baseMs: 1000, maxMs: restMs });
    while (!this.#signal.aborted) {
      try {
        this.#keysUrl = readDiscovery(await this.#fetch(this.#discoveryUrl, this.#signal), this.#issuer);
        return;
      } catch (error) {
        if (this.#signal.aborted) return;
        this.#problem = error instanceof Error ? error.message : String(error);
        log.error('an issuer of tokens does not say where its keys are', { issuer: this.#issuer, error });
      }
      await this.#clock.sleep(waits.nextMs(), this.#signal).catch(() => undefined); // the loop sees the abort
    }
  }

  async verify(token: ParsedToken): Promise<void> {
    if (this.#keysUrl === undefined) throw new TokenError('oidc: authenticator not initialized');
    if (this.#hasSigned(token)) {
      // Keys that the issuer gave up must not count for ever; this request does not wait for that.
      if (this.#clock.now() - this.#fetchedAt > staleMs) this.#refresh(this.#keysUrl).catch((error: unknown) => log.error('keys could not be fetched again', { error }));
      return;
    }
    if (await this.#refresh(this.#keysUrl) && this.#hasSigned(token)) return;
    throw new TokenError('oidc: verify token: failed to verify signature: failed to verify id token signature');
  }

  #hasSigned(token: ParsedToken): boolean {
    const { kid } = token.header;
    return this.#keys.some(({ id, key }) => (kid === undefined || kid === '' || kid === id) && isSignedWith(token, key));
  }

  /** Whether keys were fetched; false while it is too early to ask again, and when they could not be had. */
  #refresh(url: string): Promise<boolean> {
    if (this.#fetching) return this.#fetching;
    if (this.#clock.now() < this.#notBefore) return Promise.resolve(false);
    const fetching = this.#fetchKeys(url).finally(() => {
      this.#fetching = undefined;
    });
    this.#fetching = fetching;
    return fetching;
  }

  async #fetchKeys(url: string): Promise<boolean> {
    try {
      this.#keys = readKeys(await this.#fetch(url, this.#signal));
      this.#fetchedAt = this.#clock.now();
      this.#waits.reset();
      this.#notBefore = this.#fetchedAt + restMs;
      return true;
    } catch (error) {
      this.#notBefore = this.#clock.now() + this.#waits.nextMs();
      if (!this.#signal.aborted) log.error('the keys of an issuer of tokens could not be fetched', { issuer: this.#issuer, url, error });
      return false;
    }
  }
}

function readDiscovery(document: unknown, issuer: string): string {
  const { issuer: told, jwks_uri: url } = (typeof document === 'object' && document !== null ? document : {}) as Record<string, unknown>; // each is checked
  if (told !== issuer) throw new Error(`oidc: issuer did not match the issuer returned by provider, expected ${JSON.stringify(issuer)} got ${JSON.stringify(told ?? '')}`);
  if (typeof url !== 'string' || url === '') throw new Error('provider did not return JWKS URL');
  if (URL.parse(url)?.protocol !== 'https:') throw new Error(`the issuer's keys are at ${JSON.stringify(url)}, which is no https address`);
  return url;
}

/** Keys of kinds that are not known are passed over; one set may serve many. */
function readKeys(document: unknown): { id: string; key: KeyObject }[] {
  const { keys } = (typeof document === 'object' && document !== null ? document : {}) as { keys?: unknown };
  if (!Array.isArray(keys)) throw new Error('the answer is no set of keys');
  return keys.flatMap((jwk: unknown) => {
    if (typeof jwk !== 'object' || jwk === null) return [];
    const parts = jwk as Record<string, unknown>; // an object; what matters of it is checked
    const { kty, use, kid } = parts;
    if ((kty !== 'RSA' && kty !== 'EC') || (use !== undefined && use !== 'sig')) return [];
    try {
      return [{ id: typeof kid === 'string' ? kid : '', key: createPublicKey({ key: parts, format: 'jwk' }) }];
    } catch (error) {
      log.warn('a key of an issuer cannot be read', { kid, error });
      return [];
    }
  });
}

/** GETs JSON over https from servers that `certificateAuthority` vouches for ('': those that this computer trusts). */
export async function createFetch(certificateAuthority: string): Promise<Fetch> {
  const [{ Agent, request }, { getCACertificates }] = await Promise.all([import('node:https'), import('node:tls')]);
  const agent = new Agent({ keepAlive: false, ca: certificateAuthority === '' ? [...new Set([...getCACertificates('default'), ...getCACertificates('system')])] : certificateAuthority });
  const get = (url: URL, signal: AbortSignal): Promise<{ status: number; location: string | undefined; text: string }> => new Promise((done, fail) => {
    const outgoing = request(url, { agent, signal, headers: { Accept: 'application/json' } }, (answer) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > answerLimitBytes) outgoing.destroy(new Error(`the answer is longer than ${answerLimitBytes} bytes`));
        else chunks.push(chunk);
      }).on('error', fail).on('end', () => done({ status: answer.statusCode ?? 0, location: answer.headers.location, text: Buffer.concat(chunks).toString() }));
    });
    outgoing.on('error', fail).end();
  });
  return async (start, signal) => {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)]);
    let url = new URL(start);
    for (let redirects = 0; redirects <= mostRedirects; redirects += 1) {
      const { status, location, text } = await get(url, bounded);
      if (status >= 300 && status < 400 && location !== undefined) {
        url = new URL(location, url);
        if (url.protocol !== 'https:') throw new Error(`${start} leads to ${url.protocol}//, which is not taken`);
        continue;
      }
      if (status !== 200) throw new Error(`${url.href} answered ${status}`);
      try {
        return JSON.parse(text) as unknown;
      } catch (cause) {
        throw new Error(`${url.href} answered something other than JSON`, { cause });
      }
    }
    throw new Error(`${start} leads from one place to the next`);
  };
}
