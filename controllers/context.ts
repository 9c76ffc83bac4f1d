// What every controller is handed, and the identities they write with.
import { createClient, createConnections } from '#machinery/client/client.ts';
import { createRecorder } from '#machinery/client/recorder.ts';
import { serviceAccounts } from '#machinery/client/resources.ts';
import type { Client, EventRecorder, Informers, Resource } from '#machinery/client/types.ts';
import { isAlreadyExists, isNotFound } from '#machinery/api/status.ts';
import type { ControllersConfig } from './config.ts';
import type { ControllersMetrics } from './metrics.ts';

export interface ControllerContext {
  readonly config: ControllersConfig;
  /** Fed by system:kube-controller-manager. */
  readonly informers: Informers;
  readonly metrics: ControllersMetrics;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** The client of service account kube-system/{account}. */
  readonly clientFor: (account: string) => Client;
  /** Events of `component`, written as `account`. */
  readonly recorderFor: (component: string, account: string) => EventRecorder;
}

export interface Controller {
  /** Called once, after the informers that were asked for at creation have synced. Settles after the signal aborted. */
  run(signal: AbortSignal): Promise<void>;
}
export type CreateController = (context: ControllerContext) => Controller;

interface TokenRequest { status?: { token?: string; expirationTimestamp?: string } }
const tokenSeconds = 3600;

interface Identities { clientFor: (account: string) => Client; close: () => void }

/** One client per account over shared sockets. An account is made and its token asked for at its first request. */
function createIdentities(config: ControllersConfig, own: Client, now: () => number = Date.now): Identities {
  if (!config.useServiceAccountCredentials) return { clientFor: () => own, close: () => undefined };
  const { server, ca, insecureSkipTlsVerify } = config.client;
  const base = { server, ...(ca === undefined ? {} : { ca }), ...(insecureSkipTlsVerify ? { insecureSkipTlsVerify } : {}) };
  const connections = createConnections(base);
  const clients = new Map<string, Client>();
  return {
    clientFor(account) {
      let client = clients.get(account);
      if (!client) {
        client = createClient({ ...base, userAgent: `kube-controller-manager/${account}`, getToken: createTokenSource(own, account, now) }, connections);
        clients.set(account, client);
      }
      return client;
    },
    close() {
      connections.agent.destroy();
      connections.watchAgent.destroy();
    },
  };
}

/** Asks once for all who wait; renews when a fifth of the token's time is left. */
export function createTokenSource(own: Client, account: string, now: () => number): (signal: AbortSignal) => Promise<string> {
  let current: { token: string; renewAt: number } | undefined;
  let pending: Promise<string> | undefined;
  const ask = async (): Promise<string> => {
    const signal = AbortSignal.timeout(30_000); // not the first caller's: others wait for the same answer
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: tokenSeconds } };
    const request = (): Promise<TokenRequest> =>
      own.create(serviceAccounts as Resource<unknown> as Resource<TokenRequest>, 'kube-system', body, signal, { name: account, subresource: 'token' }); // the subresource answers with its own kind
    let answer: TokenRequest;
    try {
      answer = await request();
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await own.create(serviceAccounts, 'kube-system', { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace: 'kube-system', name: account } }, signal)
        .catch((cause: unknown) => {
          if (!isAlreadyExists(cause)) throw cause;
        });
      answer = await request();
    }
    const token = answer.status?.token;
    if (!token) throw new Error(`no token for service account kube-system/${account}`);
    const expiresAt = Date.parse(answer.status?.expirationTimestamp ?? '') || now() + tokenSeconds * 1000;
    current = { token, renewAt: now() + (expiresAt - now()) * 0.8 };
    return token;
  };
  return async () => {
    if (current && now() < current.renewAt) return current.token;
    pending ??= ask().finally(() => (pending = undefined));
    return pending;
  };
}

/** `close` drops the connections of all accounts. */
export function createContext(config: ControllersConfig, own: Client, informers: Informers, metrics: ControllersMetrics, signal: AbortSignal): ControllerContext & { close: () => void } {
  const { clientFor, close } = createIdentities(config, own);
  return {
    config, informers, metrics, clientFor, close, now: Date.now,
    recorderFor: (component, account) => createRecorder({ client: clientFor(account), component }, signal),
  };
}
