// Every controller by upstream's name. Not here yet: see README.md.
import type { CreateController } from './context.ts';
import { later } from './later.ts';
import { createClusterRoleAggregationController } from './clusterrole-aggregation/controller.ts';
import { createCronJobController } from './cronjob/controller.ts';
import { createDaemonSetController } from './daemonset/controller.ts';
import { createDeploymentController } from './deployment/controller.ts';
import { createDisruptionController } from './disruption/controller.ts';
import { createEndpointsController } from './endpoints/controller.ts';
import { createEndpointSliceController } from './endpointslice/controller.ts';
import { createEndpointSliceMirroringController } from './endpointslicemirroring/controller.ts';
import { createEphemeralVolumeController } from './ephemeral-volume/controller.ts';
import { createGarbageCollector } from './garbage-collector/controller.ts';
import { createJobController } from './job/controller.ts';
import { createLocalPathProvisioner } from './local-path/controller.ts';
import { createNamespaceController } from './namespace/controller.ts';
import { createNodeIpamController } from './node-ipam/controller.ts';
import { createNodeLifecycleController } from './node-lifecycle/controller.ts';
import { createPersistentVolumeBinder } from './persistentvolume-binder/controller.ts';
import { createPvProtectionController } from './pv-protection/controller.ts';
import { createPvcProtectionController } from './pvc-protection/controller.ts';
import { createReplicaSetController, createReplicationControllerController } from './replicaset/controller.ts';
import { createResourceQuotaController } from './resourcequota/controller.ts';
import { createRootCaPublisher } from './root-ca-publisher/controller.ts';
import { createServiceAccountController } from './serviceaccount/controller.ts';
import { createServiceAccountTokenController } from './serviceaccount-token/controller.ts';
import { createServiceCidrController } from './servicecidr/controller.ts';
import { createStatefulSetController } from './statefulset/controller.ts';
import { createTaintEvictionController } from './taint-eviction/controller.ts';
import { createTtlController } from './ttl/controller.ts';
import { createTtlAfterFinishedController } from './ttl-after-finished/controller.ts';
import { createValidatingPolicyStatusController } from './validatingadmissionpolicy-status/controller.ts';

export const controllers: Readonly<Record<string, CreateController>> = {
  'serviceaccount-token-controller': createServiceAccountTokenController,
  'endpoints-controller': createEndpointsController,
  'endpointslice-controller': createEndpointSliceController,
  'endpointslice-mirroring-controller': createEndpointSliceMirroringController,
  'replicationcontroller-controller': createReplicationControllerController,
  'pod-garbage-collector-controller': later(async () => (await import('./podgc/controller.ts')).createPodGarbageCollector),
  'resourcequota-controller': createResourceQuotaController,
  'namespace-controller': createNamespaceController,
  'serviceaccount-controller': createServiceAccountController,
  'garbage-collector-controller': createGarbageCollector,
  'daemonset-controller': createDaemonSetController,
  'job-controller': createJobController,
  'cronjob-controller': createCronJobController,
  'deployment-controller': createDeploymentController,
  'replicaset-controller': createReplicaSetController,
  'horizontal-pod-autoscaler-controller': later(async () => (await import('./podautoscaler/controller.ts')).createHorizontalPodAutoscaler),
  'disruption-controller': createDisruptionController,
  'statefulset-controller': createStatefulSetController,
  'certificatesigningrequest-signing-controller': later(async () => (await import('./certificates/controller.ts')).createCertificateSigner),
  'certificatesigningrequest-approving-controller': later(async () => (await import('./certificates/controller.ts')).createCertificateApprover),
  'certificatesigningrequest-cleaner-controller': later(async () => (await import('./certificates/controller.ts')).createCertificateCleaner),
  'ttl-controller': createTtlController,
  'bootstrap-signer-controller': later(async () => (await import('./bootstrap-token/controller.ts')).createBootstrapSigner),
  'token-cleaner-controller': later(async () => (await import('./bootstrap-token/controller.ts')).createTokenCleaner),
  'node-ipam-controller': createNodeIpamController,
  'node-lifecycle-controller': createNodeLifecycleController,
  'taint-eviction-controller': createTaintEvictionController,
  'resourceclaim-controller': later(async () => (await import('./resourceclaim/controller.ts')).createResourceClaimController),
  'device-taint-eviction-controller': later(async () => (await import('./device-taint-eviction/controller.ts')).createDeviceTaintEvictionController),
  'ttl-after-finished-controller': createTtlAfterFinishedController,
  'persistentvolumeclaim-protection-controller': createPvcProtectionController,
  'persistentvolume-protection-controller': createPvProtectionController,
  'clusterrole-aggregation-controller': createClusterRoleAggregationController,
  'service-cidr-controller': createServiceCidrController,
  'root-ca-certificate-publisher-controller': createRootCaPublisher,
  'volumeattributesclass-protection-controller': later(async () => (await import('./vac-protection/controller.ts')).createVacProtectionController),
  'validatingadmissionpolicy-status-controller': createValidatingPolicyStatusController,
  'persistentvolume-binder-controller': createPersistentVolumeBinder,
  'persistentvolume-attach-detach-controller': later(async () => (await import('./attach-detach/controller.ts')).createAttachDetachController),
  'persistentvolume-expander-controller': later(async () => (await import('./volume-expand/controller.ts')).createVolumeExpander),
  'ephemeral-volume-controller': createEphemeralVolumeController,
  'legacy-serviceaccount-token-cleaner-controller': later(async () => (await import('./legacy-serviceaccount-token-cleaner/controller.ts')).createLegacyTokenCleaner),
  // Not upstream's: the provisioner behind the default StorageClass.
  'local-path-provisioner': createLocalPathProvisioner,
};

