// Puts auditing together: the policy says what a request leaves behind, the backends take it.
import { createLogger } from '#machinery/base/log.ts';
import { UsageError } from '#machinery/base/flags.ts';
import type { RequestContext } from '../request.ts';
import { createBuffer } from './buffer.ts';
import type { AuditEvent, Level } from './event.ts';
import { openLog } from './log.ts';
import type { AuditOptions, Mode } from './options.ts';
import { loadPolicy, ruleFor } from './policy.ts';
import { AuditTrail } from './trail.ts';

const log = createLogger('audit');

/** What is counted, for /metrics. */
export interface AuditCounts {
  events: number;
  levels: Map<Level, number>;
  /** By the backend's name. */
  errors: Map<string, number>;
  rejected: number;
}

export interface Auditor {
  readonly counts: AuditCounts;
  /** Once the caller is known, or is known not to be; undefined when the policy has nothing to say. */
  begin(context: RequestContext): AuditTrail | undefined;
  /** After the last request: what still waits is written. */
  close(): Promise<void>;
}

interface Backend {
  /** False: it failed, and requests depend on it. */
  take(event: AuditEvent): boolean;
  close(): Promise<void>;
}

/** Throws UsageError when the policy or a backend's configuration cannot be taken. */
export async function createAuditor(options: AuditOptions): Promise<Auditor> {
  const policy = await loadPolicy(options.policyFile);
  const counts: AuditCounts = { events: 0, levels: new Map(), errors: new Map(), rejected: 0 };
  const failed = (plugin: string, number: number): void => {
    counts.errors.set(plugin, (counts.errors.get(plugin) ?? 0) + number);
  };
  const backends: Backend[] = [];
  if (options.log) backends.push(logBackend(options.log, failed));
  if (options.webhook) {
    const { createWebhook } = await import('./webhook.ts');
    const webhook = await createWebhook(options.webhook.configFile, options.webhook.initialBackoffMs);
    const send = async (events: AuditEvent[]): Promise<void> => {
      try {
        await webhook.send(events);
      } catch (error) {
        failed('webhook', events.length);
        log.error('audit events were not taken by the webhook', { events: events.length, error });
      }
    };
    const buffer = createBuffer(options.webhook.batch, send, () => failed('buffered', 1));
    backends.push({
      take(event) {
        buffer.add(event);
        return true;
      },
      async close() {
        webhook.hurry();
        await buffer.close();
        webhook.close();
      },
    });
  }
  const emit = (event: AuditEvent): boolean => {
    counts.events += 1;
    let stored = true;
    for (const backend of backends) stored = backend.take(event) && stored;
    return stored;
  };
  return {
    counts,
    begin(context) {
      const rule = ruleFor(policy, context.user, context.info);
      const level = rule?.level ?? 'None';
      counts.levels.set(level, (counts.levels.get(level) ?? 0) + 1);
      return rule === undefined || level === 'None' || backends.length === 0 ? undefined : new AuditTrail(rule, context, emit);
    },
    async close() {
      await Promise.all(backends.map((backend) => backend.close()));
    },
  };
}

function logBackend(options: NonNullable<AuditOptions['log']>, failed: (plugin: string, number: number) => void): Backend {
  let file: ReturnType<typeof openLog>;
  try {
    file = openLog(options);
  } catch (cause) {
    throw new UsageError(`--audit-log-path: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  const write = (events: AuditEvent[]): boolean => {
    try {
      file.write(events);
      return true;
    } catch (error) {
      failed('log', events.length);
      log.error('audit events cannot be written', { events: events.length, error });
      return false;
    }
  };
  const strict = options.mode === ('blocking-strict' satisfies Mode);
  if (options.mode !== 'batch') return { take: (event) => write([event]) || !strict, close: () => file.close() };
  const buffer = createBuffer(options.batch, async (events) => {
    write(events);
    await new Promise(setImmediate);
  }, () => failed('buffered', 1));
  return {
    take(event) {
      buffer.add(event);
      return true;
    },
    async close() {
      await buffer.close();
      await file.close();
    },
  };
}
