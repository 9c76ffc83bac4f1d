// Questions about who and who may: TokenReview, SelfSubjectReview and the access reviews. Created, answered, never stored.
import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '#machinery/base/clock.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { badRequest, invalid, type FieldError } from '#machinery/api/status.ts';
import type { CustomHandler, CustomRequest } from '../backend.ts';
import type { ApiserverConfig } from '../config.ts';
import type { Authorizer } from '../filters/seams.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import type { AnyTokenAuthenticator } from './other-tokens.ts';
import { TokenError } from './service-account-tokens.ts';

const authorization = 'authorization.k8s.io';
const authentication = 'authentication.k8s.io';

interface Requirement { key: string; operator: string; values?: string[] }
interface SelectorAttributes { rawSelector?: string; requirements?: Requirement[] }
interface ResourceAttributes {
  namespace?: string; verb?: string; group?: string; version?: string; resource?: string; subresource?: string; name?: string;
  fieldSelector?: SelectorAttributes; labelSelector?: SelectorAttributes;
}
interface AccessSpec {
  resourceAttributes?: ResourceAttributes | null;
  nonResourceAttributes?: { path?: string; verb?: string } | null;
  user?: string;
  groups?: string[] | null;
  extra?: Record<string, string[]> | null;
  uid?: string;
}

/** Keys as ServerParts.customHandlers wants them. */
export function createReviewHandlers(
  config: ApiserverConfig['serviceAccount'], tokens: AnyTokenAuthenticator, authorizer: Authorizer, now: () => number = Date.now,
): Map<string, CustomHandler> {
  return new Map<string, CustomHandler>([
    [`subjectaccessreviews.${authorization}`, (request) => subjectAccess(request, authorizer)],
    [`localsubjectaccessreviews.${authorization}`, (request) => localSubjectAccess(request, authorizer)],
    [`selfsubjectaccessreviews.${authorization}`, (request) => selfSubjectAccess(request, authorizer)],
    [`selfsubjectrulesreviews.${authorization}`, (request) => selfSubjectRules(request, authorizer)],
    [`tokenreviews.${authentication}`, (request) => tokenReview(request, config, tokens)],
    [`selfsubjectreviews.${authentication}`, (request) => selfSubject(request, now)],
  ]);
}

function userOf({ context }: CustomRequest): UserInfo {
  if (context.user === undefined) throw badRequest('no user present on request');
  return context.user;
}
const specOf = (request: CustomRequest): AccessSpec => (request.body?.spec ?? {}) as AccessSpec; // shape is checked by decoding

async function subjectAccess(request: CustomRequest, authorizer: Authorizer): Promise<KubeObject> {
  const spec = specOf(request);
  const errors = [...specErrors(spec), ...subjectErrors(spec), ...metadataErrors(request, false)];
  if (errors.length > 0) throw invalid({ group: authorization, kind: 'SubjectAccessReview' }, '', errors);
  return answer(request, await decide(subjectOf(spec), spec, authorizer));
}

async function localSubjectAccess(request: CustomRequest, authorizer: Authorizer): Promise<KubeObject> {
  const spec = specOf(request);
  const errors = [...specErrors(spec), ...subjectErrors(spec), ...metadataErrors(request, true)];
  const own = request.body?.metadata?.namespace ?? request.namespace;
  if (spec.resourceAttributes && (spec.resourceAttributes.namespace ?? '') !== own) {
    errors.push({ type: 'Invalid', field: 'spec.resourceAttributes.namespace', value: spec.resourceAttributes.namespace ?? '', detail: 'must match metadata.namespace' });
  }
  if (spec.nonResourceAttributes) {
    errors.push({ type: 'Invalid', field: 'spec.nonResourceAttributes', value: spec.nonResourceAttributes, detail: 'disallowed on this kind of request' });
  }
  if (errors.length > 0) throw invalid({ group: authorization, kind: 'LocalSubjectAccessReview' }, '', errors);
  if (own !== request.namespace) throw badRequest(`spec.resourceAttributes.namespace must match namespace: ${request.namespace}`);
  return answer(request, await decide(subjectOf(spec), spec, authorizer));
}

async function selfSubjectAccess(request: CustomRequest, authorizer: Authorizer): Promise<KubeObject> {
  const spec = specOf(request);
  const errors = [...specErrors(spec), ...metadataErrors(request, false)];
  if (errors.length > 0) throw invalid({ group: authorization, kind: 'SelfSubjectAccessReview' }, '', errors);
  return answer(request, await decide(userOf(request), spec, authorizer));
}

async function selfSubjectRules(request: CustomRequest, authorizer: Authorizer): Promise<KubeObject> {
  const namespace = (request.body?.spec as { namespace?: string } | undefined)?.namespace ?? '';
  if (namespace === '') throw badRequest('no namespace on request');
  const user = userOf(request);
  const rules = authorizer.rulesFor?.(user, namespace);
  const evaluationError = rules === undefined ? 'the authorizer does not support user rule resolution'
    : rules.incomplete ? 'node authorizer does not support user rule resolution' : undefined;
  return answer({ ...request, body: { ...request.body, spec: {} } }, {
    resourceRules: rules?.resourceRules ?? [],
    nonResourceRules: rules?.nonResourceRules ?? [],
    incomplete: rules?.incomplete ?? true,
    ...(evaluationError === undefined ? {} : { evaluationError }),
  });
}

async function tokenReview(request: CustomRequest, config: ApiserverConfig['serviceAccount'], tokens: AnyTokenAuthenticator): Promise<KubeObject> {
  const spec = (request.body?.spec ?? {}) as { token?: string; audiences?: string[] };
  if (!spec.token) throw badRequest('token is required for TokenReview in authentication');
  const wanted = spec.audiences?.length ? spec.audiences : config.audiences;
  try {
    const { user, audiences } = await tokens.authenticate(spec.token, wanted);
    return answer(request, { authenticated: true, user: describeUser(user), audiences });
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return answer(request, { authenticated: false, user: {}, error: error.message });
  }
}

