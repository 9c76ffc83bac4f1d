// `proa scheduler explain POD`: why a pod is pending, or would go where; what each filter says of every node and what each score
// gives it. Reads the cluster's state once, runs the framework on it and writes nothing.
import { UsageError, describeFlags, parseFlags, type FlagTable } from '#machinery/base/flags.ts';
import { createClient } from '#machinery/client/client.ts';
import type { Client } from '#machinery/client/types.ts';
import { pods } from '#machinery/client/resources.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import type { Pod } from '#machinery/api/object.ts';
import { readConfigurationFile } from './config.ts';
import { Cycle, type Outcome } from './cycle.ts';
import { Nominator } from './nominator.ts';
import { isRejection, type Context } from './plugin.ts';
import { claimsMissing } from './plugins/dynamic-resources.ts';
import { createPodInfo, type PodInfo } from './pod-info.ts';
import { createProfile, defaultProfile, type Profile, type ProfileConfig } from './profile.ts';
import { isGated } from './queue.ts';
import { describeNode, Snapshot, type NodeInfo } from './snapshot.ts';
import { schedulerOf, watchCluster } from './watch.ts';

const flags = {
  'namespace': { kind: 'string', placeholder: 'NAMESPACE', default: 'default', help: 'Namespace of the pod.' },
  'kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'How to reach the API server.' },
  'config': { kind: 'string', placeholder: 'PATH', help: 'The KubeSchedulerConfiguration that the scheduler runs with, when it does.' },
  'output': { kind: 'string', oneOf: ['text', 'json'], default: 'text', help: 'How to print.' },
} as const satisfies FlagTable;

export interface NodeVerdict {
  node: string;
  /** Used and allocatable. */
  cpu: string; memory: string; pods: string;
  /** Each plugin that rejects it, not only the first. */
  rejectedBy: { plugin: string; reasons: readonly string[] }[];
  /** Each plugin's share, weighted; empty when rejected. */
  scores: Record<string, number>;
  total: number;
}
export interface Explanation {
  pod: string;
  profile: string;
  /** As the pod's PodScheduled condition says it, and the scheduler's last event. */
  shown: string;
  verdict: string;
  nodes: NodeVerdict[];
}

/** What a cycle decides about the pod (without its node, `bound`, if it has one) now, and each node's part in it. */
export function explain(pod: PodInfo, bound: string | undefined, profile: Profile, context: Context, cycle: Pick<Cycle, 'schedule'>): Pick<Explanation, 'verdict' | 'nodes'> {
  const nodes = [...context.snapshot.nodes()].map((node): NodeVerdict & { info: NodeInfo } => ({ info: node, node: node.name, ...describeNode(node), rejectedBy: [], scores: {}, total: 0 }));
  const whileFiltering: [plugin: string, score: (node: NodeInfo) => number][] = [];
  for (const plugin of profile.plugins) {
    const step = plugin.prepareFilter?.(pod, context);
    if (!step) continue;
    if (!isRejection(step) && step.score) whileFiltering.push([plugin.name, step.score.bind(step)]);
    for (const entry of nodes) {
      const restricted = !isRejection(step) && step.nodeNames && !step.nodeNames.has(entry.node);
      const rejection = isRejection(step) ? step : restricted ? { reasons: [`node(s) didn't satisfy plugin(s) [${plugin.name}]`] } : step.filter(entry.info);
      if (rejection) entry.rejectedBy.push({ plugin: plugin.name, reasons: rejection.reasons });
    }
  }
  const feasible = nodes.filter(({ rejectedBy }) => rejectedBy.length === 0);
  const infos = feasible.map(({ info }) => info);
  for (const plugin of feasible.length > 0 ? profile.plugins : []) {
    const step = plugin.prepareScore?.(pod, context, infos);
    if (!step) continue;
    const scores = Float64Array.from(infos, (node) => step.score(node));
    step.normalize?.(scores, infos);
    feasible.forEach((entry, index) => {
      const score = (scores[index] ?? 0) * (plugin.weight ?? 1);
      entry.scores[plugin.name] = score;
      entry.total += score;
    });
  }
  for (const [plugin, scoreOf] of whileFiltering) {
    for (const entry of feasible) {
      const score = scoreOf(entry.info);
      entry.scores[plugin] = score;
      entry.total += score;
    }
  }
  nodes.sort((a, b) => a.rejectedBy.length - b.rejectedBy.length || b.total - a.total || (a.node < b.node ? -1 : 1));
  return { verdict: verdictOf(pod, bound, profile, nodes, context, cycle), nodes: nodes.map(({ info: _, ...verdict }) => verdict) };
}

