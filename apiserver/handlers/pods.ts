// What only pods have: binding to a node, eviction under disruption budgets.
import { rfc3339 } from '#machinery/base/clock.ts';
import type { KubeObject, LabelSelector, Pod } from '#machinery/api/object.ts';
import { SelectorError, labelSelectorFromObject } from '#machinery/api/labels.ts';
import { badRequest, conflict, forbidden, isConflict, StatusError } from '#machinery/api/status.ts';
import type { CustomHandler, CustomRequest } from '../backend.ts';
import { bindPod, setPodCondition } from '../resources/core/pod.ts';
import { need } from '../resources/values.ts';
import { deleteOptions } from './options.ts';
import type { DeleteOptions } from './options.ts';
import type { ObjectStore, Writable, WriteRequest } from './store.ts';
import { copyJson } from '../patch/json-value.ts';

export interface PodHandlerDeps {
  pods(): ObjectStore;
  budgets(): ObjectStore | undefined;
}

const success: KubeObject = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
const asPod = (object: Readonly<Writable>): Pod => object as unknown as Pod; // the store of pods holds Pods
const podsBinding = { group: '', resource: 'pods/binding' };

/** Keys: `pods/binding`, `pods/eviction`, and `bindings` for the legacy POST. */
export function createPodHandlers(deps: PodHandlerDeps): Map<string, CustomHandler> {
  return new Map<string, CustomHandler>([
    ['pods/binding', (request) => bind(deps, request, request.name)],
    ['bindings', (request) => bind(deps, request, request.body?.metadata?.name ?? '')],
    ['pods/eviction', (request) => evict(deps, request)],
  ]);
}

function writeRequestOf({ context, namespace, dryRun }: CustomRequest, name: string, subresource: string): WriteRequest {
  return { context, namespace, name, subresource, dryRun, options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' } };
}

async function bind(deps: PodHandlerDeps, request: CustomRequest, name: string): Promise<KubeObject> {
  const binding = request.body ?? {};
  if (binding.metadata?.name !== name) throw badRequest('name in URL does not match name in Binding object');
  const { kind = '', name: machine = '' } = (binding['target'] ?? {}) as { kind?: string; name?: string };
  const problems = [
    ...(kind === '' || kind === 'Node' ? [] : [`target.kind: Unsupported value: ${JSON.stringify(kind)}: supported values: "Node", "<empty>"`]),
    ...(machine === '' ? ['target.name: Required value'] : []),
  ];
  if (problems.length > 0) throw new StatusError(500, '', problems.length === 1 ? problems[0] ?? '' : `[${problems.join(', ')}]`);
  const store = deps.pods();
  const write = writeRequestOf(request, name, 'binding');
  await store.admission('CREATE', write, binding);
  const { uid, resourceVersion, annotations, labels } = binding.metadata ?? {};
  await store.update({ ...write, admitted: true }, (old) => {
    const refuse = (why: string): never => {
      throw conflict(podsBinding, name, why);
    };
    if (uid && uid !== old.metadata.uid) refuse(`Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`);
    if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) refuse(`Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${old.metadata.resourceVersion}`);
    const object = copyJson(old) as Writable;
    bindPod(object, { nodeName: machine, ...(annotations ? { annotations } : {}), ...(labels ? { labels } : {}) }, Date.now());
    return object;
  });
  return success;
}

interface Budget {
  metadata: { name: string; generation?: number };
  spec?: { selector?: LabelSelector; unhealthyPodEvictionPolicy?: string };
  status?: BudgetStatus;
}
interface BudgetStatus {
  observedGeneration?: number; disruptionsAllowed?: number; currentHealthy?: number; desiredHealthy?: number; disruptedPods?: Record<string, string>;
  conditions?: { type: string; status: string; reason?: string; message?: string; lastTransitionTime?: string }[];
}
/** Upstream's errors name it so. */
const oneBudget = { group: 'policy', resource: 'poddisruptionbudget' };
const maxDisrupted = 2000;

async function evict(deps: PodHandlerDeps, request: CustomRequest): Promise<KubeObject> {
  const { name } = request;
  const eviction = request.body ?? {};
  if (eviction.metadata?.name !== name) throw badRequest('name in URL does not match name in Eviction object');
  const given = (eviction['deleteOptions'] ?? {}) as Record<string, unknown>;
  if (typeof given !== 'object' || Array.isArray(given)) throw badRequest('deleteOptions is not an object');
  const options = deleteOptions(new URLSearchParams(), given);
  const dryRun = options.dryRun || request.dryRun;
  const write: WriteRequest = { ...writeRequestOf(request, name, 'eviction'), dryRun };
  const pods = deps.pods();
  await pods.admission('CREATE', write, eviction);

  for (let attempt = 1; ; attempt += 1) {
    const pod = await pods.get(write);
    const { resourceVersion } = pod.metadata;
    const unchanged = options.resourceVersion === undefined && resourceVersion !== undefined ? { ...options, resourceVersion } : options;
    if (isUnguarded(asPod(pod))) {
      try {
        // A pending pod may become ready meanwhile, and then its budget counts.
        await remove(pods, write, asPod(pod).status?.phase === 'Pending' && pod.metadata.deletionTimestamp === undefined ? unchanged : options);
        return success;
      } catch (error) {
        const isLasting = options.resourceVersion !== undefined || (options.uid !== undefined && options.uid !== pod.metadata.uid);
        if (!isConflict(error) || isLasting || attempt >= 20) throw error;
        continue;
      }
    }
    const { budget, free } = await spend(deps, write, asPod(pod));
    try {
      await remove(pods, write, free ? unchanged : options);
    } catch (error) {
      // The pod may have become ready since: the client is to ask again.
      if (isConflict(error) && free && options.resourceVersion === undefined) throw stillProcessed(budget);
      throw error;
    }
    return success;
  }
}

