// What the controllers need to know. Flags bear kube-controller-manager's names; cluster/ fills the same type itself.
import type { Flag, FlagValues } from '#machinery/base/flags.ts';
import type { ClientConfig } from '#machinery/client/types.ts';
import { servingFlags, servingOf, type ServingConfig } from '#machinery/serving/flags.ts';

export interface ControllersConfig {
  client: ClientConfig;
  /** Upstream's notation: `*` all that are on by default, `name` on, `-name` off. */
  controllers: readonly string[];
  leaderElect: boolean;
  /** Identity in the lease; one that survives restarts takes over at once. Default: host name and a random part. */
  leaderElectIdentity?: string;
  leaseNamespace: string;
  leaseName: string;
  leaderElectLeaseDurationMs: number;
  leaderElectRenewDeadlineMs: number;
  leaderElectRetryPeriodMs: number;
  /** Health, metrics and configuration over HTTPS; undefined: not served. */
  serving: ServingConfig | undefined;
  /** Each controller writes as its own service account. */
  useServiceAccountCredentials: boolean;
  /** PEM, of the CA that signs certificate signing requests; without it they are left to others. */
  clusterSigning?: { cert: string; key: string };
  /** In place of it: a CA for each of some signers; the others' requests are left to others. */
  signerCas: Readonly<Record<string, { cert: string; key: string }>>;
  /** The longest that a certificate signed here is good for. */
  clusterSigningDurationMs: number;
  /** PEM, of the key that signs tokens in Secrets of type service-account-token; '' leaves them alone. */
  serviceAccountPrivateKey: string;
  /** PEM, published to every namespace; '' publishes nothing. */
  rootCa: string;
  allocateNodeCidrs: boolean;
  clusterCidr: string;
  /** Prefix lengths of a node's part. */
  nodeCidrMaskSizes: { ipv4: number; ipv6: number };
  nodeMonitorPeriodMs: number;
  nodeMonitorGracePeriodMs: number;
  nodeStartupGracePeriodMs: number;
  /** Nodes a second and zone whose pods are evicted; `secondary` where many of a large zone are down at once, none in a small one. */
  nodeEviction: { rate: number; secondaryRate: number; largeClusterSize: number; unhealthyZoneShare: number };
  terminatedPodGcThreshold: number;
  /** How long tokens of before that nobody uses are kept, before they are invalid and again before they are deleted. */
  legacyTokenCleanUpPeriodMs: number;
  /** Volumes leave a node that is not ready after six minutes though it says that they are in use. */
  forceDetachOnTimeout: boolean;
  horizontalPodAutoscaler: { syncPeriodMs: number; tolerance: number; downscaleStabilizationMs: number; cpuInitializationPeriodMs: number; initialReadinessDelayMs: number };
  maxEndpointsPerSlice: number;
  /** How often all quotas are counted again; 0 never. */
  resourceQuotaSyncPeriodMs: number;
  mirroringMaxEndpointsPerSubset: number;
  concurrent: { daemonSet: number; statefulSet: number; deployment: number; replicaset: number; replicationController: number; endpoint: number; service: number; mirroring: number; horizontalPodAutoscaler: number; namespace: number; serviceAccount: number; serviceAccountToken: number; ephemeralVolume: number; deviceTaintEviction: number; garbageCollector: number; job: number; cronJob: number; ttlAfterFinished: number; resourceQuota: number };
}

