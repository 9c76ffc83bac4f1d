// What a scheduler needs to know. Flags bear upstream's names; in one process the same type is filled without files.
import { readFile } from 'node:fs/promises';
import type { ClientConfig } from '#machinery/client/types.ts';
import { durationMs, UsageError, parseFlags, type FlagTable, type FlagValues } from '#machinery/base/flags.ts';
import { servingFlags, servingOf, type ServingConfig } from '#machinery/serving/flags.ts';
import { leaseProblems } from '#machinery/client/lease.ts';
import type { FileConfig } from './config-file.ts';
import { defaultProfile } from './profile.ts';

export interface SchedulerConfig extends Omit<FileConfig, 'kubeconfig'> {
  client: ClientConfig;
  /** Bindings and reports under way at once; the next cycle waits beyond that. */
  maxInFlight: number;
  /** A pod that waits for an event gets another try after so long without one. */
  maxUnschedulableMs: number;
  /** Health and metrics over HTTPS; undefined: not served. */
  serving: ServingConfig | undefined;
}

export const defaultConfig: Omit<SchedulerConfig, 'client' | 'extenders'> & { extenders: readonly never[] } = {
  leaderElect: true,
  leaseNamespace: 'kube-system',
  leaseName: 'kube-scheduler',
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2_000,
  profiles: [defaultProfile],
  extenders: [],
  percentageOfNodesToScore: 0,
  initialBackoffMs: 1_000,
  maxBackoffMs: 10_000,
  maxInFlight: 64,
  maxUnschedulableMs: 5 * 60_000,
  serving: undefined,
};

export const flags = {
  'config': { kind: 'string', placeholder: 'PATH', help: 'A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1); --leader-elect… flags that are given win over it.' },
  'kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'File that says which API server to speak to, and as whom; clientConnection.kubeconfig of --config comes first.' },
  'master': { kind: 'string', placeholder: 'URL', help: 'Address of the API server, in place of the one in the kubeconfig.' },
  'leader-elect': { kind: 'boolean', help: 'Take a lease first, so that only one of several schedulers works (default true).' },
  'leader-elect-resource-namespace': { kind: 'string', placeholder: 'NAMESPACE', help: 'Namespace of the lease (default kube-system).' },
  'leader-elect-resource-name': { kind: 'string', placeholder: 'NAME', help: 'Name of the lease (default kube-scheduler).' },
  'leader-elect-resource-lock': { kind: 'string', oneOf: ['leases'], default: 'leases', help: 'Kind of the object that is the lock.' },
  'leader-elect-lease-duration': { kind: 'string', placeholder: 'DURATION', help: 'How long a lease that is not renewed keeps others out (default 15s).' },
  'leader-elect-renew-deadline': { kind: 'string', placeholder: 'DURATION', help: 'How long the leader tries to renew before it gives up (default 10s).' },
  'leader-elect-retry-period': { kind: 'string', placeholder: 'DURATION', help: 'Pause between attempts (default 2s).' },
  'pod-max-in-unschedulable-pods-duration': { kind: 'string', placeholder: 'DURATION', default: '5m0s', help: 'A pod that waits for an event gets another try after so long without one.' },
  ...servingFlags(10_259, []),
} as const satisfies FlagTable;

/** Throws UsageError on flags that cannot be taken, Error on a file that cannot be read or says what cannot be. */
export async function readConfig(args: readonly string[]): Promise<SchedulerConfig> {
  return configOf(parseFlags(flags, args));
}

async function configOf(values: FlagValues<typeof flags>): Promise<SchedulerConfig> {
  const file = values.config === undefined ? undefined : await readConfigurationFile(values.config);
  const kubeconfig = file?.kubeconfig || values.kubeconfig;
  if (!kubeconfig) throw new UsageError('--kubeconfig is needed');
  const from = { ...defaultConfig, ...file };
  const duration = (name: 'leader-elect-lease-duration' | 'leader-elect-renew-deadline' | 'leader-elect-retry-period', otherwise: number): number =>
    values[name] === undefined ? otherwise : durationMs(name, values[name]);
  const lease = {
    leaderElect: values['leader-elect'] ?? from.leaderElect,
    leaseNamespace: values['leader-elect-resource-namespace'] ?? from.leaseNamespace,
    leaseName: values['leader-elect-resource-name'] ?? from.leaseName,
    leaseDurationMs: duration('leader-elect-lease-duration', from.leaseDurationMs),
    renewDeadlineMs: duration('leader-elect-renew-deadline', from.renewDeadlineMs),
    retryPeriodMs: duration('leader-elect-retry-period', from.retryPeriodMs),
  };
  const [problem] = lease.leaderElect ? leaseProblems(lease) : [];
  if (problem) throw new UsageError(problem);
  const { loadKubeconfig } = await import('#machinery/client/kubeconfig.ts');
  const client = { userAgent: 'kube-scheduler', ...(await loadKubeconfig(kubeconfig)) };
  return {
    ...defaultConfig,
    ...lease,
    client: values.master === undefined ? client : { ...client, server: values.master },
    profiles: from.profiles,
    extenders: from.extenders,
    percentageOfNodesToScore: from.percentageOfNodesToScore,
    initialBackoffMs: from.initialBackoffMs,
    maxBackoffMs: from.maxBackoffMs,
    maxUnschedulableMs: durationMs('pod-max-in-unschedulable-pods-duration', values['pod-max-in-unschedulable-pods-duration']),
    serving: await servingOf(values),
  };
}

/** Errors name the file. */
export async function readConfigurationFile(path: string): Promise<FileConfig> {
  try {
    const [{ parse }, { readConfiguration }] = await Promise.all([import('yaml'), import('./config-file.ts')]);
    return readConfiguration(parse(await readFile(path, 'utf8')));
  } catch (cause) {
    throw new Error(`--config ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
