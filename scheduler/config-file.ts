// A KubeSchedulerConfiguration file (kubescheduler.config.k8s.io/v1) as settings of this scheduler. What is not built is refused by
// name, not ignored.
import { leaseProblems } from '#machinery/client/lease.ts';
import { Section } from './config-section.ts';
import { readExtenders } from './extender-config.ts';
import type { ExtenderConfig } from './extender.ts';
import { readArgs, takesArgs, type PluginArgs } from './plugin-args.ts';
import { defaultProfile, extensionPoints, problemsOf, type PluginSet, type ProfileConfig } from './profile.ts';

/** What a file may say; the rest are flags. */
export interface FileConfig {
  /** '' when the file leaves it to --kubeconfig. */
  kubeconfig: string;
  leaderElect: boolean;
  leaseNamespace: string;
  leaseName: string;
  leaseDurationMs: number;
  renewDeadlineMs: number;
  retryPeriodMs: number;
  profiles: readonly ProfileConfig[];
  extenders: readonly ExtenderConfig[];
  percentageOfNodesToScore: number;
  initialBackoffMs: number;
  maxBackoffMs: number;
}

const apiVersion = 'kubescheduler.config.k8s.io/v1';
/** Removed upstream before v1, and said so by name. */
const removedPlugins = ['AzureDiskLimits', 'CinderLimits', 'EBSLimits', 'GCEPDLimits'];

/** Throws an Error that lists all problems. */
export function readConfiguration(document: unknown): FileConfig {
  const problems: string[] = [];
  const top = new Section(document, '', problems);
  const version = top.string('apiVersion', '');
  const kind = top.string('kind', '');
  if (version !== apiVersion || kind !== 'KubeSchedulerConfiguration') {
    throw new Error(`no kind "${kind}" is registered for version "${version}"; this scheduler reads KubeSchedulerConfiguration of ${apiVersion}`);
  }
  const parallelism = top.number('parallelism', 16);
  if (parallelism <= 0) top.invalid('parallelism', parallelism, 'should be an integer value greater than zero');
  const percentageOfNodesToScore = percentage(top) ?? 0;
  const initial = top.number('podInitialBackoffSeconds', 1);
  const max = top.number('podMaxBackoffSeconds', 10);
  if (initial <= 0) top.invalid('podInitialBackoffSeconds', initial, 'must be greater than 0');
  if (max < initial) top.invalid('podMaxBackoffSeconds', max, 'must be greater than or equal to PodInitialBackoffSeconds');
  const extenders = readExtenders(top);
  if (top.boolean('delayCacheUntilActive', false)) top.problem('delayCacheUntilActive', 'Forbidden: this scheduler always keeps its cache current');
  top.boolean('enableProfiling', true); // there is no profiling page to switch off
  top.boolean('enableContentionProfiling', true);
  const config = { ...leaderElection(top.section('leaderElection')), kubeconfig: clientConnection(top.section('clientConnection')) };
  const profiles = readProfiles(top);
  top.done();
  if (problems.length > 0) throw new Error(problems.length === 1 ? problems[0] : `[${problems.join(', ')}]`);
  return { ...config, profiles, extenders, percentageOfNodesToScore, initialBackoffMs: initial * 1000, maxBackoffMs: max * 1000 };
}

function leaderElection(section: Section) {
  const read = {
    leaderElect: section.boolean('leaderElect', true),
    leaseDurationMs: section.durationMs('leaseDuration', 15_000),
    renewDeadlineMs: section.durationMs('renewDeadline', 10_000),
    retryPeriodMs: section.durationMs('retryPeriod', 2_000),
    leaseNamespace: section.string('resourceNamespace', '') || 'kube-system',
    leaseName: section.string('resourceName', '') || 'kube-scheduler',
  };
  const lock = section.string('resourceLock', 'leases') || 'leases';
  if (read.leaderElect) {
    for (const problem of leaseProblems(read)) section.problem('', problem);
    if (lock !== 'leases') section.invalid('resourceLock', lock, 'resourceLock value must be "leases"');
  }
  section.done();
  return read;
}

function clientConnection(section: Section): string {
  const kubeconfig = section.string('kubeconfig', '');
  section.string('acceptContentTypes', '');
  section.string('contentType', ''); // JSON is spoken whatever is wished for
  section.raw('qps'); // requests are bounded by how many are under way, not by a rate
  if (section.number('burst', 0) < 0) section.invalid('burst', section.raw('burst'), 'must be non-negative');
  section.done();
  return kubeconfig;
}

function percentage(section: Section): number | undefined {
  const value = section.number('percentageOfNodesToScore', undefined);
  if (value !== undefined && (value < 0 || value > 100)) section.invalid('percentageOfNodesToScore', value, 'not in valid range [0-100]');
  return value;
}

function readProfiles(top: Section): ProfileConfig[] {
  const sections = top.sections('profiles');
  if (sections.length === 0) return [defaultProfile];
  const profiles = sections.map((section) => readProfile(section, sections.length === 1 ? defaultProfile.schedulerName : ''));
  profiles.forEach(({ schedulerName }, index) => {
    const first = profiles.findIndex((other) => other.schedulerName === schedulerName);
    if (schedulerName !== '' && first < index) sections[index]?.problem('schedulerName', `Duplicate value: "profiles[${first}].schedulerName"`);
  });
  return profiles;
}

function readProfile(section: Section, nameByDefault: string): ProfileConfig {
  const schedulerName = section.string('schedulerName', nameByDefault);
  if (schedulerName === '') section.problem('schedulerName', 'Required value');
  const sets: Partial<Record<(typeof extensionPoints)[number] | 'multiPoint', PluginSet>> = {};
  const plugins = section.section('plugins');
  for (const point of [...extensionPoints, 'multiPoint'] as const) if (plugins.has(point)) sets[point] = readPluginSet(plugins.section(point));
  for (const point of ['placementGenerate', 'placementScore']) if (plugins.raw(point) !== undefined) plugins.problem(point, 'Forbidden: pod groups are not built into this scheduler');
  plugins.done();
  const args: Partial<PluginArgs> = {};
  const seen = new Set<string>();
  for (const entry of section.sections('pluginConfig')) {
    const name = entry.string('name', '');
    if (seen.has(name)) entry.problem('', `Duplicate value: "${name}"`);
    seen.add(name);
    const own = entry.section('args');
    if (takesArgs(name)) Object.assign(args, readArgs(name, own));
    else if (removedPlugins.includes(name)) entry.problem('', `Invalid value: "${name}": was invalid in version "${apiVersion}" (KubeSchedulerConfiguration is version "${apiVersion}")`);
    else entry.problem('name', `Invalid value: "${name}": no plugin of this scheduler takes arguments under that name`);
    entry.done();
  }
  const profile = { schedulerName, plugins: sets, args, percentageOfNodesToScore: percentage(section) };
  section.done();
  for (const problem of problemsOf(profile)) section.problem('plugins', problem);
  return profile;
}

function readPluginSet(section: Section): PluginSet {
  const enabled = section.sections('enabled').map((entry) => {
    const choice = { name: entry.string('name', ''), weight: entry.number('weight', undefined) };
    if (choice.weight !== undefined && choice.weight < 0) entry.invalid('weight', choice.weight, 'must be non-negative');
    entry.done();
    return choice;
  });
  const disabled = section.sections('disabled').map((entry) => {
    const name = entry.string('name', '');
    entry.number('weight', 0); // upstream's type has it here too
    entry.done();
    return name;
  });
  section.done();
  return { enabled, disabled };
}