/** Upstream's defaults. `client` must be given. */
export const defaultConfig: Omit<ControllersConfig, 'client'> = {
  controllers: ['*'],
  leaderElect: true,
  leaseNamespace: 'kube-system',
  leaseName: 'kube-controller-manager',
  leaderElectLeaseDurationMs: 15_000,
  leaderElectRenewDeadlineMs: 10_000,
  leaderElectRetryPeriodMs: 2_000,
  serving: undefined,
  useServiceAccountCredentials: true,
  signerCas: {},
  clusterSigningDurationMs: 365 * 86_400_000,
  serviceAccountPrivateKey: '',
  rootCa: '',
  allocateNodeCidrs: true,
  clusterCidr: '',
  nodeCidrMaskSizes: { ipv4: 24, ipv6: 64 },
  nodeMonitorPeriodMs: 5_000,
  nodeMonitorGracePeriodMs: 50_000,
  nodeStartupGracePeriodMs: 60_000,
  nodeEviction: { rate: 0.1, secondaryRate: 0.01, largeClusterSize: 50, unhealthyZoneShare: 0.55 },
  terminatedPodGcThreshold: 12_500,
  legacyTokenCleanUpPeriodMs: 365 * 86_400_000,
  forceDetachOnTimeout: true,
  horizontalPodAutoscaler: { syncPeriodMs: 15_000, tolerance: 0.1, downscaleStabilizationMs: 300_000, cpuInitializationPeriodMs: 300_000, initialReadinessDelayMs: 30_000 },
  maxEndpointsPerSlice: 100,
  resourceQuotaSyncPeriodMs: 300_000,
  mirroringMaxEndpointsPerSubset: 1000,
  concurrent: { daemonSet: 2, statefulSet: 5, deployment: 5, replicaset: 5, replicationController: 5, endpoint: 5, service: 5, mirroring: 5, horizontalPodAutoscaler: 5, namespace: 10, serviceAccount: 5, serviceAccountToken: 5, ephemeralVolume: 5, deviceTaintEviction: 8, garbageCollector: 20, job: 5, cronJob: 5, ttlAfterFinished: 5, resourceQuota: 5 },
};

const duration = (normal: string, help: string): Flag & { kind: 'string'; default: string } => ({ kind: 'string', placeholder: 'DURATION', default: normal, help });
const fraction = (normal: string, help: string): Flag & { kind: 'string'; default: string } => ({ kind: 'string', placeholder: 'NUMBER', default: normal, help });
/** Flags of the signers that may have a CA of their own, and their names. */
const signerFlags = {
  'kubelet-serving': 'kubernetes.io/kubelet-serving', 'kubelet-client': 'kubernetes.io/kube-apiserver-client-kubelet',
  'kube-apiserver-client': 'kubernetes.io/kube-apiserver-client', 'legacy-unknown': 'kubernetes.io/legacy-unknown',
} as const;
type SignerFlag = keyof typeof signerFlags;
const signerFile = <K extends SignerFlag, P extends 'cert' | 'key'>(signer: K, part: P) =>
  ({ [`cluster-signing-${signer}-${part}-file`]: { kind: 'string', placeholder: 'PATH', default: '', help: `${part === 'cert' ? 'CA certificate' : 'Private key'} of signer ${signerFlags[signer]} alone.` } }) as Record<`cluster-signing-${K}-${P}-file`, Flag & { kind: 'string'; default: string }>; // one key, as named
const workers = (what: string, number: number): Flag & { kind: 'number'; default: number } =>
  ({ kind: 'number', default: number, min: 1, help: `${what} that are worked on at a time.` });

