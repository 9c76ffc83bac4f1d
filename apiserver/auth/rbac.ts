// RBAC: stored roles and bindings, indexed by subject and kept current from the watch cache; what a user may do is
// worked out once per user and namespace and forgotten when any role or binding changes.
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import type { Authorizer, Decision } from '../filters/seams.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import type { CachedObject, ResourceCache } from '../storage/cache.ts';
import { allowsName, allowsResource, ruleAllows, type PolicyRule } from './rbac-rules.ts';

const log = createLogger('authz');

export const rbacGroup = 'rbac.authorization.k8s.io';
const clusterRoles = `clusterroles.${rbacGroup}`;
const clusterRoleBindings = `clusterrolebindings.${rbacGroup}`;
const roles = `roles.${rbacGroup}`;
const roleBindings = `rolebindings.${rbacGroup}`;
const watched = [clusterRoles, clusterRoleBindings, roles, roleBindings] as const;

export interface RoleRef { apiGroup?: string; kind: string; name: string }
export interface Subject { kind: string; apiGroup?: string; name: string; namespace?: string }
interface Binding { name: string; namespace: string; roleRef: RoleRef; subjects: Subject[] }

/** A rule a user has, with where it comes from. */
interface Grant { rule: PolicyRule; source: string }
interface Held { grants: Grant[]; errors: string[]; decisions: Map<string, Decision | Grant[]> }

const decisionLimit = 2000;
const namespaceLimit = 1000;

export interface Rbac extends Authorizer {
  /** Every rule the user holds in a namespace ('' for the cluster) and what went wrong while looking. */
  held(user: UserInfo, namespace: string): { rules: PolicyRule[]; errors: string[] };
  /** The rules of a role; a text when there is no such role. */
  rulesOf(ref: RoleRef, namespace: string): PolicyRule[] | string;
}

export function createRbac(backend: Pick<Backend, 'cache' | 'lookup'>, signal: AbortSignal): Rbac {
  /** Namespace ('' for cluster bindings) -> subject -> bindings by key. */
  const bindings = new Map<string, Map<string, Map<string, Binding>>>();
  const attached = new Map<string, ResourceCache>();
  let perUser = new WeakMap<UserInfo, Map<string, Held>>();

  function index(id: string, object: CachedObject | undefined, add: boolean): void {
    if (object === undefined || (id !== roleBindings && id !== clusterRoleBindings)) return;
    const { namespace } = object;
    const binding = readBinding(object);
    for (const key of new Set(binding.subjects.flatMap((subject) => subjectKey(subject, namespace) ?? []))) {
      let bySubject = bindings.get(namespace);
      if (bySubject === undefined) bindings.set(namespace, (bySubject = new Map()));
      let byName = bySubject.get(key);
      if (byName === undefined) bySubject.set(key, (byName = new Map()));
      if (add) byName.set(object.key, binding);
      else byName.delete(object.key);
      if (byName.size === 0) bySubject.delete(key);
      if (bySubject.size === 0) bindings.delete(namespace);
    }
  }

  async function follow(id: string, cache: ResourceCache, watch: ReturnType<ResourceCache['watch']>): Promise<void> {
    try {
      for await (const events of watch) {
        for (const event of events) {
          index(id, event.previous, false);
          if (event.type === 'put') index(id, event.current, true);
        }
        if (events.length > 0) perUser = new WeakMap();
      }
    } catch (error) {
      if (!signal.aborted) log.warn('watch of access rules ended, reading them again', { resource: id, error });
    } finally {
      watch.close();
      // The next request attaches again and reads everything anew.
      if (attached.get(id) === cache) attached.delete(id);
      if (id === roleBindings) for (const namespace of [...bindings.keys()]) if (namespace !== '') bindings.delete(namespace);
      if (id === clusterRoleBindings) bindings.delete('');
      perUser = new WeakMap();
    }
  }

  /** Reading the list and starting the watch happen in one turn, so nothing falls between them. */
  function attach(): void {
    if (attached.size === watched.length || signal.aborted) return;
    for (const id of watched) {
      if (attached.has(id)) continue;
      const cache = backend.cache.for(id);
      if (cache === undefined) continue;
      const watch = cache.watch({ afterRevision: backend.cache.revision() }, signal);
      for (const object of cache.list()) index(id, object, true);
      attached.set(id, cache);
      perUser = new WeakMap();
      follow(id, cache, watch).catch((error: unknown) => log.error('following access rules failed', { resource: id, error }));
    }
  }

  function rulesOf(ref: RoleRef, namespace: string): PolicyRule[] | string {
    if (ref.kind !== 'ClusterRole' && ref.kind !== 'Role') return `unsupported role reference kind: ${JSON.stringify(ref.kind)}`;
    const role = ref.kind === 'ClusterRole' ? backend.lookup(clusterRoles, '', ref.name) : backend.lookup(roles, namespace, ref.name);
    if (role === undefined) return `${ref.kind.toLowerCase()}.${rbacGroup} ${JSON.stringify(ref.name)} not found`;
    return readRules(role);
  }

  function collect(user: UserInfo, namespace: string): Held {
    const held: Held = { grants: [], errors: [], decisions: new Map() };
    const keys = [`User:${user.name}`, ...user.groups.map((group) => `Group:${group}`)];
    for (const scope of namespace === '' ? [''] : ['', namespace]) {
      const bySubject = bindings.get(scope);
      if (bySubject === undefined) continue;
      const seen = new Map<Binding, string>();
      for (const key of keys) for (const binding of bySubject.get(key)?.values() ?? []) if (!seen.has(binding)) seen.set(binding, key);
      for (const [binding] of seen) {
        const rules = rulesOf(binding.roleRef, scope);
        if (typeof rules === 'string') {
          held.errors.push(rules);
          continue;
        }
        const source = describeBinding(binding, user);
        for (const rule of rules) held.grants.push({ rule, source });
      }
    }
    return held;
  }

  function heldBy(user: UserInfo, namespace: string): Held {
    attach();
    let byNamespace = perUser.get(user);
    if (byNamespace === undefined) perUser.set(user, (byNamespace = new Map()));
    let held = byNamespace.get(namespace);
    if (held === undefined) {
      if (byNamespace.size >= namespaceLimit) byNamespace.clear();
      byNamespace.set(namespace, (held = collect(user, namespace)));
    }
    return held;
  }

  return {
    authorize(user, info) {
      const held = heldBy(user, info.isResourceRequest ? info.namespace : '');
      const key = info.isResourceRequest ? `${info.verb} ${info.group}/${info.resource}/${info.subresource}` : `${info.verb} ${info.path}`;
      let known = held.decisions.get(key);
      if (known === undefined) {
        if (held.decisions.size >= decisionLimit) held.decisions.clear();
        held.decisions.set(key, (known = decide(held, info)));
      }
      if (!Array.isArray(known)) return known;
      // Only rules with names are left; which of them fits depends on the object.
      const grant = known.find(({ rule }) => allowsName(rule, info.name));
      return grant === undefined ? denied(held) : allowed(grant);
    },
    held(user, namespace) {
      const { grants, errors } = heldBy(user, namespace);
      return { rules: grants.map(({ rule }) => rule), errors };
    },
    rulesOf(ref, namespace) {
      attach();
      return rulesOf(ref, namespace);
    },
    rulesFor(user, namespace) {
      const { grants } = heldBy(user, namespace);
      return {
        resourceRules: grants.flatMap(({ rule }) => (rule.resources?.length
          ? [{ verbs: rule.verbs, apiGroups: rule.apiGroups ?? [], resources: rule.resources, ...(rule.resourceNames?.length ? { resourceNames: rule.resourceNames } : {}) }]
          : [])),
        nonResourceRules: grants.flatMap(({ rule }) => (rule.nonResourceURLs?.length ? [{ verbs: rule.verbs, nonResourceURLs: rule.nonResourceURLs }] : [])),
        incomplete: false,
      };
    },
  };
}

