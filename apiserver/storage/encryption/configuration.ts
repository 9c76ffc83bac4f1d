// EncryptionConfiguration (apiserver.config.k8s.io/v1): which resources are encrypted at rest, and how. Upstream:
// apiserver/pkg/apis/apiserver/validation/validation_encryption.go, apiserver/pkg/server/options/encryptionconfig.
import { isObject } from '../../patch/json-value.ts';
import { fieldErrorBody } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { registryPrefix, storagePrefix } from '../keys.ts';
import { aescbc, aesgcm, identity, secretbox } from './transformers.ts';
import type { Transformer } from './transformers.ts';

/** The first seals, all of them open. */
export interface EncryptionRule { readonly prefixes: readonly string[]; readonly transformers: readonly Transformer[] }
export interface ResourceNames { group: string; resource: string }

/** The file cannot be used; the message says all that is wrong with it, secrets never. */
export class EncryptionConfigurationError extends Error {
  override name = 'EncryptionConfigurationError';
}

const providers = ['kms', 'aesgcm', 'aescbc', 'secretbox', 'identity'] as const;
type ProviderName = (typeof providers)[number];
const keySizes: Readonly<Partial<Record<ProviderName, readonly number[]>>> = { aesgcm: [16, 24, 32], aescbc: [16, 24, 32], secretbox: [32] };
/** What is in the store but is no resource: allocations and addresses of servers. */
const noResources = ['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'];
const notResources = ['ranges/', 'masterleases/', 'peerserverleases/'].map((folder) => registryPrefix + folder);

const asList = (value: unknown): unknown[] => (Array.isArray(value) ? value as unknown[] : []);
const parse = (name: string): ResourceNames => {
  const dot = name.indexOf('.');
  return dot < 0 ? { group: '', resource: name } : { group: name.slice(dot + 1), resource: name.slice(0, dot) };
};

function checkNames(names: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const parsed = names.map(parse);
  const same = (a: ResourceNames, b: ResourceNames): boolean => a.group === b.group && a.resource === b.resource;
  if (parsed.some((one, i) => parsed.some((other, j) => i !== j && same(one, other)))) errors.push({ type: 'Invalid', field: path, value: names, detail: 'the same resource cannot be specified multiple times' });
  const masks = (one: ResourceNames, other: ResourceNames): boolean => one.group === '*' && one.resource === '*' || one.group === other.group && (one.resource === '*' || other.resource === '*');
  if (parsed.some((one, i) => parsed.some((other, j) => i !== j && !same(one, other) && masks(one, other)))) {
    errors.push({ type: 'Invalid', field: path, value: names, detail: "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked" });
  }
  names.forEach((name, i) => {
    const { group, resource } = parse(name);
    const detail = name.toLowerCase() !== name ? 'resource name should not contain capital letters'
      : name === '*' ? "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
      : noResources.includes(name) ? 'resources which do not have REST API/s cannot be encrypted'
      : group === 'events.k8s.io' ? "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"
      : group === 'extensions' ? "'extensions' group has been removed and cannot be used for encryption"
      : group === '*' && resource !== '*' ? 'encrypting the same resource across groups is not supported' : undefined;
    if (detail !== undefined) errors.push({ type: 'Invalid', field: `${path}[${i}]`, value: name, detail });
  });
  return errors;
}

interface Key { name: string; secret: Buffer }
function readKeys(provider: Record<string, unknown>, path: string, sizes: readonly number[], errors: FieldError[]): Key[] {
  const keys = asList(provider['keys']);
  if (keys.length === 0) errors.push({ type: 'Required', field: path, detail: 'at least one keys is required' });
  return keys.map((one, i): Key => {
    const { name, secret } = (isObject(one) ? one : {}) as { name?: unknown; secret?: unknown };
    const at = `${path}[${i}]`;
    if (typeof name !== 'string' || name === '') errors.push({ type: 'Required', field: `${at}.name`, detail: 'name is a mandatory field for a key' });
    if (typeof secret !== 'string' || secret === '') {
      errors.push({ type: 'Required', field: `${at}.secret`, detail: 'secret is a mandatory field for a key' });
      return { name: '', secret: Buffer.alloc(0) };
    }
    const bytes = Buffer.from(secret, 'base64');
    if (bytes.toString('base64') !== secret.replaceAll(/[\r\n]/g, '')) errors.push({ type: 'Invalid', field: `${at}.secret`, value: 'REDACTED', detail: 'secrets must be base64 encoded' });
    else if (!sizes.includes(bytes.length)) errors.push({ type: 'Invalid', field: `${at}.secret`, value: 'REDACTED', detail: `secret is not of the expected length, got ${bytes.length}, expected one of [${sizes.join(' ')}]` });
    return { name: String(name), secret: bytes };
  });
}

