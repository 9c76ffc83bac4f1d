// Policies with their bindings and parameters: which of them are about a write. Upstream: plugin/policy/generic.
import type { KubeObject, LabelSelector } from '#machinery/api/object.ts';
import { apiVersionOf, parseApiVersion } from '#machinery/api/object.ts';
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import { StatusError } from '#machinery/api/status.ts';
import type { Backend } from '../../backend.ts';
import { copyJson } from '../../patch/json-value.ts';
import { resourceId } from '../../resources/resource.ts';
import type { ResourceRow } from '../../resources/resource.ts';
import { criteriaOf, match } from '../matching/matcher.ts';
import type { Criteria, MatchResources } from '../matching/matcher.ts';
import type { AdmissionRequest, Form } from '../matching/request.ts';

export interface ParamKind { apiVersion?: string; kind?: string }
interface ParamRef { name?: string; namespace?: string; selector?: LabelSelector; parameterNotFoundAction?: string }

export interface Policy<S> {
  readonly name: string;
  readonly spec: S & PolicySpec;
  readonly criteria: Criteria;
}
export interface PolicySpec {
  failurePolicy?: string;
  paramKind?: ParamKind;
  matchConstraints?: MatchResources;
  matchConditions?: readonly { name: string; expression: string }[];
  variables?: readonly { name: string; expression: string }[];
}
export interface Binding {
  readonly name: string;
  readonly spec: { policyName?: string; paramRef?: ParamRef; matchResources?: MatchResources; validationActions?: readonly string[] };
  readonly criteria: Criteria | undefined;
}
export type Param = Readonly<KubeObject> | undefined;

/** The policy or a binding of it is not set up so that it could be applied. */
export class ConfigurationError extends Error {
  override name = 'ConfigurationError';
}

const readPolicies = new WeakMap<Readonly<KubeObject>, Policy<PolicySpec>>();
const readBindings = new WeakMap<Readonly<KubeObject>, Binding>();

/** Every policy that has a binding, each once, by name; they are read anew only when they have changed. */
export function boundPolicies<S>(backend: Pick<Backend, 'cached'>, ids: { policies: string; bindings: string }): { policy: Policy<S>; bindings: Binding[] }[] {
  const byPolicy = new Map<string, Binding[]>();
  for (const object of backend.cached(ids.bindings)) {
    const binding = remembered(readBindings, object, bindingOf);
    const { policyName = '' } = binding.spec;
    const others = byPolicy.get(policyName);
    if (others) others.push(binding);
    else byPolicy.set(policyName, [binding]);
  }
  return backend.cached(ids.policies).flatMap((object) => {
    const bindings = byPolicy.get(object.metadata?.name ?? '');
    return bindings ? [{ policy: remembered(readPolicies, object, policyOf) as Policy<S>, bindings }] : []; // validated when it was stored
  });
}

function remembered<T>(known: WeakMap<Readonly<KubeObject>, T>, object: Readonly<KubeObject>, read: (object: Readonly<KubeObject>) => T): T {
  let found = known.get(object);
  if (found === undefined) known.set(object, found = read(object));
  return found;
}
function policyOf(object: Readonly<KubeObject>): Policy<PolicySpec> {
  const spec = (object['spec'] ?? {}) as PolicySpec; // validated when it was stored
  return { name: object.metadata?.name ?? '', spec, criteria: criteriaOf(spec.matchConstraints ?? {}) };
}
function bindingOf(object: Readonly<KubeObject>): Binding {
  const spec = (object['spec'] ?? {}) as Binding['spec']; // validated when it was stored
  return { name: object.metadata?.name ?? '', spec, criteria: spec.matchResources && criteriaOf(spec.matchResources) };
}

export interface Invocation { readonly binding: Binding; readonly form: Form; readonly params: readonly Param[] }
type Failed = (why: string, binding: Binding | undefined) => void;

/** The bindings of a policy that are about the write, with what they are to be applied with. `failed` is told of those that cannot be. */
export async function invocationsOf(policy: Policy<object>, bindings: readonly Binding[], request: AdmissionRequest, backend: Backend, failed: Failed): Promise<Invocation[]> {
  let form: Form | undefined;
  let paramRow: ResourceRow | undefined;
  try {
    form = await match(policy.criteria, request, backend);
    if (!form) return [];
    paramRow = policy.spec.paramKind && rowOf(policy.spec.paramKind, backend);
  } catch (error) {
    failed(configurationText(error), undefined);
    return [];
  }
  const found: Invocation[] = [];
  for (const binding of bindings) {
    try {
      if (binding.criteria && !(await match(binding.criteria, request, backend))) continue;
      const params = collectParams(policy.spec.paramKind, paramRow, binding.spec.paramRef, request.namespace, backend);
      if (params.length > 0) found.push({ binding, form, params });
    } catch (error) {
      failed(configurationText(error), binding);
    }
  }
  return found;
}

/** What cannot be known is not the policy's fault: it is thrown on. */
function configurationText(error: unknown): string {
  if (error instanceof ConfigurationError || error instanceof StatusError) return error.message;
  throw error;
}

function rowOf({ apiVersion = '', kind = '' }: ParamKind, backend: Pick<Backend, 'rows'>): ResourceRow {
  const { group, version } = parseApiVersion(apiVersion);
  const row = backend.rows().find((one) => one.group === group && one.version === version && one.kind === kind && !one.unserved && one.verbs.includes('list'));
  if (!row) throw new ConfigurationError(`failed to find resource referenced by paramKind: '${group}/${version}, Kind=${kind}'`);
  return row;
}

function collectParams(kind: ParamKind | undefined, row: ResourceRow | undefined, ref: ParamRef | undefined, ownNamespace: string, backend: Pick<Backend, 'lookup' | 'cached'>): Param[] {
  // A policy without parameters ignores what bindings say of them, a binding without leaves them null.
  if (!kind || !row || !ref) return [undefined];
  if (!row.namespaced && ref.namespace) throw new ConfigurationError('paramRef.namespace must not be provided for a cluster-scoped `paramKind`');
  const namespace = row.namespaced ? ref.namespace || ownNamespace : '';
  if (row.namespaced && namespace === '') throw new ConfigurationError('cannot use namespaced paramRef in policy binding that matches cluster-scoped resources');
  const id = row.storedAs ?? resourceId(row);
  let found: Readonly<KubeObject>[];
  if (ref.name) {
    const one = backend.lookup(id, namespace, ref.name);
    found = one ? [one] : [];
  } else if (ref.selector) {
    const selector = labelSelectorFromObject(ref.selector);
    found = backend.cached(id, namespace).filter(({ metadata }) => selector.matches(metadata?.labels));
  } else throw new ConfigurationError('one of name or selector must be provided');
  if (found.length === 0 && ref.parameterNotFoundAction === 'Deny') throw new ConfigurationError('no params found for policy binding with `Deny` parameterNotFoundAction');
  return found.map((object) => inVersion(object, row));
}

function inVersion(object: Readonly<KubeObject>, row: ResourceRow): Readonly<KubeObject> {
  if (row.storedAs === undefined) return object;
  const converted = row.convert ? row.convert.fromStored(copyJson(object) as KubeObject) : object; // converters may work in place
  return { ...converted, kind: row.kind, apiVersion: apiVersionOf(row.group, row.version) };
}
