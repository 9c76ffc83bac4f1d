// Which API versions are served beside or without the usual ones: `--runtime-config`, whose keys are `api/all`, `api/ga`,
// `api/beta`, `api/alpha`, `group/version` and `group/version/resource`. Stable versions are on, all others off.
// Upstream: apiserver's server/resourceconfig and server/options/api_enablement.go.
import data from './api-resources.json' with { type: 'json' };
import { byStage } from './version-stage.ts';
import type { Stage } from './version-stage.ts';

export type RuntimeConfig = Readonly<Record<string, string>>;
export class RuntimeConfigError extends Error {
  override name = 'RuntimeConfigError';
}

/** Every version that there is, also those without any resource (because it is gone, or of a feature that is off): switching them changes nothing. */
export const knownVersions: ReadonlySet<string> = new Set([...[...data.resources, ...data.others].map(({ group, version }) => `${group}/${version}`), ...data.registered]);

const stages: Readonly<Record<string, readonly Stage[]>> = { 'api/all': ['ga', 'beta', 'alpha'], 'api/ga': ['ga'], 'api/beta': ['beta'], 'api/alpha': ['alpha'] };
const truths: Readonly<Record<string, boolean>> = { '': true, '1': true, 't': true, 'T': true, 'TRUE': true, 'true': true, 'True': true, '0': false, 'f': false, 'F': false, 'FALSE': false, 'false': false, 'False': false };

/** `a=b,c` as it stands on the command line, one entry each. */
export function parseRuntimeConfig(entries: readonly string[]): RuntimeConfig {
  return Object.fromEntries(entries.map((entry) => {
    const equals = entry.indexOf('=');
    return equals < 0 ? [entry.trim(), ''] : [entry.slice(0, equals).trim(), entry.slice(equals + 1).trim()];
  }));
}

/** Throws RuntimeConfigError with upstream's words for what cannot be taken. */
export function checkRuntimeConfig(config: RuntimeConfig): void {
  const keys = Object.keys(config);
  if (keys.length === 1 && config['api/all'] === 'false') throw new RuntimeConfigError('invalid runtime-config with only api/all=false');
  const groups = new Set([...knownVersions].map((one) => one.split('/')[0]));
  const unknown = new Set<string>();
  for (const [key, value] of Object.entries(config)) {
    if (stages[key]) {
      if (value !== 'true' && value !== 'false') throw new RuntimeConfigError(`invalid value ${key}=${value}`);
      continue;
    }
    const [group = '', version = '', resource, ...more] = key.split('/');
    if (version === '' || more.length > 0) throw new RuntimeConfigError(`runtime-config invalid key ${key}`);
    if (!groups.has(group)) {
      unknown.add(group);
      continue;
    }
    if (!knownVersions.has(`${group}/${version}`)) throw new RuntimeConfigError(`group version ${group}/${version} that has not been registered`);
    const on = truths[value];
    if (on === undefined) throw new RuntimeConfigError(`invalid value of ${key}: ${value}, err: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
    if (resource !== undefined && resource.toLowerCase() !== resource) throw new RuntimeConfigError(`invalid key ${key}: group/version/resource and resource is always lowercase plural, not ${JSON.stringify(resource)}`);
  }
  if (unknown.size > 0) throw new RuntimeConfigError(`unknown api groups ${[...unknown].sort().join(',')}`);
}

/** The narrowest key decides: a resource's, a version's, its stage's, `api/all`, then what is usual. */
export function isSwitchedOn(config: RuntimeConfig, { group, version, plural }: { group: string; version: string; plural: string }): boolean {
  const stage = byStage(version);
  const keys = [`${group}/${version}/${plural}`, `${group}/${version}`, `api/${stage}`, 'api/all'];
  for (const key of keys) {
    const on = truths[config[key] ?? 'none'];
    if (on !== undefined) return on;
  }
  return stage === 'ga';
}
