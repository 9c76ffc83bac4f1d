// Pod security levels and versions, and how a namespace's labels name them. Upstream: pod-security-admission/api; KEP 2579.
import type { FieldError } from '#machinery/api/status.ts';

export const levels = ['privileged', 'baseline', 'restricted'] as const;
export type Level = (typeof levels)[number];
/** `minor` of v1; Infinity is "latest". */
export interface LevelVersion { readonly level: Level; readonly minor: number }
export const modes = ['enforce', 'audit', 'warn'] as const;
export type Mode = (typeof modes)[number];
export type Policy = Readonly<Record<Mode, LevelVersion>>;

export const labelPrefix = 'pod-security.kubernetes.io/';
export const latest = Infinity;
export const privileged: Policy = { enforce: { level: 'privileged', minor: latest }, audit: { level: 'privileged', minor: latest }, warn: { level: 'privileged', minor: latest } };

/** `restricted:v1.28` */
export const policyText = ({ level, minor }: LevelVersion): string => `${level}:${minor === latest ? 'latest' : `v1.${minor}`}`;
export const samePolicy = (a: LevelVersion, b: LevelVersion): boolean => a.level === b.level && a.minor === b.minor;
/** Above 0 when `a` is stricter than `b`. */
export const compareLevels = (a: Level, b: Level): number => levels.indexOf(a) - levels.indexOf(b);

const isLevel = (text: string): text is Level => (levels as readonly string[]).includes(text);
function parseVersion(text: string): number | undefined {
  if (text === 'latest') return latest;
  const minor = /^v1\.([0-9]|[1-9][0-9]*)$/.exec(text)?.[1];
  return minor === undefined ? undefined : Number(minor);
}

/**
 * What the labels ask for; what they leave out is the default. A label that cannot be read is told, and taken as the strictest one for
 * enforcement, as none for audit and warnings.
 */
export function policyOf(labels: Readonly<Record<string, string>> | undefined, defaults: Policy = privileged): { policy: Policy; errors: FieldError[] } {
  if (labels === undefined) return { policy: defaults, errors: [] };
  const errors: FieldError[] = [];
  const policy = { ...defaults };
  const refuse = (label: string, value: string, detail: string): void => void errors.push({ type: 'Invalid', field: `metadata.labels[${label}]`, value, detail });
  for (const mode of modes) {
    const level = labels[labelPrefix + mode];
    if (level !== undefined) {
      if (!isLevel(level)) refuse(labelPrefix + mode, level, `must be one of ${levels.join(', ')}`);
      policy[mode] = { ...policy[mode], level: isLevel(level) ? level : mode === 'enforce' ? 'restricted' : 'privileged' };
    }
    const version = labels[`${labelPrefix}${mode}-version`];
    if (version !== undefined) {
      const minor = parseVersion(version);
      if (minor === undefined) refuse(`${labelPrefix}${mode}-version`, version, 'must be "latest" or "v1.x"');
      policy[mode] = { ...policy[mode], minor: minor ?? latest };
    }
  }
  // Who enforces a level wants to hear of what that will refuse in workloads.
  const enforced = labels[`${labelPrefix}enforce`];
  if (labels[`${labelPrefix}warn`] === undefined && enforced !== undefined && isLevel(enforced) && compareLevels(policy.enforce.level, policy.warn.level) > 0) {
    policy.warn = { level: policy.enforce.level, minor: labels[`${labelPrefix}warn-version`] === undefined ? policy.enforce.minor : policy.warn.minor };
  }
  return { policy, errors };
}
