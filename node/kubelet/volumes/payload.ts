// What configMap, secret, downwardAPI and projected volumes hold: their files, from the API's objects.
import type { Pod, Volume } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { fieldValue, resourceValue, type Addresses } from '../downward.ts';
import type { References } from '../env.ts';
import type { FileContent } from './atomic-writer.ts';

export interface PayloadInput {
  pod: Pod;
  references: References;
  addresses: Addresses;
  allocatable: Readonly<Record<string, string>>;
  token(request: { audience?: string; expirationSeconds?: number }): Promise<string>;
}
type Files = Map<string, FileContent>;
interface Item { key: string; path: string; mode?: number }

const defaultMode = 0o644;

/** Undefined for a volume that is no set of files. */
export async function volumePayload(volume: Volume, input: PayloadInput): Promise<Files | undefined> {
  const files: Files = new Map();
  if (volume.configMap) await addConfigMap(files, volume.configMap, volume.configMap.defaultMode ?? defaultMode, input);
  else if (volume.secret) await addSecret(files, { ...volume.secret, ...(volume.secret.secretName === undefined ? {} : { name: volume.secret.secretName }) }, volume.secret.defaultMode ?? defaultMode, input);
  else if (volume.downwardAPI) addDownward(files, volume.downwardAPI.items ?? [], volume.downwardAPI.defaultMode ?? defaultMode, input);
  else if (volume.projected) {
    const mode = volume.projected.defaultMode ?? defaultMode;
    for (const source of volume.projected.sources ?? []) {
      if (source.configMap) await addConfigMap(files, source.configMap, mode, input);
      else if (source.secret) await addSecret(files, source.secret, mode, input);
      else if (source.downwardAPI) addDownward(files, source.downwardAPI.items ?? [], mode, input);
      else if (source.serviceAccountToken) {
        const { audience, expirationSeconds, path } = source.serviceAccountToken;
        const data = Buffer.from(await input.token({ ...(audience ? { audience } : {}), ...(expirationSeconds ? { expirationSeconds } : {}) }));
        files.set(path, { data, ...tokenOwner(input.pod, mode) });
      } else throw new Error(`projected source ${Object.keys(source).join(', ')} is not supported`);
    }
  } else return undefined;
  return files;
}

/** A token is for the one user that all containers run as, or for the group, or for everybody. */
function tokenOwner(pod: Pod, mode: number): { mode: number; uid?: number } {
  if (pod.spec?.securityContext?.fsGroup !== undefined) return { mode: 0o600 };
  const users = new Set([...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map((container) => container.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser));
  const [uid] = users;
  return users.size === 1 && uid !== undefined ? { mode: 0o600, uid } : { mode };
}

async function addConfigMap(files: Files, source: { name?: string; items?: Item[]; optional?: boolean }, mode: number, { pod, references }: PayloadInput): Promise<void> {
  const { name = '' } = source;
  try {
    const map = await references.configMap(pod.metadata.namespace ?? '', name);
    const data = new Map<string, Buffer>([
      ...Object.entries(map.data ?? {}).map(([key, value]) => [key, Buffer.from(value)] as const),
      ...Object.entries(map.binaryData ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
    ]);
    addItems(files, data, source, mode, 'configmap references non-existent config key');
  } catch (error) {
    if (!(isNotFound(error) && source.optional)) throw error;
  }
}
async function addSecret(files: Files, source: { name?: string; items?: Item[]; optional?: boolean }, mode: number, { pod, references }: PayloadInput): Promise<void> {
  const { name = '' } = source;
  try {
    const secret = await references.secret(pod.metadata.namespace ?? '', name);
    const data = new Map(Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const));
    addItems(files, data, source, mode, 'references non-existent secret key');
  } catch (error) {
    if (!(isNotFound(error) && source.optional)) throw error;
  }
}
function addItems(files: Files, data: ReadonlyMap<string, Buffer>, source: { items?: Item[]; optional?: boolean }, mode: number, missing: string): void {
  if (!source.items || source.items.length === 0) {
    for (const [key, value] of data) files.set(key, { data: value, mode });
    return;
  }
  for (const item of source.items) {
    const value = data.get(item.key);
    if (value) files.set(item.path.replace(/^\.\//, ''), { data: value, mode: item.mode ?? mode });
    else if (!source.optional) throw new Error(`${missing}: ${item.key}`);
  }
}
function addDownward(files: Files, items: readonly { path: string; mode?: number; fieldRef?: { fieldPath: string }; resourceFieldRef?: { resource: string; divisor?: string; containerName?: string } }[], mode: number, input: PayloadInput): void {
  for (const item of items) {
    let text: string | undefined;
    if (item.fieldRef) text = fieldValue(input.pod, item.fieldRef.fieldPath, input.addresses);
    else if (item.resourceFieldRef) text = resourceValue(input.pod, undefined, item.resourceFieldRef, input.allocatable);
    if (text === undefined) throw new Error(`unsupported downward API item ${item.path}`);
    files.set(item.path, { data: Buffer.from(text), mode: item.mode ?? mode });
  }
}
