// The flags of asking others who somebody is, under upstream's names and with its defaults.
import { durationMs, UsageError } from '#machinery/base/flags.ts';
import type { FlagTable, FlagValues } from '#machinery/base/flags.ts';
import { signatureAlgorithms } from '#machinery/pki/jwt.ts';

export interface OidcOptions {
  issuerUrl: string;
  clientId: string;
  usernameClaim: string;
  usernamePrefix: string;
  groupsClaim: string;
  groupsPrefix: string;
  requiredClaims: { claim: string; value: string }[];
  algorithms: string[];
  caFile: string | undefined;
}

export interface TokenWebhookOptions {
  configFile: string;
  cacheTtlMs: number;
  version: 'v1' | 'v1beta1';
}

export interface AuthOptions {
  /** An AuthenticationConfiguration; its issuers are taken again when it changes. */
  configFile?: string;
  /** Beside no configFile. */
  oidc?: OidcOptions;
  tokenWebhook?: TokenWebhookOptions;
}

export const authFlags = {
  'authentication-config': { kind: 'string', placeholder: 'FILE', help: 'AuthenticationConfiguration: whose tokens are taken and who their users are; the issuers are taken again when it changes, within a minute.' },
  'oidc-issuer-url': { kind: 'string', placeholder: 'URL', help: 'OpenID Connect issuer whose tokens are taken; https only.' },
  'oidc-client-id': { kind: 'string', placeholder: 'ID', help: 'The audience that its tokens must be for.' },
  'oidc-username-claim': { kind: 'string', placeholder: 'CLAIM', help: 'Which claim is the name of the user (default: sub).' },
  'oidc-username-prefix': { kind: 'string', placeholder: 'PREFIX', help: 'Put before names (default: ISSUER# unless the claim is email); - for none.' },
  'oidc-groups-claim': { kind: 'string', placeholder: 'CLAIM', help: 'Which claim holds the groups, one text or a list.' },
  'oidc-groups-prefix': { kind: 'string', placeholder: 'PREFIX', help: 'Put before groups.' },
  'oidc-required-claim': { kind: 'list', placeholder: 'CLAIM=VALUE,…', default: [], help: 'What the claims must be.' },
  'oidc-signing-algs': { kind: 'list', placeholder: 'ALG,…', default: [], help: `Algorithms that tokens may be signed with (default: RS256); of ${signatureAlgorithms.join(', ')}.` },
  'oidc-ca-file': { kind: 'string', placeholder: 'FILE', help: "Checks the issuer's certificate (default: the authorities that this computer trusts)." },
  'authentication-token-webhook-config-file': { kind: 'string', placeholder: 'FILE', help: 'Kubeconfig of the server that is asked about tokens that nobody else knows.' },
  'authentication-token-webhook-cache-ttl': { kind: 'string', placeholder: 'DURATION', default: '2m0s', help: 'How long its answers are believed.' },
  'authentication-token-webhook-version': { kind: 'string', default: 'v1beta1', oneOf: ['v1', 'v1beta1'], help: 'Version of the TokenReviews that it is sent and answers with.' },
} as const satisfies FlagTable;

/** Undefined when nobody outside is to be asked. Throws UsageError. */
export function readAuthOptions(values: FlagValues<typeof authFlags>): AuthOptions | undefined {
  const configFile = values['authentication-config'];
  const oidc = readOidc(values);
  if (configFile !== undefined && oidc) throw new UsageError('--authentication-config and --oidc-* flags are mutually exclusive');
  const webhookFile = values['authentication-token-webhook-config-file'];
  const cacheTtlMs = durationMs('authentication-token-webhook-cache-ttl', values['authentication-token-webhook-cache-ttl']);
  if (configFile === undefined && !oidc && webhookFile === undefined) return undefined;
  return {
    ...(configFile === undefined ? {} : { configFile }), ...(oidc ? { oidc } : {}),
    ...(webhookFile === undefined ? {} : { tokenWebhook: { configFile: webhookFile, cacheTtlMs, version: values['authentication-token-webhook-version'] === 'v1' ? 'v1' : 'v1beta1' } }),
  };
}

function readOidc(values: FlagValues<typeof authFlags>): OidcOptions | undefined {
  const given = Object.entries(values).some(([name, value]) => name.startsWith('oidc-') && value !== undefined && !(Array.isArray(value) && value.length === 0));
  if (!given) return undefined;
  const [issuerUrl, clientId] = [values['oidc-issuer-url'], values['oidc-client-id']];
  if (issuerUrl === undefined || clientId === undefined) throw new UsageError('--oidc-issuer-url and --oidc-client-id must be specified together when any oidc-* flags are set');
  const usernameClaim = values['oidc-username-claim'] ?? 'sub';
  const prefix = values['oidc-username-prefix'] ?? (usernameClaim === 'email' ? '' : `${issuerUrl}#`);
  const algorithms = values['oidc-signing-algs'];
  const unknown = algorithms.find((one) => !(signatureAlgorithms as readonly string[]).includes(one));
  if (unknown !== undefined) throw new UsageError(`--oidc-signing-algs: unsupported signing alg: ${JSON.stringify(unknown)}; it takes ${signatureAlgorithms.join(', ')}`);
  return {
    issuerUrl, clientId, usernameClaim, usernamePrefix: prefix === '-' ? '' : prefix,
    groupsClaim: values['oidc-groups-claim'] ?? '', groupsPrefix: values['oidc-groups-prefix'] ?? '',
    requiredClaims: values['oidc-required-claim'].map((entry) => {
      const [, claim, value] = /^([^=]+)=(.*)$/.exec(entry) ?? [];
      if (claim === undefined || value === undefined) throw new UsageError(`--oidc-required-claim takes CLAIM=VALUE, not "${entry}"`);
      return { claim, value };
    }),
    algorithms: algorithms.length > 0 ? algorithms : ['RS256'],
    caFile: values['oidc-ca-file'],
  };
}
