// What a policy rule allows and covers: pure functions on plain rules. Upstream: pkg/apis/rbac/v1/evaluation_helpers.go,
// component-helpers/auth/rbac/validation/policy_comparator.go.
import type { RequestInfo } from '../request.ts';

export interface PolicyRule {
  verbs: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
  nonResourceURLs?: string[];
}

const hasOrAll = (list: readonly string[] | undefined, value: string): boolean => list?.some((one) => one === '*' || one === value) ?? false;

export function ruleAllows(rule: PolicyRule, info: RequestInfo): boolean {
  if (!info.isResourceRequest) return hasOrAll(rule.verbs, info.verb) && (rule.nonResourceURLs ?? []).some((url) => urlCovers(url, info.path));
  return allowsResource(rule, info) && allowsName(rule, info.name);
}

/** Everything but the name; what is left to check is `allowsName`. */
export function allowsResource(rule: PolicyRule, { verb, group, resource, subresource }: RequestInfo): boolean {
  if (!hasOrAll(rule.verbs, verb) || !hasOrAll(rule.apiGroups, group)) return false;
  const combined = subresource === '' ? resource : `${resource}/${subresource}`;
  return (rule.resources ?? []).some((one) => one === '*' || one === combined || (subresource !== '' && one === `*/${subresource}`));
}

export function allowsName(rule: PolicyRule, name: string): boolean {
  return rule.resourceNames === undefined || rule.resourceNames.length === 0 || rule.resourceNames.includes(name);
}

function urlCovers(owner: string, path: string): boolean {
  return owner === '*' || owner === path || (owner.endsWith('*') && path.startsWith(owner.replace(/\*+$/, '')));
}

/** The parts of `wanted` that `held` does not give, each with one verb, one resource, at most one name. */
export function missingRules(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(breakDown).filter((part) => !held.some((rule) => covers(rule, part)));
}

function breakDown(rule: PolicyRule): PolicyRule[] {
  const parts: PolicyRule[] = [];
  for (const group of rule.apiGroups ?? []) {
    for (const resource of rule.resources ?? []) {
      for (const verb of rule.verbs) {
        const base = { apiGroups: [group], resources: [resource], verbs: [verb] };
        if (rule.resourceNames === undefined || rule.resourceNames.length === 0) parts.push(base);
        else for (const name of rule.resourceNames) parts.push({ ...base, resourceNames: [name] });
      }
    }
  }
  for (const url of rule.nonResourceURLs ?? []) for (const verb of rule.verbs) parts.push({ nonResourceURLs: [url], verbs: [verb] });
  return parts;
}

/** `part` comes from `breakDown`. */
function covers(owner: PolicyRule, part: PolicyRule): boolean {
  if (!part.verbs.every((verb) => hasOrAll(owner.verbs, verb))) return false;
  for (const url of part.nonResourceURLs ?? []) {
    const covered = (owner.nonResourceURLs ?? []).some((one) => one === url || (one.endsWith('*') && url.startsWith(one.replace(/\*+$/, ''))));
    if (!covered) return false;
  }
  if (!(part.apiGroups ?? []).every((group) => hasOrAll(owner.apiGroups, group))) return false;
  for (const resource of part.resources ?? []) {
    const slash = resource.indexOf('/');
    const covered = hasOrAll(owner.resources, resource) || (slash > 0 && (owner.resources ?? []).includes(`*/${resource.slice(slash + 1)}`));
    if (!covered) return false;
  }
  const names = owner.resourceNames ?? [];
  if (part.resourceNames === undefined || part.resourceNames.length === 0) return names.length === 0;
  return names.length === 0 || part.resourceNames.every((name) => names.includes(name));
}

/** Rules that differ only in their verb become one. */
export function compactRules(rules: readonly PolicyRule[]): PolicyRule[] {
  const out: PolicyRule[] = [];
  const simple = new Map<string, PolicyRule>();
  for (const rule of rules) {
    if (rule.nonResourceURLs?.length || rule.apiGroups?.length !== 1 || rule.resources?.length !== 1 || (rule.resourceNames?.length ?? 0) > 1) {
      out.push(rule);
      continue;
    }
    const key = JSON.stringify([rule.apiGroups, rule.resources, rule.resourceNames ?? []]);
    const known = simple.get(key);
    if (known === undefined) simple.set(key, { ...rule, verbs: [...rule.verbs] });
    else known.verbs.push(...rule.verbs);
  }
  return [...out, ...simple.values()];
}

/** `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}`, as escalation errors show rules. */
export function describeRule(rule: PolicyRule): string {
  const parts = [
    ['APIGroups', rule.apiGroups], ['Resources', rule.resources], ['NonResourceURLs', rule.nonResourceURLs],
    ['ResourceNames', rule.resourceNames], ['Verbs', rule.verbs],
  ] as const;
  return `{${parts.flatMap(([name, values]) => (values && values.length > 0 ? [`${name}:${quoteAll(values)}`] : [])).join(', ')}}`;
}

/** A list of strings as Go's %q prints it. */
export function quoteAll(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(' ')}]`;
}
