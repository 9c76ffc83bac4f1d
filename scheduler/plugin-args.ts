// The arguments of the plugins that take any: types, upstream's defaults and limits (pkg/scheduler/apis/config).
import type { PodSpec } from '#machinery/api/object.ts';
import type { Section } from './config-section.ts';

type NodeAffinity = NonNullable<NonNullable<PodSpec['affinity']>['nodeAffinity']>;
export type TopologySpreadConstraint = NonNullable<PodSpec['topologySpreadConstraints']>[number];

export interface ResourceWeight { readonly name: string; readonly weight: number }
export interface ShapePoint { readonly utilization: number; readonly score: number }
export const scoringStrategies = ['LeastAllocated', 'MostAllocated', 'RequestedToCapacityRatio'] as const;
export interface FitArgs {
  readonly ignoredResources: readonly string[];
  readonly ignoredResourceGroups: readonly string[];
  readonly strategy: (typeof scoringStrategies)[number];
  readonly resources: readonly ResourceWeight[];
  /** Of RequestedToCapacityRatio; empty otherwise. */
  readonly shape: readonly ShapePoint[];
}
export interface BalancedArgs { readonly resources: readonly string[] }
export interface InterPodAffinityArgs { readonly hardPodAffinityWeight: number; readonly ignorePreferredTermsOfExistingPods: boolean }
export interface NodeAffinityArgs { readonly addedAffinity?: NodeAffinity | undefined }
/** Constraints of pods that bring none; undefined: the system's. */
export interface SpreadArgs { readonly defaultConstraints: readonly TopologySpreadConstraint[] | undefined }
export interface PreemptionArgs { readonly minCandidateNodesPercentage: number; readonly minCandidateNodesAbsolute: number }
export interface VolumeBindingArgs { readonly bindTimeoutSeconds: number }

export interface PluginArgs {
  DefaultPreemption: PreemptionArgs;
  InterPodAffinity: InterPodAffinityArgs;
  NodeAffinity: NodeAffinityArgs;
  NodeResourcesBalancedAllocation: BalancedArgs;
  NodeResourcesFit: FitArgs;
  PodTopologySpread: SpreadArgs;
  VolumeBinding: VolumeBindingArgs;
}

const cpuAndMemory: readonly ResourceWeight[] = [{ name: 'cpu', weight: 1 }, { name: 'memory', weight: 1 }];
export const defaultArgs: PluginArgs = {
  DefaultPreemption: { minCandidateNodesPercentage: 10, minCandidateNodesAbsolute: 100 },
  InterPodAffinity: { hardPodAffinityWeight: 1, ignorePreferredTermsOfExistingPods: false },
  NodeAffinity: {},
  NodeResourcesBalancedAllocation: { resources: ['cpu', 'memory'] },
  NodeResourcesFit: { ignoredResources: [], ignoredResourceGroups: [], strategy: 'LeastAllocated', resources: cpuAndMemory, shape: [] },
  PodTopologySpread: { defaultConstraints: undefined },
  VolumeBinding: { bindTimeoutSeconds: 600 },
};