/** Its eviction disrupts nothing: it has not run yet, has ended, or goes already. */
function isUnguarded({ status, metadata }: Pod): boolean {
  return ['Pending', 'Succeeded', 'Failed'].includes(status?.phase ?? '') || metadata.deletionTimestamp !== undefined;
}

/** Takes the disruption from the pod's budget; throws 429 when there is none to take. `free`: an unready pod cost nothing, and must not have changed since. */
async function spend(deps: PodHandlerDeps, write: WriteRequest, pod: Pod): Promise<{ budget: string; free: boolean }> {
  const store = deps.budgets();
  const budgets = (store?.served.stored?.cache.list({ namespace: write.namespace }) ?? [])
    .map(({ object }) => object as unknown as Budget) // the store of budgets holds PodDisruptionBudgets
    .filter((budget) => isSelected(budget, pod));
  if (budgets.length > 1) throw new StatusError(500, '', 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.');
  const [budget] = budgets;
  if (!store || !budget) return { budget: '', free: false };
  const { name } = budget.metadata;
  const ready = pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {};
  if (!ready && (budget.spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow' || (currentHealthy >= desiredHealthy && desiredHealthy > 0))) return { budget: name, free: true };

  await store.update({ ...write, name, subresource: 'status', admitted: true }, (old) => {
    const object = copyJson(old) as Writable;
    const now = object as unknown as Budget;
    const status = (now.status ??= {});
    const { disruptionsAllowed = 0, conditions = [] } = status;
    if ((status.observedGeneration ?? 0) < (now.metadata.generation ?? 0)) throw stillProcessed(name);
    if (disruptionsAllowed < 0) throw forbidden(oneBudget, name, 'pdb disruptions allowed is negative');
    if (Object.keys(status.disruptedPods ?? {}).length > maxDisrupted) throw forbidden(oneBudget, name, 'DisruptedPods map too big - too many evictions not confirmed by PDB controller');
    if (disruptionsAllowed === 0) throw overBudget(whyNone(name, status), 0);
    status.disruptionsAllowed = disruptionsAllowed - 1;
    const condition = conditions.find(({ type }) => type === 'DisruptionAllowed');
    if (status.disruptionsAllowed === 0) {
      const spent = { type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods', message: '', observedGeneration: status.observedGeneration ?? 0 };
      const lastTransitionTime = condition?.status === 'False' && condition.lastTransitionTime ? condition.lastTransitionTime : rfc3339(Date.now());
      status.conditions = [...conditions.filter((each) => each !== condition), { ...spent, lastTransitionTime }];
    }
    status.disruptedPods = { ...status.disruptedPods, [write.name]: rfc3339(Date.now()) };
    return object;
  });
  return { budget: name, free: false };
}

/** A selector that cannot be read selects nothing. */
function isSelected({ spec }: Budget, pod: Pod): boolean {
  try {
    return labelSelectorFromObject(spec?.selector).matches(pod.metadata.labels);
  } catch (error) {
    if (error instanceof SelectorError) return false;
    throw error;
  }
}

function whyNone(name: string, { conditions = [], currentHealthy = 0, desiredHealthy = 0 }: BudgetStatus): string {
  const told = conditions.find(({ type, status, message }) => type === 'DisruptionAllowed' && status === 'False' && message);
  if (told?.reason === 'SyncFailed') return `The disruption budget ${name} does not allow evicting pods currently because it failed sync: ${told.message}`;
  if (currentHealthy <= desiredHealthy) return `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`;
  return `The disruption budget ${name} does not allow evicting pods currently${told ? ` (${told.reason}): ${told.message}` : ''}`;
}

const stillProcessed = (budget: string): StatusError => overBudget(`The disruption budget ${budget} is still being processed by the server.`, 10);
function overBudget(message: string, retryAfterSeconds: number): StatusError {
  return new StatusError(429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes: [{ reason: 'DisruptionBudget', message }], ...(retryAfterSeconds > 0 ? { retryAfterSeconds } : {}),
  });
}

async function remove(pods: ObjectStore, write: WriteRequest, options: DeleteOptions): Promise<void> {
  if (options.dryRun || write.dryRun) {
    await pods.delete({ ...write, subresource: '', dryRun: true, admitted: true }, { ...options, dryRun: true });
    return;
  }
  // The condition tells others why the pod went; it is set under the same preconditions as the deletion.
  const marked = await pods.update({ ...write, subresource: 'status', admitted: true }, (old) => {
    if (options.uid !== undefined && options.uid !== old.metadata.uid) throw conflict({ group: '', resource: 'pods' }, write.name, `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${old.metadata.uid}`);
    if (options.resourceVersion !== undefined && options.resourceVersion !== old.metadata.resourceVersion) {
      throw conflict({ group: '', resource: 'pods' }, write.name, `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${old.metadata.resourceVersion}`);
    }
    const object = copyJson(old) as Writable;
    setPodCondition(need(object, 'status'), { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message: 'Eviction API: evicting' }, Date.now());
    return object;
  });
  const { resourceVersion } = marked.object.metadata;
  await pods.delete({ ...write, subresource: '', options: options.asObject, admitted: true }, options.resourceVersion === undefined || resourceVersion === undefined ? options : { ...options, resourceVersion });
}