function verdictOf(pod: PodInfo, bound: string | undefined, profile: Profile, nodes: readonly NodeVerdict[], context: Context, cycle: Pick<Cycle, 'schedule'>): string {
  if (bound) return `runs on ${bound} already; below, what would be said if it were scheduled now`;
  if (profile.gates && isGated(pod)) return `not tried: scheduling gates ${pod.pod.spec?.schedulingGates?.map(({ name }) => name).join(', ')} are closed`;
  const missing = profile.claims && pod.pod.spec?.resourceClaims?.length ? claimsMissing(pod.pod, context.devices) : undefined;
  if (missing !== undefined) return `not tried: ${missing}`;
  const outcome: Outcome = cycle.schedule(pod);
  if (outcome.kind === 'placed') {
    const best = nodes.filter(({ rejectedBy, total }) => rejectedBy.length === 0 && total === nodes[0]?.total).map(({ node }) => node);
    return `would go to ${best.length > 1 ? `one of ${best.join(', ')}` : best[0] ?? outcome.node.name}`;
  }
  const victims = outcome.victims ? `; would preempt on ${outcome.victims.node}: ${outcome.victims.pods.map(({ key }) => key).join(', ')}` : '';
  return `${outcome.message}${victims}`;
}

export function print({ pod, profile, shown, verdict, nodes }: Explanation): string {
  const lines = [`Pod:      ${pod}`, `Profile:  ${profile}`, `Shown:    ${shown}`, `Now:      ${verdict}`, ''];
  const rows = nodes.map((entry) => [entry.node, entry.rejectedBy.length > 0 ? '-' : String(entry.total), entry.cpu, entry.memory, entry.pods, entry.rejectedBy.length > 0
    ? entry.rejectedBy.map(({ plugin, reasons }) => `${plugin}: ${reasons.join(', ')}`).join('; ')
    : Object.entries(entry.scores).map(([plugin, score]) => `${plugin} ${score}`).join(', ')]);
  const table = [['NODE', 'SCORE', 'CPU', 'MEMORY', 'PODS', 'WHY'], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  for (const row of table) lines.push(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd());
  return `${lines.join('\n')}\n`;
}

/** Reads what a scheduler would know, asks, and stops. Throws StatusError when the pod is not there. */
export async function explainPod(client: Client, namespace: string, name: string, profiles: readonly ProfileConfig[], signal: AbortSignal): Promise<Explanation> {
  const pod = await client.get<Pod>(pods, namespace, name, signal);
  const wanted = schedulerOf(pod);
  const config = profiles.find(({ schedulerName }) => schedulerName === wanted);
  if (!config) throw new UsageError(`pod ${namespace}/${name} asks for the scheduler "${wanted}"; the profiles here are ${profiles.map(({ schedulerName }) => schedulerName).join(', ')}`);
  const profile = createProfile(config);
  const snapshot = new Snapshot();
  const nominator = new Nominator();
  const cluster = watchCluster(client, snapshot, () => true);
  const { SchedulingQueue } = await import('./queue.ts');
  cluster.feed(new SchedulingQueue({ wakes: () => [] }), nominator);
  const group = createTaskGroup(signal);
  const done = new AbortController();
  group.start('informers', (own) => cluster.run(AbortSignal.any([own, done.signal])));
  try {
    await cluster.waitForSync(group.signal);
    snapshot.deletePod(pod.metadata.uid ?? '');
    if (pod.spec?.resourceClaims?.length) await cluster.context.devices.waitForTools(group.signal);
    const cycle = new Cycle({ plugins: profile.plugins, preemption: profile.preemption, context: cluster.context, nominator, percentageOfNodesToScore: 100, disruptionBudgets: () => cluster.budgets() });
    const condition = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
    const shown = condition ? `PodScheduled=${condition.status}${condition.reason ? ` (${condition.reason})` : ''}${condition.message ? `: ${condition.message}` : ''}` : 'no scheduler has looked at it yet';
    return { pod: `${namespace}/${name}`, profile: wanted, shown, ...explain(createPodInfo({ ...pod, spec: pod.spec && { ...pod.spec, nodeName: undefined } }), pod.spec?.nodeName, profile, cluster.context, cycle) };
  } finally {
    done.abort();
    await group.wait();
  }
}

/** `proa scheduler explain`. */
export async function runExplain(args: readonly string[], signal: AbortSignal): Promise<void> {
  const [name, ...rest] = args.map((arg) => (arg === '-n' ? '--namespace' : arg === '-o' ? '--output' : arg));
  if (name === undefined || name.startsWith('-')) throw new UsageError(`explain needs the name of a pod: proa scheduler explain POD [--flags]\n${describeFlags(flags)}`);
  const values = parseFlags(flags, rest);
  const kubeconfig = values.kubeconfig ?? process.env.KUBECONFIG;
  if (!kubeconfig) throw new UsageError('--kubeconfig is needed, or KUBECONFIG');
  const { loadKubeconfig } = await import('#machinery/client/kubeconfig.ts');
  const profiles = values.config === undefined ? [defaultProfile] : (await readConfigurationFile(values.config)).profiles;
  const client = createClient({ userAgent: 'proa-scheduler-explain', ...(await loadKubeconfig(kubeconfig)) });
  try {
    const explanation = await explainPod(client, values.namespace, name, profiles, signal);
    process.stdout.write(values.output === 'json' ? `${JSON.stringify(explanation, undefined, 2)}\n` : print(explanation));
  } finally {
    client.close();
  }
}
