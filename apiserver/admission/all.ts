// Every admission plugin in the order it runs (upstream's recommended order).
import type { Registry } from '#machinery/base/metrics.ts';
import { createClaimStatusCheck } from '../auth/claim-status.ts';
import { createEscalationCheck } from '../auth/escalation.ts';
import type { Rbac } from '../auth/rbac.ts';
import type { ServerDeps } from '../backend.ts';
import type { Authorizer } from '../filters/seams.ts';
import type { AdmissionPlugin } from './admission.ts';
import { certificatePlugins } from './certificates.ts';
import { createDefaultIngressClass } from './default-ingress-class.ts';
import { createDefaultStorageClass } from './default-storage-class.ts';
import { defaultTolerationSeconds } from './default-toleration-seconds.ts';
import { createLimitRanger } from './limit-ranger.ts';
import { createNamespaceLifecycle } from './namespace-lifecycle.ts';
import { createNodeRestriction } from './node-restriction.ts';
import { createPolicyPlugins } from './policies/plugins.ts';
import { createPodSecurity } from './pod-security/pod-security.ts';
import { createPodTopologyLabels } from './pod-topology-labels.ts';
import { createPriorityAdmission } from './priority.ts';
import { createPersistentVolumeClaimResize } from './pvc-resize.ts';
import { createResourceQuotaAdmission } from './resource-quota.ts';
import { createRuntimeClassAdmission } from './runtime-class.ts';
import { createServiceAccountAdmission } from './service-account.ts';
import { storageObjectInUseProtection } from './storage-object-in-use-protection.ts';
import { taintNodesByCondition } from './taint-nodes-by-condition.ts';
import { createWebhookPlugins, lazyMetrics } from './webhooks/plugins.ts';

export function admissionPlugins({ backend, signal }: Pick<ServerDeps, 'backend' | 'signal'>, authorizer: Authorizer & { rbac: Rbac }, registry: Registry): readonly AdmissionPlugin[] {
  const dynamic = { backend, signal, authorizer, metrics: lazyMetrics(registry) };
  const policies = createPolicyPlugins(dynamic);
  const webhooks = createWebhookPlugins(dynamic);
  return [
    createNamespaceLifecycle(backend),
    createLimitRanger(backend),
    createServiceAccountAdmission(backend),
    createNodeRestriction(backend, authorizer),
    taintNodesByCondition,
    createPodSecurity(backend),
    createPriorityAdmission(backend),
    defaultTolerationSeconds,
    createDefaultStorageClass(backend),
    storageObjectInUseProtection,
    createPersistentVolumeClaimResize(backend),
    createRuntimeClassAdmission(backend),
    ...certificatePlugins(authorizer),
    createDefaultIngressClass(backend),
    createPodTopologyLabels(backend),
    policies.mutating,
    webhooks.mutating,
    createEscalationCheck(authorizer, authorizer.rbac),
    createClaimStatusCheck(authorizer),
    policies.parameters,
    policies.validating,
    webhooks.validating,
    createResourceQuotaAdmission(backend),
  ];
}
