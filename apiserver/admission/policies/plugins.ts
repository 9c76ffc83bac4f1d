// The two plugins that apply policies. Without a policy and a binding they cost a look at two counters, and nothing of them is loaded.
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

/** Policies are not about policies, whose mistakes have to be undone, nor about what authentication and authorization need to work. */
function isExcluded({ group: of, resource }: ResourceRow): boolean {
  return (of === group && resource.includes('admissionpolic')) || ((of === 'authentication.k8s.io' || of === 'authorization.k8s.io') && resource.endsWith('reviews'));
}

export function createPolicyPlugins({ backend, authorizer, metrics }: Pick<PolicyDeps, 'backend' | 'authorizer'> & { metrics: () => Promise<DynamicAdmissionMetrics> }): { mutating: AdmissionPlugin; validating: AdmissionPlugin } {
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
  };
}
