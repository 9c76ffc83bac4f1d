// resource.k8s.io/v1beta1, where a request holds the fields of its one kind itself (v1: under `exactly`), a device holds most of
// its fields under `basic`, and a slice says that it has no node by empty fields. Upstream: pkg/apis/resource/v1beta1.
import type { KubeObject } from '#machinery/api/object.ts';
import type { Convert } from '../resource.ts';
import { asObject, isObject, objects, setEmpty, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { defaultCount, defaultTolerations } from './device-claim.ts';
import { defaultSlice } from './slice.ts';

const exactFields = ['deviceClassName', 'selectors', 'allocationMode', 'count', 'adminAccess', 'tolerations', 'capacity'] as const;
type Change = (spec: Obj) => Obj;

const moved = (from: Obj, fields: readonly string[]): Obj => Object.fromEntries(fields.flatMap((field) => (from[field] === undefined ? [] : [[field, from[field]]])));
const without = (from: Obj, fields: readonly string[]): Obj => Object.fromEntries(Object.entries(from).filter(([field]) => !fields.includes(field)));

function requestToStored(request: Obj): Obj {
  const exactly = moved(request, exactFields);
  if (exactly['deviceClassName'] === '') delete exactly['deviceClassName'];
  if (exactly['count'] === 0) delete exactly['count'];
  if (exactly['allocationMode'] === '') delete exactly['allocationMode'];
  return { ...without(request, exactFields), ...(Object.keys(exactly).length > 0 ? { exactly: { deviceClassName: '', ...exactly } } : {}) };
}
function requestFromStored(request: Obj): Obj {
  const { exactly, ...rest } = request;
  return { ...rest, deviceClassName: '', ...asObject(exactly) };
}
function claimWith(change: Change): Change {
  return (spec) => {
    const devices = asObject(spec['devices']);
    return devices && Array.isArray(devices['requests']) ? { ...spec, devices: { ...devices, requests: objects(devices['requests']).map(change) } } : spec;
  };
}

function sliceToStored(spec: Obj): Obj {
  const made = { ...spec };
  if (made['nodeName'] === '') delete made['nodeName'];
  if (made['allNodes'] === false) delete made['allNodes'];
  if (Array.isArray(made['devices'])) made['devices'] = objects(made['devices']).map(({ basic, ...device }) => ({ ...device, ...asObject(basic) }));
  return made;
}
function sliceFromStored(spec: Obj): Obj {
  return Array.isArray(spec['devices']) ? { ...spec, devices: objects(spec['devices']).map(({ name, ...basic }) => ({ name, basic })) } : spec;
}

function inSpec(change: Change): (object: KubeObject) => KubeObject {
  return (object) => (isObject(object['spec']) ? { ...object, spec: change(object['spec']) } : object);
}
const inTemplate = (change: Change): Change => (spec) => (isObject(spec['spec']) ? { ...spec, spec: change(spec['spec']) } : spec);

export const claimConversion: Convert = { toStored: inSpec(claimWith(requestToStored)), fromStored: inSpec(claimWith(requestFromStored)) };
export const claimTemplateConversion: Convert = { toStored: inSpec(inTemplate(claimWith(requestToStored))), fromStored: inSpec(inTemplate(claimWith(requestFromStored))) };
export const sliceConversion: Convert = { toStored: inSpec(sliceToStored), fromStored: inSpec(sliceFromStored) };

/** A request without a class has alternatives, and none of its own settings. */
export function defaultClaimV1beta1(spec: unknown): void {
  for (const request of objects(asObject(asObject(spec)?.['devices'])?.['requests'])) {
    setEmpty(request, 'deviceClassName', '');
    if (text(request['deviceClassName']) !== '') defaultCount(request);
    defaultTolerations(request);
    for (const one of objects(request['firstAvailable'])) {
      defaultCount(one);
      defaultTolerations(one);
    }
  }
}
export function defaultSliceV1beta1(spec: unknown): void {
  defaultSlice(spec, (device) => asObject(device['basic']));
}
