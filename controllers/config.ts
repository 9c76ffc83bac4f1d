// What the controllers need to know. Flags bear kube-controller-manager's names; cluster/ fills the same type itself.
import type { Flag, FlagValues } from '#machinery/base/flags.ts';
import type { ClientConfig } from '#machinery/client/types.ts';

export interface ControllersConfig {
  client: ClientConfig;
  /** Upstream's notation: `*` all that are on by default, `name` on, `-name` off. */
  controllers: readonly string[];
  leaderElect: boolean;
  /** Identity in the lease; one that survives restarts takes over at once. Default: host name and a random part. */
  leaderElectIdentity?: string;
  leaderElectLeaseDurationMs: number;
  leaderElectRenewDeadlineMs: number;
  leaderElectRetryPeriodMs: number;
  /** Each controller writes as its own service account. */
  useServiceAccountCredentials: boolean;
  /** PEM, of the CA that signs certificate signing requests; without it they are left to others. */
  clusterSigning?: { cert: string; key: string };
  /** The longest that a certificate signed here is good for. */
  clusterSigningDurationMs: number;
  /** PEM, of the key that signs tokens in Secrets of type service-account-token; '' leaves them alone. */
  serviceAccountPrivateKey: string;
  /** PEM, published to every namespace; '' publishes nothing. */
  rootCa: string;
  allocateNodeCidrs: boolean;
  clusterCidr: string;
  nodeCidrMaskSize: number;
  nodeMonitorPeriodMs: number;
  nodeMonitorGracePeriodMs: number;
  nodeStartupGracePeriodMs: number;
  terminatedPodGcThreshold: number;
  horizontalPodAutoscaler: { syncPeriodMs: number; tolerance: number; downscaleStabilizationMs: number; cpuInitializationPeriodMs: number; initialReadinessDelayMs: number };
  maxEndpointsPerSlice: number;
  /** How often all quotas are counted again; 0 never. */
  resourceQuotaSyncPeriodMs: number;
  mirroringMaxEndpointsPerSubset: number;
  concurrent: { daemonSet: number; statefulSet: number; deployment: number; replicaset: number; replicationController: number; endpoint: number; service: number; mirroring: number; horizontalPodAutoscaler: number; namespace: number; serviceAccount: number; garbageCollector: number; job: number; cronJob: number; ttlAfterFinished: number; resourceQuota: number };
}

/** Upstream's defaults. `client` must be given. */
export const defaultConfig: Omit<ControllersConfig, 'client'> = {
  controllers: ['*'],
  leaderElect: true,
  leaderElectLeaseDurationMs: 15_000,
  leaderElectRenewDeadlineMs: 10_000,
  leaderElectRetryPeriodMs: 2_000,
  useServiceAccountCredentials: true,
  clusterSigningDurationMs: 365 * 86_400_000,
  serviceAccountPrivateKey: '',
  rootCa: '',
  allocateNodeCidrs: true,
  clusterCidr: '',
  nodeCidrMaskSize: 24,
  nodeMonitorPeriodMs: 5_000,
  nodeMonitorGracePeriodMs: 50_000,
  nodeStartupGracePeriodMs: 60_000,
  terminatedPodGcThreshold: 12_500,
  horizontalPodAutoscaler: { syncPeriodMs: 15_000, tolerance: 0.1, downscaleStabilizationMs: 300_000, cpuInitializationPeriodMs: 300_000, initialReadinessDelayMs: 30_000 },
  maxEndpointsPerSlice: 100,
  resourceQuotaSyncPeriodMs: 300_000,
  mirroringMaxEndpointsPerSubset: 1000,
  concurrent: { daemonSet: 2, statefulSet: 5, deployment: 5, replicaset: 5, replicationController: 5, endpoint: 5, service: 5, mirroring: 5, horizontalPodAutoscaler: 5, namespace: 10, serviceAccount: 5, garbageCollector: 20, job: 5, cronJob: 5, ttlAfterFinished: 5, resourceQuota: 5 },
};

const workers = (what: string, number: number): Flag & { kind: 'number'; default: number } =>
  ({ kind: 'number', default: number, min: 1, help: `${what} that are worked on at a time.` });

