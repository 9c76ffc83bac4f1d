// Kinds that two versions or groups serve from one store in different shapes: events.k8s.io/v1 (stored as core Events),
// autoscaling/v1 HPAs (stored as v2, what v1 cannot say is kept in annotations, as upstream does), resource.k8s.io/v1beta1.
import type { KubeObject } from '#machinery/api/object.ts';
import { toV1, toV2 } from './autoscaling/conversion.ts';
import { claimConversion, claimTemplateConversion, sliceConversion } from './resource/conversion.ts';
import type { Convert } from './resource.ts';

interface Conversion { storedAs: string; convert: Convert }

/** By `resource id/version`. */
export const conversions: Readonly<Record<string, Conversion>> = {
  'events.events.k8s.io/v1': { storedAs: 'events', convert: { toStored: eventToCore, fromStored: eventFromCore } },
  'horizontalpodautoscalers.autoscaling/v1': { storedAs: 'horizontalpodautoscalers.autoscaling', convert: { toStored: toV2, fromStored: toV1 } },
  'resourceclaims.resource.k8s.io/v1beta1': { storedAs: 'resourceclaims.resource.k8s.io', convert: claimConversion },
  'resourceclaimtemplates.resource.k8s.io/v1beta1': { storedAs: 'resourceclaimtemplates.resource.k8s.io', convert: claimTemplateConversion },
  'resourceslices.resource.k8s.io/v1beta1': { storedAs: 'resourceslices.resource.k8s.io', convert: sliceConversion },
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
  for (const name of ['reportingController', 'reportingInstance']) if (out[name] === '') delete out[name]; // core Events always show them
  return out;
}
function rename(object: KubeObject, from: string, to: string): void {
  if (object[from] !== undefined) object[to] = object[from];
  delete object[from];
}
