// Profiles: which plugins decide about the pods of one `spec.schedulerName`, in which order, with which weights and arguments.
// Upstream: mergePlugins in pkg/scheduler/apis/config/v1, expandMultiPointPlugins in pkg/scheduler/framework/runtime.
import type { Plugin } from './plugin.ts';
import { defaultArgs, type PluginArgs, type PreemptionArgs } from './plugin-args.ts';
import { configurable, plugins as builtIn } from './plugins/all.ts';

/** Those of upstream's that a configuration may change here; the rest of a cycle is not made of plugins. */
export const extensionPoints = ['preEnqueue', 'queueSort', 'preFilter', 'filter', 'postFilter', 'preScore', 'score', 'reserve', 'permit', 'preBind', 'bind', 'postBind'] as const;
export type ExtensionPoint = (typeof extensionPoints)[number];

export interface PluginChoice { readonly name: string; readonly weight?: number | undefined }
export interface PluginSet { readonly enabled: readonly PluginChoice[]; readonly disabled: readonly string[] }
export interface ProfileConfig {
  readonly schedulerName: string;
  /** Beside the default ones. */
  readonly plugins: Partial<Readonly<Record<ExtensionPoint | 'multiPoint', PluginSet>>>;
  readonly args: Partial<PluginArgs>;
  /** undefined: as for the whole scheduler. */
  readonly percentageOfNodesToScore?: number | undefined;
}

export interface Profile {
  readonly schedulerName: string;
  /** In the order in which they filter; one that only filters has no `prepareScore`, and the other way round. */
  readonly plugins: readonly Plugin[];
  /** undefined: nobody is removed to make room. */
  readonly preemption: PreemptionArgs | undefined;
  /** Whether schedulingGates keep pods out of the queue. */
  readonly gates: boolean;
  /** Whether pods wait for their resource claims. */
  readonly claims: boolean;
  readonly percentageOfNodesToScore: number | undefined;
}

export const defaultProfile: ProfileConfig = { schedulerName: 'default-scheduler', plugins: {}, args: {} };

/** Steps of the scheduler itself that upstream has as plugins. */
const steps: Readonly<Record<string, readonly ExtensionPoint[]>> = {
  SchedulingGates: ['preEnqueue'], PrioritySort: ['queueSort'], DefaultPreemption: ['postFilter'], DefaultBinder: ['bind'],
};
/** Upstream's that are on there and not built here: they may be switched off, not on. */
const notBuilt = ['GangScheduling', 'TopologyPlacementGenerator', 'PodGroupPodsCount'];

const byName = new Map(builtIn.map((plugin) => [plugin.name, plugin]));
const order = ['SchedulingGates', 'PrioritySort', ...builtIn.map(({ name }) => name), 'DefaultPreemption', 'DefaultBinder'];

function pointsOf(name: string): readonly ExtensionPoint[] {
  const plugin = byName.get(name);
  if (!plugin) return steps[name] ?? [];
  return [...(plugin.prepareFilter ? ['preFilter', 'filter'] as const : []), ...(plugin.prepareScore ? ['preScore', 'score'] as const : []), ...(plugin.points ?? [])];
}

