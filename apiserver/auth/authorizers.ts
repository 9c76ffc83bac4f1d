// Who decides what is allowed where flags say so: the chain of --authorization-mode, or that of an AuthorizationConfiguration, which
// is taken again when it changes. Loaded only with one of these flags.
import { readFile } from 'node:fs/promises';
import { systemClock } from '#machinery/base/clock.ts';
import type { Clock } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import { StartError } from '#machinery/base/start-error.ts';
import { chainAuthorizers } from '../filters/authz.ts';
import type { Authorizer } from '../filters/seams.ts';
import { followFile } from '../follow-file.ts';
import type { AuthorizationOptions } from './authorization-options.ts';
import type { AuthorizerConfig } from './authorization-config.ts';

const log = createLogger('authz');
const all = { resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }], incomplete: false };
const alwaysAllow: Authorizer = { authorize: () => ({ allowed: true, reason: '' }), rulesFor: () => all };
const alwaysDeny: Authorizer = { authorize: () => ({ allowed: false, reason: 'Everything is forbidden.' }), rulesFor: () => ({ resourceRules: [], nonResourceRules: [], incomplete: false }) };

/** Throws StartError when a file cannot be used. What goes on behind it stops with the signal. */
export async function createChain(options: AuthorizationOptions, own: { Node: Authorizer; RBAC: Authorizer }, signal: AbortSignal, clock: Pick<Clock, 'sleep'> = systemClock): Promise<Authorizer> {
  const { configFile } = options;
  if (configFile === undefined) return (await settle(fromFlags(options), own, signal, '--authorization-webhook-config-file')).chain;
  const { parseAuthorizationConfiguration } = await import('./authorization-config.ts');
  let text = '';
  const read = async (): Promise<AuthorizerConfig[]> => {
    text = await readFile(configFile, 'utf8');
    return parseAuthorizationConfiguration(text);
  };
  let current = await settle(read(), own, signal, `--authorization-config ${configFile}`);
  followFile(configFile, text, async (changed) => {
    const next = await build(await parseAuthorizationConfiguration(changed), own, signal);
    current.stop();
    current = next;
  }, signal, clock).catch((error: unknown) => log.error('the authorization configuration is not looked at any more', { error }));
  return { authorize: (user, info) => current.chain.authorize(user, info), rulesFor: (user, namespace) => current.chain.rulesFor?.(user, namespace) };
}

async function fromFlags(options: Exclude<AuthorizationOptions, { configFile: string }>): Promise<AuthorizerConfig[]> {
  return options.modes.map((type) => ({
    type, ...(type === 'Webhook' && options.webhook ? { webhook: { ...options.webhook, name: 'default', timeoutMs: 30_000, failurePolicy: 'NoOpinion' as const, conditions: [] } } : {}),
  }));
}

interface Chain { chain: Authorizer; stop(): void }

async function settle(configs: Promise<AuthorizerConfig[]>, own: { Node: Authorizer; RBAC: Authorizer }, signal: AbortSignal, what: string): Promise<Chain> {
  try {
    return await build(await configs, own, signal);
  } catch (cause) {
    throw new StartError(`${what} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

async function build(configs: readonly AuthorizerConfig[], own: { Node: Authorizer; RBAC: Authorizer }, signal: AbortSignal): Promise<Chain> {
  const stopping = new AbortController();
  const inner = AbortSignal.any([signal, stopping.signal]);
  try {
    const members = await Promise.all(configs.map(async ({ type, webhook }): Promise<Authorizer> => {
      if (webhook) return (await import('./authorizer-webhook.ts')).createWebhookAuthorizer(webhook, inner);
      if (type === 'Node' || type === 'RBAC') return own[type];
      return type === 'AlwaysAllow' ? alwaysAllow : alwaysDeny;
    }));
    return { chain: chainAuthorizers(members), stop: () => stopping.abort(new Error('other authorizers took over')) };
  } catch (error) {
    stopping.abort(error);
    throw error;
  }
}
