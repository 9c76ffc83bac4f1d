// PersistentVolumeClaims under quotas: their number and what they ask for, also by storage class. Upstream:
// pkg/quota/v1/evaluator/core/persistent_volume_claims.go.
import { storageClassOf, volumeAttributesClassesOf } from '../claims.ts';
import type { KubeObject, PersistentVolumeClaim } from '../object.ts';
import { compareQuantities, quantityOfInteger } from '../quantity.ts';
import type { Quantity } from '../quantity.ts';
import { readResourceList } from '../resource-list.ts';
import type { Evaluator } from './evaluators.ts';
import { matchesName } from './quota.ts';
import type { ScopeSelector } from './quota.ts';

const names = ['persistentvolumeclaims', 'requests.storage'];
const byClass = '.storageclass.storage.k8s.io/';
const asClaim = (object: Readonly<KubeObject>): Readonly<PersistentVolumeClaim> => object as unknown as PersistentVolumeClaim; // asked about claims only

export const claimEvaluator: Evaluator = {
  id: 'persistentvolumeclaims', countsOnly: false,
  measures: (name) => name === 'count/persistentvolumeclaims' || names.includes(name) || names.some((each) => name.endsWith(`${byClass}${each}`)),
  usage(object) {
    const claim = asClaim(object);
    const storageClass = storageClassOf(claim) ?? '';
    const used = new Map([['count/persistentvolumeclaims', quantityOfInteger(1)], ['persistentvolumeclaims', quantityOfInteger(1)]]);
    const storage = storageOf(claim);
    if (storage) used.set('requests.storage', storage);
    if (storageClass !== '') for (const name of names) {
      const quantity = used.get(name);
      if (quantity) used.set(`${storageClass}${byClass}${name}`, quantity);
    }
    return used;
  },
  matchesScope(selector, object) {
    return selector.scopeName === 'VolumeAttributesClass' && matchesClasses(selector, volumeAttributesClassesOf(asClaim(object)));
  },
  handles: (operation, subresource) => (subresource === '' ? operation === 'CREATE' || operation === 'UPDATE' : subresource === 'status' && operation === 'UPDATE'),
  mayChange: (object, old, subresource) => subresource === '' || differs(asClaim(object), asClaim(old)),
  frees: (object, old) => differs(asClaim(object), asClaim(old)),
};

/** Whole bytes; an expansion counts until the volume has shrunk back to what is asked for. */
function storageOf({ spec, status }: Readonly<PersistentVolumeClaim>): Quantity | undefined {
  const asked = readResourceList(spec?.resources?.requests).get('storage');
  const allocated = readResourceList(status?.allocatedResources).get('storage');
  if (!asked) return undefined;
  return wholeBytes(allocated && compareQuantities(allocated, asked) > 0 ? allocated : asked);
}
function wholeBytes(quantity: Quantity): Quantity {
  const rest = quantity.nanos % 1_000_000_000n;
  return rest === 0n ? quantity : { nanos: quantity.nanos - rest + 1_000_000_000n, format: quantity.format };
}

function matchesClasses(selector: ScopeSelector, classes: readonly string[]): boolean {
  return classes.length === 0 ? matchesName(selector, undefined) : classes.some((name) => matchesName(selector, name));
}

function differs(claim: Readonly<PersistentVolumeClaim>, old: Readonly<PersistentVolumeClaim>): boolean {
  const sizeOf = ({ status }: Readonly<PersistentVolumeClaim>): bigint | undefined => readResourceList(status?.allocatedResources).get('storage')?.nanos;
  return sizeOf(claim) !== sizeOf(old) || volumeAttributesClassesOf(claim).toSorted().join() !== volumeAttributesClassesOf(old).toSorted().join();
}
