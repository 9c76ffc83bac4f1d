// ValidatingWebhookConfigurations and MutatingWebhookConfigurations. Upstream: pkg/apis/admissionregistration/validation.
import { dns1035LabelErrors, dns1123SubdomainErrors, portNumberErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { validateLabelSelector } from '../meta.ts';
import type { Strategy } from '../resource.ts';
import { asObject, at, duplicate, integer, invalidAll, invalidField, objects, oneOf, required, same, setMissing, strings, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { loadExpressions } from './expressions.ts';
import { validateMatchConditions, validateRule } from './matching.ts';

const reviewVersions = ['v1', 'v1beta1'];
const harmless = ['None', 'NoneOnDryRun'];

/** Rules that came later; a configuration that was against one before need not follow it. */
interface Strictness { conditions: boolean; noSideEffects: boolean; knownVersion: boolean; uniqueNames: boolean; selectors: boolean }

const webhookBase = (mutating: boolean): Strategy => kindStrategy({ generation: 'spec', unconditionalUpdate: false }, {
  load: (object) => (objects(object['webhooks']).some((webhook) => webhook['matchConditions'] !== undefined) ? loadExpressions() : undefined),
  default(object) {
    for (const webhook of objects(object['webhooks'])) {
      setMissing(webhook, 'failurePolicy', 'Fail');
      setMissing(webhook, 'matchPolicy', 'Equivalent');
      setMissing(webhook, 'namespaceSelector', {});
      setMissing(webhook, 'objectSelector', {});
      setMissing(webhook, 'timeoutSeconds', 10);
      if (mutating) setMissing(webhook, 'reinvocationPolicy', 'Never');
      const service = asObject(at(webhook, 'clientConfig', 'service'));
      if (service) setMissing(service, 'port', 443);
      for (const rule of objects(webhook['rules'])) setMissing(rule, 'scope', '*');
    }
  },
  validate(object, _, old) {
    const webhooks = objects(object['webhooks']);
    const strict = strictness(webhooks, old && objects(old['webhooks']));
    const names = webhooks.map((webhook) => text(webhook['name']));
    return webhooks.flatMap((webhook, index) => {
      const path = `webhooks[${index}]`;
      const name = names[index] ?? '';
      return [
        ...validateWebhook(webhook, strict, mutating, path),
        ...validateReviewVersions(strings(webhook['admissionReviewVersions']), strict.knownVersion, `${path}.admissionReviewVersions`),
        ...(strict.uniqueNames && name !== '' && names.indexOf(name) < index ? [duplicate(`${path}.name`, name)] : []),
      ];
    });
  },
});
export const validatingWebhooksStrategy = webhookBase(false);
export const mutatingWebhooksStrategy = webhookBase(true);

function strictness(webhooks: readonly Obj[], old: readonly Obj[] | undefined): Strictness {
  if (!old) return { conditions: true, noSideEffects: true, knownVersion: true, uniqueNames: true, selectors: true };
  return {
    conditions: webhooks.length !== old.length || old.some((webhook, index) => !same(webhook['matchConditions'], webhooks[index]?.['matchConditions'])),
    noSideEffects: old.every((webhook) => harmless.includes(text(webhook['sideEffects']))),
    knownVersion: old.every((webhook) => {
      const versions = strings(webhook['admissionReviewVersions']);
      return versions.length === 0 || versions.some((version) => reviewVersions.includes(version));
    }),
    uniqueNames: new Set(old.map((webhook) => text(webhook['name']))).size === old.length,
    selectors: old.every((webhook) => selectorErrors(webhook, '').length === 0),
  };
}
function selectorErrors(webhook: Obj, path: string): FieldError[] {
  return ['namespaceSelector', 'objectSelector'].flatMap((field) => validateLabelSelector(webhook[field], `${path}.${field}`));
}

function validateWebhook(webhook: Obj, strict: Strictness, mutating: boolean, path: string): FieldError[] {
  const effects = strict.noSideEffects ? harmless : ['None', 'NoneOnDryRun', 'Some', 'Unknown'];
  const seconds = integer(webhook['timeoutSeconds']);
  const errors = [
    ...validateFullName(text(webhook['name']), `${path}.name`),
    ...objects(webhook['rules']).flatMap((rule, index) => validateRule(rule, `${path}.rules[${index}]`)),
    ...oneOf(`${path}.failurePolicy`, webhook['failurePolicy'], ['Fail', 'Ignore']),
    ...oneOf(`${path}.matchPolicy`, webhook['matchPolicy'], ['Equivalent', 'Exact']),
    ...(webhook['sideEffects'] === undefined ? [required(`${path}.sideEffects`, `must specify one of ${effects.join(', ')}`)] : oneOf(`${path}.sideEffects`, webhook['sideEffects'], effects)),
  ];
  if (seconds !== undefined && (seconds > 30 || seconds < 1)) errors.push(invalidField(`${path}.timeoutSeconds`, seconds, 'the timeout value must be between 1 and 30 seconds'));
  if (strict.selectors) errors.push(...selectorErrors(webhook, path));
  if (mutating) errors.push(...oneOf(`${path}.reinvocationPolicy`, webhook['reinvocationPolicy'], ['IfNeeded', 'Never']));
  errors.push(...validateClientConfig(asObject(webhook['clientConfig']) ?? {}, `${path}.clientConfig`));
  if (strict.conditions) errors.push(...validateMatchConditions(webhook['matchConditions'], `${path}.matchConditions`, { params: false }));
  return errors;
}

function validateFullName(name: string, path: string): FieldError[] {
  if (name === '') return [required(path)];
  const errors = dns1123SubdomainErrors(name);
  if (errors.length > 0) return [invalidField(path, name, errors.join(','))];
  return name.split('.').length < 3 ? [invalidField(path, name, 'should be a domain with at least three segments separated by dots')] : [];
}

function validateReviewVersions(versions: readonly string[], knownOne: boolean, path: string): FieldError[] {
  if (versions.length === 0) return [required(path, `must specify one of ${reviewVersions.join(', ')}`)];
  const errors = versions.flatMap((version, index) => (versions.indexOf(version) < index ? [invalidField(`${path}[${index}]`, version, 'duplicate version')]
    : invalidAll(`${path}[${index}]`, version, dns1035LabelErrors(version))));
  if (knownOne && !versions.some((version) => reviewVersions.includes(version))) errors.push(invalidField(path, versions, `must include at least one of ${reviewVersions.join(', ')}`));
  return errors;
}

/** Also for the conversion webhooks of custom resources. */
export function validateClientConfig(config: Obj, path: string): FieldError[] {
  const [url, service] = [config['url'], asObject(config['service'])];
  if ((url === undefined) === (service === undefined)) return [required(path, 'exactly one of url or service is required')];
  return service ? validateService(service, `${path}.service`) : validateUrl(text(url), `${path}.url`);
}

/** `scheme://user@host/path?query#fragment`, every part optional; Node's URL would put in what is missing. */
const urlShape = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/(?:([^@/?#]*)@)?([^/?#]*))?[^?#]*(?:\?([^#]*))?(?:#(.*))?$/s;
function validateUrl(url: string, path: string): FieldError[] {
  const form = '; desired format: https://host[/path]';
  const problem = urlProblem(url);
  if (problem !== undefined) return [required(path, `url must be a valid URL: parse ${JSON.stringify(url)}: ${problem}${form}`)];
  const [, scheme = '', user, host = '', query = '', fragment = ''] = urlShape.exec(url) ?? [];
  const errors: FieldError[] = [];
  if (scheme !== 'https') errors.push(invalidField(path, scheme, `'https' is the only allowed URL scheme${form}`));
  if (host === '') errors.push(invalidField(path, host, `host must be specified${form}`));
  if (user !== undefined) errors.push(invalidField(path, user, 'user information is not permitted in the URL'));
  if (fragment !== '') errors.push(invalidField(path, fragment, 'fragments are not permitted in the URL'));
  if (query !== '') errors.push(invalidField(path, query, 'query parameters are not permitted in the URL'));
  return errors;
}
function urlProblem(url: string): string | undefined {
  const escape = /%(?![0-9A-Fa-f]{2}).{0,2}/s.exec(url);
  if (escape) return `invalid URL escape ${JSON.stringify(escape[0])}`;
  const first = url.split('/')[0] ?? '';
  if (url.startsWith(':')) return 'missing protocol scheme';
  return first.includes(':') && !/^[A-Za-z][A-Za-z0-9+.-]*:/.test(first) ? 'first path segment in URL cannot contain colon' : undefined;
}

function validateService(service: Obj, path: string): FieldError[] {
  // Upstream hands the two over in the wrong order, so each error names the other.
  const errors: FieldError[] = [];
  if (text(service['namespace']) === '') errors.push(required(`${path}.name`));
  if (text(service['name']) === '') errors.push(required(`${path}.namespace`));
  const port = integer(service['port']) ?? 0;
  const wrong = portNumberErrors(port);
  if (wrong.length > 0) errors.push(invalidField(`${path}.port`, port, `port is not valid: ${wrong.join(', ')}`));
  return [...errors, ...validateUrlPath(text(service['path']), `${path}.path`)];
}
function validateUrlPath(url: string, path: string): FieldError[] {
  if (url === '' || url === '/') return [];
  if (url === '//') return [invalidField(path, url, 'segment[0] may not be empty')];
  const errors: FieldError[] = url.startsWith('/') ? [] : [invalidField(path, url, "must start with a '/'")];
  return [...errors, ...url.slice(1).replace(/\/$/, '').split('/').flatMap((step, index) => {
    const wrong = step === '' ? [`segment[${index}] may not be empty`] : dns1123SubdomainErrors(step).map((text) => `segment[${index}]: ${text}`);
    return invalidAll(path, url, wrong);
  })];
}
