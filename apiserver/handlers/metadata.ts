// What the server does to the metadata of every kind; what it demands of it is in resources/meta.ts. Upstream: apiserver's registry/rest.
import { randomInt } from 'node:crypto';
import type { ObjectMeta } from '#machinery/api/object.ts';

const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const maxBaseLength = 63 - 5;

/** The base, cut so that the result is a label, and five characters that spell no words. */
export function generateName(base: string): string {
  let suffix = '';
  for (let i = 0; i < 5; i += 1) suffix += alphabet.charAt(randomInt(alphabet.length));
  return base.slice(0, maxBaseLength) + suffix;
}

/** What the server alone may set on a new object. */
export function wipeSystemFields(metadata: ObjectMeta): void {
  for (const field of ['creationTimestamp', 'uid', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink'] as const) {
    if (field in metadata) delete metadata[field];
  }
}

/** The same owner twice is kept once; upstream warns of it. Returns the warning, if any. */
export function dedupeOwners(metadata: ObjectMeta): string | undefined {
  const owners = metadata.ownerReferences;
  if (!owners || owners.length < 2) return undefined;
  const seen = new Set<string>();
  const repeated: string[] = [];
  metadata.ownerReferences = owners.filter((owner) => {
    const key = JSON.stringify([owner.apiVersion, owner.kind, owner.name, owner.uid, owner.controller ?? null, owner.blockOwnerDeletion ?? null]);
    if (!seen.has(key)) return seen.add(key);
    repeated.push(owner.uid);
    return false;
  });
  return repeated.length === 0 ? undefined
    : `.metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${repeated.join(', ')}`;
}
