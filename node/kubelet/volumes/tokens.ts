// Service-account tokens for projected volumes, asked for once and renewed at 80 % of their life or after a day.
import type { Pod } from '#machinery/api/object.ts';
import { serviceAccounts } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';

export interface Tokens {
  get(pod: Pod, request: { audience?: string; expirationSeconds?: number }): Promise<string>;
  forget(uid: string): void;
}
interface Held { token: string; renewAtMs: number; expiresAtMs: number }

export function createTokens(client: Client, signal: AbortSignal, now: () => number = Date.now): Tokens {
  const held = new Map<string, Map<string, Held>>();
  return {
    async get(pod, { audience, expirationSeconds = 3600 }) {
      const { uid = '', name = '', namespace = '' } = pod.metadata;
      const key = `${audience ?? ''} ${expirationSeconds}`;
      let own = held.get(uid);
      if (!own) held.set(uid, (own = new Map<string, Held>()));
      const known = own.get(key);
      if (known && now() < known.renewAtMs) return known.token;
      try {
        const account = pod.spec?.serviceAccountName || 'default';
        const answer = await client.create<{ status?: { token?: string; expirationTimestamp?: string } }>(
          serviceAccounts as never, namespace, {
            apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', metadata: { name: account, namespace },
            spec: { ...(audience ? { audiences: [audience] } : {}), expirationSeconds, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid } },
          }, signal, { subresource: 'token', name: account });
        const { token, expirationTimestamp } = answer.status ?? {};
        if (!token || !expirationTimestamp) throw new Error('the API server answered without a token');
        const expiresAtMs = Date.parse(expirationTimestamp);
        const lifeMs = expiresAtMs - now();
        own.set(key, { token, expiresAtMs, renewAtMs: now() + Math.min(lifeMs * 0.8, 86_400_000) - Math.random() * 10_000 });
        return token;
      } catch (error) {
        if (known && now() < known.expiresAtMs) return known.token; // still good; tried again at the next round
        throw new Error(`failed to fetch token: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
    },
    forget: (uid) => void held.delete(uid),
  };
}
