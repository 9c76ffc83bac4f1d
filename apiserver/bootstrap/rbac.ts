// The bootstrap roles and bindings: made when missing, reconciled when there (rules and subjects are added, never taken
// away), left alone when annotated autoupdate=false. Upstream: registry/rbac/rest/storage_rbac.go and component-helpers' reconciliation.
import type { KubeObject } from '#machinery/api/object.ts';
import { isAlreadyExists, isNotFound } from '#machinery/api/status.ts';
import type { Backend } from '../backend.ts';
import { rbacGroup, readRules, type Subject } from '../auth/rbac.ts';
import { compactRules, missingRules, type PolicyRule } from '../auth/rbac-rules.ts';
import { ensure, addMissing } from './ensure.ts';
import { bootstrapRbac, type BindingData, type RoleData } from './rbac-data.ts';

const apiVersion = `${rbacGroup}/v1`;
const autoupdate = 'rbac.authorization.kubernetes.io/autoupdate';

/** Cluster-wide ones need nothing; `namespaced` waits for kube-system and kube-public. */
export function ensureClusterRbac(backend: Backend): Promise<unknown> {
  const aggregated = aggregateRules();
  return Promise.all([
    ...Object.entries(bootstrapRbac.clusterRoles).map(([name, data]) => ensureRole(backend, roleObject('ClusterRole', '', name, data, aggregated.get(name)), data)),
    ...Object.entries(bootstrapRbac.clusterRoleBindings).map(([name, data]) => ensureBinding(backend, 'ClusterRoleBinding', '', name, data)),
  ]);
}
export function ensureNamespacedRbac(backend: Backend): Promise<unknown> {
  return Promise.all([
    ...Object.entries(bootstrapRbac.roles).map(([key, data]) => ensureRole(backend, roleObject('Role', ...split(key), data, undefined), data)),
    ...Object.entries(bootstrapRbac.roleBindings).map(([key, data]) => ensureBinding(backend, 'RoleBinding', ...split(key), data)),
  ]);
}

function split(key: string): [namespace: string, name: string] {
  const slash = key.indexOf('/');
  return [key.slice(0, slash), key.slice(slash + 1)];
}

function metadata(namespace: string, name: string, extraLabels: Record<string, string> = {}): NonNullable<KubeObject['metadata']> {
  return { name, ...(namespace === '' ? {} : { namespace }), labels: { ...bootstrapRbac.labels, ...extraLabels }, annotations: { ...bootstrapRbac.annotations } };
}

function roleObject(kind: 'Role' | 'ClusterRole', namespace: string, name: string, data: RoleData, aggregated: PolicyRule[] | undefined): KubeObject {
  return {
    apiVersion, kind, metadata: metadata(namespace, name, data.extraLabels),
    ...(data.aggregationRule ? { aggregationRule: structuredClone(data.aggregationRule) } : {}),
    rules: structuredClone(aggregated ?? data.rules),
  };
}

async function ensureRole(backend: Backend, wanted: KubeObject, data: RoleData): Promise<void> {
  const id = wanted.kind === 'Role' ? `roles.${rbacGroup}` : `clusterroles.${rbacGroup}`;
  await ensure(backend, id, wanted, (object) => {
    if (isOptedOut(object)) return false;
    let changed = addMissing(object, 'labels', wanted.metadata?.labels ?? {});
    changed = addMissing(object, 'annotations', wanted.metadata?.annotations ?? {}) || changed;
    // Rules of aggregating roles are the aggregation controller's.
    const missing = data.aggregationRule ? [] : missingRules(readRules(object), data.rules);
    if (missing.length > 0) object.rules = [...readRules(object), ...compactRules(missing)];
    return addSelectors(object, data) || missing.length > 0 || changed;
  });
}

