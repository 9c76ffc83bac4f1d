// PodSecurity: pods are held to the level that their namespace's labels name; workloads and namespaces get warnings of what that will
// refuse. Upstream: plugin/pkg/admission/security/podsecurity, pod-security-admission/admission; KEP 2579.
import type { Namespace, ObjectMeta, Pod, PodSpec } from '#machinery/api/object.ts';
import { fieldErrorBody, forbidden, internalError, invalid } from '#machinery/api/status.ts';
import type { Backend } from '../../backend.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../admission.ts';
import { compareLevels, labelPrefix, modes, policyOf, policyText, privileged, samePolicy } from './levels.ts';
import type { LevelVersion, Policy } from './levels.ts';

/** How many existing pods a stricter namespace is checked against, and for how long. */
const maxPodsToCheck = 3000;
const checkPodsMs = 1000;
const otherSubresources = new Set(['exec', 'attach', 'binding', 'eviction', 'log', 'portforward', 'proxy', 'status']);
/** Where each kind keeps the template of its pods. */
const templates: Readonly<Record<string, readonly string[]>> = {
  'replicationcontrollers': ['spec', 'template'], 'podtemplates': ['template'], 'replicasets.apps': ['spec', 'template'], 'deployments.apps': ['spec', 'template'],
  'statefulsets.apps': ['spec', 'template'], 'daemonsets.apps': ['spec', 'template'], 'jobs.batch': ['spec', 'template'], 'cronjobs.batch': ['spec', 'jobTemplate', 'spec', 'template'],
};
const idOf = ({ group, resource }: { group: string; resource: string }): string => (group === '' ? resource : `${resource}.${group}`);
interface Template { metadata?: ObjectMeta; spec?: PodSpec }

