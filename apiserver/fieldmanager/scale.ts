// Scale shows who manages the replicas of its parent, and what a write of it changes goes back there.
// Upstream: apimachinery's managedfields/scalehandler.go.
import type { ObjectMeta } from '#machinery/api/object.ts';
import { difference, fieldsOf, has, isEmpty } from './fields.ts';
import { readEntries, writeEntries } from './managed.ts';
import type { ManagedSets } from './managed.ts';

type Entries = ObjectMeta['managedFields'];

const inScale = ['f:spec', 'f:replicas'];
const scaleVersion = 'autoscaling/v1';

/** `replicas`: the path of the number in the parent, `.spec.replicas`, which has it in `apiVersion`. */
export interface ScaleOwner { apiVersion: string; replicas: string }

const pathOf = ({ replicas }: ScaleOwner): string[] => replicas.split('.').filter((name) => name !== '').map((name) => `f:${name}`);

/** The parent's managers as the scale shows them. */
export function managersOfScale(entries: Entries, owner: ScaleOwner): Entries {
  const path = pathOf(owner);
  const shown: ManagedSets = new Map();
  for (const [id, managed] of readEntries(entries, 'store')) {
    if (managed.apiVersion === owner.apiVersion && has(managed.fields, path)) shown.set(id, { ...managed, apiVersion: scaleVersion, fields: fieldsOf(inScale) });
  }
  return writeEntries(shown);
}

/** The parent's managers after a write of the scale that left `scaleEntries`. */
export function managersOfParent(entries: Entries, scaleEntries: Entries, owner: ScaleOwner): Entries {
  const path = pathOf(owner);
  const replicas = fieldsOf(path);
  const parent = readEntries(entries, 'store');
  const scale = readEntries(scaleEntries, 'client');
  const result: ManagedSets = new Map();
  for (const [id, managed] of parent) {
    if (managed.apiVersion !== owner.apiVersion) continue; // a version that is gone
    if (!has(managed.fields, path) || scale.delete(id)) {
      result.set(id, managed);
      continue;
    }
    const fields = difference(managed.fields, replicas);
    if (!isEmpty(fields)) result.set(id, { ...managed, fields });
  }
  for (const [id, managed] of scale) {
    if (has(managed.fields, inScale)) result.set(id, { ...managed, apiVersion: owner.apiVersion, time: parent.get(id)?.time, fields: replicas });
  }
  return writeEntries(result);
}
