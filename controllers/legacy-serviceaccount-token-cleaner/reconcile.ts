// Which token Secrets that were made by themselves nobody has used for long, without I/O.
// Upstream: pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go.
import type { Pod, Secret, ServiceAccount } from '#machinery/api/object.ts';

export const lastUsedLabel = 'kubernetes.io/legacy-token-last-used';
export const invalidSinceLabel = 'kubernetes.io/legacy-token-invalid-since';
export const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10);
const isDay = (text: string | undefined): text is string => text !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));

/** From when on, in milliseconds, what was tracked says enough; undefined when the ConfigMap does not tell. */
export function tellsFrom(data: Readonly<Record<string, string>> | undefined, keptMs: number): number | undefined {
  return isDay(data?.since) ? Date.parse(data.since) + 86_400_000 + keptMs : undefined;
}

export interface Inputs {
  /** Of the Secret's annotation, when there is one. */
  account: ServiceAccount | undefined;
  /** Names of the Secrets that pods of its namespace use. */
  used: () => ReadonlySet<string>;
  now: number;
  keptMs: number;
}

/** 'mark' it as invalid first, 'delete' it when it has been for as long again. */
export function nextStep({ metadata, type }: Readonly<Secret>, { account, used, now, keptMs }: Inputs): 'keep' | 'mark' | 'delete' {
  const { name = '', labels = {}, annotations = {} } = metadata;
  const since = dayOf(now - keptMs);
  if (type !== 'kubernetes.io/service-account-token' || metadata.deletionTimestamp !== undefined) return 'keep';
  if (!(Date.parse(metadata.creationTimestamp ?? '') < now - keptMs)) return 'keep';
  const lastUsed = labels[lastUsedLabel];
  if (lastUsed !== undefined && (!isDay(lastUsed) || lastUsed >= since)) return 'keep';
  const uid = annotations['kubernetes.io/service-account.uid'];
  if (!account || (uid && uid !== account.metadata.uid)) return 'keep'; // the token controller's
  // Only those that an account names were made by themselves; others are somebody's own.
  if (!account.secrets?.some((reference) => reference.name === name) || used().has(name)) return 'keep';
  const invalidSince = labels[invalidSinceLabel];
  if (!isDay(invalidSince)) return 'mark';
  return invalidSince >= since ? 'keep' : 'delete';
}

/** Names of all Secrets that a pod speaks of, wherever in its spec. */
export function secretsOf({ spec }: Pod): Set<string> {
  const names = new Set<string>();
  const add = (reference: unknown): void => {
    const name = typeof reference === 'string' ? reference : typeof reference === 'object' && reference !== null && 'name' in reference ? reference.name : undefined;
    if (typeof name === 'string' && name !== '') names.add(name);
  };
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit);
    if (typeof value !== 'object' || value === null) return;
    for (const [key, part] of Object.entries(value)) {
      if (key === 'secretName' || /(^s|S)ecret(Key)?Ref$/.test(key)) add(part);
      else if (key === 'imagePullSecrets' && Array.isArray(part)) part.forEach(add);
      else if (key === 'secret') add(part); // of a projected source; a volume's has secretName
      visit(part);
    }
  };
  visit(spec);
  return names;
}
