// Going back to an older template because an annotation asks for it: what spec.rollbackTo of extensions/v1beta1 became. kubectl
// writes the template itself instead. Upstream: pkg/controller/deployment/rollback.go.
import type { Deployment, ReplicaSet } from '#machinery/api/object.ts';
import { hashLabel, notCopied, revisionOf, sameTemplate } from './reconcile.ts';

export const rollbackKey = 'deprecated.deployment.rollback.to';

/** The revision that is asked for, 0 for the one before the newest; undefined when there is none, or no int64. */
export function rollbackTo({ metadata }: Deployment): bigint | undefined {
  const text = metadata.annotations?.[rollbackKey] ?? '';
  if (!/^[+-]?\d{1,19}$/.test(text)) return undefined;
  const revision = BigInt(text);
  return BigInt.asIntN(64, revision) === revision ? revision : undefined;
}

/** What to write and to tell. The request is taken off whatever comes of it. */
export function rollback(deployment: Deployment, sets: readonly ReplicaSet[], to: bigint): { deployment: Deployment; event: [type: 'Normal' | 'Warning', reason: string, message: string] } {
  const { [rollbackKey]: _, ...annotations } = deployment.metadata.annotations ?? {};
  const cleared = { ...deployment, metadata: { ...deployment.metadata, annotations } };
  const revision = to === 0n ? lastRevision(sets) : to;
  const target = revision === 0n ? undefined : sets.find((set) => revisionOf(set) === revision);
  if (!target) {
    return { deployment: cleared, event: ['Warning', 'DeploymentRollbackRevisionNotFound', revision === 0n ? 'Unable to find last revision.' : 'Unable to find the revision to rollback to.'] };
  }
  if (sameTemplate(deployment.spec?.template, target.spec?.template)) {
    return { deployment: cleared, event: ['Warning', 'DeploymentRollbackTemplateUnchanged', `The rollback revision contains the same template as current deployment "${deployment.metadata.name}"`] };
  }
  const { [hashLabel]: _hash, ...labels } = target.spec?.template?.metadata?.labels ?? {};
  const template = { ...target.spec?.template, metadata: { ...target.spec?.template?.metadata, labels } };
  return {
    deployment: {
      ...cleared,
      // The annotations are of that revision again, or the set would get the newer ones.
      metadata: { ...cleared.metadata, annotations: { ...only(annotations, true), ...only(target.metadata.annotations, false) } },
      ...(deployment.spec ? { spec: { ...deployment.spec, template } } : {}),
    },
    event: ['Normal', 'DeploymentRollback', `Rolled back deployment "${deployment.metadata.name}" to revision ${revision}`],
  };
}

/** The highest but one. */
function lastRevision(sets: readonly ReplicaSet[]): bigint {
  return sets.map(revisionOf).sort((a, b) => (a < b ? 1 : a > b ? -1 : 0))[1] ?? 0n;
}
function only(annotations: Readonly<Record<string, string>> | undefined, own: boolean): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => notCopied.has(key) === own));
}
