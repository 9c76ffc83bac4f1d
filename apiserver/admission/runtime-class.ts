// RuntimeClass: a pod's runtime class must exist; its overhead and scheduling constraints become the pod's.
// Upstream: plugin/pkg/admission/runtimeclass.
import { isDeepStrictEqual } from 'node:util';
import type { Pod, Toleration } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { refuse } from './refuse.ts';

const classes = 'runtimeclasses.node.k8s.io';
interface RuntimeClass {
  overhead?: { podFixed?: Record<string, string> };
  scheduling?: { nodeSelector?: Record<string, string>; tolerations?: Toleration[] };
}

export function createRuntimeClassAdmission(backend: Pick<Backend, 'lookup' | 'store'>): AdmissionPlugin {
  async function classOf(attributes: AdmissionAttributes): Promise<RuntimeClass | undefined> {
    const name = podOf(attributes).spec?.runtimeClassName;
    if (!name) return undefined;
    const cached = backend.lookup(classes, '', name);
    if (cached !== undefined) return cached as RuntimeClass;
    try {
      return await backend.store(classes).get('', name) as RuntimeClass;
    } catch (error) {
      if (isNotFound(error)) throw refuse(attributes, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
      throw error;
    }
  }
  return {
    name: 'RuntimeClass',
    handles: (operation, row, subresource) => operation === 'CREATE' && subresource === '' && row.group === '' && row.resource === 'pods',
    async admit(attributes) {
      const spec = podOf(attributes).spec;
      const found = spec?.runtimeClassName ? await classOf(attributes) : undefined;
      if (spec === undefined || found === undefined) return;
      const overhead = found.overhead?.podFixed;
      if (found.overhead !== undefined) {
        if (Object.keys(spec.overhead ?? {}).length > 0 && !isDeepStrictEqual(spec.overhead, overhead ?? {})) {
          throw refuse(attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
        }
        spec.overhead = { ...overhead };
      }
      for (const [key, value] of Object.entries(found.scheduling?.nodeSelector ?? {})) {
        const own = spec.nodeSelector?.[key];
        if (own !== undefined && own !== value) {
          throw refuse(attributes, `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`);
        }
        spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
      }
      const more = (found.scheduling?.tolerations ?? []).filter((one) => !spec.tolerations?.some((other) => isDeepStrictEqual(one, other)));
      if (more.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...structuredClone(more)];
    },
    async validate(attributes) {
      const { spec } = podOf(attributes);
      const overhead = (await classOf(attributes))?.overhead;
      if (overhead === undefined && spec?.overhead !== undefined && spec.overhead !== null) {
        throw refuse(attributes, 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead');
      }
      if (overhead !== undefined && !isDeepStrictEqual({ ...spec?.overhead }, { ...overhead.podFixed })) {
        throw refuse(attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
      }
    },
  };
}

function podOf({ object }: AdmissionAttributes): Pod {
  return object as unknown as Pod; // `handles` lets only pods through
}
