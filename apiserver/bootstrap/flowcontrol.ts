// The priority levels and flow schemas that every cluster has (flowcontrol.json). Requests are not yet queued by them; they
// are kept so that clients that read or extend them find what upstream has.
import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '#machinery/base/clock.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import type { Backend } from '../backend.ts';
import { ensure } from './ensure.ts';
import data from './flowcontrol.json' with { type: 'json' };

const group = 'flowcontrol.apiserver.k8s.io';
export const flowSchemas = `flowschemas.${group}`;
export const priorityLevels = `prioritylevelconfigurations.${group}`;
const annotation = 'apf.kubernetes.io/autoupdate-spec';

interface Entry { class: string; spec: Record<string, unknown> }
const sets = [
  { id: priorityLevels, kind: 'PriorityLevelConfiguration', entries: data.priorityLevelConfigurations as Record<string, Entry> },
  { id: flowSchemas, kind: 'FlowSchema', entries: data.flowSchemas as Record<string, Entry> },
] as const;

export async function ensureFlowControl(backend: Backend): Promise<void> {
  await Promise.all(sets.flatMap(({ id, kind, entries }) => [
    ...Object.entries(entries).map(([name, entry]) => ensure(
      backend, id,
      { apiVersion: `${group}/v1`, kind, metadata: { name, annotations: { ...data.annotations } }, spec: structuredClone(entry.spec) },
      (object) => repair(object, entry),
    )),
    ...backend.cached(id).filter((object) => isOurs(object) && !Object.hasOwn(entries, object.metadata?.name ?? ''))
      .map((object) => removeUnwanted(backend, id, object)),
  ]));
}

const isOurs = (object: Readonly<KubeObject>): boolean => object.metadata?.annotations?.[annotation] === 'true';

async function removeUnwanted(backend: Backend, id: string, { metadata }: Readonly<KubeObject>): Promise<void> {
  try {
    await backend.store(id).delete('', metadata?.name ?? '', metadata?.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Mandatory specs are always put back, suggested ones unless somebody took them over. */
function repair(object: KubeObject, entry: Entry): boolean {
  const metadata = (object.metadata ??= {});
  const given = metadata.annotations?.[annotation];
  let wanted = 'true';
  if (entry.class !== 'mandatory') {
    if (given === 'false') return false;
    if (given !== 'true' && (metadata.generation ?? 1) > 1) wanted = 'false';
  }
  let changed = false;
  if (given !== wanted) {
    metadata.annotations = { ...metadata.annotations, [annotation]: wanted };
    changed = true;
  }
  if (wanted === 'true' && !covers(object.spec, entry.spec)) {
    object.spec = structuredClone(entry.spec);
    changed = true;
  }
  return changed;
}

/** Everything in `wanted` is in `actual`; defaults that the server added do not count as a difference. */
function covers(actual: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) return Array.isArray(actual) && actual.length === wanted.length && wanted.every((one, index) => covers(actual[index], one));
  if (typeof wanted !== 'object' || wanted === null) return isDeepStrictEqual(actual, wanted);
  if (typeof actual !== 'object' || actual === null) return false;
  return Object.entries(wanted).every(([key, value]) => covers((actual as Record<string, unknown>)[key], value)); // an object, checked above
}

/** Tells in each flow schema's status whether its priority level exists. */
export async function markDangling(backend: Backend, now: () => number = Date.now): Promise<void> {
  await Promise.all(backend.cached(flowSchemas).map(async (schema) => {
    const name = schema.metadata?.name ?? '';
    const level = (schema.spec as { priorityLevelConfiguration?: { name?: string } } | undefined)?.priorityLevelConfiguration?.name ?? '';
    const found = backend.lookup(priorityLevels, '', level) !== undefined;
    const what = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)}`;
    const condition = found
      ? { type: 'Dangling', status: 'False', reason: 'Found', message: `${what} and it exists` }
      : { type: 'Dangling', status: 'True', reason: 'NotFound', message: `${what} but there is no such object` };
    type Status = { conditions?: (typeof condition & { lastTransitionTime?: string })[] } | undefined;
    const isCurrent = (status: Status): boolean => status?.conditions?.some((one) => one.type === condition.type && one.status === condition.status && one.message === condition.message) ?? false;
    if (isCurrent(schema.status as Status)) return;
    try {
      await backend.store(flowSchemas).modify('', name, (object) => {
        const status = object.status as Status;
        if (isCurrent(status)) return false;
        const others = (status?.conditions ?? []).filter((one) => one.type !== condition.type);
        object.status = { ...status, conditions: [...others, { ...condition, lastTransitionTime: rfc3339(now()) }] };
        return undefined;
      }, { subresource: 'status' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }));
}
