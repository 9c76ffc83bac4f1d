// Which strategy rules which kind, by resource id; a kind that is not listed is stored as it comes. Built anew for each
// server, because Services carry an allocator.
import { badRequest } from '#machinery/api/status.ts';
import { QuantityError } from '#machinery/api/quantity.ts';
import { parseApiVersion } from '#machinery/api/object.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { mutatingPolicyBindingStrategy, mutatingPolicyStrategy, validatingPolicyBindingStrategy, validatingPolicyStrategy } from './admissionregistration/policies.ts';
import { mutatingWebhooksStrategy, validatingWebhooksStrategy } from './admissionregistration/webhooks.ts';
import { definitionStrategy } from './apiextensions/customresourcedefinition.ts';
import { apiServiceStrategy } from './apiregistration/apiservice.ts';
import { controllerRevisionStrategy } from './apps/controllerrevision.ts';
import { daemonSetStrategy } from './apps/daemonset.ts';
import { deploymentStrategy } from './apps/deployment.ts';
import { replicaSetStrategy } from './apps/replicaset.ts';
import { statefulSetStrategy } from './apps/statefulset.ts';
import { cronJobStrategy } from './batch/cronjob.ts';
import { jobStrategy } from './batch/job.ts';
import { storageVersionStrategy } from './apiserverinternal/storageversion.ts';
import { leaseStrategy } from './coordination/lease.ts';
import { leaseCandidateStrategy } from './coordination/leasecandidate.ts';
import { configMapStrategy } from './core/configmap.ts';
import { endpointsStrategy } from './core/endpoints.ts';
import { eventStrategy } from './core/event.ts';
import { limitRangeStrategy } from './core/limitrange.ts';
import { namespaceStrategy } from './core/namespace.ts';
import { nodeStrategy } from './core/node.ts';
import { persistentVolumeStrategy } from './core/persistentvolume.ts';
import { persistentVolumeClaimStrategy } from './core/persistentvolumeclaim.ts';
import { podStrategy } from './core/pod.ts';
import { podTemplateStrategy } from './core/podtemplate.ts';
import { replicationControllerStrategy } from './core/replicationcontroller.ts';
import { resourceQuotaStrategy } from './core/resourcequota.ts';
import { secretStrategy } from './core/secret.ts';
import { serviceStrategy } from './core/service.ts';
import { serviceAccountStrategy } from './core/serviceaccount.ts';
import { endpointSliceStrategy } from './discovery/endpointslice.ts';
import { nameIsSubdomain } from './meta.ts';
import { autoscalerStrategy, defaultAutoscalerV1 } from './autoscaling/horizontalpodautoscaler.ts';
import { signingRequestStrategy } from './certificates/certificatesigningrequest.ts';
import { flowSchemaStrategy, priorityLevelStrategy } from './flowcontrol/flowcontrol.ts';
import { ingressStrategy } from './networking/ingress.ts';
import { ingressClassStrategy } from './networking/ingressclass.ts';
import { ipAddressStrategy } from './networking/ipaddress.ts';
import { networkPolicyStrategy } from './networking/networkpolicy.ts';
import { serviceCidrStrategy } from './networking/servicecidr.ts';
import { runtimeClassStrategy } from './node/runtimeclass.ts';
import { disruptionBudgetStrategy } from './policy/poddisruptionbudget.ts';
import { clusterRoleBindingStrategy, roleBindingStrategy } from './rbac/bindings.ts';
import { clusterRoleStrategy, roleStrategy } from './rbac/roles.ts';
import { deviceClassStrategy, resourceClaimStrategy, resourceClaimTemplateStrategy } from './resource/kinds.ts';
import { resourceSliceStrategy } from './resource/slice.ts';
import { defaultClaimStatus } from './resource/claim-status.ts';
import { defaultClaimV1beta1, defaultSliceV1beta1 } from './resource/conversion.ts';
import { deviceTaintRuleStrategy } from './resource/devicetaintrule.ts';
import { poolStatusRequestStrategy } from './resource/resourcepoolstatusrequest.ts';
import { priorityClassStrategy } from './scheduling/priorityclass.ts';
import { csiDriverStrategy, csiNodeStrategy, csiStorageCapacityStrategy } from './storage/csi.ts';
import { storageClassStrategy, volumeAttributesClassStrategy } from './storage/storageclass.ts';
import { volumeAttachmentStrategy } from './storage/volumeattachment.ts';
import { conversions } from './conversions.ts';
import { kindWarnings, statusWarnings } from './warnings/kinds.ts';
import type { RegistryOptions } from './registry.ts';
import type { Strategy } from './resource.ts';
import { inStoredForm } from './stored-form.ts';
import { at, dropNulls, need } from './values.ts';

