// AuthorizationConfiguration of apiserver.config.k8s.io: reading and checking. Upstream: apiserver/pkg/apis/apiserver/validation.
import { statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { parseDurationMs } from '#machinery/base/flags.ts';
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import { fieldErrorBody } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import type { CelType } from '#machinery/cel/cel.ts';
import { compile } from '#machinery/cel/compile.ts';
import { formatType } from '#machinery/cel/types.ts';
import { ConfigReader, parseConfigFile } from '../config-reader.ts';
import { modes } from './authorization-options.ts';
import type { Mode } from './authorization-options.ts';
import type { WebhookAuthorizerOptions } from './authorizer-webhook.ts';

export interface AuthorizerConfig { type: Mode; webhook?: WebhookAuthorizerOptions }

const versions = ['apiserver.config.k8s.io/v1', 'apiserver.config.k8s.io/v1beta1', 'apiserver.config.k8s.io/v1alpha1'];
const mostConditions = 64;
const text: CelType = { kind: 'string' };
const texts: CelType = { kind: 'list', element: text };
function object(name: string, fields: Readonly<Record<string, CelType>>): CelType {
  return { kind: 'object', name, fields: (field) => (Object.hasOwn(fields, field) ? fields[field] : undefined) };
}
const requirements: CelType = { kind: 'list', element: object('kubernetes.SelectorRequirement', { key: text, operator: text, values: texts }) };
const request = object('kubernetes.SubjectAccessReviewSpec', {
  resourceAttributes: object('kubernetes.ResourceAttributes', {
    namespace: text, verb: text, group: text, version: text, resource: text, subresource: text, name: text,
    fieldSelector: object('kubernetes.FieldSelectorAttributes', { rawSelector: text, requirements }),
    labelSelector: object('kubernetes.LabelSelectorAttributes', { rawSelector: text, requirements }),
  }),
  nonResourceAttributes: object('kubernetes.NonResourceAttributes', { path: text, verb: text }),
  user: text, groups: texts, extra: { kind: 'map', key: text, value: texts }, uid: text,
});

/** Throws Error with all that is wrong. */
export async function parseAuthorizationConfiguration(content: string): Promise<AuthorizerConfig[]> {
  const unknown: string[] = [];
  const root = new ConfigReader(await parseConfigFile(content, 'AuthorizationConfiguration', versions), 'AuthorizationConfiguration', (field) => unknown.push(field));
  root.take('kind', 'apiVersion');
  const errors: FieldError[] = [];
  const entries = root.objects('authorizers');
  root.end();
  if (entries.length === 0) errors.push({ type: 'Required', field: 'authorizers', detail: 'at least one authorization mode must be defined' });
  const [types, names] = [new Set<string>(), new Set<string>()];
  const found = entries.flatMap((entry, i): AuthorizerConfig[] => {
    const at = `authorizers[${i}]`;
    const [type, name, hook] = [entry.string('type'), entry.string('name'), entry.object('webhook')];
    entry.end();
    const webhook = hook && readWebhook(hook, name, at, type === 'Webhook' ? errors : []);
    const mode = modes.find((one) => one === type);
    if (type === '') errors.push({ type: 'Required', field: `${at}.type` });
    else if (!mode) errors.push({ type: 'NotSupported', field: `${at}.type`, value: type, detail: `supported values: ${[...modes].sort().map((one) => JSON.stringify(one)).join(', ')}` });
    else if (types.has(type) && type !== 'Webhook') errors.push({ type: 'Duplicate', field: `${at}.type`, value: type });
    if (!mode) return [];
    types.add(type);
    const wrong = dns1123SubdomainErrors(name);
    if (name === '') errors.push({ type: 'Required', field: `${at}.name` });
    else if (names.has(name)) errors.push({ type: 'Duplicate', field: `${at}.name`, value: name });
    else if (wrong.length > 0) errors.push({ type: 'Invalid', field: `${at}.name`, value: name, detail: `authorizer name is invalid: ${wrong.join(', ')}` });
    names.add(name);
    if (type === 'Webhook' && !hook) errors.push({ type: 'Required', field: `${at}.webhook`, detail: 'required when type=Webhook' });
    if (type !== 'Webhook' && hook) errors.push({ type: 'Invalid', field: `${at}.webhook`, value: 'non-null', detail: 'may only be specified when type=Webhook' });
    return [{ type: mode, ...(webhook ? { webhook } : {}) }];
  });
  if (unknown.length > 0) throw new Error(`strict decoding error: ${unknown.map((field) => `unknown field ${JSON.stringify(field)}`).join(', ')}`);
  if (errors.length > 0) {
    const shown = errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
    throw new Error(shown.length === 1 ? shown[0] : `[${shown.join(', ')}]`);
  }
  return found;
}

function readWebhook(hook: ConfigReader, name: string, at: string, errors: FieldError[]): WebhookAuthorizerOptions {
  const duration = (field: string, usual: string, most = Infinity): number => {
    const value = hook.string(field) || usual;
    const ms = parseDurationMs(value) ?? 0;
    if (value === '') errors.push({ type: 'Required', field: `${at}.${field}` });
    else if (!(ms > 0 && ms <= most)) errors.push({ type: 'Invalid', field: `${at}.${field}`, value, detail: most === Infinity ? 'must be > 0s' : 'must be > 0s and <= 30s' });
    return ms;
  };
  const choice = <T extends string>(field: string, choices: readonly T[], required: string | undefined): T | undefined => {
    const value = hook.string(field);
    const chosen = choices.find((one) => one === value);
    if (value === '' && required !== undefined) errors.push({ type: 'Required', field: `${at}.${field}`, ...(required === '' ? {} : { detail: required }) });
    else if (value !== '' && !chosen) errors.push({ type: 'NotSupported', field: `${at}.${field}`, value, detail: `supported values: ${choices.map((one) => JSON.stringify(one)).join(', ')}` });
    return chosen;
  };
  const [timeoutMs, authorizedTtlMs, unauthorizedTtlMs] = [duration('timeout', '', 30_000), duration('authorizedTTL', '5m'), duration('unauthorizedTTL', '30s')];
  const version = choice('subjectAccessReviewVersion', ['v1', 'v1beta1'], '');
  const conditions = hook.objects('matchConditions');
  choice('matchConditionSubjectAccessReviewVersion', ['v1'], conditions.length > 0 ? 'required if match conditions are specified' : undefined);
  const failurePolicy = choice('failurePolicy', ['NoOpinion', 'Deny'], '');
  const [keepsYes, keepsNo] = [hook.boolean('cacheAuthorizedRequests') ?? true, hook.boolean('cacheUnauthorizedRequests') ?? true];
  const kubeconfig = readConnection(hook.object('connectionInfo'), `${at}.connectionInfo`, errors);
  const compiled = readConditions(conditions, `${at}.matchConditions`, errors);
  hook.end();
  return {
    name, kubeconfig, timeoutMs, authorizedTtlMs: keepsYes ? authorizedTtlMs : 0, unauthorizedTtlMs: keepsNo ? unauthorizedTtlMs : 0,
    version: version ?? 'v1', failurePolicy: failurePolicy ?? 'Deny', conditions: compiled,
  };
}

function readConnection(connection: ConfigReader | undefined, at: string, errors: FieldError[]): string {
  const [type, file] = [connection?.string('type') ?? '', connection?.string('kubeConfigFile') ?? ''];
  connection?.end();
  const field = `${at}.kubeConfigFile`;
  if (type === '') errors.push({ type: 'Required', field: `${at}.type` });
  // Upstream knows InClusterConfig, too, which this server has no place for.
  else if (type !== 'KubeConfigFile') errors.push({ type: 'NotSupported', field: `${at}.type`, value: type, detail: 'supported values: "KubeConfigFile"' });
  else if (file === '') errors.push({ type: 'Required', field });
  else if (!isAbsolute(file)) errors.push({ type: 'Invalid', field, value: file, detail: 'must be an absolute path' });
  else {
    const found = statSync(file, { throwIfNoEntry: false });
    if (!found) errors.push({ type: 'Invalid', field, value: file, detail: 'error loading file: no such file' });
    else if (!found.isFile()) errors.push({ type: 'Invalid', field, value: file, detail: 'must be a regular file' });
  }
  return file;
}

function readConditions(conditions: readonly ConfigReader[], at: string, errors: FieldError[]): WebhookAuthorizerOptions['conditions'] {
  if (conditions.length > mostConditions) {
    errors.push({ type: 'TooMany', field: at, value: conditions.length, detail: `must have at most ${mostConditions} items` });
    return [];
  }
  const seen = new Set<string>();
  return conditions.flatMap((condition, i) => {
    const source = condition.string('expression');
    condition.end();
    const field = `${at}[${i}].expression`;
    if (source.trim() === '') errors.push({ type: 'Required', field });
    else if (seen.has(source)) errors.push({ type: 'Duplicate', field, value: source });
    else {
      seen.add(source);
      const { program, issues } = compile(source, { variables: [{ name: 'request', type: request }] });
      if (!program) errors.push({ type: 'Invalid', field, value: source, detail: `compilation failed: ${issues.map((issue) => issue.text).join('\n')}` });
      else if (program.type.kind !== 'bool') errors.push({ type: 'Invalid', field, value: source, detail: `must evaluate to bool but got ${formatType(program.type)}` });
      else return [{ source, program }];
    }
    return [];
  });
}
