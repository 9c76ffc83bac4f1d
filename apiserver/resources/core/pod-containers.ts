// All containers of a pod in upstream's order of visiting: init containers, containers, ephemeral ones.
import { objects } from '../values.ts';
import type { Obj } from '../values.ts';

export function containersWithPath(spec: Obj, path: string): [container: Obj, path: string][] {
  return ['initContainers', 'containers', 'ephemeralContainers'].flatMap((list) =>
    objects(spec[list]).map((container, index): [Obj, string] => [container, `${path}.${list}[${index}]`]));
}