export function strategies(options: RegistryOptions): Record<string, Strategy> {
  const eventTtl = options.eventTtlSeconds ?? 3600;
  const made: Record<string, Strategy> = {
    'pods': podStrategy,
    'nodes': nodeStrategy,
    'services': serviceStrategy(options.allocateService),
    'namespaces': namespaceStrategy,
    'configmaps': configMapStrategy,
    'secrets': secretStrategy,
    'serviceaccounts': serviceAccountStrategy,
    'events': eventStrategy(eventTtl, ''),
    'events.events.k8s.io': eventStrategy(eventTtl, 'events.k8s.io'),
    'endpoints': endpointsStrategy,
    'replicationcontrollers': replicationControllerStrategy,
    'podtemplates': podTemplateStrategy,
    'limitranges': limitRangeStrategy,
    'resourcequotas': resourceQuotaStrategy,
    'persistentvolumes': persistentVolumeStrategy,
    'persistentvolumeclaims': persistentVolumeClaimStrategy,
    'deployments.apps': deploymentStrategy,
    'replicasets.apps': replicaSetStrategy,
    'statefulsets.apps': statefulSetStrategy,
    'daemonsets.apps': daemonSetStrategy,
    'controllerrevisions.apps': controllerRevisionStrategy,
    'horizontalpodautoscalers.autoscaling': autoscalerStrategy,
    'horizontalpodautoscalers.autoscaling/v1': inVersion('horizontalpodautoscalers.autoscaling/v1', autoscalerStrategy, defaultAutoscalerV1),
    'poddisruptionbudgets.policy': disruptionBudgetStrategy,
    'networkpolicies.networking.k8s.io': networkPolicyStrategy,
    'ingresses.networking.k8s.io': ingressStrategy,
    'ingressclasses.networking.k8s.io': ingressClassStrategy,
    'ipaddresses.networking.k8s.io': ipAddressStrategy,
    'servicecidrs.networking.k8s.io': serviceCidrStrategy,
    'storageclasses.storage.k8s.io': storageClassStrategy,
    'volumeattributesclasses.storage.k8s.io': volumeAttributesClassStrategy,
    'volumeattachments.storage.k8s.io': volumeAttachmentStrategy,
    'csidrivers.storage.k8s.io': csiDriverStrategy,
    'csinodes.storage.k8s.io': csiNodeStrategy,
    'csistoragecapacities.storage.k8s.io': csiStorageCapacityStrategy,
    'priorityclasses.scheduling.k8s.io': priorityClassStrategy,
    'runtimeclasses.node.k8s.io': runtimeClassStrategy,
    'roles.rbac.authorization.k8s.io': roleStrategy,
    'clusterroles.rbac.authorization.k8s.io': clusterRoleStrategy,
    'rolebindings.rbac.authorization.k8s.io': roleBindingStrategy,
    'clusterrolebindings.rbac.authorization.k8s.io': clusterRoleBindingStrategy,
    'validatingwebhookconfigurations.admissionregistration.k8s.io': validatingWebhooksStrategy,
    'mutatingwebhookconfigurations.admissionregistration.k8s.io': mutatingWebhooksStrategy,
    'validatingadmissionpolicies.admissionregistration.k8s.io': validatingPolicyStrategy,
    'validatingadmissionpolicybindings.admissionregistration.k8s.io': validatingPolicyBindingStrategy,
    'mutatingadmissionpolicies.admissionregistration.k8s.io': mutatingPolicyStrategy,
    'mutatingadmissionpolicybindings.admissionregistration.k8s.io': mutatingPolicyBindingStrategy,
    'flowschemas.flowcontrol.apiserver.k8s.io': flowSchemaStrategy,
    'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': priorityLevelStrategy,
    'certificatesigningrequests.certificates.k8s.io': signingRequestStrategy,
    'apiservices.apiregistration.k8s.io': apiServiceStrategy,
    'deviceclasses.resource.k8s.io': deviceClassStrategy,
    'resourceclaims.resource.k8s.io': resourceClaimStrategy,
    'resourceclaimtemplates.resource.k8s.io': resourceClaimTemplateStrategy,
    'resourceslices.resource.k8s.io': resourceSliceStrategy,
    'resourceclaims.resource.k8s.io/v1beta1': inVersion('resourceclaims.resource.k8s.io/v1beta1', resourceClaimStrategy, (object) => {
      defaultClaimV1beta1(object['spec']);
      defaultClaimStatus(need(object, 'status'));
    }),
    'resourceclaimtemplates.resource.k8s.io/v1beta1': inVersion('resourceclaimtemplates.resource.k8s.io/v1beta1', resourceClaimTemplateStrategy, (object) => defaultClaimV1beta1(at(object, 'spec', 'spec'))),
    'resourceslices.resource.k8s.io/v1beta1': inVersion('resourceslices.resource.k8s.io/v1beta1', resourceSliceStrategy, (object) => defaultSliceV1beta1(object['spec'])),
    'devicetaintrules.resource.k8s.io': deviceTaintRuleStrategy,
    'resourcepoolstatusrequests.resource.k8s.io': poolStatusRequestStrategy,
    'leasecandidates.coordination.k8s.io': leaseCandidateStrategy,
    'storageversions.internal.apiserver.k8s.io': storageVersionStrategy,
    'customresourcedefinitions.apiextensions.k8s.io': definitionStrategy,
    'jobs.batch': jobStrategy,
    'cronjobs.batch': cronJobStrategy,
    'endpointslices.discovery.k8s.io': endpointSliceStrategy,
    'leases.coordination.k8s.io': leaseStrategy,
  };
  return Object.fromEntries(Object.entries(made).map(([id, strategy]) => [id, complete(id, strategy)]));
}

