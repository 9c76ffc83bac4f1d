// Flags that tune an API server, shared by `proa apiserver` and `proa server`: how much it takes on at a time and how it stops.
// Names and defaults are upstream's (kube-apiserver).
import { durationMs, UsageError } from '#machinery/base/flags.ts';
import type { FlagTable, FlagValues } from '#machinery/base/flags.ts';
import { auditFlags, readAuditOptions } from './audit/options.ts';
import type { AuditOptions } from './audit/options.ts';
import { authorizationFlags, readAuthorizationOptions } from './auth/authorization-options.ts';
import type { AuthorizationOptions } from './auth/authorization-options.ts';
import { authFlags, readAuthOptions } from './auth/options.ts';
import type { AuthOptions } from './auth/options.ts';
import { checkRuntimeConfig, parseRuntimeConfig, RuntimeConfigError } from './resources/runtime-config.ts';
import type { RuntimeConfig } from './resources/runtime-config.ts';

export interface ApiserverOptions {
  /** Requests in flight that only read; 0: no limit. */
  maxRequestsInflight: number;
  /** Requests in flight that change something; 0: no limit. */
  maxMutatingRequestsInflight: number;
  /** For all requests but watches and streams. */
  requestTimeoutMs: number;
  /** Old revisions of the store go after one to two of these; 0 keeps them all. */
  compactionIntervalMs: number;
  /** How long it goes on serving, with /readyz failing already, before it refuses requests. */
  shutdownDelayMs: number;
  /** While it stops it still listens, and answers 429 with Retry-After until the last request has ended. */
  shutdownSendRetryAfter: boolean;
  /** API versions and resources that are switched on or off. */
  runtimeConfig: RuntimeConfig;
  /** Undefined: values are stored as they are. */
  encryption?: { file: string; reload: boolean } | undefined;
  /** Undefined: nothing is audited. */
  audit?: AuditOptions | undefined;
  /** Undefined: nobody outside is asked who somebody is. */
  auth?: AuthOptions | undefined;
  /** Undefined: node authorizer and RBAC decide. */
  authorization?: AuthorizationOptions | undefined;
}

export const defaultOptions: Readonly<ApiserverOptions> = {
  maxRequestsInflight: 400, maxMutatingRequestsInflight: 200, requestTimeoutMs: 60_000, compactionIntervalMs: 300_000, shutdownDelayMs: 0, shutdownSendRetryAfter: false, runtimeConfig: {},
};

export const optionFlags = {
  'max-requests-inflight': { kind: 'number', default: defaultOptions.maxRequestsInflight, help: 'How many reading requests are served at a time; 0 for no limit.' },
  'max-mutating-requests-inflight': { kind: 'number', default: defaultOptions.maxMutatingRequestsInflight, help: 'How many changing requests are served at a time; 0 for no limit.' },
  'request-timeout': { kind: 'string', placeholder: 'DURATION', default: '60s', help: 'Time for a request, watches and streams excepted.' },
  'etcd-compaction-interval': { kind: 'string', placeholder: 'DURATION', default: '5m0s', help: 'Old revisions of the store, whichever it is, go after one to two of these; 0 keeps them all.' },
  'shutdown-delay-duration': { kind: 'string', placeholder: 'DURATION', default: '0s', help: 'How long to go on serving after /readyz began to fail.' },
  'shutdown-send-retry-after': { kind: 'boolean', default: false, help: 'Listen while stopping, and answer 429 with Retry-After.' },
  'runtime-config': { kind: 'list', placeholder: 'KEY=BOOL,…', default: [], help: 'What to serve beside the usual: api/all, api/beta, group/version, group/version/resource.' },
  'encryption-provider-config': { kind: 'string', placeholder: 'FILE', help: 'EncryptionConfiguration: which resources are encrypted at rest, and how.' },
  'encryption-provider-config-automatic-reload': { kind: 'boolean', default: false, help: 'Take that file again when it changes, within a minute.' },
  ...auditFlags,
  ...authFlags,
  ...authorizationFlags,
} as const satisfies FlagTable;

/** Throws UsageError. */
export function readOptions(values: FlagValues<typeof optionFlags>): ApiserverOptions {
  const duration = (flag: 'request-timeout' | 'etcd-compaction-interval' | 'shutdown-delay-duration', least: number): number => {
    const ms = durationMs(flag, values[flag]);
    if (ms < least) throw new UsageError(`--${flag} takes a duration of at least ${least} ms, not "${values[flag]}"`);
    return Math.min(ms, 2 ** 31 - 1);
  };
  return {
    maxRequestsInflight: values['max-requests-inflight'],
    maxMutatingRequestsInflight: values['max-mutating-requests-inflight'],
    requestTimeoutMs: duration('request-timeout', 1),
    compactionIntervalMs: duration('etcd-compaction-interval', 0),
    shutdownDelayMs: duration('shutdown-delay-duration', 0),
    shutdownSendRetryAfter: values['shutdown-send-retry-after'],
    runtimeConfig: readRuntimeConfig(values['runtime-config']),
    encryption: values['encryption-provider-config'] === undefined ? undefined : { file: values['encryption-provider-config'], reload: values['encryption-provider-config-automatic-reload'] },
    audit: readAuditOptions(values),
    auth: readAuthOptions(values),
    authorization: readAuthorizationOptions(values),
  };
}

function readRuntimeConfig(entries: readonly string[]): RuntimeConfig {
  const config = parseRuntimeConfig(entries);
  try {
    checkRuntimeConfig(config);
  } catch (error) {
    if (error instanceof RuntimeConfigError) throw new UsageError(`--runtime-config: ${error.message}`);
    throw error;
  }
  return config;
}