type Readers = { [K in keyof PluginArgs]: (args: Section) => PluginArgs[K] };
const readers: Readers = {
  DefaultPreemption(args) {
    const percentage = args.number('minCandidateNodesPercentage', 10);
    const absolute = args.number('minCandidateNodesAbsolute', 100);
    inRange(args, 'minCandidateNodesPercentage', percentage, 0, 100);
    if (absolute < 0) args.invalid('minCandidateNodesAbsolute', absolute, 'not in valid range [0, inf)');
    if (percentage === 0 && absolute === 0) {
      args.invalid('minCandidateNodesPercentage', 0, 'cannot be zero at the same time as minCandidateNodesAbsolute');
      args.invalid('minCandidateNodesAbsolute', 0, 'cannot be zero at the same time as minCandidateNodesPercentage');
    }
    return { minCandidateNodesPercentage: percentage, minCandidateNodesAbsolute: absolute };
  },
  InterPodAffinity(args) {
    const weight = args.number('hardPodAffinityWeight', 1);
    inRange(args, 'hardPodAffinityWeight', weight, 0, 100);
    return { hardPodAffinityWeight: weight, ignorePreferredTermsOfExistingPods: args.boolean('ignorePreferredTermsOfExistingPods', false) };
  },
  NodeAffinity(args) {
    const affinity = args.section('addedAffinity');
    if (!args.has('addedAffinity')) return {};
    const required = affinity.section('requiredDuringSchedulingIgnoredDuringExecution');
    if (affinity.has('requiredDuringSchedulingIgnoredDuringExecution')) {
      const terms = required.sections('nodeSelectorTerms');
      if (terms.length === 0) required.problem('nodeSelectorTerms', 'Required value: must have at least one node selector term');
      terms.forEach(checkNodeTerm);
    }
    required.done();
    for (const preferred of affinity.sections('preferredDuringSchedulingIgnoredDuringExecution')) {
      inRange(preferred, 'weight', preferred.number('weight', 0), 1, 100);
      checkNodeTerm(preferred.section('preference'));
      preferred.done();
    }
    affinity.done();
    return { addedAffinity: args.raw('addedAffinity') as NodeAffinity }; // its shape was checked just above
  },
  NodeResourcesBalancedAllocation(args) {
    const resources = args.sections('resources').map((resource) => {
      const weight = resource.number('weight', 0) || 1;
      if (weight !== 1) resource.invalid('weight', weight, 'must be 1');
      const name = resource.string('name', '');
      resource.done();
      return name;
    });
    resources.forEach((name, index) => {
      if (resources.indexOf(name) < index) args.problem(`resources[${index}].name`, `Duplicate value: "${name}"`);
    });
    return { resources: resources.length > 0 ? resources : ['cpu', 'memory'] };
  },
  NodeResourcesFit(args) {
    const ignoredResources = args.strings('ignoredResources');
    const ignoredResourceGroups = args.strings('ignoredResourceGroups');
    ignoredResources.forEach((name, index) => labelName(args, `ignoredResources[${index}]`, name));
    ignoredResourceGroups.forEach((name, index) => {
      if (name.includes('/')) args.invalid(`ignoredResourceGroups[${index}]`, name, "resource group name can't contain '/'");
      labelName(args, `ignoredResourceGroups[${index}]`, name);
    });
    const strategy = args.section('scoringStrategy');
    const type = args.has('scoringStrategy') ? strategy.string('type', '') : 'LeastAllocated';
    const known = scoringStrategies.find((name) => name === type);
    if (!known) strategy.problem('type', `Unsupported value: "${type}": supported values: ${scoringStrategies.map((name) => `"${name}"`).join(', ')}`);
    const resources = strategy.sections('resources').map((resource) => {
      const read = { name: resource.string('name', ''), weight: resource.number('weight', 0) || 1 };
      if (read.weight < 0 || read.weight > 100) resource.invalid('weight', read.weight, `resource weight of ${read.name} not in valid range (0, 100]`);
      resource.done();
      return read;
    });
    const ratio = strategy.section('requestedToCapacityRatio');
    if (type !== 'RequestedToCapacityRatio') {
      if (strategy.has('requestedToCapacityRatio')) strategy.problem('requestedToCapacityRatio', 'Forbidden: must be nil when type is not RequestedToCapacityRatio');
    } else if (!strategy.has('requestedToCapacityRatio')) {
      strategy.problem('requestedToCapacityRatio', 'Required value: must be specified when type is RequestedToCapacityRatio');
    }
    const shape = type === 'RequestedToCapacityRatio' && strategy.has('requestedToCapacityRatio') ? readShape(ratio) : [];
    strategy.done();
    return { ignoredResources, ignoredResourceGroups, strategy: known ?? 'LeastAllocated', resources: resources.length > 0 ? resources : cpuAndMemory, shape };
  },
  PodTopologySpread(args) {
    const type = args.string('defaultingType', 'System');
    if (type !== 'System' && type !== 'List') args.problem('defaultingType', `Unsupported value: "${type}": supported values: "System", "List"`);
    const seen = new Set<string>();
    const defaultConstraints = args.sections('defaultConstraints').map((constraint, index): TopologySpreadConstraint => {
      const maxSkew = constraint.number('maxSkew', 0);
      const topologyKey = constraint.string('topologyKey', '');
      const whenUnsatisfiable = constraint.string('whenUnsatisfiable', '');
      if (maxSkew <= 0) constraint.invalid('maxSkew', maxSkew, 'not in valid range (0, inf)');
      if (topologyKey === '') constraint.problem('topologyKey', 'Required value: can not be empty');
      else labelName(constraint, 'topologyKey', topologyKey);
      if (whenUnsatisfiable === '') constraint.problem('whenUnsatisfiable', 'Required value: can not be empty');
      else if (!['DoNotSchedule', 'ScheduleAnyway'].includes(whenUnsatisfiable)) {
        constraint.problem('whenUnsatisfiable', `Unsupported value: "${whenUnsatisfiable}": supported values: "DoNotSchedule", "ScheduleAnyway"`);
      }
      if (constraint.raw('labelSelector') !== undefined) constraint.problem('labelSelector', 'Forbidden: constraint must not define a selector, as they deduced for each pod');
      const key = `{${topologyKey}, ${whenUnsatisfiable}}`;
      if (seen.has(key)) args.problem(`defaultConstraints[${index}]`, `Duplicate value: "${key}"`);
      seen.add(key);
      const minDomains = constraint.number('minDomains', undefined);
      const nodeAffinityPolicy = constraint.string('nodeAffinityPolicy', undefined);
      const nodeTaintsPolicy = constraint.string('nodeTaintsPolicy', undefined);
      constraint.done();
      return {
        maxSkew, topologyKey, whenUnsatisfiable, ...(minDomains === undefined ? {} : { minDomains }),
        ...(nodeAffinityPolicy === undefined ? {} : { nodeAffinityPolicy }), ...(nodeTaintsPolicy === undefined ? {} : { nodeTaintsPolicy }),
      };
    });
    if (type === 'System' && defaultConstraints.length > 0) args.invalid('defaultingType', type, 'when .defaultConstraints are not empty');
    return { defaultConstraints: type === 'List' ? defaultConstraints : undefined };
  },
  VolumeBinding(args) {
    const seconds = args.number('bindTimeoutSeconds', 600);
    if (seconds < 0) args.invalid('bindTimeoutSeconds', seconds, 'invalid BindTimeoutSeconds, should not be a negative value');
    if (args.raw('shape') !== undefined) args.problem('shape', 'Invalid value: unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring');
    return { bindTimeoutSeconds: seconds };
  },
};