/** `all` are the resources that have a place of their own in the store, for rules that name a whole group. */
export async function parseEncryptionConfiguration(text: string, all: readonly ResourceNames[]): Promise<EncryptionRule[]> {
  const { parse: parseYaml } = await import('yaml');
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    throw new EncryptionConfigurationError(`not YAML: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`, { cause: error });
  }
  const { kind, apiVersion, resources } = (isObject(document) ? document : {}) as Record<string, unknown>;
  if (kind !== 'EncryptionConfiguration' || apiVersion !== 'apiserver.config.k8s.io/v1' && apiVersion !== 'v1') throw new EncryptionConfigurationError('it must be of kind EncryptionConfiguration in apiserver.config.k8s.io/v1');
  const errors: FieldError[] = [];
  const rules: EncryptionRule[] = [];
  if (asList(resources).length === 0) errors.push({ type: 'Required', field: 'resources', detail: 'at least one resources is required' });
  for (const [i, conf] of asList(resources).entries()) {
    const path = `resources[${i}]`;
    const { resources: listed, providers: chosen } = (isObject(conf) ? conf : {}) as Record<string, unknown>;
    const names = asList(listed).map(String);
    if (names.length === 0) errors.push({ type: 'Required', field: `${path}.resources`, detail: `at least one ${path}.resources is required` });
    errors.push(...checkNames(names, `${path}.resources`));
    if (asList(chosen).length === 0) errors.push({ type: 'Required', field: `${path}.providers`, detail: `at least one ${path}.providers is required` });
    const transformers: Transformer[] = [];
    for (const [j, entry] of asList(chosen).entries()) transformers.push(...await readProvider(entry, `${path}.providers[${j}]`, errors));
    rules.push({ prefixes: names.flatMap((name) => prefixesOf(parse(name), all)), transformers });
  }
  if (errors.length > 0) throw new EncryptionConfigurationError(errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`).join('; '));
  return rules;
}

async function readProvider(entry: unknown, path: string, errors: FieldError[]): Promise<Transformer[]> {
  const given = isObject(entry) ? providers.filter((name) => entry[name] !== undefined && entry[name] !== null) : [];
  const [name] = given;
  if (!isObject(entry) || name === undefined || given.length > 1) {
    errors.push({ type: 'Invalid', field: path, omitValue: true, detail: given.length > 1 ? 'more than one provider specified in a single element, should split into different list elements' : 'provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity' });
    return [];
  }
  if (name === 'identity') return [identity];
  if (name === 'kms') {
    errors.push({ type: 'Forbidden', field: `${path}.kms`, detail: 'key services are not supported yet; use aesgcm, secretbox or aescbc' });
    return [];
  }
  const provider = entry[name];
  const before = errors.length;
  const keys = readKeys(isObject(provider) ? provider : {}, `${path}.${name}.keys`, keySizes[name] ?? [], errors);
  if (errors.length > before) return [];
  if (name !== 'secretbox') return keys.map((key) => (name === 'aesgcm' ? aesgcm : aescbc)(key.name, key.secret));
  const { xsalsa20poly1305 } = await import('@noble/ciphers/salsa.js');
  return keys.map((key) => secretbox(key.name, key.secret, xsalsa20poly1305));
}

/** Where the store keeps what is meant; everything, for `*.*`. */
function prefixesOf({ group, resource }: ResourceNames, all: readonly ResourceNames[]): string[] {
  if (group === '*') return [registryPrefix];
  if (resource !== '*') return [storagePrefix(group, resource)];
  const known = all.filter((one) => one.group === group);
  return known.length > 0 ? known.map((one) => storagePrefix(one.group, one.resource)) : [`${registryPrefix}${group}/`];
}

/** The rule for what is stored at a key: the first that means it. */
export function ruleFor(rules: readonly EncryptionRule[], key: string): EncryptionRule | undefined {
  return notResources.some((prefix) => key.startsWith(prefix)) ? undefined : rules.find(({ prefixes }) => prefixes.some((prefix) => key.startsWith(prefix)));
}