/** Run only when they are named: nodes join without bootstrap tokens here. */
export const offByDefault: readonly string[] = ['bootstrap-signer-controller', 'token-cleaner-controller'];

/** Names of before, as `--controllers` still takes them upstream. */
export const aliases: Readonly<Record<string, string>> = {
  'serviceaccount-token': 'serviceaccount-token-controller', 'endpoint': 'endpoints-controller', 'endpointslice': 'endpointslice-controller',
  'endpointslicemirroring': 'endpointslice-mirroring-controller', 'replicationcontroller': 'replicationcontroller-controller', 'podgc': 'pod-garbage-collector-controller',
  'resourcequota': 'resourcequota-controller', 'namespace': 'namespace-controller', 'serviceaccount': 'serviceaccount-controller',
  'garbagecollector': 'garbage-collector-controller', 'daemonset': 'daemonset-controller', 'job': 'job-controller', 'cronjob': 'cronjob-controller',
  'deployment': 'deployment-controller', 'replicaset': 'replicaset-controller', 'horizontalpodautoscaling': 'horizontal-pod-autoscaler-controller',
  'disruption': 'disruption-controller', 'statefulset': 'statefulset-controller', 'csrsigning': 'certificatesigningrequest-signing-controller',
  'csrapproving': 'certificatesigningrequest-approving-controller', 'csrcleaner': 'certificatesigningrequest-cleaner-controller', 'ttl': 'ttl-controller',
  'bootstrapsigner': 'bootstrap-signer-controller', 'tokencleaner': 'token-cleaner-controller', 'nodeipam': 'node-ipam-controller',
  'nodelifecycle': 'node-lifecycle-controller', 'ttl-after-finished': 'ttl-after-finished-controller', 'pvc-protection': 'persistentvolumeclaim-protection-controller',
  'pv-protection': 'persistentvolume-protection-controller', 'clusterrole-aggregation': 'clusterrole-aggregation-controller',
  'root-ca-cert-publisher': 'root-ca-certificate-publisher-controller', 'persistentvolume-binder': 'persistentvolume-binder-controller',
  'attachdetach': 'persistentvolume-attach-detach-controller', 'legacy-service-account-token-cleaner': 'legacy-serviceaccount-token-cleaner-controller',
  'persistentvolume-expander': 'persistentvolume-expander-controller', 'ephemeral-volume': 'ephemeral-volume-controller', 'resource-claim-controller': 'resourceclaim-controller',
};
