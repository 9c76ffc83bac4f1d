// What calling one webhook comes to, for mutating and validating ones alike: whether it is asked, the call, how failures are
// worded and counted. Upstream: plugin/webhook/generic/webhook.go and errors/statuserror.go.
import { randomUUID } from 'node:crypto';
import { createLogger } from '#machinery/base/log.ts';
import { badRequest, forbidden, internalError, StatusError } from '#machinery/api/status.ts';
import type { Status } from '#machinery/api/status.ts';
import type { Backend } from '../../backend.ts';
import type { Authorizer } from '../../filters/seams.ts';
import type { DynamicAdmissionMetrics } from '../../metrics/dynamic-admission.ts';
import { annotate, warn } from '../annotate.ts';
import { match } from '../matching/matcher.ts';
import type { AdmissionRequest, Form, Versioned } from '../matching/request.ts';
import { WebhookCallError } from './client.ts';
import type { WebhookClient } from './client.ts';
import type { Hook } from './configurations.ts';
import { chooseVersion, InvalidAnswer, readReview, reviewOf } from './review.ts';
import type { ReviewAnswer } from './review.ts';

const log = createLogger('admission');

export interface WebhookDeps {
  readonly backend: Backend;
  readonly authorizer: Authorizer;
  readonly client: WebhookClient;
  readonly metrics: DynamicAdmissionMetrics;
}

/** The webhook could not be asked, or not understood: its failure policy decides. */
export class CallingWebhookError extends Error {
  override name = 'CallingWebhookError';
  readonly code: number;
  readonly cancelled: boolean;
  constructor(hook: string, why: string, code: number, cancelled = false) {
    super(`failed calling webhook ${JSON.stringify(hook)}: ${why}`);
    this.code = code;
    this.cancelled = cancelled;
  }
}
/** The webhook said no. */
export class WebhookRejection extends StatusError {}

/** The form in which the webhook is asked; undefined: it is not. Throws StatusError. */
export async function shouldCall(hook: Hook, request: AdmissionRequest, { backend, authorizer, metrics }: WebhookDeps): Promise<Form | undefined> {
  const form = await match(hook.criteria, request, backend);
  if (!form || hook.conditions.expressions.length === 0) return form;
  const { matchConditions, webhookConditions } = await import('../cel/conditions.ts');
  const about = { name: hook.name, kind: 'webhook', type: hook.type, operation: request.attributes.operation } as const;
  const outcome = await matchConditions(webhookConditions(hook.conditions), hook.failOpen, { request, versioned: request.in(form), params: undefined, authorizer }, metrics, about);
  if (outcome.error !== undefined) {
    const { group, resource } = request.form.resource;
    throw forbidden({ group, resource }, request.attributes.name, outcome.error);
  }
  if (outcome.matches) return form;
  metrics.conditionExclusion(hook.name, 'webhook', hook.type, request.attributes.operation);
  return undefined;
}

/** Throws CallingWebhookError, WebhookRejection or, where a dry run is not possible, StatusError. */
export async function ask(hook: Hook, request: AdmissionRequest, versioned: Versioned, { client }: WebhookDeps): Promise<ReviewAnswer> {
  const { attributes } = request;
  const context = attributes.context.request;
  if (attributes.dryRun) {
    if (hook.dryRun === undefined) throw new CallingWebhookError(hook.name, 'Webhook SideEffects is nil', 400);
    if (!hook.dryRun) throw badRequest(`admission webhook ${JSON.stringify(hook.name)} does not support dry run`);
  }
  const version = chooseVersion(hook.reviewVersions);
  if (version === undefined) throw new CallingWebhookError(hook.name, 'could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)', 400);
  const uid = randomUUID();
  const timeoutMs = Math.min(hook.timeoutMs, (context.deadline ?? Infinity) - Date.now());
  let review: unknown;
  try {
    review = await client.call(hook.client, reviewOf(version, uid, request, versioned), timeoutMs, context.signal);
  } catch (error) {
    if (error instanceof WebhookCallError) throw new CallingWebhookError(hook.name, `failed to call webhook: ${error.message}`, error.code, error.cancelled);
    throw error;
  }
  let answer: ReviewAnswer;
  try {
    answer = readReview(version, uid, hook.type === 'admit', review as Record<string, unknown>); // the client hands out objects only
  } catch (error) {
    if (error instanceof InvalidAnswer) throw new CallingWebhookError(hook.name, `received invalid webhook response: ${error.message}`, 503);
    throw error;
  }
  for (const [key, value] of Object.entries(answer.auditAnnotations)) annotate(context, `${hook.name}/${key}`, value);
  for (const text of answer.warnings) warn(context, text);
  if (!answer.allowed) throw rejectionOf(hook.name, answer.status ?? {});
  return answer;
}

function rejectionOf(name: string, status: Readonly<Record<string, unknown>>): WebhookRejection {
  const { code, reason, message, details } = status as Partial<Status>; // each is checked as it is used
  const refused = `admission webhook ${JSON.stringify(name)} denied the request`;
  const why = typeof message === 'string' && message !== '' ? `: ${message}` : typeof reason === 'string' && reason !== '' ? `: ${reason}` : ' without explanation';
  return new WebhookRejection(
    typeof code === 'number' && code >= 400 && code < 600 ? Math.trunc(code) : 400, typeof reason === 'string' ? reason : '', `${refused}${why}`,
    typeof details === 'object' && details !== null ? details : undefined,
  );
}

/** Runs a call and counts what came of it; `failed` is told of one that its failure policy lets pass, whose result is undefined. */
export async function counted<T>(hook: Hook, request: AdmissionRequest, { metrics }: WebhookDeps, failed: () => void, call: () => Promise<T>): Promise<T | undefined> {
  const { operation } = request.attributes;
  const began = performance.now();
  const count = (rejected: boolean, code: number): void => metrics.webhook(hook.name, hook.type, operation, rejected, code, (performance.now() - began) / 1000);
  try {
    const result = await call();
    count(false, 200);
    return result;
  } catch (error) {
    if (error instanceof CallingWebhookError) {
      count(!hook.failOpen, error.code);
      if (!hook.failOpen) {
        if (!error.cancelled) metrics.webhookRejection(hook.name, hook.type, operation, 'calling_webhook_error', error.code);
        log.warn('a webhook could not be asked, so the write is refused', { webhook: hook.name, reason: error.message });
        throw internalError(error.message);
      }
      log.warn('a webhook could not be asked, the write goes on', { webhook: hook.name, reason: error.message });
      if (!error.cancelled) {
        metrics.webhookFailOpen(hook.name, hook.type);
        failed();
      }
      return undefined;
    }
    const rejection = error instanceof WebhookRejection;
    const code = rejection ? error.status.code : 0;
    metrics.webhookRejection(hook.name, hook.type, operation, rejection ? 'no_error' : 'apiserver_internal_error', code);
    count(true, code);
    throw error;
  }
}
