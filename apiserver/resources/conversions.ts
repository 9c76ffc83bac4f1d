// Kinds that two versions or groups serve from one store: events.k8s.io/v1 (stored as core Events) and autoscaling/v1
// HPAs (stored as v2, what v1 cannot say is kept in annotations, as upstream does).
import type { KubeObject } from '#machinery/api/object.ts';
import { toV1, toV2 } from './autoscaling/conversion.ts';
import type { ResourceRow } from './resource.ts';

type Conversion = Required<Pick<ResourceRow, 'storedAs' | 'convert'>>;

/** By `resource id/version`. */
export const conversions: Readonly<Record<string, Conversion>> = {
  'events.events.k8s.io/v1': { storedAs: 'events', convert: { toStored: eventToCore, fromStored: eventFromCore } },
  'horizontalpodautoscalers.autoscaling/v1': { storedAs: 'horizontalpodautoscalers.autoscaling', convert: { toStored: toV2, fromStored: toV1 } },
};

/** events.k8s.io/v1 name -> core name, where they differ. */
const eventFields = [
  ['regarding', 'involvedObject'], ['note', 'message'], ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'], ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'], ['deprecatedCount', 'count'],
] as const;

function eventToCore(object: KubeObject): KubeObject {
  const out: KubeObject = { ...object, apiVersion: 'v1', kind: 'Event' };
  for (const [name, core] of eventFields) rename(out, name, core);
  return out;
}
function eventFromCore(object: KubeObject): KubeObject {
  const out: KubeObject = { ...object, apiVersion: 'events.k8s.io/v1', kind: 'Event' };
  for (const [name, core] of eventFields) rename(out, core, name);
  return out;
}
function rename(object: KubeObject, from: string, to: string): void {
  if (object[from] !== undefined) object[to] = object[from];
  delete object[from];
}
