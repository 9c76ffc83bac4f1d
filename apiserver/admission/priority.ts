// Priority: a pod's priorityClassName becomes its priority and preemption policy; at most one class is the default.
// Upstream: plugin/pkg/admission/priority.
import type { KubeObject, Pod } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { refuse } from './refuse.ts';

const classes = 'priorityclasses.scheduling.k8s.io';
interface PriorityClass { metadata?: { name?: string }; value?: number; globalDefault?: boolean; preemptionPolicy?: string }

export function createPriorityAdmission(backend: Pick<Backend, 'lookup' | 'store' | 'cached'>): AdmissionPlugin {
  /** Of several defaults (two servers may have let one in each) the lowest counts. */
  function defaultClass(): PriorityClass | undefined {
    return (backend.cached(classes) as readonly PriorityClass[]).filter((one) => one.globalDefault).toSorted((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
  }
  async function classNamed(attributes: AdmissionAttributes, name: string): Promise<PriorityClass> {
    const cached = backend.lookup(classes, '', name);
    if (cached !== undefined) return cached as PriorityClass;
    try {
      return await backend.store(classes).get('', name) as PriorityClass;
    } catch (error) {
      if (isNotFound(error)) throw refuse(attributes, `no PriorityClass with name ${name} was found`);
      throw error;
    }
  }
  return {
    name: 'Priority',
    handles: (operation, row, subresource) => subresource === '' && (operation === 'CREATE' || operation === 'UPDATE')
      && ((row.group === '' && row.resource === 'pods') || (row.group === 'scheduling.k8s.io' && row.resource === 'priorityclasses')),
    async admit(attributes) {
      if (attributes.row.resource !== 'pods') return;
      const spec = (attributes.object as unknown as Pod).spec; // `handles` lets only pods through to here
      if (spec === undefined) return;
      if (attributes.operation === 'UPDATE') {
        const old = (attributes.oldObject as unknown as Pod | undefined)?.spec;
        if (old?.priority !== undefined) spec.priority ??= old.priority;
        if (old?.preemptionPolicy !== undefined) spec.preemptionPolicy ??= old.preemptionPolicy;
        return;
      }
      const found = spec.priorityClassName ? await classNamed(attributes, spec.priorityClassName) : defaultClass();
      const priority = found?.value ?? 0;
      const policy = found === undefined ? 'PreemptLowerPriority' : found.preemptionPolicy;
      if (!spec.priorityClassName && found?.metadata?.name !== undefined) spec.priorityClassName = found.metadata.name;
      const computed = (value: string | number): string => `must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`;
      if (typeof spec.priority === 'number' && spec.priority !== priority) throw refuse(attributes, `the integer value of priority (${spec.priority}) ${computed(priority)}`);
      spec.priority = priority;
      if (policy === undefined) return;
      if (spec.preemptionPolicy && spec.preemptionPolicy !== policy) throw refuse(attributes, `the string value of PreemptionPolicy (${spec.preemptionPolicy}) ${computed(policy)}`);
      spec.preemptionPolicy = policy;
    },
    validate(attributes) {
      if (attributes.row.resource !== 'priorityclasses' || (attributes.object as KubeObject & PriorityClass).globalDefault !== true) return;
      const current = defaultClass()?.metadata?.name;
      if (current === undefined || (attributes.operation === 'UPDATE' && current === attributes.object?.metadata?.name)) return;
      throw refuse(attributes, `PriorityClass ${current} is already marked as default. Only one default can exist`);
    },
  };
}
