// Every admission plugin in the order it runs (upstream's recommended order). To come: LimitRanger, PodSecurity, ResourceQuota,
// DefaultStorageClass, StorageObjectInUseProtection, DefaultIngressClass, certificate plugins, policies and webhooks.
import { createEscalationCheck } from '../auth/escalation.ts';
import type { Rbac } from '../auth/rbac.ts';
import type { ServerDeps } from '../backend.ts';
import type { Authorizer } from '../filters/seams.ts';
import type { AdmissionPlugin } from './admission.ts';
import { defaultTolerationSeconds } from './default-toleration-seconds.ts';
import { createNamespaceLifecycle } from './namespace-lifecycle.ts';
import { createNodeRestriction } from './node-restriction.ts';
import { createPriorityAdmission } from './priority.ts';
import { createRuntimeClassAdmission } from './runtime-class.ts';
import { createServiceAccountAdmission } from './service-account.ts';
import { taintNodesByCondition } from './taint-nodes-by-condition.ts';

export function admissionPlugins({ backend }: Pick<ServerDeps, 'backend'>, authorizer: Authorizer & { rbac: Rbac }): readonly AdmissionPlugin[] {
  return [
    createNamespaceLifecycle(backend),
    createServiceAccountAdmission(backend),
    createNodeRestriction(backend, authorizer),
    taintNodesByCondition,
    createPriorityAdmission(backend),
    defaultTolerationSeconds,
    createRuntimeClassAdmission(backend),
    createEscalationCheck(authorizer, authorizer.rbac),
  ];
}
