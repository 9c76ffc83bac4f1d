// What a KubeSchedulerConfiguration may say, and the words in which a bad one is refused.
import { expect } from 'chai';
import { readConfiguration } from './config-file.ts';
import { createProfile, defaultProfile } from './profile.ts';

const head = { apiVersion: 'kubescheduler.config.k8s.io/v1', kind: 'KubeSchedulerConfiguration' };
const withProfile = (profile: unknown) => ({ ...head, profiles: [profile] });
const withArgs = (name: string, args: unknown) => withProfile({ pluginConfig: [{ name, args }] });
const namesOf = (profile: unknown): string[] => {
  const [config = defaultProfile] = readConfiguration(withProfile(profile)).profiles;
  return createProfile(config).plugins.map((plugin) => `${plugin.name}:${'prepareFilter' in plugin ? 'f' : ''}${'prepareScore' in plugin ? `s${plugin.weight}` : ''}`);
};

describe('readConfiguration()', () => {
  it('gives upstream\'s defaults to what the file leaves out', () => {
    expect(readConfiguration(head)).to.deep.equal({
      kubeconfig: '', leaderElect: true, leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000, leaseNamespace: 'kube-system', leaseName: 'kube-scheduler',
      profiles: [defaultProfile], extenders: [], percentageOfNodesToScore: 0, initialBackoffMs: 1000, maxBackoffMs: 10_000,
    });
  });
  it('reads what it says', () => {
    const config = readConfiguration({
      ...head, percentageOfNodesToScore: 30, podInitialBackoffSeconds: 2, podMaxBackoffSeconds: 20, parallelism: 8,
      leaderElection: { leaderElect: false, leaseDuration: '1m30s', resourceName: 'mine' }, clientConnection: { kubeconfig: '/k', qps: 100, burst: 200 },
      profiles: [{ schedulerName: 'a' }, { schedulerName: 'b', percentageOfNodesToScore: 100 }],
    });
    expect(config).to.include({ kubeconfig: '/k', leaderElect: false, leaseDurationMs: 90_000, leaseName: 'mine', percentageOfNodesToScore: 30, initialBackoffMs: 2000, maxBackoffMs: 20_000 });
    expect(config.profiles.map(({ schedulerName, percentageOfNodesToScore }) => [schedulerName, percentageOfNodesToScore])).to.deep.equal([['a', undefined], ['b', 100]]);
  });

  const bad: [title: string, document: unknown, message: string][] = [
    ['another version', { ...head, apiVersion: 'kubescheduler.config.k8s.io/v1beta3' }, 'no kind "KubeSchedulerConfiguration" is registered for version "kubescheduler.config.k8s.io/v1beta3"; this scheduler reads KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1'],
    ['an unknown field', { ...head, algorithmSource: {} }, 'unknown field "algorithmSource"'],
    ['an unknown field deep inside', withProfile({ plugins: { score: { enabled: [{ name: 'ImageLocality', weigth: 2 }] } } }), 'unknown field "profiles[0].plugins.score.enabled[0].weigth"'],
    ['a list for a mapping', { ...head, leaderElection: [] }, 'leaderElection: must be a mapping'],
    ['a wrong type', { ...head, parallelism: '16' }, 'parallelism: Invalid value: "16": must be a number'],
    ['no parallelism', { ...head, parallelism: 0 }, 'parallelism: Invalid value: 0: should be an integer value greater than zero'],
    ['a percentage above 100', { ...head, percentageOfNodesToScore: 101 }, 'percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]'],
    ['a back-off of nothing', { ...head, podInitialBackoffSeconds: 0 }, 'podInitialBackoffSeconds: Invalid value: 0: must be greater than 0'],
    ['a longest back-off below the first', { ...head, podInitialBackoffSeconds: 5, podMaxBackoffSeconds: 4 }, 'podMaxBackoffSeconds: Invalid value: 4: must be greater than or equal to PodInitialBackoffSeconds'],
    ['a lease shorter than its renewal', { ...head, leaderElection: { leaseDuration: '5s' } }, 'leaderElection: LeaseDuration must be greater than RenewDeadline'],
    ['another lock', { ...head, leaderElection: { resourceLock: 'endpoints' } }, 'leaderElection.resourceLock: Invalid value: "endpoints": resourceLock value must be "leases"'],
    ['an extender without an address', { ...head, extenders: [{ filterVerb: 'filter' }] }, 'extenders[0].urlPrefix: Invalid value: "": must be an http or https URL'],
    ['an extender whose scores weigh nothing', { ...head, extenders: [{ urlPrefix: 'http://127.0.0.1', prioritizeVerb: 'prioritize' }] }, 'extenders[0].weight: Invalid value: 0: must have a positive weight applied to it'],
    ['two extenders that bind', { ...head, extenders: ['a', 'b'].map((host) => ({ urlPrefix: `http://${host}`, bindVerb: 'bind' })) }, 'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind'],
    ['an extender of resources that are not extended', { ...head, extenders: [{ urlPrefix: 'http://a', managedResources: [{ name: 'cpu' }] }] }, 'extenders[0].managedResources[0].name: Invalid value: "cpu": is an invalid extended resource name'],
    ['two extenders of one resource', { ...head, extenders: ['a', 'b'].map((host) => ({ urlPrefix: `http://${host}`, managedResources: [{ name: 'example.com/gpu' }] })) }, 'extenders[1].managedResources[0].name: Invalid value: "example.com/gpu": duplicate extender managed resource name'],
    ['two profiles without names', { ...head, profiles: [{}, {}] }, '[profiles[0].schedulerName: Required value, profiles[1].schedulerName: Required value]'],
    ['two profiles of one name', { ...head, profiles: [{ schedulerName: 'a' }, { schedulerName: 'a' }] }, 'profiles[1].schedulerName: Duplicate value: "profiles[0].schedulerName"'],
    ['a plugin that is not there', withProfile({ plugins: { filter: { enabled: [{ name: 'Nope' }] } } }), 'profiles[0].plugins: filter: plugin "Nope" does not exist'],
    ['a plugin that is not built', withProfile({ plugins: { multiPoint: { enabled: [{ name: 'GangScheduling' }] } } }), 'profiles[0].plugins: multiPoint: plugin "GangScheduling" is not built into this scheduler'],
    ['a plugin where it does nothing', withProfile({ plugins: { score: { enabled: [{ name: 'NodeName' }] } } }), 'profiles[0].plugins: score: plugin "NodeName" does not extend score plugin'],
    ['nobody to bind', withProfile({ plugins: { bind: { disabled: [{ name: '*' }] } } }), 'profiles[0].plugins: at least one bind plugin is needed for profile with scheduler name "default-scheduler"'],
    ['nobody to sort', withProfile({ plugins: { queueSort: { disabled: [{ name: 'PrioritySort' }] } } }), 'profiles[0].plugins: only one queue sort plugin required for profile with scheduler name "default-scheduler", but got 0'],
    ['arguments twice', withProfile({ pluginConfig: [{ name: 'InterPodAffinity', args: {} }, { name: 'InterPodAffinity', args: {} }] }), 'profiles[0].pluginConfig[1]: Duplicate value: "InterPodAffinity"'],
    ['arguments of another plugin', withArgs('InterPodAffinity', { kind: 'NodeAffinityArgs' }), 'profiles[0].pluginConfig[0].args: Invalid value: has to match plugin args'],
    ['a weight above 100', withArgs('InterPodAffinity', { hardPodAffinityWeight: 101 }), 'profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]'],
    ['no candidates at all', withArgs('DefaultPreemption', { minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0 }), '[profiles[0].pluginConfig[0].args.minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute, profiles[0].pluginConfig[0].args.minCandidateNodesAbsolute: Invalid value: 0: cannot be zero at the same time as minCandidateNodesPercentage]'],
    ['an unknown strategy', withArgs('NodeResourcesFit', { scoringStrategy: { type: 'Some' } }), 'profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "Some": supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"'],
    ['a shape without its strategy', withArgs('NodeResourcesFit', { scoringStrategy: { type: 'LeastAllocated', requestedToCapacityRatio: {} } }), 'profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio: Forbidden: must be nil when type is not RequestedToCapacityRatio'],
    ['the strategy without its shape', withArgs('NodeResourcesFit', { scoringStrategy: { type: 'RequestedToCapacityRatio' } }), 'profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio'],
    ['a shape that goes back', withArgs('NodeResourcesFit', { scoringStrategy: { type: 'RequestedToCapacityRatio', requestedToCapacityRatio: { shape: [{ utilization: 50, score: 1 }, { utilization: 50, score: 2 }] } } }), 'profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio.shape[1].utilization: Invalid value: 50: values must be sorted in increasing order'],
    ['a group with a slash', withArgs('NodeResourcesFit', { ignoredResourceGroups: ['a.com/b'] }), 'profiles[0].pluginConfig[0].args.ignoredResourceGroups[0]: Invalid value: "a.com/b": resource group name can\'t contain \'/\''],
    ['a balanced weight', withArgs('NodeResourcesBalancedAllocation', { resources: [{ name: 'cpu', weight: 2 }] }), 'profiles[0].pluginConfig[0].args.resources[0].weight: Invalid value: 2: must be 1'],
    ['constraints beside the system\'s', withArgs('PodTopologySpread', { defaultConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }] }), 'profiles[0].pluginConfig[0].args.defaultingType: Invalid value: "System": when .defaultConstraints are not empty'],
    ['a default constraint with a selector', withArgs('PodTopologySpread', { defaultingType: 'List', defaultConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway', labelSelector: {} }] }), 'profiles[0].pluginConfig[0].args.defaultConstraints[0].labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod'],
    ['a negative wait for volumes', withArgs('VolumeBinding', { bindTimeoutSeconds: -1 }), 'profiles[0].pluginConfig[0].args.bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value'],
    ['an added affinity with a bad operator', withArgs('NodeAffinity', { addedAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Like' }] }] } } }), 'profiles[0].pluginConfig[0].args.addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator'],
  ];
  for (const [title, document, message] of bad) it(`refuses ${title}`, () => expect(() => readConfiguration(document)).to.throw(Error).with.property('message', message));
});

describe('createProfile()', () => {
  it('takes the default plugins without a word', () => {
    expect(namesOf({})).to.include.members(['NodeUnschedulable:f', 'TaintToleration:fs3', 'NodeAffinity:fs2', 'NodeResourcesFit:fs1', 'ImageLocality:s1']);
  });
  it('leaves a plugin out everywhere, or at one point', () => {
    const names = namesOf({ plugins: { multiPoint: { disabled: [{ name: 'ImageLocality' }] }, score: { disabled: [{ name: 'NodeAffinity' }] } } });
    expect(names).to.include('NodeAffinity:f').and.not.include('ImageLocality:s1');
  });
  it('starts from nothing with *', () => {
    const plugins = { multiPoint: { enabled: ['PrioritySort', 'DefaultBinder', 'NodeResourcesFit'].map((name) => ({ name })), disabled: [{ name: '*' }] } };
    expect(namesOf({ plugins })).to.deep.equal(['NodeResourcesFit:fs1']);
  });
  it('weighs as a profile says', () => {
    expect(namesOf({ plugins: { score: { enabled: [{ name: 'ImageLocality', weight: 7 }], disabled: [{ name: '*' }] } } }).filter((name) => /s[0-9]+$/.test(name))).to.deep.equal(['ImageLocality:s7']);
    expect(namesOf({ plugins: { multiPoint: { enabled: [{ name: 'TaintToleration', weight: 9 }] } } })).to.include('TaintToleration:fs9');
  });
  it('preempts nobody and gates nobody when told so', () => {
    const [config = defaultProfile] = readConfiguration(withProfile({ plugins: { postFilter: { disabled: [{ name: '*' }] }, preEnqueue: { disabled: [{ name: 'SchedulingGates' }] } } })).profiles;
    expect(createProfile(config)).to.include({ preemption: undefined, gates: false });
  });
});
