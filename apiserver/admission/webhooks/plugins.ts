// The two plugins that ask webhooks. Without a configuration they cost a look at a counter, and nothing of them is loaded.
import type { Registry } from '#machinery/base/metrics.ts';
import type { ServerDeps } from '../../backend.ts';
import type { Authorizer } from '../../filters/seams.ts';
import type { DynamicAdmissionMetrics } from '../../metrics/dynamic-admission.ts';
import type { AdmissionPlugin } from '../admission.ts';
import type { WebhookDeps } from './call.ts';

const group = 'admissionregistration.k8s.io';
const mutating = `mutatingwebhookconfigurations.${group}`;
const validating = `validatingwebhookconfigurations.${group}`;

export interface WebhookPluginDeps extends Pick<ServerDeps, 'backend' | 'signal'> {
  readonly authorizer: Authorizer;
  /** Made once for all dynamic plugins. */
  readonly metrics: () => Promise<DynamicAdmissionMetrics>;
}

export function createWebhookPlugins({ backend, signal, authorizer, metrics }: WebhookPluginDeps): { mutating: AdmissionPlugin; validating: AdmissionPlugin } {
  let loading: Promise<{ parts: Awaited<ReturnType<typeof importParts>>; deps: WebhookDeps }> | undefined;
  const load = (): NonNullable<typeof loading> => loading ??= importParts().then(async (parts) => {
    const client = parts.createWebhookClient(backend);
    signal.addEventListener('abort', () => client.close(), { once: true });
    return { parts, deps: { backend, authorizer, client, metrics: await metrics() } };
  }).catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  // What configures webhooks and policies is never asked about: who makes a mistake there must be able to undo it.
  const concerns = (id: string): AdmissionPlugin['handles'] => (_operation, row) => row.group !== group && (backend.cache.for(id)?.count() ?? 0) > 0;
  return {
    mutating: {
      name: 'MutatingAdmissionWebhook', handles: concerns(mutating),
      async admit(attributes) {
        const { parts, deps } = await load();
        await parts.callMutatingWebhooks(parts.hooksOf(backend.cached(mutating), 'admit'), attributes, deps);
      },
    },
    validating: {
      name: 'ValidatingAdmissionWebhook', handles: concerns(validating),
      async validate(attributes) {
        const { parts, deps } = await load();
        await parts.callValidatingWebhooks(parts.hooksOf(backend.cached(validating), 'validating'), attributes, deps);
      },
    },
  };
}

async function importParts() {
  const [{ createWebhookClient }, { hooksOf }, { callMutatingWebhooks }, { callValidatingWebhooks }] = await Promise.all([
    import('./client.ts'), import('./configurations.ts'), import('./mutating.ts'), import('./validating.ts'),
  ]);
  return { createWebhookClient, hooksOf, callMutatingWebhooks, callValidatingWebhooks };
}

/** Counted only once something is there to count. */
export function lazyMetrics(registry: Registry): () => Promise<DynamicAdmissionMetrics> {
  let made: Promise<DynamicAdmissionMetrics> | undefined;
  return () => made ??= import('../../metrics/dynamic-admission.ts').then(({ createDynamicAdmissionMetrics }) => createDynamicAdmissionMetrics(registry));
}
