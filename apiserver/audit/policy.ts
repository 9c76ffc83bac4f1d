// Audit policies: reading, checking, and which rule a request falls under. Upstream: apiserver/pkg/audit/policy, apis/audit/validation.
import { readFile } from 'node:fs/promises';
import { createLogger } from '#machinery/base/log.ts';
import { UsageError } from '#machinery/base/flags.ts';
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import { fieldErrorBody } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { ConfigReader, parseConfigFile } from '../config-reader.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import { levels, stages } from './event.ts';
import type { Level, Stage } from './event.ts';

const log = createLogger('audit');

export interface Rule {
  level: Level;
  users: string[];
  userGroups: string[];
  verbs: string[];
  resources: { group: string; resources: string[]; resourceNames: string[] }[];
  namespaces: string[];
  nonResourceURLs: string[];
  /** The policy's own included. */
  omitStages: Stage[];
  /** The policy's where the rule says nothing. */
  omitManagedFields: boolean;
}
export interface Policy { rules: Rule[] }

/** Throws UsageError with one line, as upstream ends when it cannot take the file. */
export async function loadPolicy(path: string): Promise<Policy> {
  const fail = (text: string, cause?: unknown): never => {
    throw new UsageError(`loading audit policy file: ${text}`, cause === undefined ? undefined : { cause });
  };
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    return fail(`failed to read file path ${JSON.stringify(path)}: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  try {
    return await parsePolicy(text);
  } catch (cause) {
    return fail(`${cause instanceof Error ? cause.message.replaceAll('\n', ' ') : String(cause)}: from file ${path}`, cause);
  }
}

/** Throws Error with what upstream says of the file. Unknown fields are warned of. */
export async function parsePolicy(text: string): Promise<Policy> {
  const document = await parseConfigFile(text, 'Policy', ['audit.k8s.io/v1']);
  const policy = new ConfigReader(document, 'Policy', (field) => log.warn('audit policy contains an unknown field', { field }));
  const omitManagedFields = policy.boolean('omitManagedFields') ?? false;
  const omitStages = policy.strings('omitStages');
  policy.take('metadata', 'kind', 'apiVersion');
  const read = policy.objects('rules').map((rule) => {
    const one = {
      level: rule.string('level'), users: rule.strings('users'), userGroups: rule.strings('userGroups'), verbs: rule.strings('verbs'),
      resources: rule.objects('resources').map((resource) => {
        const three = { group: resource.string('group'), resources: resource.strings('resources'), resourceNames: resource.strings('resourceNames') };
        resource.end();
        return three;
      }),
      namespaces: rule.strings('namespaces'), nonResourceURLs: rule.strings('nonResourceURLs'), omitStages: rule.strings('omitStages'),
      omitManagedFields: rule.boolean('omitManagedFields') ?? omitManagedFields,
    };
    rule.end();
    return one;
  });
  policy.end();
  const errors = [...stageErrors(omitStages, 'omitStages'), ...read.flatMap((rule, index) => ruleErrors(rule, `rules[${index}]`))];
  if (errors.length > 0) {
    const texts = errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
    throw new Error(texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`);
  }
  if (read.length === 0) throw new Error('loaded illegal policy with 0 rules');
  return {
    rules: read.map((rule) => ({
      ...rule, level: rule.level as Level, omitStages: [...new Set([...omitStages, ...rule.omitStages])] as Stage[], // both were checked
    })),
  };
}

type ReadRule = Omit<Rule, 'level' | 'omitStages'> & { level: string; omitStages: string[] };

function ruleErrors(rule: ReadRule, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (rule.level === '') errors.push({ type: 'Required', field: `${path}.level` });
  else if (!(levels as readonly string[]).includes(rule.level)) {
    errors.push({ type: 'NotSupported', field: `${path}.level`, value: rule.level, detail: `supported values: ${[...levels].sort().map((level) => JSON.stringify(level)).join(', ')}` });
  }
  rule.nonResourceURLs.forEach((url, index) => {
    if (url === '*') return;
    const field = `${path}.nonResourceURLs[${index}]`;
    if (!url.startsWith('/')) errors.push({ type: 'Invalid', field, value: url, detail: "non-resource URL rules must begin with a '/' character" });
    if (url.slice(0, -1).includes('*')) errors.push({ type: 'Invalid', field, value: url, detail: "non-resource URL wildcards '*' must be the final character of the rule" });
  });
  for (const { group, resources, resourceNames } of rule.resources) {
    const texts = group === '' || group === '*' ? [] : dns1123SubdomainErrors(group);
    if (texts.length > 0) errors.push({ type: 'Invalid', field: `${path}.resources.group`, value: group, detail: texts.join(',') });
    if (resourceNames.length > 0 && resources.length === 0) {
      errors.push({ type: 'Invalid', field: `${path}.resources.resourceNames`, value: resourceNames, detail: 'using resourceNames requires at least one resource' });
    }
  }
  errors.push(...stageErrors(rule.omitStages, `${path}.omitStages`));
  if (rule.nonResourceURLs.length > 0 && (rule.resources.length > 0 || rule.namespaces.length > 0)) {
    errors.push({ type: 'Invalid', field: `${path}.nonResourceURLs`, value: rule.nonResourceURLs, detail: 'rules cannot apply to both regular resources and non-resource URLs' });
  }
  return errors;
}

function stageErrors(omit: readonly string[], path: string): FieldError[] {
  return omit.flatMap((stage, index): FieldError[] => ((stages as readonly string[]).includes(stage) ? []
    : [{ type: 'Invalid', field: `${path}[${index}]`, value: stage, detail: `allowed stages are ${stages.join(',')}` }]));
}

/** The first rule that matches; none means that nothing is told. */
export function ruleFor({ rules }: Policy, user: UserInfo | undefined, info: RequestInfo): Rule | undefined {
  return rules.find((rule) => matches(rule, user, info));
}

function matches(rule: Rule, user: UserInfo | undefined, info: RequestInfo): boolean {
  if (rule.users.length > 0 && !(user && rule.users.includes(user.name))) return false;
  if (rule.userGroups.length > 0 && !user?.groups.some((group) => rule.userGroups.includes(group))) return false;
  if (rule.verbs.length > 0 && !rule.verbs.includes(info.verb)) return false;
  if (rule.namespaces.length > 0 || rule.resources.length > 0) return info.isResourceRequest && matchesResource(rule, info);
  if (rule.nonResourceURLs.length > 0) return !info.isResourceRequest && rule.nonResourceURLs.some((url) => matchesPath(url, info.path));
  return true;
}

function matchesPath(url: string, path: string): boolean {
  return url === '*' || url === path || (url.endsWith('*') && path.startsWith(url.slice(0, -1)));
}

function matchesResource(rule: Rule, { namespace, group, resource, subresource, name }: RequestInfo): boolean {
  if (rule.namespaces.length > 0 && !rule.namespaces.includes(namespace)) return false;
  if (rule.resources.length === 0) return true;
  const combined = subresource === '' ? resource : `${resource}/${subresource}`;
  return rule.resources.some((one) => {
    if (one.group !== group && one.group !== '*') return false;
    if (one.resources.length === 0) return true;
    if (one.resourceNames.length > 0 && !one.resourceNames.includes(name)) return false;
    return one.resources.some((pattern) => pattern === combined || pattern === '*'
      || (subresource !== '' && pattern === `*/${subresource}`) || pattern === `${resource}/*`);
  });
}
