// The flags of who decides what is allowed, under upstream's names; without them the node authorizer and RBAC do.
import { durationMs, UsageError } from '#machinery/base/flags.ts';
import type { FlagTable, FlagValues } from '#machinery/base/flags.ts';

export const modes = ['Node', 'RBAC', 'Webhook', 'AlwaysAllow', 'AlwaysDeny'] as const;
export type Mode = (typeof modes)[number];

export type AuthorizationOptions =
  | { configFile: string }
  | { configFile?: undefined; modes: Mode[]; webhook?: { kubeconfig: string; authorizedTtlMs: number; unauthorizedTtlMs: number; version: 'v1' | 'v1beta1' } };

export const authorizationFlags = {
  'authorization-mode': { kind: 'list', placeholder: 'MODE,…', default: [], help: `Who decides what is allowed, in this order: ${modes.join(', ')} (default: Node,RBAC).` },
  'authorization-webhook-config-file': { kind: 'string', placeholder: 'FILE', help: 'Kubeconfig of the server that mode Webhook asks.' },
  'authorization-webhook-cache-authorized-ttl': { kind: 'string', placeholder: 'DURATION', help: 'How long a yes of it is believed (default: 5m0s).' },
  'authorization-webhook-cache-unauthorized-ttl': { kind: 'string', placeholder: 'DURATION', help: 'How long a no of it is believed (default: 30s).' },
  'authorization-webhook-version': { kind: 'string', oneOf: ['v1', 'v1beta1'], placeholder: 'v1|v1beta1', help: 'Version of the SubjectAccessReviews that it is sent and answers with (default: v1beta1).' },
  'authorization-config': { kind: 'string', placeholder: 'FILE', help: 'AuthorizationConfiguration, in the place of all these; taken again when it changes, within a minute.' },
} as const satisfies FlagTable;

/** Undefined: node authorizer and RBAC. Throws UsageError. */
export function readAuthorizationOptions(values: FlagValues<typeof authorizationFlags>): AuthorizationOptions | undefined {
  const configFile = values['authorization-config'];
  const [named, kubeconfig] = [values['authorization-mode'], values['authorization-webhook-config-file']];
  const ttl = (flag: 'authorization-webhook-cache-authorized-ttl' | 'authorization-webhook-cache-unauthorized-ttl', usual: string): number => durationMs(flag, values[flag] ?? usual);
  const [authorizedTtlMs, unauthorizedTtlMs] = [ttl('authorization-webhook-cache-authorized-ttl', '5m0s'), ttl('authorization-webhook-cache-unauthorized-ttl', '30s')];
  if (configFile !== undefined) {
    const others = Object.entries(values).some(([name, value]) => (name.startsWith('authorization-webhook-') || name === 'authorization-mode') && value !== undefined && !(Array.isArray(value) && value.length === 0));
    if (others) throw new UsageError('--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined');
    return { configFile };
  }
  const found = named.map((text) => {
    const mode = modes.find((one) => one === text);
    if (!mode) throw new UsageError(`authorization-mode ${JSON.stringify(text)} is not a valid mode; it takes ${modes.join(', ')}`);
    return mode;
  });
  if (new Set(found).size < found.length) throw new UsageError(`authorization-mode [${found.map((one) => JSON.stringify(one)).join(' ')}] has mode specified more than once`);
  if (found.includes('Webhook') && kubeconfig === undefined) throw new UsageError("authorization-mode Webhook's authorization config file not passed: --authorization-webhook-config-file FILE");
  if (kubeconfig !== undefined && !found.includes('Webhook')) throw new UsageError('cannot specify --authorization-webhook-config-file without mode Webhook');
  if (found.length === 0) return undefined;
  return { modes: found, ...(kubeconfig === undefined ? {} : { webhook: { kubeconfig, authorizedTtlMs, unauthorizedTtlMs, version: values['authorization-webhook-version'] === 'v1' ? 'v1' : 'v1beta1' } }) };
}

/** Where everything is allowed, --anonymous-auth does not count: nobody at all may not do everything. */
export function allowsAll(options: AuthorizationOptions | undefined): boolean {
  return options?.configFile === undefined && options?.modes.includes('AlwaysAllow') === true;
}
