// The roles and bindings that every cluster has, as data (rbac.json; its `reconcile` entry tells the rules of start-up).
import type { PolicyRule } from '../auth/rbac-rules.ts';
import data from './rbac.json' with { type: 'json' };

export interface RoleData {
  rules: PolicyRule[];
  extraLabels?: Record<string, string>;
  aggregationRule?: { clusterRoleSelectors: { matchLabels: Record<string, string> }[] };
}
export interface BindingData {
  /** `ClusterRole/name` */
  roleRef: string;
  subjects: { kind: string; name: string; namespace?: string }[];
}
export interface BootstrapRbac {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  clusterRoles: Record<string, RoleData>;
  clusterRoleBindings: Record<string, BindingData>;
  /** Keys are `namespace/name`. */
  roles: Record<string, RoleData>;
  roleBindings: Record<string, BindingData>;
}

export const bootstrapRbac: BootstrapRbac = data as unknown as BootstrapRbac; // the file's unions by key are narrower and wider than this in places that do not matter
