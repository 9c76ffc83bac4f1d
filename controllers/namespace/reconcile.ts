// The conditions of a namespace that is being deleted, without I/O. Upstream: pkg/controller/namespace/deletion.
import { rfc3339 } from '#machinery/base/clock.ts';
import type { KubeObject, Namespace } from '#machinery/api/object.ts';

type Condition = NonNullable<NonNullable<Namespace['status']>['conditions']>[number];

/** What one pass found. */
export interface Found {
  /** `group/version` -> why it could not be discovered. */
  discoveryFailures: ReadonlyMap<string, string>;
  /** `resource.group` -> objects left (`pods.` for the core group). */
  remaining: Map<string, number>;
  finalizers: Map<string, number>;
  errors: string[];
}

export function countRemaining(found: Found, resource: string, objects: readonly KubeObject[]): void {
  if (objects.length === 0) return;
  found.remaining.set(resource, objects.length);
  for (const { metadata } of objects) for (const finalizer of metadata?.finalizers ?? []) found.finalizers.set(finalizer, (found.finalizers.get(finalizer) ?? 0) + 1);
}

/** Seconds that pods may still take: the longest grace period left, or 15 where only finalizers keep them. */
export function estimateSeconds(pods: readonly KubeObject[]): number {
  const graces = pods.map(({ metadata }) => metadata?.deletionGracePeriodSeconds ?? 15);
  return Math.max(0, ...graces);
}

/** The namespace's conditions after a pass; the very same array when nothing changed. */
export function namespaceConditions(before: readonly Condition[] | undefined, found: Found, now: number): readonly Condition[] {
  const sorted = (entries: string[]): string => entries.sort().join(', ');
  const failures = [...found.discoveryFailures].map(([group, why]) => `${group}: ${why}`);
  const rows: [type: string, bad: boolean, badReason: string, badText: string, okReason: string, okText: string][] = [
    ['NamespaceDeletionDiscoveryFailure', failures.length > 0, 'DiscoveryFailed', `Discovery failed for some groups, ${failures.length} failing: ${sorted(failures)}`,
      'ResourcesDiscovered', 'All resources successfully discovered'],
    ['NamespaceDeletionGroupVersionParsingFailure', false, '', '', 'ParsedGroupVersions', 'All legacy kube types successfully parsed'],
    ['NamespaceDeletionContentFailure', found.errors.length > 0, 'ContentDeletionFailed', `Failed to delete all resource types, ${found.errors.length} remaining: ${sorted([...found.errors])}`,
      'ContentDeleted', 'All content successfully deleted, may be waiting on finalization'],
    ['NamespaceContentRemaining', found.remaining.size > 0, 'SomeResourcesRemain',
      `Some resources are remaining: ${sorted([...found.remaining].map(([resource, count]) => `${resource} has ${count} resource instances`))}`, 'ContentRemoved', 'All content successfully removed'],
    ['NamespaceFinalizersRemaining', found.finalizers.size > 0, 'SomeFinalizersRemain',
      `Some content in the namespace has finalizers remaining: ${sorted([...found.finalizers].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`))}`,
      'ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
  ];
  let changed = false;
  const conditions = [...(before ?? [])];
  for (const [type, bad, badReason, badText, okReason, okText] of rows) {
    const next = { type, status: bad ? 'True' : 'False', reason: bad ? badReason : okReason, message: bad ? badText : okText };
    const index = conditions.findIndex((condition) => condition.type === type);
    const old = conditions[index];
    if (old && old.status === next.status && old.reason === next.reason && old.message === next.message) continue;
    changed = true;
    const condition: Condition = { ...next, lastTransitionTime: old?.status === next.status ? old.lastTransitionTime : rfc3339(now) };
    if (old) conditions[index] = condition;
    else conditions.push(condition);
  }
  return changed ? conditions : (before ?? conditions);
}
