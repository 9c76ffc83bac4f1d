// Mutating webhooks, one after the other: each sees what those before it made of the object. When something changed the object
// after a webhook saw it, and it wants to know, it is asked once more. Upstream: plugin/webhook/mutating.
import type { KubeObject } from '#machinery/api/object.ts';
import { internalError, StatusError, timeoutError } from '#machinery/api/status.ts';
import type { AdmissionAttributes } from '../admission.ts';
import { annotate } from '../annotate.ts';
import { readObject } from '../matching/read-object.ts';
import { AdmissionRequest, reinvocationOf } from '../matching/request.ts';
import type { Form } from '../matching/request.ts';
import { roundsOf } from '../matching/rounds.ts';
import { applyJsonPatch } from '../../patch/json.ts';
import { same } from '../../resources/values.ts';
import { ask, CallingWebhookError, counted, shouldCall } from './call.ts';
import type { WebhookDeps } from './call.ts';
import type { Hook } from './configurations.ts';

export const mutatingWebhooks = 'MutatingAdmissionWebhook';

export async function callMutatingWebhooks(hooks: readonly Hook[], attributes: AdmissionAttributes, deps: WebhookDeps): Promise<void> {
  const request = new AdmissionRequest(attributes, deps.backend);
  const context = attributes.context.request;
  const reinvocation = reinvocationOf(attributes);
  const rounds = roundsOf(reinvocation, mutatingWebhooks);
  rounds.begin(attributes.object);
  try {
    for (const [index, hook] of hooks.entries()) {
      const form = await shouldCall(hook, request, deps);
      // One that was not concerned the first time is not called in the second round, whatever has changed.
      if (!form || !rounds.isTurnOf(hook.id)) continue;
      const at = `webhook.admission.k8s.io/round_${reinvocation.round}_index_${index}`;
      const changed = await counted(hook, request, deps, () => annotate(context, `failed-open.mutation.${at}`, hook.name), () => mutate(hook, form, request, deps, at));
      if (changed) rounds.changed();
      if (hook.reinvocable) rounds.called(hook.id);
      if (changed === undefined && context.signal.aborted) throw timeoutError('request did not complete within requested timeout');
    }
  } finally {
    rounds.end(attributes.object);
  }
}

/** Whether the webhook changed the object. */
async function mutate(hook: Hook, form: Form, request: AdmissionRequest, deps: WebhookDeps, at: string): Promise<boolean> {
  const { attributes } = request;
  const context = attributes.context.request;
  let changed = false;
  try {
    const versioned = request.in(form);
    const answer = await ask(hook, request, versioned, deps);
    const operations = operationsOf(hook, answer.patch);
    if (operations.length === 0) return false;
    if (!versioned.object) throw internalError(`admission webhook ${JSON.stringify(hook.name)} attempted to modify the object, which is not supported for this operation`);
    if (answer.patchType !== 'JSONPatch') throw new CallingWebhookError(hook.name, `unsupported patch type ${JSON.stringify(answer.patchType)}`, 400);
    const patched = await readObject(patch(versioned.object, operations), form, attributes.subresource);
    changed = !same(patched, versioned.object);
    request.replace(form, patched);
    if (context.audit?.wantsRequest) annotate(context, `patch.${at}`, JSON.stringify({ configuration: hook.configuration, webhook: hook.name, patch: operations, patchType: 'JSONPatch' }));
    return changed;
  } finally {
    annotate(context, `mutation.${at}`, JSON.stringify({ configuration: hook.configuration, webhook: hook.name, mutated: changed }));
  }
}

function operationsOf(hook: Hook, patch: string): unknown[] {
  if (patch === '') return [];
  const undecodable = (why: string): CallingWebhookError => new CallingWebhookError(hook.name, `received undecodable patch in webhook response: ${why}`, 503);
  let parsed: unknown;
  try {
    parsed = JSON.parse(patch);
  } catch (error) {
    throw undecodable(error instanceof Error ? error.message : String(error));
  }
  if (parsed === null) return [];
  if (!Array.isArray(parsed)) throw undecodable(`json: cannot unmarshal ${typeof parsed} into Go value of type jsonpatch.Patch`);
  return parsed;
}

/** A patch that does not fit is the webhook's mistake, which the client is told as an internal error. */
function patch(object: Readonly<KubeObject>, operations: readonly unknown[]): object {
  try {
    return applyJsonPatch(object, operations);
  } catch (error) {
    if (error instanceof StatusError) throw internalError(error.cause instanceof Error ? error.cause.message : error.message);
    throw error;
  }
}
