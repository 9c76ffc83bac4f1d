// What ControllerRevisions hold and how they are told apart, without I/O. Upstream: pkg/controller/history.
import type { ControllerRevision, PodTemplateSpec } from '#machinery/api/object.ts';
import { canonical, safeEncode } from '../hash.ts';

/** Says on pods (and on a DaemonSet's revisions) which revision they are made from. */
export const revisionLabel = 'controller-revision-hash';
export const hashLabel = 'controller.kubernetes.io/hash';

/** A strategic merge patch that brings the template back; kubectl applies it as it is to undo a rollout. */
export interface RevisionData { spec: { template: PodTemplateSpec & { $patch: 'replace' } } }

export function revisionData(template: PodTemplateSpec | undefined): RevisionData {
  return { spec: { template: { ...template, $patch: 'replace' } } };
}
export function dataOf(revision: ControllerRevision): RevisionData {
  return (revision.data ?? {}) as RevisionData; // raw JSON by its type
}
/** The template that a revision keeps; undefined when its data is none of ours. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec | undefined {
  const template = dataOf(revision).spec?.template;
  if (!template) return undefined;
  const { $patch: _, ...rest } = template;
  return rest;
}

/** The bytes that a Go encoder writes for the data: sorted keys, and <, >, & and two line separators escaped. */
export function encode(data: unknown): string {
  return canonical(data).replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
/** The data with sorted keys: kubectl compares it with what it would write, byte by byte. */
export function sorted(data: unknown): unknown {
  return JSON.parse(canonical(data));
}
export function sameData(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

/** FNV-32 (multiply, then xor) over the bytes and the collision count's digits. */
export function revisionHash(data: unknown, collisionCount: number | undefined): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(encode(data) + (collisionCount === undefined ? '' : String(collisionCount)))) hash = (Math.imul(hash, 0x01000193) ^ byte) >>> 0;
  return safeEncode(hash);
}
export function revisionName(owner: string, hash: string): string {
  return `${owner.slice(0, 223)}-${hash}`;
}

/** Oldest revision first; then by age, then by name. */
export function sortRevisions(revisions: readonly ControllerRevision[]): ControllerRevision[] {
  const age = ({ metadata }: ControllerRevision): number => Date.parse(metadata.creationTimestamp ?? '') || 0;
  return [...revisions].sort((a, b) => a.revision - b.revision || age(a) - age(b) || ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
}
/** One more than the newest. */
export function nextRevision(revisions: readonly ControllerRevision[]): number {
  return Math.max(0, ...revisions.map(({ revision }) => revision)) + 1;
}
