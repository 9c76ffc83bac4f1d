// Registry credentials from a pod's imagePullSecrets (kubernetes.io/dockerconfigjson and dockercfg).
import type { Secret } from '#machinery/api/object.ts';
import type { RegistryCredentials } from '../runtime/runtime.ts';

/** The registry a name speaks of; '' when it names none: then it is the engine's own. */
export function registryOf(image: string): string {
  const [first = ''] = image.split('/');
  return image.includes('/') && (first.includes('.') || first.includes(':') || first === 'localhost') ? first : '';
}

/** What the secrets offer for the image; a longer path in a secret beats a shorter one. Throws on a secret that cannot be read. */
export function credentialsFor(image: string, secrets: readonly Secret[]): RegistryCredentials[] {
  const offers: { path: string; credentials: RegistryCredentials }[] = [];
  const registry = registryOf(image);
  for (const secret of secrets) {
    const text = secret.data?.['.dockerconfigjson'] ?? secret.data?.['.dockercfg'];
    if (text === undefined) continue;
    const parsed = JSON.parse(Buffer.from(text, 'base64').toString()) as Record<string, unknown>;
    const auths = (secret.data?.['.dockerconfigjson'] === undefined ? parsed : parsed.auths ?? {}) as Record<string, { username?: string; password?: string; auth?: string }>;
    for (const [server, entry] of Object.entries(auths)) {
      let path = server.replace(/^https?:\/\//, '').replace(/\/(v1|v2)?\/?$/, '');
      // Engines log in to their own registry under a host that begins with index.; images name it without, or not at all.
      const own = path.startsWith('index.');
      if (own) path = path.slice('index.'.length);
      if (!(own && registry === '') && image !== path && !image.startsWith(`${path}/`)) continue;
      const [username = '', ...password] = entry.auth ? Buffer.from(entry.auth, 'base64').toString().split(':') : [entry.username, entry.password ?? ''];
      offers.push({ path, credentials: { username, password: password.join(':'), serverAddress: server } });
    }
  }
  return offers.sort((a, b) => b.path.length - a.path.length).map(({ credentials }) => credentials);
}