/** Rules of a version in a shape of its own. */
function inVersion(key: string, strategy: Strategy, defaults: (object: KubeObject) => void): Strategy {
  const conversion = conversions[key];
  if (!conversion) throw new Error(`${key} has no conversion`);
  return inStoredForm(strategy, conversion.convert, defaults);
}

/** Holds data of any shape, in which null may mean something. */
const verbatim = new Set(['controllerrevisions.apps', 'customresourcedefinitions.apiextensions.k8s.io']);

/** What holds for all kinds: names are subdomains unless said otherwise, null is the same as missing, bad quantities are bad requests. */
function complete(id: string, strategy: Strategy): Strategy {
  const defaults = strategy.default?.bind(strategy);
  return {
    validateName: nameIsSubdomain,
    ...strategy,
    warnings: (object, old) => [...strategy.warnings?.(object, old) ?? [], ...kindWarnings[id]?.(object, old) ?? []],
    ...(statusWarnings[id] ? { status: { ...strategy.status, warnings: statusWarnings[id] } } : {}),
    default(object) {
      if (!verbatim.has(id)) dropNulls(object);
      try {
        defaults?.(object);
      } catch (error) {
        if (!(error instanceof QuantityError)) throw error;
        const { version } = parseApiVersion(object.apiVersion ?? '');
        throw badRequest(`${object.kind ?? ''} in version "${version}" cannot be handled as a ${object.kind ?? ''}: ${error.message}`);
      }
    },
  };
}
