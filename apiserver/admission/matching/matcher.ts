// Whether a webhook or a policy is about a write: rules, selectors, other versions of the same resource.
// Upstream: apiserver/pkg/admission/plugin/webhook/{generic,predicates} and plugin/policy/matching.
import type { GroupVersionResource, KubeObject } from '#machinery/api/object.ts';
import { labelSelectorFromObject, SelectorError } from '#machinery/api/labels.ts';
import type { ParsedLabelSelector } from '#machinery/api/labels.ts';
import { internalError } from '#machinery/api/status.ts';
import type { Backend } from '../../backend.ts';
import type { Operation } from '../admission.ts';
import { isNamespace } from './request.ts';
import type { AdmissionRequest, Form } from './request.ts';

/** As the wire has it; defaults are set. */
export interface Rule {
  operations?: readonly string[];
  apiGroups?: readonly string[];
  apiVersions?: readonly string[];
  resources?: readonly string[];
  scope?: string;
  /** Of policies; none means any name. */
  resourceNames?: readonly string[];
}
type Selector = Parameters<typeof labelSelectorFromObject>[0];
export interface MatchResources {
  resourceRules?: readonly Rule[];
  excludeResourceRules?: readonly Rule[];
  matchPolicy?: string;
  namespaceSelector?: Selector;
  objectSelector?: Selector;
}

/** Made once a configuration. */
export interface Criteria {
  readonly rules: readonly Rule[];
  readonly excluded: readonly Rule[];
  readonly equivalent: boolean;
  /** The text of what is wrong with a selector, which counts only where the rules match. */
  readonly namespaces: ParsedLabelSelector | string;
  readonly objects: ParsedLabelSelector | string;
}

export function criteriaOf(match: MatchResources): Criteria {
  return {
    rules: match.resourceRules ?? [], excluded: match.excludeResourceRules ?? [], equivalent: match.matchPolicy === 'Equivalent',
    namespaces: selectorOf(match.namespaceSelector), objects: selectorOf(match.objectSelector),
  };
}

function selectorOf(selector: Selector): ParsedLabelSelector | string {
  try {
    return labelSelectorFromObject(selector ?? {});
  } catch (error) {
    if (error instanceof SelectorError) return error.message;
    throw error;
  }
}

/** In which form the write is matched; undefined: it is not. Throws StatusError when a selector cannot be looked at. */
export async function match(criteria: Criteria, request: AdmissionRequest, backend: Pick<Backend, 'lookup' | 'store'>): Promise<Form | undefined> {
  // Rules first: they cost least, and what they do not match no error of a selector can stop.
  if (matchRules(criteria.excluded, criteria.equivalent, request)) return undefined;
  const form = criteria.rules.length === 0 ? request.form : matchRules(criteria.rules, criteria.equivalent, request);
  if (!form) return undefined;
  const byNamespace = matchNamespace(criteria.namespaces, request, backend);
  if (!(typeof byNamespace === 'boolean' ? byNamespace : await byNamespace)) return undefined;
  return matchObject(criteria.objects, request) ? form : undefined;
}

function matchRules(rules: readonly Rule[], equivalent: boolean, request: AdmissionRequest): Form | undefined {
  if (rules.some((rule) => matchRule(rule, request, request.form))) return request.form;
  if (!equivalent) return undefined;
  for (const rule of rules) {
    const found = request.equivalents.find((form) => matchRule(rule, request, form));
    if (found) return found;
  }
  return undefined;
}

function matchRule(rule: Rule, request: AdmissionRequest, { resource }: Form): boolean {
  const { operation, subresource, name } = request.attributes;
  return matchScope(rule.scope, resource, request.namespace) && hasOperation(rule, operation)
    && listed(rule.apiGroups, resource.group) && listed(rule.apiVersions, resource.version)
    && (rule.resources ?? []).some((one) => matchResource(one, resource.resource, subresource))
    && (!rule.resourceNames?.length || rule.resourceNames.includes(name));
}

/** Namespaces count as cluster-scoped. */
function matchScope(scope: string | undefined, resource: GroupVersionResource, namespace: string): boolean {
  if (scope === undefined || scope === '*') return true;
  const inCluster = isNamespace(resource) || namespace === '';
  return scope === 'Cluster' ? inCluster : scope === 'Namespaced' && !inCluster;
}
const hasOperation = ({ operations }: Rule, operation: Operation): boolean => listed(operations, operation);
const listed = (values: readonly string[] | undefined, wanted: string): boolean => values !== undefined && (values.includes('*') || values.includes(wanted));

function matchResource(pattern: string, resource: string, subresource: string): boolean {
  const slash = pattern.indexOf('/');
  const [main, sub] = slash < 0 ? [pattern, ''] : [pattern.slice(0, slash), pattern.slice(slash + 1)];
  return (main === '*' || main === resource) && (sub === '*' || sub === subresource);
}

function matchNamespace(selector: ParsedLabelSelector | string, request: AdmissionRequest, backend: Pick<Backend, 'lookup' | 'store'>): boolean | Promise<boolean> {
  const { namespace, attributes: { operation, subresource, object }, form } = request;
  const isOne = form.resource.resource === 'namespaces';
  if (namespace === '' && !isOne) return true;
  if (typeof selector === 'string') throw internalError(selector);
  if (selector.requirements.length === 0) return true;
  // One that is being written is not yet what is stored.
  if (isOne && subresource === '' && (operation === 'CREATE' || operation === 'UPDATE')) return selector.matches(object?.metadata?.labels);
  const stored = namespaceOf(namespace, backend);
  return stored instanceof Promise ? stored.then(({ metadata }) => selector.matches(metadata?.labels)) : selector.matches(stored.metadata?.labels);
}

/** Throws 404. */
export function namespaceOf(name: string, backend: Pick<Backend, 'lookup' | 'store'>): Readonly<KubeObject> | Promise<Readonly<KubeObject>> {
  return backend.lookup('namespaces', '', name) ?? backend.store('namespaces').get('', name);
}

function matchObject(selector: ParsedLabelSelector | string, { attributes: { object, oldObject } }: AdmissionRequest): boolean {
  if (typeof selector === 'string') throw internalError(selector);
  if (selector.requirements.length === 0) return true;
  return [object, oldObject].some((one) => one?.metadata !== undefined && selector.matches(one.metadata.labels));
}