/** Why the plugins of this profile cannot be had; upstream's words where it refuses the same. */
export function problemsOf({ schedulerName, plugins }: ProfileConfig): string[] {
  const problems: string[] = [];
  for (const [point, set] of Object.entries(plugins)) {
    const seen = new Set<string>();
    for (const { name } of set.enabled) {
      if (notBuilt.includes(name)) problems.push(`${point}: plugin "${name}" is not built into this scheduler`);
      else if (!order.includes(name)) problems.push(`${point}: plugin "${name}" does not exist`);
      else if (point !== 'multiPoint' && !pointsOf(name).includes(point as ExtensionPoint)) problems.push(`${point}: plugin "${name}" does not extend ${point} plugin`);
      if (seen.has(name)) problems.push(`${point}: plugin "${name}" already registered`);
      seen.add(name);
    }
  }
  if (problems.length > 0) return problems;
  const at = (point: ExtensionPoint): PluginChoice[] => enabledAt(plugins, point);
  if (at('queueSort').length !== 1) problems.push(`only one queue sort plugin required for profile with scheduler name "${schedulerName}", but got ${at('queueSort').length}`);
  if (at('bind').length === 0) problems.push(`at least one bind plugin is needed for profile with scheduler name "${schedulerName}"`);
  for (const [first, second] of [['preFilter', 'filter'], ['preScore', 'score']] as const) {
    const off = plugins[first]?.disabled ?? [];
    for (const { name } of at(second)) {
      const without = off.includes(name) || (off.includes('*') && pointsOf(name).includes(first) && !at(first).some((one) => one.name === name));
      if (without) problems.push(`plugin "${name}" is disabled at ${first} and enabled at ${second}, which needs the former`);
    }
  }
  return problems;
}

/** Throws an Error that names every problem. `ignoredResources`: those that extenders look after, beside what its arguments say. */
export function createProfile(config: ProfileConfig, ignoredResources: readonly string[] = []): Profile {
  const problems = problemsOf(config);
  if (problems.length > 0) throw new Error(`profile ${config.schedulerName}: ${problems.join('; ')}`);
  const given: PluginArgs = { ...defaultArgs, ...config.args };
  const args = { ...given, NodeResourcesFit: { ...given.NodeResourcesFit, ignoredResources: [...given.NodeResourcesFit.ignoredResources, ...ignoredResources] } };
  const filters = enabledAt(config.plugins, 'filter').map(({ name }) => name);
  const scores = new Map(enabledAt(config.plugins, 'score').map(({ name, weight }) => [name, weight]));
  const plugins: Plugin[] = [];
  for (const name of new Set([...filters, ...scores.keys()])) {
    const plugin = configurable[name]?.(args) ?? byName.get(name);
    if (!plugin) continue;
    const adapted: Plugin = { ...plugin, weight: scores.get(name) || plugin.weight || 1 };
    if (!filters.includes(name)) delete adapted.prepareFilter;
    if (!scores.has(name)) delete adapted.prepareScore;
    plugins.push(adapted);
  }
  return {
    schedulerName: config.schedulerName, plugins,
    preemption: enabledAt(config.plugins, 'postFilter').some(({ name }) => name === 'DefaultPreemption') ? args.DefaultPreemption : undefined,
    claims: filters.includes('DynamicResources'),
    gates: enabledAt(config.plugins, 'preEnqueue').some(({ name }) => name === 'SchedulingGates'),
    percentageOfNodesToScore: config.percentageOfNodesToScore,
  };
}

/** Those at one extension point: what the point itself replaces, then multiPoint's, then what only the point names. */
function enabledAt(plugins: ProfileConfig['plugins'], point: ExtensionPoint): PluginChoice[] {
  const { enabled = [], disabled = [] } = plugins[point] ?? {};
  const everywhere = disabled.includes('*') ? [] : merged(plugins.multiPoint).filter(({ name }) => pointsOf(name).includes(point) && !disabled.includes(name));
  const named = new Set(enabled.map(({ name }) => name));
  const both = new Set(everywhere.filter(({ name }) => named.has(name)).map(({ name }) => name));
  return [...enabled.filter(({ name }) => both.has(name)), ...everywhere.filter(({ name }) => !both.has(name)), ...enabled.filter(({ name }) => !both.has(name))];
}

/** The default plugins with what the profile changes about them, then those it adds. */
function merged({ enabled = [], disabled = [] }: Partial<PluginSet> = {}): PluginChoice[] {
  const kept = disabled.includes('*') ? [] : order.filter((name) => !disabled.includes(name));
  return [...kept.map((name) => enabled.find((choice) => choice.name === name) ?? { name }), ...enabled.filter(({ name }) => !kept.includes(name))];
}