async function selfSubject(request: CustomRequest, now: () => number): Promise<KubeObject> {
  return { apiVersion: `${authentication}/v1`, kind: 'SelfSubjectReview', metadata: { creationTimestamp: rfc3339(now()) }, status: { userInfo: describeUser(userOf(request)) } };
}

function describeUser({ name, uid, groups, extra }: UserInfo): Record<string, unknown> {
  return { username: name, ...(uid ? { uid } : {}), groups, ...(extra && Object.keys(extra).length > 0 ? { extra } : {}) };
}

function answer({ body, row }: CustomRequest, status: Record<string, unknown>): KubeObject {
  return {
    apiVersion: body?.apiVersion ?? `${row.group}/${row.version}`, kind: body?.kind ?? row.kind,
    metadata: body?.metadata ?? {}, spec: body?.spec ?? {}, status,
  };
}

async function decide(user: UserInfo, spec: AccessSpec, authorizer: Authorizer): Promise<Record<string, unknown>> {
  const problems: string[] = [];
  const decision = await authorizer.authorize(user, infoOf(spec, problems));
  const evaluationError = !decision.allowed && problems.length > 0 ? problems.join(', ') : undefined;
  return {
    allowed: decision.allowed,
    ...(decision.denied ? { denied: true } : {}),
    ...(decision.reason === '' ? {} : { reason: decision.reason }),
    ...(evaluationError === undefined ? {} : { evaluationError }),
  };
}

function subjectOf({ user = '', groups, extra, uid }: AccessSpec): UserInfo {
  return { name: user, groups: groups ?? [], ...(uid ? { uid } : {}), ...(extra ? { extra } : {}) };
}

function infoOf({ resourceAttributes: resource, nonResourceAttributes: other }: AccessSpec, problems: string[]): RequestInfo {
  const empty = { apiPrefix: '', group: '', version: '', namespace: '', resource: '', subresource: '', name: '', parts: [] };
  if (!resource) return { ...empty, isResourceRequest: false, path: other?.path ?? '', verb: other?.verb ?? '' };
  return {
    ...empty, isResourceRequest: true, path: '', verb: resource.verb ?? '', group: resource.group ?? '', version: resource.version || '*',
    namespace: resource.namespace ?? '', resource: resource.resource ?? '', subresource: resource.subresource ?? '', name: resource.name ?? '',
    fieldSelector: fieldSelectorOf(resource.fieldSelector, problems),
    labelSelector: resource.labelSelector?.rawSelector ?? '', // no authorizer here looks at labels
  };
}

/** Requirements that cannot be understood are dropped: what is asked then only becomes wider. */
function fieldSelectorOf(selector: SelectorAttributes | undefined, problems: string[]): string {
  if (selector?.rawSelector) return selector.rawSelector;
  const parts: string[] = [];
  for (const { key, operator, values = [] } of selector?.requirements ?? []) {
    if (values.length > 1) problems.push('fieldSelectors do not yet support multiple values');
    else if (operator === 'In' || operator === 'NotIn') {
      if (values[0] === undefined) problems.push(`fieldSelectors ${operator === 'In' ? 'in' : 'not in'} must have one value`);
      else parts.push(`${key}${operator === 'In' ? '=' : '!='}${values[0]}`);
    } else if (operator === 'Exists' || operator === 'DoesNotExist') problems.push(`fieldSelectors do not yet support ${operator}`);
    else problems.push(`${JSON.stringify(operator)} is not a valid field selector operator`);
  }
  return parts.join(',');
}

function specErrors(spec: AccessSpec): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.resourceAttributes && spec.nonResourceAttributes) {
    errors.push({ type: 'Invalid', field: 'spec.nonResourceAttributes', value: spec.nonResourceAttributes, detail: 'cannot be specified in combination with resourceAttributes' });
  }
  if (!spec.resourceAttributes && !spec.nonResourceAttributes) {
    errors.push({ type: 'Invalid', field: 'spec.resourceAttributes', value: null, detail: 'exactly one of nonResourceAttributes or resourceAttributes must be specified' });
  }
  for (const name of ['fieldSelector', 'labelSelector'] as const) {
    const selector = spec.resourceAttributes?.[name];
    if (!selector) continue;
    const field = `spec.resourceAttributes.${name}`;
    const many = selector.requirements?.length ?? 0;
    if (selector.rawSelector && many > 0) errors.push({ type: 'Invalid', field: `${field}.rawSelector`, value: selector.rawSelector, detail: 'may not specified at the same time as requirements' });
    if (!selector.rawSelector && many === 0) errors.push({ type: 'Required', field: `${field}.requirements`, detail: `when ${field} is specified, requirements or rawSelector is required` });
  }
  return errors;
}

function subjectErrors(spec: AccessSpec): FieldError[] {
  if (spec.user || spec.groups?.length) return [];
  return [{ type: 'Invalid', field: 'spec.user', value: spec.user ?? '', detail: 'at least one of user or group must be specified' }];
}

function metadataErrors({ body }: CustomRequest, namespaceAllowed: boolean): FieldError[] {
  const { managedFields: _managed, creationTimestamp: _created, namespace, ...rest } = body?.metadata ?? {};
  if (isDeepStrictEqual(rest, {}) && (namespaceAllowed || !namespace)) return [];
  return [{ type: 'Invalid', field: 'metadata', value: body?.metadata, detail: namespaceAllowed ? 'must be empty except for namespace' : 'must be empty' }];
}

