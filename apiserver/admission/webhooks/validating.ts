// Validating webhooks: all that are concerned are asked at once, the first refusal in their order is the answer.
// Upstream: plugin/webhook/validating/dispatcher.go.
import { timeoutError } from '#machinery/api/status.ts';
import type { AdmissionAttributes } from '../admission.ts';
import { annotate } from '../annotate.ts';
import { AdmissionRequest } from '../matching/request.ts';
import type { Form } from '../matching/request.ts';
import { ask, counted, shouldCall } from './call.ts';
import type { WebhookDeps } from './call.ts';
import type { Hook } from './configurations.ts';

export async function callValidatingWebhooks(hooks: readonly Hook[], attributes: AdmissionAttributes, deps: WebhookDeps): Promise<void> {
  const request = new AdmissionRequest(attributes, deps.backend);
  const context = attributes.context.request;
  const concerned: { hook: Hook; form: Form }[] = [];
  for (const hook of hooks) {
    const form = await shouldCall(hook, request, deps);
    if (form) concerned.push({ hook, form });
  }
  if (concerned.length === 0) return;
  if (context.signal.aborted) throw timeoutError('request did not complete within requested timeout');
  const outcomes = await Promise.allSettled(concerned.map(async ({ hook, form }, index) => {
    const failed = (): void => annotate(context, `failed-open.validating.webhook.admission.k8s.io/round_0_index_${index}`, hook.name);
    await counted(hook, request, deps, failed, () => ask(hook, request, request.in(form), deps));
  }));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
