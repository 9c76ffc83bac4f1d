// The plugins that apply policies, and the one that guards their parameters. Without a policy and a binding they cost a look at two
// counters, and nothing of them is loaded.
import type { ServerDeps } from '../../backend.ts';
import type { Authorizer } from '../../filters/seams.ts';
import type { DynamicAdmissionMetrics } from '../../metrics/dynamic-admission.ts';
import type { ResourceRow } from '../../resources/resource.ts';
import type { AdmissionPlugin } from '../admission.ts';

const group = 'admissionregistration.k8s.io';
export const kinds = {
  mutating: { policies: `mutatingadmissionpolicies.${group}`, bindings: `mutatingadmissionpolicybindings.${group}` },
  validating: { policies: `validatingadmissionpolicies.${group}`, bindings: `validatingadmissionpolicybindings.${group}` },
} as const;

export interface PolicyDeps extends Pick<ServerDeps, 'backend'> {
  readonly authorizer: Authorizer;
  readonly metrics: DynamicAdmissionMetrics;
}

const isPolicy = (row: ResourceRow): boolean => row.group === group && row.resource.includes('admissionpolic');
/** Policies are not about policies, whose mistakes have to be undone, nor about what authentication and authorization need to work. */
function isExcluded(row: ResourceRow): boolean {
  return isPolicy(row) || ((row.group === 'authentication.k8s.io' || row.group === 'authorization.k8s.io') && row.resource.endsWith('reviews'));
}

export function createPolicyPlugins({ backend, authorizer, metrics }: Pick<PolicyDeps, 'backend' | 'authorizer'> & { metrics: () => Promise<DynamicAdmissionMetrics> }): { mutating: AdmissionPlugin; validating: AdmissionPlugin; parameters: AdmissionPlugin } {
  const deps = async (): Promise<PolicyDeps> => ({ backend, authorizer, metrics: await metrics() });
  const isThere = (id: string): boolean => (backend.cache.for(id)?.count() ?? 0) > 0;
  const concerns = ({ policies, bindings }: { policies: string; bindings: string }, row: ResourceRow): boolean => isThere(policies) && isThere(bindings) && !isExcluded(row);
  return {
    mutating: {
      name: 'MutatingAdmissionPolicy', handles: (operation, row) => operation !== 'DELETE' && concerns(kinds.mutating, row),
      async admit(attributes) {
        const { applyMutatingPolicies } = await import('./mutating.ts');
        await applyMutatingPolicies(attributes, await deps());
      },
    },
    validating: {
      name: 'ValidatingAdmissionPolicy', handles: (_operation, row) => concerns(kinds.validating, row),
      async validate(attributes) {
        const { applyValidatingPolicies } = await import('./validating.ts');
        await applyValidatingPolicies(attributes, await deps());
      },
    },
    parameters: {
      name: 'AdmissionPolicyParameters',
      handles: (operation, row, subresource) => subresource === '' && isPolicy(row) && (operation === 'CREATE' || operation === 'UPDATE'),
      async validate(attributes) {
        const { checkParamAccess } = await import('./param-access.ts');
        await checkParamAccess(attributes, backend, authorizer);
      },
    },
  };
}