export function createPodSecurity(backend: Pick<Backend, 'lookup' | 'cached'>, now: () => number = Date.now): AdmissionPlugin {
  const checks = () => import('./checks.ts'); // only where a namespace asks for it

  function note({ context }: AdmissionAttributes, key: string, value: string): void {
    context.request.annotations.set(labelPrefix + key, value);
  }
  function policyOfNamespace(attributes: AdmissionAttributes): ReturnType<typeof policyOf> {
    const namespace = backend.lookup('namespaces', '', attributes.namespace);
    if (namespace === undefined) throw internalError(`failed to lookup namespace ${JSON.stringify(attributes.namespace)}`);
    return policyOf(namespace.metadata?.labels);
  }

  async function evaluate(attributes: AdmissionAttributes, { policy, errors }: ReturnType<typeof policyOf>, template: Template, enforce: boolean): Promise<void> {
    const { violationsOf, detailsText } = await checks();
    const violations = (asked: LevelVersion): string => detailsText(violationsOf(asked, template.metadata ?? {}, template.spec ?? { containers: [] }));
    if (errors.length > 0) {
      const texts = errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
      note(attributes, 'error', `Failed to parse policy: ${texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`}`);
    }
    let refusal = '';
    if (enforce) {
      note(attributes, 'enforce-policy', policyText(policy.enforce));
      refusal = violations(policy.enforce);
    }
    const audited = violations(policy.audit);
    if (audited !== '') note(attributes, 'audit-violations', `would violate PodSecurity "${policyText(policy.audit)}": ${audited}`);
    if (refusal !== '') throw forbidden(attributes.row, attributes.name || attributes.object?.metadata?.name || '', `violates PodSecurity "${policyText(policy.enforce)}": ${refusal}`);
    const warned = violations(policy.warn);
    if (warned !== '') attributes.context.request.warnings.push(`would violate PodSecurity "${policyText(policy.warn)}": ${warned}`);
  }

  async function validatePod(attributes: AdmissionAttributes): Promise<void> {
    if (otherSubresources.has(attributes.subresource)) return;
    const asked = policyOfNamespace(attributes);
    if (asked.errors.length === 0 && isPrivileged(asked.policy)) return note(attributes, 'enforce-policy', policyText(privileged.enforce));
    const pod = attributes.object as unknown as Pod; // `validate` asked for pods only
    if (attributes.operation === 'UPDATE' && !changesImages(pod, attributes.oldObject as unknown as Pod)) return;
    await evaluate(attributes, asked, pod, true);
  }

  async function validateTemplate(attributes: AdmissionAttributes, path: readonly string[]): Promise<void> {
    if (attributes.subresource !== '') return;
    const asked = policyOfNamespace(attributes);
    if (asked.errors.length === 0 && asked.policy.warn.level === 'privileged' && asked.policy.audit.level === 'privileged') return;
    let template: unknown = attributes.object;
    for (const name of path) template = (template as Record<string, unknown> | undefined)?.[name];
    if (template) await evaluate(attributes, asked, template as Template, false);
  }

  async function validateNamespace(attributes: AdmissionAttributes): Promise<void> {
    if (attributes.subresource !== '') return;
    const { policy, errors } = policyOf(attributes.object?.metadata?.labels);
    const before = attributes.operation === 'UPDATE' ? policyOf(attributes.oldObject?.metadata?.labels) : undefined;
    if (errors.length > 0 && JSON.stringify(errors) !== JSON.stringify(before?.errors)) throw invalid({ group: '', kind: 'Namespace' }, attributes.name, errors);
    if (!before || samePolicy(policy.enforce, before.policy.enforce) || policy.enforce.level === 'privileged') return;
    if (policy.enforce.minor === before.policy.enforce.minor && compareLevels(policy.enforce.level, before.policy.enforce.level) < 1) return;
    attributes.context.request.warnings.push(...await existingViolations((attributes.object as unknown as Namespace).metadata.name ?? '', policy.enforce));
  }

  /** Warnings of pods that run already and would not be let in again; what owners repeat comes last and counts together. */
  async function existingViolations(namespace: string, enforce: LevelVersion): Promise<string[]> {
    const { violationsOf, reasonsText } = await checks();
    const pods = oneOfEachOwnerFirst(backend.cached('pods', namespace) as readonly unknown[] as readonly Pod[]); // what that cache holds
    const found = new Map<string, string[]>();
    const until = now() + checkPodsMs;
    let checked = 0;
    for (const pod of pods.slice(0, maxPodsToCheck)) {
      checked += 1;
      const reasons = reasonsText(violationsOf(enforce, pod.metadata, pod.spec ?? { containers: [] }));
      if (reasons !== '') found.set(reasons, [...found.get(reasons) ?? [], pod.metadata.name ?? '']);
      if (now() > until) break;
    }
    const others = (count: number): string => (count === 0 ? '' : count === 1 ? ' (and 1 other pod)' : ` (and ${count} other pods)`);
    return [
      ...checked < pods.length ? [`new PodSecurity enforce level only checked against the first ${checked} of ${pods.length} existing pods`] : [],
      ...found.size > 0 ? [`existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${policyText(enforce)}"`] : [],
      ...[...found].map(([reasons, names]) => `${names.sort()[0] ?? ''}${others(names.length - 1)}: ${reasons}`).sort(),
    ];
  }

  return {
    name: 'PodSecurity',
    handles: (operation, row) => (operation === 'CREATE' || operation === 'UPDATE') && (row.group === '' && (row.resource === 'pods' || row.resource === 'namespaces') || Object.hasOwn(templates, idOf(row))),
    async validate(attributes) {
      const id = idOf(attributes.row);
      if (id === 'pods') await validatePod(attributes);
      else if (id === 'namespaces') await validateNamespace(attributes);
      else await validateTemplate(attributes, templates[id] ?? []);
    },
  };
}

const isPrivileged = (policy: Policy): boolean => modes.every((mode) => policy[mode].level === 'privileged');

/** Other changes of a pod do not touch what the levels look at. */
function changesImages(pod: Pod, old: Pod): boolean {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const { containers: oldContainers = [], initContainers: oldInit = [], ephemeralContainers: oldEphemeral = [] } = old.spec ?? {};
  if (containers.length !== oldContainers.length || initContainers.length !== oldInit.length) return true;
  return containers.some(({ image }, i) => image !== oldContainers[i]?.image) || initContainers.some(({ image }, i) => image !== oldInit[i]?.image)
    || ephemeralContainers.some(({ name, image }) => oldEphemeral.find((one) => one.name === name)?.image !== image);
}

/** Pods of one controller are alike: one of each is looked at before the rest. */
function oneOfEachOwnerFirst(pods: readonly Pod[]): Pod[] {
  const seen = new Set<string>();
  const [first, rest]: [Pod[], Pod[]] = [[], []];
  for (const pod of pods) {
    const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid;
    (owner !== undefined && seen.has(owner) ? rest : first).push(pod);
    if (owner !== undefined) seen.add(owner);
  }
  return [...first, ...rest];
}