export const flags = {
  'kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'How to reach the API server, as system:kube-controller-manager.' },
  'controllers': { kind: 'list', placeholder: 'NAME,…', default: ['*'], help: 'Controllers to run: * all that are on by default, NAME on, -NAME off.' },
  'leader-elect': { kind: 'boolean', default: true, help: 'Run only while holding the lease kube-system/kube-controller-manager.' },
  'use-service-account-credentials': { kind: 'boolean', default: true, help: 'Each controller writes as its own service account.' },
  'root-ca-file': { kind: 'string', placeholder: 'PATH', default: '', help: 'CA certificate to publish as ConfigMap kube-root-ca.crt in every namespace.' },
  'cluster-signing-cert-file': { kind: 'string', placeholder: 'PATH', default: '', help: 'CA certificate that certificate signing requests are signed with.' },
  'cluster-signing-key-file': { kind: 'string', placeholder: 'PATH', default: '', help: 'Its private key.' },
  'cluster-signing-duration-ms': { kind: 'number', default: 365 * 86_400_000, min: 600_000, help: 'The longest that a certificate signed here is good for.' },
  'service-account-private-key-file': { kind: 'string', placeholder: 'PATH', default: '', help: 'Key that signs the tokens of Secrets of type kubernetes.io/service-account-token.' },
  'allocate-node-cidrs': { kind: 'boolean', default: true, help: 'Give each node a part of --cluster-cidr for its pods.' },
  'cluster-cidr': { kind: 'string', placeholder: 'CIDR', default: '', help: 'Addresses of all pods.' },
  'node-cidr-mask-size': { kind: 'number', default: 24, min: 8, max: 32, help: "Prefix length of a node's part." },
  'node-monitor-period-ms': { kind: 'number', default: 5000, min: 100, help: 'How often nodes are looked at.' },
  'node-monitor-grace-period-ms': { kind: 'number', default: 50_000, min: 1000, help: 'A node silent for so long is Unknown.' },
  'node-startup-grace-period-ms': { kind: 'number', default: 60_000, min: 1000, help: 'The same for a node that never reported.' },
  'terminated-pod-gc-threshold': { kind: 'number', default: 12_500, help: 'Terminated pods kept; 0 keeps all.' },
  'horizontal-pod-autoscaler-sync-period-ms': { kind: 'number', default: 15_000, min: 100, help: 'How often each HorizontalPodAutoscaler is looked at.' },
  'horizontal-pod-autoscaler-tolerance': { kind: 'string', default: '0.1', help: 'Share of its target by which a metric may differ without effect.' },
  'horizontal-pod-autoscaler-downscale-stabilization-ms': { kind: 'number', default: 300_000, help: 'How long a higher recommendation holds scaling down back.' },
  'horizontal-pod-autoscaler-cpu-initialization-period-ms': { kind: 'number', default: 300_000, help: 'How long after its start the CPU samples of an unready pod do not count.' },
  'horizontal-pod-autoscaler-initial-readiness-delay-ms': { kind: 'number', default: 30_000, help: 'How long after its start a readiness change counts as the first one.' },
  'concurrent-horizontal-pod-autoscaler-syncs': workers('HorizontalPodAutoscalers', 5),
  'max-endpoints-per-slice': { kind: 'number', default: 100, min: 1, max: 1000, help: 'Endpoints in one EndpointSlice.' },
  'mirroring-max-endpoints-per-subset': { kind: 'number', default: 1000, min: 1, max: 1000, help: 'Addresses of one subset of Endpoints that are mirrored to an EndpointSlice.' },
  'mirroring-concurrent-service-endpoint-syncs': workers('Endpoints that are mirrored', 5),
  'resource-quota-sync-period': { kind: 'string', placeholder: 'DURATION', default: '5m0s', help: 'How often all quotas are counted again; 0 never.' },
  'concurrent-deployment-syncs': workers('Deployments', 5),
  'concurrent-daemonset-syncs': workers('DaemonSets', 2),
  'concurrent-statefulset-syncs': workers('StatefulSets', 5),
  'concurrent-replicaset-syncs': workers('ReplicaSets', 5),
  'concurrent-rc-syncs': workers('ReplicationControllers', 5),
  'concurrent-endpoint-syncs': workers('Endpoints', 5),
  'concurrent-service-endpoint-syncs': workers('Services (EndpointSlices)', 5),
  'concurrent-namespace-syncs': workers('Namespaces that are going away', 10),
  'concurrent-serviceaccount-syncs': workers('ServiceAccounts', 5),
  'concurrent-job-syncs': workers('Jobs', 5),
  'concurrent-cron-job-syncs': workers('CronJobs', 5),
  'concurrent-ttl-after-finished-syncs': workers('Finished Jobs to delete', 5),
  'concurrent-resource-quota-syncs': workers('ResourceQuotas that are counted', 5),
  'concurrent-gc-syncs': workers('Objects without an owner', 20),
} as const satisfies Record<string, Flag>;

