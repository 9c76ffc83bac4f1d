// What /configz shows: the configuration in upstream's form (kubecontrollermanager.config.k8s.io), as far as there are settings for it.
import type { ControllersConfig } from './config.ts';

/** Secrets and keys are not in it. Field names are upstream's, which has no JSON names for most of them. */
export function configz(config: ControllersConfig): unknown {
  const { concurrent, horizontalPodAutoscaler: scaling, nodeEviction } = config;
  return {
    'kubecontrollermanager.config.k8s.io': {
      kind: 'KubeControllerManagerConfiguration', apiVersion: 'kubecontrollermanager.config.k8s.io/v1alpha1',
      Generic: {
        Port: config.serving?.port ?? 0, Address: config.serving?.address ?? '', Controllers: config.controllers,
        LeaderElection: {
          leaderElect: config.leaderElect, leaseDuration: go(config.leaderElectLeaseDurationMs), renewDeadline: go(config.leaderElectRenewDeadlineMs),
          retryPeriod: go(config.leaderElectRetryPeriodMs), resourceLock: 'leases', resourceName: config.leaseName, resourceNamespace: config.leaseNamespace,
        },
      },
      KubeCloudShared: {
        UseServiceAccountCredentials: config.useServiceAccountCredentials, NodeMonitorPeriod: go(config.nodeMonitorPeriodMs), ClusterCIDR: config.clusterCidr,
        AllocateNodeCIDRs: config.allocateNodeCidrs, CIDRAllocatorType: 'RangeAllocator',
      },
      CSRSigningController: { ClusterSigningDuration: go(config.clusterSigningDurationMs) },
      DaemonSetController: { ConcurrentDaemonSetSyncs: concurrent.daemonSet },
      DeploymentController: { ConcurrentDeploymentSyncs: concurrent.deployment },
      StatefulSetController: { ConcurrentStatefulSetSyncs: concurrent.statefulSet },
      EndpointController: { ConcurrentEndpointSyncs: concurrent.endpoint, EndpointUpdatesBatchPeriod: go(0) },
      EndpointSliceController: { ConcurrentServiceEndpointSyncs: concurrent.service, MaxEndpointsPerSlice: config.maxEndpointsPerSlice, EndpointUpdatesBatchPeriod: go(0) },
      EndpointSliceMirroringController: {
        MirroringConcurrentServiceEndpointSyncs: concurrent.mirroring, MirroringMaxEndpointsPerSubset: config.mirroringMaxEndpointsPerSubset, MirroringEndpointUpdatesBatchPeriod: go(0),
      },
      GarbageCollectorController: { EnableGarbageCollector: true, ConcurrentGCSyncs: concurrent.garbageCollector, GCIgnoredResources: [{ Group: '', Resource: 'events' }, { Group: 'events.k8s.io', Resource: 'events' }] },
      HPAController: {
        ConcurrentHorizontalPodAutoscalerSyncs: concurrent.horizontalPodAutoscaler, HorizontalPodAutoscalerSyncPeriod: go(scaling.syncPeriodMs),
        HorizontalPodAutoscalerDownscaleStabilizationWindow: go(scaling.downscaleStabilizationMs), HorizontalPodAutoscalerTolerance: scaling.tolerance,
        HorizontalPodAutoscalerCPUInitializationPeriod: go(scaling.cpuInitializationPeriodMs), HorizontalPodAutoscalerInitialReadinessDelay: go(scaling.initialReadinessDelayMs),
      },
      JobController: { ConcurrentJobSyncs: concurrent.job },
      CronJobController: { ConcurrentCronJobSyncs: concurrent.cronJob },
      NamespaceController: { ConcurrentNamespaceSyncs: concurrent.namespace },
      NodeIPAMController: { NodeCIDRMaskSizeIPv4: config.nodeCidrMaskSizes.ipv4, NodeCIDRMaskSizeIPv6: config.nodeCidrMaskSizes.ipv6 },
      NodeLifecycleController: {
        NodeEvictionRate: nodeEviction.rate, SecondaryNodeEvictionRate: nodeEviction.secondaryRate, LargeClusterSizeThreshold: nodeEviction.largeClusterSize,
        UnhealthyZoneThreshold: nodeEviction.unhealthyZoneShare, NodeStartupGracePeriod: go(config.nodeStartupGracePeriodMs), NodeMonitorGracePeriod: go(config.nodeMonitorGracePeriodMs),
      },
      PodGCController: { TerminatedPodGCThreshold: config.terminatedPodGcThreshold },
      ReplicaSetController: { ConcurrentRSSyncs: concurrent.replicaset },
      ReplicationController: { ConcurrentRCSyncs: concurrent.replicationController },
      ResourceQuotaController: { ResourceQuotaSyncPeriod: go(config.resourceQuotaSyncPeriodMs), ConcurrentResourceQuotaSyncs: concurrent.resourceQuota },
      TTLAfterFinishedController: { ConcurrentTTLSyncs: concurrent.ttlAfterFinished },
    },
  };
}

/** Go's spelling of whole milliseconds: `1m0s`, `500ms`, `0s`. */
function go(ms: number): string {
  if (ms < 1000) return ms === 0 ? '0s' : `${ms}ms`;
  const [hours, minutes] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60];
  return `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${(ms % 60_000) / 1000}s`;
}
