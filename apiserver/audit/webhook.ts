// The webhook backend: batches of events as an EventList, sent again with growing waits while the other side is away.
// Upstream: plugin/pkg/audit/webhook, util/webhook (what is tried again, and how often).
import { UsageError } from '#machinery/base/flags.ts';
import { createWebhookClient, WebhookRefusal } from '../webhook-client.ts';
import type { WebhookClient } from '../webhook-client.ts';
import type { AuditEvent } from './event.ts';

const attempts = 5;
const growth = 1.5;
const jitter = 0.2;

export interface Webhook {
  /** Rejects when it was tried often enough, or for nothing. */
  send(events: readonly AuditEvent[]): Promise<void>;
  /** The server stops: what is sent now is tried once. */
  hurry(): void;
  close(): void;
}

/** Throws UsageError when the kubeconfig cannot be taken. */
export async function createWebhook(configFile: string, initialBackoffMs: number): Promise<Webhook> {
  let client: WebhookClient;
  try {
    client = await createWebhookClient(configFile);
  } catch (cause) {
    throw new UsageError(`initializing audit webhook: ${configFile}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  let hurrying: (() => void) | undefined;
  const hurried = new Promise<void>((resolvePromise) => {
    hurrying = resolvePromise;
  });
  let stopping = false;
  return {
    async send(events) {
      const body = { kind: 'EventList', apiVersion: 'audit.k8s.io/v1', metadata: {}, items: events };
      let wait = initialBackoffMs;
      for (let attempt = 1; ; attempt += 1) {
        try {
          await client.post(body);
          return;
        } catch (error) {
          const again = !(error instanceof WebhookRefusal) || error.code === 429 || error.code >= 500;
          if (!again || attempt >= attempts || stopping) throw error;
        }
        let timer: NodeJS.Timeout | undefined;
        await Promise.race([hurried, new Promise((done) => {
          timer = setTimeout(done, wait * (1 + Math.random() * jitter));
        })]);
        clearTimeout(timer);
        wait *= growth;
      }
    },
    hurry() {
      stopping = true;
      hurrying?.();
    },
    close: () => client.close(),
  };
}
