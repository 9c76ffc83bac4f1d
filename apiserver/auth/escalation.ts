// Nobody grants by RBAC what they do not hold: checked when roles and bindings are written. Upstream does this in the
// storage of these kinds (registry/rbac/*/policybased); here it is an admission step with the same texts.
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '#machinery/api/object.ts';
import { forbidden, notFound } from '#machinery/api/status.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../admission/admission.ts';
import type { Authorizer } from '../filters/seams.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import { mastersGroup } from './identity.ts';
import { rbacGroup, readRules, type Rbac, type RoleRef } from './rbac.ts';
import { compactRules, describeRule, missingRules, quoteAll, type PolicyRule } from './rbac-rules.ts';

const roleResources = ['roles', 'clusterroles'];
const bindingResources = ['rolebindings', 'clusterrolebindings'];
const fullAuthority: PolicyRule[] = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }, { verbs: ['*'], nonResourceURLs: ['*'] }];

export function createEscalationCheck(authorizer: Authorizer, rbac: Rbac): AdmissionPlugin {
  async function may(user: UserInfo, verb: string, resource: string, namespace: string, name: string): Promise<boolean> {
    const info: RequestInfo = {
      isResourceRequest: true, path: '', verb, apiPrefix: 'apis', group: rbacGroup, version: '*', namespace, resource, subresource: '', name, parts: [],
    };
    return (await authorizer.authorize(user, info)).allowed;
  }
  /** Why the user may not grant these rules; undefined when it holds them all. */
  function shortfall(user: UserInfo, namespace: string, rules: readonly PolicyRule[]): string | undefined {
    const { rules: held, errors } = rbac.held(user, namespace);
    const missing = missingRules(held, rules);
    if (missing.length === 0) return undefined;
    const lines = [...new Set(compactRules(missing).map(describeRule))].toSorted();
    const trouble = errors.length === 0 ? '' : `; resolution errors: [${errors.join(' ')}]`;
    return `user ${JSON.stringify(user.name)} (groups=${quoteAll(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${lines.join('\n')}${trouble}`;
  }

  async function checkRole(attributes: AdmissionAttributes): Promise<void> {
    const { user, row, namespace, object, oldObject } = attributes;
    const name = object?.metadata?.name ?? '';
    // A create by POST is asked about without a name, as the request has none.
    if (await may(user, 'escalate', row.resource, namespace, attributes.operation === 'CREATE' ? '' : name)) return;
    const refuse = (why: string): Error => forbidden({ group: rbacGroup, resource: row.resource }, name, why);
    const why = shortfall(user, namespace, readRules(object ?? {}));
    if (why !== undefined) throw refuse(why);
    if ((aggregates(object) || aggregates(oldObject)) && shortfall(user, namespace, fullAuthority) !== undefined) {
      throw refuse('must have cluster-admin privileges to use the aggregationRule');
    }
  }

  async function checkBinding(attributes: AdmissionAttributes): Promise<void> {
    const { user, row, namespace, object } = attributes;
    const ref = object?.roleRef as RoleRef | undefined; // validated before this step
    if (ref === undefined) return;
    if ((ref.kind === 'ClusterRole' || ref.kind === 'Role') && (await may(user, 'bind', `${ref.kind.toLowerCase()}s`, namespace, ref.name))) return;
    const rules = rbac.rulesOf(ref, namespace);
    if (typeof rules === 'string') throw notFound({ group: rbacGroup, resource: ref.kind === 'ClusterRole' ? 'clusterroles' : 'roles' }, ref.name);
    const why = shortfall(user, namespace, rules);
    if (why !== undefined) throw forbidden({ group: rbacGroup, resource: row.resource }, object?.metadata?.name ?? '', why);
  }

  return {
    name: 'RBACEscalation',
    handles: (operation, row, subresource) => subresource === '' && row.group === rbacGroup && (operation === 'CREATE' || operation === 'UPDATE')
      && (roleResources.includes(row.resource) || bindingResources.includes(row.resource)),
    validate(attributes) {
      const { user, row, object, oldObject } = attributes;
      if (user.groups.includes(mastersGroup)) return;
      if (oldObject !== undefined && isDeepStrictEqual(withoutGcFields(oldObject), withoutGcFields(object ?? {}))) return;
      return roleResources.includes(row.resource) ? checkRole(attributes) : checkBinding(attributes);
    },
  };
}

/** What garbage collection may change on an object whose rules the collector does not hold. */
function withoutGcFields(object: Readonly<KubeObject>): unknown {
  const { ownerReferences: _owners, finalizers: _finalizers, managedFields: _managed, resourceVersion: _version, ...metadata } = object.metadata ?? {};
  return { ...object, metadata };
}

function aggregates(object: Readonly<KubeObject> | undefined): boolean {
  const rule = object?.aggregationRule as { clusterRoleSelectors?: unknown[] } | null | undefined; // validated before this step
  return (rule?.clusterRoleSelectors?.length ?? 0) > 0;
}
