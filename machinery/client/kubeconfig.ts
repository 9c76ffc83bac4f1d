// A kubeconfig file as the client's settings. YAML is loaded only when the file is not JSON.
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ClientConfig } from './types.ts';

interface Kubeconfig {
  'current-context'?: string;
  contexts?: { name: string; context?: { cluster?: string; user?: string } }[];
  clusters?: { name: string; cluster?: Record<string, unknown> }[];
  users?: { name: string; user?: Record<string, unknown> }[];
}

/** Throws an Error that names the file and what is missing. `context` defaults to the file's current one. */
export async function loadKubeconfig(path: string, context?: string): Promise<ClientConfig> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new Error(`kubeconfig ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  try {
    return await parseKubeconfig(text, dirname(path), context);
  } catch (cause) {
    throw new Error(`kubeconfig ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** `folder` is what relative paths of certificates start from. */
export async function parseKubeconfig(text: string, folder: string, context?: string): Promise<ClientConfig> {
  const parsed: unknown = text.trimStart().startsWith('{') ? JSON.parse(text) : (await import('yaml')).parse(text);
  if (typeof parsed !== 'object' || parsed === null) throw new Error('not a mapping');
  const config = parsed as Kubeconfig; // each part is checked where it is used
  const name = context ?? config['current-context'];
  if (!name) throw new Error('no current-context');
  const chosen = config.contexts?.find((entry) => entry.name === name)?.context;
  if (!chosen) throw new Error(`no context ${name}`);
  const cluster = config.clusters?.find((entry) => entry.name === chosen.cluster)?.cluster;
  if (!cluster) throw new Error(`context ${name} names the cluster ${chosen.cluster ?? '""'}, which is not there`);
  const user = chosen.user === undefined ? {} : config.users?.find((entry) => entry.name === chosen.user)?.user;
  if (!user) throw new Error(`context ${name} names the user ${chosen.user}, which is not there`);
  const server = cluster.server;
  if (typeof server !== 'string' || server === '') throw new Error(`cluster ${chosen.cluster} has no server`);
  for (const unsupported of ['exec', 'auth-provider', 'username']) {
    if (user[unsupported] !== undefined) throw new Error(`user ${chosen.user} authenticates by ${unsupported}, which is not supported; certificates and tokens are`);
  }
  const pem = async (part: Record<string, unknown>, key: string): Promise<string | undefined> => {
    const data = part[`${key}-data`];
    if (typeof data === 'string' && data !== '') return Buffer.from(data, 'base64').toString('utf8');
    const file = part[key];
    return typeof file === 'string' && file !== '' ? readFile(resolve(folder, file), 'utf8') : undefined;
  };
  const [ca, cert, key] = await Promise.all([pem(cluster, 'certificate-authority'), pem(user, 'client-certificate'), pem(user, 'client-key')]);
  if ((cert === undefined) !== (key === undefined)) throw new Error(`user ${chosen.user} has only one of client certificate and key`);
  return {
    server,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert, key }),
    ...(typeof user.token === 'string' ? { token: user.token } : {}),
    ...(typeof user.tokenFile === 'string' ? { tokenFile: resolve(folder, user.tokenFile) } : {}),
    ...(cluster['insecure-skip-tls-verify'] === true ? { insecureSkipTlsVerify: true } : {}),
  };
}