/** Reads the files that flags name. Throws UsageError or an Error that names the file. */
export async function configOf(values: FlagValues<typeof flags>): Promise<ControllersConfig> {
  const { UsageError, durationMs } = await import('#machinery/base/flags.ts');
  if (!values.kubeconfig) throw new UsageError('--kubeconfig is needed: the file that says how to reach the API server');
  const { loadKubeconfig } = await import('#machinery/client/kubeconfig.ts');
  const { readFile } = await import('node:fs/promises');
  const text = async (path: string): Promise<string> => (path === '' ? '' : readFile(path, 'utf8'));
  const { 'cluster-signing-cert-file': certFile, 'cluster-signing-key-file': keyFile } = values;
  if ((certFile === '') !== (keyFile === '')) throw new UsageError('--cluster-signing-cert-file and --cluster-signing-key-file are given together or not at all');
  const tolerance = Number(values['horizontal-pod-autoscaler-tolerance']);
  if (!(tolerance >= 0)) throw new UsageError('--horizontal-pod-autoscaler-tolerance must be a number of 0 or more');
  return {
    ...defaultConfig,
    client: { ...(await loadKubeconfig(values.kubeconfig)), userAgent: 'kube-controller-manager' },
    controllers: values.controllers,
    leaderElect: values['leader-elect'],
    useServiceAccountCredentials: values['use-service-account-credentials'],
    ...(certFile === '' ? {} : { clusterSigning: { cert: await text(certFile), key: await text(keyFile) } }),
    clusterSigningDurationMs: values['cluster-signing-duration-ms'],
    serviceAccountPrivateKey: await text(values['service-account-private-key-file']),
    rootCa: await text(values['root-ca-file']),
    allocateNodeCidrs: values['allocate-node-cidrs'],
    clusterCidr: values['cluster-cidr'],
    nodeCidrMaskSize: values['node-cidr-mask-size'],
    nodeMonitorPeriodMs: values['node-monitor-period-ms'],
    nodeMonitorGracePeriodMs: values['node-monitor-grace-period-ms'],
    nodeStartupGracePeriodMs: values['node-startup-grace-period-ms'],
    terminatedPodGcThreshold: values['terminated-pod-gc-threshold'],
    horizontalPodAutoscaler: {
      syncPeriodMs: values['horizontal-pod-autoscaler-sync-period-ms'], tolerance,
      downscaleStabilizationMs: values['horizontal-pod-autoscaler-downscale-stabilization-ms'],
      cpuInitializationPeriodMs: values['horizontal-pod-autoscaler-cpu-initialization-period-ms'],
      initialReadinessDelayMs: values['horizontal-pod-autoscaler-initial-readiness-delay-ms'],
    },
    maxEndpointsPerSlice: values['max-endpoints-per-slice'],
    resourceQuotaSyncPeriodMs: durationMs('resource-quota-sync-period', values['resource-quota-sync-period']),
    mirroringMaxEndpointsPerSubset: values['mirroring-max-endpoints-per-subset'],
    concurrent: {
      daemonSet: values['concurrent-daemonset-syncs'], statefulSet: values['concurrent-statefulset-syncs'],
      deployment: values['concurrent-deployment-syncs'], replicaset: values['concurrent-replicaset-syncs'],
      replicationController: values['concurrent-rc-syncs'], endpoint: values['concurrent-endpoint-syncs'],
      service: values['concurrent-service-endpoint-syncs'], mirroring: values['mirroring-concurrent-service-endpoint-syncs'],
      horizontalPodAutoscaler: values['concurrent-horizontal-pod-autoscaler-syncs'], namespace: values['concurrent-namespace-syncs'],
      serviceAccount: values['concurrent-serviceaccount-syncs'], garbageCollector: values['concurrent-gc-syncs'],
      job: values['concurrent-job-syncs'], cronJob: values['concurrent-cron-job-syncs'], ttlAfterFinished: values['concurrent-ttl-after-finished-syncs'],
      resourceQuota: values['concurrent-resource-quota-syncs'],
    },
  };
}
