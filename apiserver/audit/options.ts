// The flags of auditing, under upstream's names and with its defaults.
import { durationMs, UsageError } from '#machinery/base/flags.ts';
import type { FlagTable, FlagValues } from '#machinery/base/flags.ts';
import type { BatchOptions } from './buffer.ts';
import type { LogFileOptions } from './log.ts';

export const modes = ['batch', 'blocking', 'blocking-strict'] as const;
export type Mode = (typeof modes)[number];

export interface AuditOptions {
  policyFile: string;
  log?: LogFileOptions & { mode: Mode; batch: BatchOptions };
  webhook?: { configFile: string; initialBackoffMs: number; batch: BatchOptions };
}

export const auditFlags = {
  'audit-policy-file': { kind: 'string', placeholder: 'FILE', help: 'What is told of which requests; without it nothing is.' },
  'audit-log-path': { kind: 'string', placeholder: 'FILE', help: 'Write audit events there; - is standard output.' },
  'audit-log-format': { kind: 'string', default: 'json', oneOf: ['json', 'legacy'], help: 'Events as JSON, or as one line of text.' },
  'audit-log-mode': { kind: 'string', default: 'blocking', oneOf: modes, help: 'Whether requests wait until their event is written; blocking-strict refuses them when it cannot be.' },
  'audit-log-batch-buffer-size': { kind: 'number', default: 10_000, min: 1, help: 'Events that may wait to be written, in batch mode.' },
  'audit-log-maxage': { kind: 'number', default: 366, help: 'Days that rotated files are kept; 0 for ever.' },
  'audit-log-maxbackup': { kind: 'number', default: 100, help: 'How many rotated files are kept; 0 for all.' },
  'audit-log-maxsize': { kind: 'number', default: 100, help: 'Megabytes at which the file is rotated; 0 for never.' },
  'audit-log-compress': { kind: 'boolean', default: false, help: 'Compress rotated files.' },
  'audit-webhook-config-file': { kind: 'string', placeholder: 'FILE', help: 'Kubeconfig of the server that audit events are sent to.' },
  'audit-webhook-mode': { kind: 'string', default: 'batch', oneOf: ['batch'], help: 'Requests never wait until their event is sent.' },
  'audit-webhook-initial-backoff': { kind: 'string', placeholder: 'DURATION', default: '10s', help: 'Wait before a failed batch is sent again for the first time.' },
  'audit-webhook-batch-buffer-size': { kind: 'number', default: 10_000, min: 1, help: 'Events that may wait to be sent.' },
  'audit-webhook-batch-max-size': { kind: 'number', default: 400, min: 1, help: 'Events in a batch.' },
  'audit-webhook-batch-max-wait': { kind: 'string', placeholder: 'DURATION', default: '30s', help: 'When a batch that is not full is sent.' },
  'audit-webhook-batch-throttle-enable': { kind: 'boolean', default: true, help: 'Limit how many batches are sent.' },
  'audit-webhook-batch-throttle-qps': { kind: 'number', default: 10, min: 1, help: 'Batches a second.' },
  'audit-webhook-batch-throttle-burst': { kind: 'number', default: 15, min: 1, help: 'Batches at once after a quiet time.' },
} as const satisfies FlagTable;

/** Undefined without a policy: nothing is audited then, whatever the other flags say, as upstream. */
export function readAuditOptions(values: FlagValues<typeof auditFlags>): AuditOptions | undefined {
  const policyFile = values['audit-policy-file'];
  if (policyFile === undefined) return undefined;
  const path = values['audit-log-path'];
  const configFile = values['audit-webhook-config-file'];
  return {
    policyFile,
    ...(path === undefined ? {} : {
      log: {
        path, format: values['audit-log-format'] === 'legacy' ? 'legacy' : 'json', maxAgeDays: values['audit-log-maxage'], maxBackups: values['audit-log-maxbackup'],
        maxSizeBytes: values['audit-log-maxsize'] * 1024 * 1024, compress: values['audit-log-compress'], mode: mode('audit-log-mode', values['audit-log-mode']),
        batch: { bufferSize: values['audit-log-batch-buffer-size'], maxBatchSize: 1, maxBatchWaitMs: 0, throttle: undefined },
      },
    }),
    ...(configFile === undefined ? {} : {
      webhook: {
        configFile,
        initialBackoffMs: durationMs('audit-webhook-initial-backoff', values['audit-webhook-initial-backoff']),
        batch: {
          bufferSize: values['audit-webhook-batch-buffer-size'], maxBatchSize: values['audit-webhook-batch-max-size'],
          maxBatchWaitMs: durationMs('audit-webhook-batch-max-wait', values['audit-webhook-batch-max-wait']),
          throttle: values['audit-webhook-batch-throttle-enable'] ? { qps: values['audit-webhook-batch-throttle-qps'], burst: values['audit-webhook-batch-throttle-burst'] } : undefined,
        },
      },
    }),
  };
}

function mode(flag: string, text: string): Mode {
  const found = modes.find((one) => one === text);
  if (!found) throw new UsageError(`--${flag} is one of ${modes.join(', ')}, not "${text}"`);
  return found;
}
