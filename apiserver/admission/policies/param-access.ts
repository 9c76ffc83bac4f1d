// Who writes a policy with parameters, or binds one to some, must be allowed to read them: the policy reads them for everybody.
// A rule of the kinds upstream, an invalid field for the client. Upstream: pkg/registry/admissionregistration, authz.go of each kind.
import { parseApiVersion } from '#machinery/api/object.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { invalid } from '#machinery/api/status.ts';
import { mastersGroup } from '../../auth/identity.ts';
import type { Backend } from '../../backend.ts';
import type { Authorizer } from '../../filters/seams.ts';
import type { UserInfo } from '../../request.ts';
import { same } from '../../resources/values.ts';
import type { AdmissionAttributes } from '../admission.ts';

interface ParamKind { apiVersion?: string; kind?: string }
interface Spec { paramKind?: ParamKind; policyName?: string; paramRef?: { name?: string; namespace?: string } }
interface Target { group: string; version: string; resource: string }

const group = 'admissionregistration.k8s.io';
const policyResource: Readonly<Record<string, string>> = { validatingadmissionpolicybindings: 'validatingadmissionpolicies', mutatingadmissionpolicybindings: 'mutatingadmissionpolicies' };

/** Throws 422. */
export async function checkParamAccess(attributes: AdmissionAttributes, backend: Pick<Backend, 'rows' | 'lookup'>, authorizer: Authorizer): Promise<void> {
  const { user, row, name } = attributes;
  if (user.groups.includes(mastersGroup)) return;
  const binds = policyResource[row.resource] !== undefined;
  const problem = await (binds ? bindingProblem(attributes) : policyProblem(attributes));
  if (problem !== '') throw invalid(row, name, [{ type: 'Forbidden', field: binds ? 'spec.paramRef' : 'spec.paramKind', detail: problem }]);

  function specOf(object: Readonly<KubeObject> | undefined): Spec {
    return (object?.['spec'] ?? {}) as Spec; // validated before this step
  }

  /** Everything, as far as the kind does not say more. */
  function targetOf({ apiVersion = '', kind = '' }: ParamKind): Target & { known: boolean } {
    const { group: of, version } = parseApiVersion(apiVersion);
    const row = backend.rows().find((one) => one.group === of && one.version === version && one.kind === kind);
    return { group: of, version, resource: row?.resource ?? '*', known: row !== undefined };
  }
  async function mayRead(verb: 'get' | 'list', { group: of, version, resource }: Target, namespace: string, ofName: string): Promise<boolean> {
    const { allowed } = await authorizer.authorize(user, { isResourceRequest: true, path: '', apiPrefix: 'apis', verb, group: of, version, resource, namespace, name: ofName, subresource: '', parts: [] });
    return allowed;
  }
  async function policyProblem({ object, oldObject }: AdmissionAttributes): Promise<string> {
    const { paramKind } = specOf(object);
    if (!paramKind || same(paramKind, specOf(oldObject).paramKind)) return '';
    if (await mayRead('get', targetOf(paramKind), '*', '*')) return '';
    return `user ${goText(user)} must have "get" permission on all objects of the referenced paramKind (kind=${paramKind.kind ?? ''}, apiVersion=${paramKind.apiVersion ?? ''})`;
  }
  async function bindingProblem({ object, oldObject }: AdmissionAttributes): Promise<string> {
    const { policyName = '', paramRef } = specOf(object);
    const before = specOf(oldObject);
    if (!paramRef || (same(paramRef, before.paramRef) && policyName === before.policyName)) return '';
    const policy = backend.lookup(`${policyResource[row.resource] ?? ''}.${group}`, '', policyName);
    const { paramKind } = specOf(policy);
    const target = paramKind ? targetOf(paramKind) : { group: '*', version: '*', resource: '*', known: true };
    const verb = paramRef.name ? 'get' : 'list';
    if (await mayRead(verb, target, paramRef.namespace ?? '', paramRef.name ?? '')) return '';
    const all = `user ${goText(user)} does not have "${verb}" permission for all groups, versions and resources`;
    if (!policy) return `unable to get policy ${policyName} to determine minimum required permissions and ${all}`;
    if (!target.known) return `unable to resolve paramKind ${paramKind?.apiVersion ?? ''}, Kind=${paramKind?.kind ?? ''} to determine minimum required permissions and ${all}`;
    return `user ${goText(user)} does not have "${verb}" permission on the object referenced by paramRef`;
  }
}

/** As Go prints a user. */
function goText({ name, uid = '', groups, extra = {} }: UserInfo): string {
  return `&{${name} ${uid} [${groups.join(' ')}] map[${Object.entries(extra).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, values]) => `${key}:[${values.join(' ')}]`).join(' ')}]}`;
}