export function takesArgs(plugin: string): plugin is keyof PluginArgs {
  return Object.hasOwn(readers, plugin);
}

/** Reads and checks one plugin's `args`; problems go to the section's list. */
export function readArgs(plugin: keyof PluginArgs, args: Section): Partial<PluginArgs> {
  const version = args.string('apiVersion', undefined);
  const kind = args.string('kind', undefined);
  if (version !== undefined && version !== 'kubescheduler.config.k8s.io/v1') args.invalid('apiVersion', version, 'must be kubescheduler.config.k8s.io/v1');
  if (kind !== undefined && kind !== `${plugin}Args`) args.problem('', 'Invalid value: has to match plugin args');
  const read = readers[plugin](args);
  args.done();
  return { [plugin]: read };
}

function inRange(section: Section, name: string, value: number, min: number, max: number): void {
  if (value < min || value > max) section.invalid(name, value, `not in valid range [${min}, ${max}]`);
}

function labelName(section: Section, name: string, value: string): void {
  const parts = value.split('/');
  const prefix = parts.length === 2 ? parts[0] ?? '' : undefined;
  const good = parts.length <= 2 && /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/.test(parts.at(-1) ?? '')
    && (prefix === undefined || /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(prefix));
  if (!good) section.invalid(name, value, 'must be a label name: alphanumerics, "-", "_" and ".", after an optional DNS subdomain and "/"');
}

function readShape(ratio: Section): ShapePoint[] {
  const points = ratio.sections('shape').map((point) => {
    const read = { utilization: point.number('utilization', 0), score: point.number('score', 0) };
    inRange(point, 'utilization', read.utilization, 0, 100);
    inRange(point, 'score', read.score, 0, 10);
    point.done();
    return read;
  });
  if (points.length === 0) ratio.problem('shape', 'Required value: at least one point must be specified');
  const unsorted = points.findIndex((point, index) => index > 0 && (points[index - 1]?.utilization ?? 0) >= point.utilization);
  if (unsorted > 0) ratio.invalid(`shape[${unsorted}].utilization`, points[unsorted]?.utilization, 'values must be sorted in increasing order');
  ratio.done();
  return points;
}

function checkNodeTerm(term: Section): void {
  for (const kind of ['matchExpressions', 'matchFields']) {
    for (const requirement of term.sections(kind)) {
      const operator = requirement.string('operator', '');
      const values = requirement.strings('values');
      if (requirement.string('key', '') === '') requirement.problem('key', 'Required value');
      if (!['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'].includes(operator)) requirement.invalid('operator', operator, 'not a valid selector operator');
      if (['In', 'NotIn'].includes(operator) && values.length === 0) requirement.problem('values', "Required value: must be specified when `operator` is 'In' or 'NotIn'");
      if (['Gt', 'Lt'].includes(operator) && values.length !== 1) requirement.problem('values', "Required value: must be specified single value when `operator` is 'Lt' or 'Gt'");
      requirement.done();
    }
  }
  term.done();
}