export const flags = {
  'kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'How to reach the API server, as system:kube-controller-manager.' },
  'master': { kind: 'string', placeholder: 'URL', help: 'Address of the API server, in place of the one in the kubeconfig.' },
  'controllers': { kind: 'list', placeholder: 'NAME,…', default: ['*'], help: 'Controllers to run: * all that are on by default, NAME on, -NAME off; also by the short names of before.' },
  'leader-elect': { kind: 'boolean', default: true, help: 'Run only while holding a lease, so that one of several works.' },
  'leader-elect-resource-namespace': { kind: 'string', placeholder: 'NAMESPACE', default: defaultConfig.leaseNamespace, help: 'Namespace of the lease.' },
  'leader-elect-resource-name': { kind: 'string', placeholder: 'NAME', default: defaultConfig.leaseName, help: 'Name of the lease.' },
  'leader-elect-resource-lock': { kind: 'string', oneOf: ['leases'], default: 'leases', help: 'Kind of the object that is the lock.' },
  'leader-elect-lease-duration': duration('15s', 'How long a lease that is not renewed keeps others out.'),
  'leader-elect-renew-deadline': duration('10s', 'How long the leader tries to renew before it gives up.'),
  'leader-elect-retry-period': duration('2s', 'Pause between attempts.'),
  ...servingFlags(10_257, ['/configz']),
  'use-service-account-credentials': { kind: 'boolean', default: true, help: 'Each controller writes as its own service account.' },
  'root-ca-file': { kind: 'string', placeholder: 'PATH', default: '', help: 'CA certificate to publish as ConfigMap kube-root-ca.crt in every namespace.' },
  'cluster-signing-cert-file': { kind: 'string', placeholder: 'PATH', default: '', help: 'CA certificate that certificate signing requests are signed with.' },
  'cluster-signing-key-file': { kind: 'string', placeholder: 'PATH', default: '', help: 'Its private key.' },
  ...signerFile('kubelet-serving', 'cert'), ...signerFile('kubelet-serving', 'key'), ...signerFile('kubelet-client', 'cert'), ...signerFile('kubelet-client', 'key'),
  ...signerFile('kube-apiserver-client', 'cert'), ...signerFile('kube-apiserver-client', 'key'), ...signerFile('legacy-unknown', 'cert'), ...signerFile('legacy-unknown', 'key'),
  'cluster-signing-duration': duration('8760h0m0s', 'The longest that a certificate signed here is good for.'),
  'service-account-private-key-file': { kind: 'string', placeholder: 'PATH', default: '', help: 'Key that signs the tokens of Secrets of type kubernetes.io/service-account-token.' },
  'allocate-node-cidrs': { kind: 'boolean', default: false, help: 'Give each node a part of --cluster-cidr for its pods.' },
  'cluster-cidr': { kind: 'string', placeholder: 'CIDR', default: '', help: 'Addresses of all pods: a network, or one of each family with a comma between them.' },
  'node-cidr-mask-size': { kind: 'number', min: 8, max: 128, help: "Prefix length of a node's part when --cluster-cidr is one network (default 24, with IPv6 64)." },
  'node-cidr-mask-size-ipv4': { kind: 'number', default: 24, min: 8, max: 32, help: "Prefix length of a node's IPv4 part." },
  'node-cidr-mask-size-ipv6': { kind: 'number', default: 64, min: 8, max: 128, help: "Prefix length of a node's IPv6 part." },
  'node-monitor-period': duration('5s', 'How often nodes are looked at.'),
  'node-monitor-grace-period': duration('50s', 'A node silent for so long is Unknown.'),
  'node-startup-grace-period': duration('1m0s', 'The same for a node that never reported.'),
  'node-eviction-rate': fraction('0.1', 'Nodes a second and zone that are tainted so that their pods leave.'),
  'secondary-node-eviction-rate': fraction('0.01', 'The same in a large zone of which too many nodes are down; a small one loses none.'),
  'large-cluster-size-threshold': { kind: 'number', default: 50, min: 0, help: 'Nodes that make a zone large.' },
  'unhealthy-zone-threshold': fraction('0.55', 'Share of a zone (three nodes at least) that makes too many.'),
  'terminated-pod-gc-threshold': { kind: 'number', default: 12_500, help: 'Terminated pods kept; 0 keeps all.' },
  'legacy-service-account-token-clean-up-period': duration('8760h0m0s', 'How long tokens of before that nobody uses are kept.'),
  'disable-force-detach-on-timeout': { kind: 'boolean', default: false, help: 'Leave volumes on a node that is not ready for as long as it says that they are in use.' },
  'horizontal-pod-autoscaler-sync-period': duration('15s', 'How often each HorizontalPodAutoscaler is looked at.'),
  'horizontal-pod-autoscaler-tolerance': fraction('0.1', 'Share of its target by which a metric may differ without effect.'),
  'horizontal-pod-autoscaler-downscale-stabilization': duration('5m0s', 'How long a higher recommendation holds scaling down back.'),
  'horizontal-pod-autoscaler-cpu-initialization-period': duration('5m0s', 'How long after its start the CPU samples of an unready pod do not count.'),
  'horizontal-pod-autoscaler-initial-readiness-delay': duration('30s', 'How long after its start a readiness change counts as the first one.'),
  'concurrent-horizontal-pod-autoscaler-syncs': workers('HorizontalPodAutoscalers', 5),
  'max-endpoints-per-slice': { kind: 'number', default: 100, min: 1, max: 1000, help: 'Endpoints in one EndpointSlice.' },
  'mirroring-max-endpoints-per-subset': { kind: 'number', default: 1000, min: 1, max: 1000, help: 'Addresses of one subset of Endpoints that are mirrored to an EndpointSlice.' },
  'mirroring-concurrent-service-endpoint-syncs': workers('Endpoints that are mirrored', 5),
  'resource-quota-sync-period': duration('5m0s', 'How often all quotas are counted again; 0 never.'),
  'concurrent-deployment-syncs': workers('Deployments', 5),
  'concurrent-daemonset-syncs': workers('DaemonSets', 2),
  'concurrent-statefulset-syncs': workers('StatefulSets', 5),
  'concurrent-replicaset-syncs': workers('ReplicaSets', 5),
  'concurrent-rc-syncs': workers('ReplicationControllers', 5),
  'concurrent-endpoint-syncs': workers('Endpoints', 5),
  'concurrent-service-endpoint-syncs': workers('Services (EndpointSlices)', 5),
  'concurrent-namespace-syncs': workers('Namespaces that are going away', 10),
  'concurrent-serviceaccount-token-syncs': workers('Secrets of service account tokens', 5),
  'concurrent-ephemeralvolume-syncs': workers('Pods with ephemeral volumes', 5),
  'concurrent-device-taint-eviction-syncs': workers('Pods with devices', 8),
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
  const { leaseProblems } = await import('#machinery/client/lease.ts');
  const { loadKubeconfig } = await import('#machinery/client/kubeconfig.ts');
  const { readFile } = await import('node:fs/promises');
  const text = async (path: string): Promise<string> => (path === '' ? '' : readFile(path, 'utf8'));
  const { 'cluster-signing-cert-file': certFile, 'cluster-signing-key-file': keyFile } = values;
  if ((certFile === '') !== (keyFile === '')) throw new UsageError('--cluster-signing-cert-file and --cluster-signing-key-file are given together or not at all');
  const ms = (name: keyof typeof flags): number => durationMs(name, String(values[name]));
  const signerCas: Record<string, { cert: string; key: string }> = {};
  for (const signer of Object.keys(signerFlags) as SignerFlag[]) { // its own keys
    const [cert, key] = [values[`cluster-signing-${signer}-cert-file`], values[`cluster-signing-${signer}-key-file`]];
    if ((cert === '') !== (key === '')) throw new UsageError(`--cluster-signing-${signer}-cert-file and --cluster-signing-${signer}-key-file are given together or not at all`);
    if (cert !== '') signerCas[signerFlags[signer]] = { cert: await text(cert), key: await text(key) };
  }
  if (certFile !== '' && Object.keys(signerCas).length > 0) throw new UsageError('--cluster-signing-cert-file is for all signers: it does not go with a file for one of them');
  const share = (name: 'horizontal-pod-autoscaler-tolerance' | 'node-eviction-rate' | 'secondary-node-eviction-rate' | 'unhealthy-zone-threshold'): number => {
    const number = Number(values[name]);
    if (!(number >= 0)) throw new UsageError(`--${name} takes a number of 0 or more, not "${values[name]}"`);
    return number;
  };
  if (values['node-cidr-mask-size'] !== undefined && values['cluster-cidr'].includes(',')) throw new UsageError('--node-cidr-mask-size is for one network; with two there are --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6');
  const lease = { leaseDurationMs: ms('leader-elect-lease-duration'), renewDeadlineMs: ms('leader-elect-renew-deadline'), retryPeriodMs: ms('leader-elect-retry-period') };
  const [problem] = values['leader-elect'] ? leaseProblems(lease) : [];
  if (problem) throw new UsageError(problem);
  const client = await loadKubeconfig(values.kubeconfig);
  return {
    ...defaultConfig,
    client: { ...client, ...(values.master === undefined ? {} : { server: values.master }), userAgent: 'kube-controller-manager' },
    controllers: values.controllers,
    leaderElect: values['leader-elect'],
    leaseNamespace: values['leader-elect-resource-namespace'],
    leaseName: values['leader-elect-resource-name'],
    leaderElectLeaseDurationMs: lease.leaseDurationMs,
    leaderElectRenewDeadlineMs: lease.renewDeadlineMs,
    leaderElectRetryPeriodMs: lease.retryPeriodMs,
    serving: await servingOf(values),
    useServiceAccountCredentials: values['use-service-account-credentials'],
    ...(certFile === '' ? {} : { clusterSigning: { cert: await text(certFile), key: await text(keyFile) } }),
    signerCas,
    clusterSigningDurationMs: ms('cluster-signing-duration'),
    serviceAccountPrivateKey: await text(values['service-account-private-key-file']),
    rootCa: await text(values['root-ca-file']),
    allocateNodeCidrs: values['allocate-node-cidrs'],
    clusterCidr: values['cluster-cidr'],
    nodeCidrMaskSizes: { ipv4: values['node-cidr-mask-size'] ?? values['node-cidr-mask-size-ipv4'], ipv6: values['node-cidr-mask-size'] ?? values['node-cidr-mask-size-ipv6'] },
    nodeMonitorPeriodMs: ms('node-monitor-period'),
    nodeMonitorGracePeriodMs: ms('node-monitor-grace-period'),
    nodeStartupGracePeriodMs: ms('node-startup-grace-period'),
    nodeEviction: {
      rate: share('node-eviction-rate'), secondaryRate: share('secondary-node-eviction-rate'),
      largeClusterSize: values['large-cluster-size-threshold'], unhealthyZoneShare: share('unhealthy-zone-threshold'),
    },
    terminatedPodGcThreshold: values['terminated-pod-gc-threshold'],
    legacyTokenCleanUpPeriodMs: ms('legacy-service-account-token-clean-up-period'),
    forceDetachOnTimeout: !values['disable-force-detach-on-timeout'],
    horizontalPodAutoscaler: {
      syncPeriodMs: ms('horizontal-pod-autoscaler-sync-period'), tolerance: share('horizontal-pod-autoscaler-tolerance'),
      downscaleStabilizationMs: ms('horizontal-pod-autoscaler-downscale-stabilization'),
      cpuInitializationPeriodMs: ms('horizontal-pod-autoscaler-cpu-initialization-period'),
      initialReadinessDelayMs: ms('horizontal-pod-autoscaler-initial-readiness-delay'),
    },
    maxEndpointsPerSlice: values['max-endpoints-per-slice'],
    resourceQuotaSyncPeriodMs: ms('resource-quota-sync-period'),
    mirroringMaxEndpointsPerSubset: values['mirroring-max-endpoints-per-subset'],
    concurrent: {
      daemonSet: values['concurrent-daemonset-syncs'], statefulSet: values['concurrent-statefulset-syncs'],
      deployment: values['concurrent-deployment-syncs'], replicaset: values['concurrent-replicaset-syncs'],
      replicationController: values['concurrent-rc-syncs'], endpoint: values['concurrent-endpoint-syncs'],
      service: values['concurrent-service-endpoint-syncs'], mirroring: values['mirroring-concurrent-service-endpoint-syncs'],
      horizontalPodAutoscaler: values['concurrent-horizontal-pod-autoscaler-syncs'], namespace: values['concurrent-namespace-syncs'],
      serviceAccount: defaultConfig.concurrent.serviceAccount, serviceAccountToken: values['concurrent-serviceaccount-token-syncs'],
      ephemeralVolume: values['concurrent-ephemeralvolume-syncs'], deviceTaintEviction: values['concurrent-device-taint-eviction-syncs'], garbageCollector: values['concurrent-gc-syncs'],
      job: values['concurrent-job-syncs'], cronJob: values['concurrent-cron-job-syncs'], ttlAfterFinished: values['concurrent-ttl-after-finished-syncs'],
      resourceQuota: values['concurrent-resource-quota-syncs'],
    },
  };
}
