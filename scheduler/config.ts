// What a scheduler needs to know. Flags bear upstream's names; in one process the same type is filled without files.
import type { ClientConfig } from '#machinery/client/types.ts';
import { durationMs, UsageError, parseFlags, type FlagTable } from '#machinery/base/flags.ts';

export interface SchedulerConfig {
  client: ClientConfig;
  leaderElect: boolean;
  leaseNamespace: string;
  leaseName: string;
  leaseDurationMs: number;
  renewDeadlineMs: number;
  retryPeriodMs: number;
  /** Pods with this `spec.schedulerName` are ours. */
  schedulerName: string;
  /** 0: the fewer the larger the cluster is, as upstream. */
  percentageOfNodesToScore: number;
  /** Bindings and reports under way at once; the next cycle waits beyond that. */
  maxInFlight: number;
}

export const defaultConfig: Omit<SchedulerConfig, 'client'> = {
  leaderElect: true,
  leaseNamespace: 'kube-system',
  leaseName: 'kube-scheduler',
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2_000,
  schedulerName: 'default-scheduler',
  percentageOfNodesToScore: 0,
  maxInFlight: 64,
};

export const flags = {
  'kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'File that says which API server to speak to, and as whom.' },
  'leader-elect': { kind: 'boolean', default: true, help: 'Take a lease first, so that only one of several schedulers works.' },
  'leader-elect-resource-namespace': { kind: 'string', placeholder: 'NAMESPACE', default: 'kube-system', help: 'Namespace of the lease.' },
  'leader-elect-resource-name': { kind: 'string', placeholder: 'NAME', default: 'kube-scheduler', help: 'Name of the lease.' },
  'leader-elect-lease-duration': { kind: 'string', placeholder: 'DURATION', default: '15s', help: 'How long a lease that is not renewed keeps others out.' },
  'leader-elect-renew-deadline': { kind: 'string', placeholder: 'DURATION', default: '10s', help: 'How long the leader tries to renew before it gives up.' },
  'leader-elect-retry-period': { kind: 'string', placeholder: 'DURATION', default: '2s', help: 'Pause between attempts.' },
} as const satisfies FlagTable;

/** Throws UsageError on flags that cannot be taken, Error on a kubeconfig that cannot be read. */
export async function readConfig(args: readonly string[]): Promise<SchedulerConfig> {
  const values = parseFlags(flags, args);
  if (!values.kubeconfig) throw new UsageError('--kubeconfig is needed');
  const { loadKubeconfig } = await import('#machinery/client/kubeconfig.ts');
  return {
    ...defaultConfig,
    client: { userAgent: 'kube-scheduler', ...(await loadKubeconfig(values.kubeconfig)) },
    leaderElect: values['leader-elect'],
    leaseNamespace: values['leader-elect-resource-namespace'],
    leaseName: values['leader-elect-resource-name'],
    leaseDurationMs: durationMs('leader-elect-lease-duration', values['leader-elect-lease-duration']),
    renewDeadlineMs: durationMs('leader-elect-renew-deadline', values['leader-elect-renew-deadline']),
    retryPeriodMs: durationMs('leader-elect-retry-period', values['leader-elect-retry-period']),
  };
}