/** A decision that holds for every name, or the rules that allow some names. */
function decide(held: Held, info: RequestInfo): Decision | Grant[] {
  if (!info.isResourceRequest) {
    const grant = held.grants.find(({ rule }) => ruleAllows(rule, info));
    return grant === undefined ? denied(held) : allowed(grant);
  }
  const fitting = held.grants.filter(({ rule }) => allowsResource(rule, info));
  const general = fitting.find(({ rule }) => (rule.resourceNames?.length ?? 0) === 0);
  if (general !== undefined) return allowed(general);
  return fitting.length === 0 ? denied(held) : fitting;
}

const allowed = (grant: Grant): Decision => ({ allowed: true, reason: `RBAC: allowed by ${grant.source}` });
function denied({ errors }: Held): Decision {
  const distinct = [...new Set(errors)];
  const text = distinct.length === 1 ? distinct[0] : `[${distinct.join(', ')}]`;
  return { allowed: false, reason: distinct.length === 0 ? '' : `RBAC: ${text}` };
}

/** The user or group names a subject stands for; undefined when it stands for nobody. */
function subjectKey(subject: Subject, bindingNamespace: string): string | undefined {
  if (subject.kind === 'User' || subject.kind === 'Group') return `${subject.kind}:${subject.name}`;
  if (subject.kind !== 'ServiceAccount') return undefined;
  const namespace = subject.namespace === undefined || subject.namespace === '' ? bindingNamespace : subject.namespace;
  return namespace === '' ? undefined : `User:system:serviceaccount:${namespace}:${subject.name}`;
}

function describeBinding(binding: Binding, user: UserInfo): string {
  const keys = new Set([`User:${user.name}`, ...user.groups.map((group) => `Group:${group}`)]);
  const subject = binding.subjects.find((one) => keys.has(subjectKey(one, binding.namespace) ?? ''));
  const kind = binding.namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding';
  const name = binding.namespace === '' ? binding.name : `${binding.name}/${binding.namespace}`;
  const who = subject?.kind === 'ServiceAccount' ? `${subject.name}/${subject.namespace || binding.namespace}` : subject?.name ?? '';
  return `${kind} ${JSON.stringify(name)} of ${binding.roleRef.kind} ${JSON.stringify(binding.roleRef.name)} to ${subject?.kind ?? ''} ${JSON.stringify(who)}`;
}

function readBinding({ namespace, name, object }: CachedObject): Binding {
  // Validated when it was stored.
  const { roleRef, subjects } = object as KubeObject & { roleRef?: RoleRef; subjects?: Subject[] | null };
  return { name, namespace, roleRef: roleRef ?? { kind: '', name: '' }, subjects: subjects ?? [] };
}

export function readRules(role: Readonly<KubeObject>): PolicyRule[] {
  return ((role as { rules?: PolicyRule[] | null }).rules ?? []); // validated when it was stored
}

