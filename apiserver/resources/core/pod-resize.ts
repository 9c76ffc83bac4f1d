// The resize subresource of pods: cpu and memory of containers, and of the pod as a whole, may change while it runs. Upstream:
// dropNonResizeUpdates in pkg/registry/core/pod/strategy.go, ValidatePodResize in pkg/apis/core/validation/validation.go.
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, entries, forbiddenField, invalidField, isObject, need, objects, same, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { mirrorAnnotation } from './pod-annotation-validation.ts';
import { qosClassOf } from './pod-qos.ts';
import { validatePodSpecOf } from './pod-validation.ts';

const lists = ['containers', 'initContainers'] as const;

/** The old spec with what a resize may change as asked; containers that are not the old ones are left for validation to refuse. */
export function resizedSpec(asked: Obj, old: Obj): Obj {
  if (lists.some((list) => objects(asked[list]).length !== objects(old[list]).length)) return asked;
  const spec: Obj = structuredClone(old);
  if (asked['resources'] === undefined) delete spec['resources'];
  else spec['resources'] = asked['resources'];
  for (const list of lists) {
    const wanted = objects(asked[list]);
    const containers = objects(spec[list]);
    if (wanted.some((container, index) => container['name'] !== containers[index]?.['name'])) {
      spec[list] = asked[list];
      continue;
    }
    containers.forEach((container, index) => {
      for (const field of ['resources', 'resizePolicy']) {
        const value = wanted[index]?.[field];
        if (value === undefined) delete container[field];
        else container[field] = value;
      }
    });
  }
  return spec;
}

/** The list with cpu and memory as they were. */
function withOldSizes(list: unknown, old: unknown): Obj {
  const { cpu: _, memory: __, ...rest } = asObject(list) ?? {};
  for (const name of ['cpu', 'memory']) {
    const value = at(old, name);
    if (value !== undefined) rest[name] = value;
  }
  return rest;
}
function withOldResources(container: Obj, old: Obj): Obj {
  const of = (list: string): Obj => withOldSizes(at(container, 'resources', list), at(old, 'resources', list));
  return { ...container, resources: { limits: of('limits'), requests: of('requests') } };
}
function isRemoved(list: unknown, old: unknown): boolean {
  return entries(old).some(([name]) => at(list, name) === undefined);
}
function validateRemoval(resources: unknown, old: unknown, path: string, what: string): FieldError[] {
  return ['requests', 'limits'].filter((list) => isRemoved(at(resources, list), at(old, list))).map((list) => forbiddenField(`${path}.${list}`, `${what} ${list} cannot be removed`));
}

/** Nodes that know how to resize show the resources of what runs. */
function isSupported(pod: Readonly<KubeObject>): boolean {
  const running = objects(at(pod, 'status', 'containerStatuses')).find((status) => isObject(at(status, 'state', 'running')));
  return running === undefined || running['resources'] !== undefined;
}

function validateOrder(spec: Obj, old: Obj): FieldError[] {
  return lists.flatMap((list) => {
    const [now, before] = [objects(spec[list]), objects(old[list])];
    if (now.length !== before.length) return [forbiddenField(`spec.${list}`, `${list} may not be added or removed on resize`)];
    return before.flatMap((container, index) => (container['name'] === now[index]?.['name'] ? [] : [forbiddenField(`spec.${list}[${index}].name`, `${list} may not be renamed or reordered on resize`)]));
  });
}

const hasResources = (spec: Obj): boolean => ['requests', 'limits'].some((list) => entries(at(spec, 'resources', list)).length > 0);

/** Also takes what may change of the pod's own resources out of `rest`, which is compared as a whole later. */
function validatePodLevel(spec: Obj, old: Obj, rest: Obj): FieldError[] {
  if (!hasResources(spec) && !hasResources(old)) return [];
  const [resources, before] = [asObject(spec['resources']), asObject(old['resources'])];
  if (before && !resources) return [forbiddenField('spec.resources', 'pod-level resources cannot be removed')];
  const errors = before ? validateRemoval(resources, before, 'spec.resources', 'pod-level resource') : [];
  if (resources) {
    rest['resources'] = { ...resources, requests: withOldSizes(resources['requests'], before?.['requests']), limits: withOldSizes(resources['limits'], before?.['limits']) };
  }
  if (!same(rest['resources'], before)) errors.push(forbiddenField('spec', 'only cpu and memory resources are mutable at pod-level'));
  return errors;
}

export function validatePodResize(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  if (old.metadata?.annotations?.[mirrorAnnotation] !== undefined) return [forbiddenField('[]', 'static pods cannot be resized')];
  if (at(old, 'spec', 'os', 'name') === 'windows') return [forbiddenField('[]', 'windows pods cannot be resized')];
  const [spec, before] = [need(object, 'spec'), asObject(old['spec']) ?? {}];
  const errors = validatePodSpecOf(object);
  if ((text(at(old, 'status', 'qosClass')) || qosClassOf(old)) !== qosClassOf(object)) {
    errors.push(invalidField('spec', text(at(object, 'status', 'qosClass')), 'Pod QOS Class may not change as a result of resizing'));
  }
  if (!isSupported(old)) errors.push(forbiddenField('spec', 'Pod running on node without support for resize'));
  const rest: Obj = { ...spec };
  errors.push(...validatePodLevel(spec, before, rest));
  if (objects(at(old, 'status', 'nodeAllocatableResourceClaimStatuses')).length > 0) errors.push(forbiddenField('spec', 'pods with node allocatable resource claims cannot be resized'));
  const misplaced = validateOrder(spec, before);
  if (misplaced.length > 0) return [...errors, ...misplaced];

  const pairs = (list: typeof lists[number]): [container: Obj, old: Obj][] => objects(spec[list]).map((container, index) => [container, objects(before[list])[index] ?? {}]);
  for (const list of ['initContainers', 'containers'] as const) {
    pairs(list).forEach(([container, was], index) => errors.push(...validateRemoval(container['resources'], was['resources'], `spec.${list}[${index}].resources`, 'resource')));
  }
  rest['containers'] = pairs('containers').map(([container, was]) => {
    const kept = withOldResources(container, was);
    if (!same(kept, was)) errors.push(forbiddenField('spec', 'only cpu and memory resources are mutable'));
    return kept;
  });
  rest['initContainers'] = pairs('initContainers').map(([container, was], index) => {
    const kept = withOldResources(container, was);
    const path = `spec.initContainers[${index}]`;
    if (!same(kept, was)) errors.push(forbiddenField(path, 'only cpu and memory resources for init or sidecar containers are mutable'));
    if (container['restartPolicy'] !== 'Always' && !same(container, was)) {
      const restarts = objects(container['resizePolicy']).filter((policy) => policy['restartPolicy'] === 'RestartContainer');
      errors.push(...restarts.map(() => forbiddenField(path, 'non-sidecar init containers with a resize policy of RestartContainer cannot be resized')));
    }
    return kept;
  });
  return errors.length > 0 || same(rest, before) ? errors : [forbiddenField('spec', 'only cpu and memory resources are mutable')];
}
