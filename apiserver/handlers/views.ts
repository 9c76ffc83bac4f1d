// Subresources that write the whole object but may change only a part of it. Status has rules in the strategies.
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';

interface ViewRule {
  /** Takes back what this view may not change. */
  prepare(object: KubeObject, old: Readonly<KubeObject>): void;
  errors?(object: KubeObject, old: Readonly<KubeObject>): FieldError[];
}

type Fields = Record<string, unknown>;
const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Fields : {});
const listOf = (value: unknown): Fields[] => (Array.isArray(value) ? value.map(fieldsOf) : []);

export const viewRules: Readonly<Record<string, ViewRule>> = {
  'namespaces/finalize': {
    prepare(object, old) {
      const { finalizers } = fieldsOf(object['spec']);
      object['spec'] = { ...fieldsOf(old['spec']), ...(finalizers === undefined ? {} : { finalizers }) };
      if (finalizers === undefined) delete fieldsOf(object['spec'])['finalizers'];
      object['status'] = old['status'];
    },
  },
  'pods/ephemeralcontainers': {
    prepare(object, old) {
      const { ephemeralContainers } = fieldsOf(object['spec']);
      object['spec'] = { ...fieldsOf(old['spec']), ...(ephemeralContainers === undefined ? {} : { ephemeralContainers }) };
      object['status'] = old['status'];
    },
    errors(object, old) {
      const now = listOf(fieldsOf(object['spec'])['ephemeralContainers']);
      const errors: FieldError[] = [];
      const taken = new Set([...listOf(fieldsOf(old['spec'])['containers']), ...listOf(fieldsOf(old['spec'])['initContainers'])].map(({ name }) => name));
      now.forEach((container, index) => {
        const field = `spec.ephemeralContainers[${index}]`;
        if (typeof container['name'] !== 'string' || container['name'] === '') errors.push({ type: 'Required', field: `${field}.name` });
        else if (taken.has(container['name'])) errors.push({ type: 'Duplicate', field: `${field}.name`, value: container['name'] });
        taken.add(container['name']);
        if (typeof container['image'] !== 'string' || container['image'] === '') errors.push({ type: 'Required', field: `${field}.image` });
      });
      for (const before of listOf(fieldsOf(old['spec'])['ephemeralContainers'])) {
        const after = now.find(({ name }) => name === before['name']);
        if (!after) errors.push({ type: 'Forbidden', field: 'spec.ephemeralContainers', detail: `existing ephemeral containers ${JSON.stringify(before['name'])} may not be removed\n` });
        else if (!isDeepStrictEqual(after, before)) errors.push({ type: 'Forbidden', field: 'spec.ephemeralContainers', detail: `existing ephemeral containers ${JSON.stringify(before['name'])} may not be changed\n` });
      }
      return errors;
    },
  },
  'pods/resize': {
    prepare(object, old) {
      const spec = fieldsOf(old['spec']);
      const asked = fieldsOf(object['spec']);
      const resized = (list: 'containers' | 'initContainers'): Fields => {
        const now = listOf(asked[list]);
        return Array.isArray(spec[list]) ? {
          [list]: listOf(spec[list]).map((container) => {
            const { resources, resizePolicy } = now.find(({ name }) => name === container['name']) ?? container;
            return { ...container, ...(resources === undefined ? {} : { resources }), ...(resizePolicy === undefined ? {} : { resizePolicy }) };
          }),
        } : {};
      };
      const changed = { ...spec, ...resized('containers'), ...resized('initContainers') };
      if (!isDeepStrictEqual(changed, spec)) object.metadata = { ...object.metadata, generation: (old.metadata?.generation ?? 0) + 1 };
      object['spec'] = changed;
      object['status'] = old['status'];
    },
  },
  'certificatesigningrequests.certificates.k8s.io/approval': {
    prepare(object, old) {
      const { conditions } = fieldsOf(object['status']);
      object['spec'] = old['spec'];
      object['status'] = { ...fieldsOf(old['status']), ...(conditions === undefined ? {} : { conditions }) };
    },
  },
};