type Aggregation = NonNullable<RoleData['aggregationRule']>;
function addSelectors(object: KubeObject, data: RoleData): boolean {
  const current = object.aggregationRule as Aggregation | null | undefined; // validated when it was stored
  if (data.aggregationRule === undefined) {
    if (!current) return false;
    delete object.aggregationRule;
    return true;
  }
  const known = new Set((current?.clusterRoleSelectors ?? []).map((selector) => JSON.stringify(selector)));
  const missing = data.aggregationRule.clusterRoleSelectors.filter((selector) => !known.has(JSON.stringify(selector)));
  if (missing.length === 0) return false;
  object.aggregationRule = { clusterRoleSelectors: [...(current?.clusterRoleSelectors ?? []), ...structuredClone(missing)] };
  return true;
}

async function ensureBinding(backend: Backend, kind: 'RoleBinding' | 'ClusterRoleBinding', namespace: string, name: string, data: BindingData): Promise<void> {
  const id = kind === 'RoleBinding' ? `rolebindings.${rbacGroup}` : `clusterrolebindings.${rbacGroup}`;
  const [roleKind, roleName] = split(data.roleRef);
  const subjects: Subject[] = data.subjects.map((subject) => (subject.kind === 'ServiceAccount' ? { ...subject } : { ...subject, apiGroup: rbacGroup }));
  const wanted: KubeObject = { apiVersion, kind, metadata: metadata(namespace, name), roleRef: { apiGroup: rbacGroup, kind: roleKind, name: roleName }, subjects };

  const existing = backend.lookup(id, namespace, name);
  if (existing !== undefined && !isOptedOut(existing)) {
    const ref = existing.roleRef as { kind?: string; name?: string } | undefined;
    if (ref?.kind !== roleKind || ref.name !== roleName) return replace(backend, id, existing, wanted);
  }
  await ensure(backend, id, wanted, (object) => {
    if (isOptedOut(object)) return false;
    let changed = addMissing(object, 'labels', wanted.metadata?.labels ?? {});
    changed = addMissing(object, 'annotations', wanted.metadata?.annotations ?? {}) || changed;
    const current = (object.subjects ?? []) as Subject[]; // validated when it was stored
    const missing = subjects.filter((one) => !current.some((other) => other.kind === one.kind && other.name === one.name && (other.namespace ?? '') === (one.namespace ?? '')));
    if (missing.length > 0) object.subjects = [...current, ...missing];
    return changed || missing.length > 0;
  });
}

/** A roleRef cannot be changed: the binding goes and comes again. */
async function replace(backend: Backend, id: string, existing: Readonly<KubeObject>, wanted: KubeObject): Promise<void> {
  const { namespace = '', name = '', uid } = existing.metadata ?? {};
  try {
    await backend.store(id).delete(namespace, name, uid === undefined ? {} : { uid });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  try {
    await backend.store(id).create(namespace, wanted);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

const isOptedOut = (object: Readonly<KubeObject>): boolean => object.metadata?.annotations?.[autoupdate] === 'false';

/** The rules of admin, edit and view on a fresh cluster, as the aggregation controller would fill them: roles by name, no rule twice. */
export function aggregateRules(): Map<string, PolicyRule[]> {
  const { clusterRoles } = bootstrapRbac;
  const done = new Map<string, PolicyRule[]>();
  function rulesOf(name: string): PolicyRule[] {
    const role = clusterRoles[name];
    if (role?.aggregationRule === undefined) return role?.rules ?? [];
    const known = done.get(name);
    if (known !== undefined) return known;
    const rules = new Map<string, PolicyRule>();
    for (const { matchLabels } of role.aggregationRule.clusterRoleSelectors) {
      for (const other of Object.keys(clusterRoles).toSorted()) {
        const labels = clusterRoles[other]?.extraLabels ?? {};
        if (other === name || !Object.entries(matchLabels).every(([key, value]) => labels[key] === value)) continue;
        for (const rule of rulesOf(other)) rules.set(JSON.stringify(rule), rule);
      }
    }
    done.set(name, [...rules.values()]);
    return [...rules.values()];
  }
  for (const [name, role] of Object.entries(clusterRoles)) if (role.aggregationRule) rulesOf(name);
  return done;
}
