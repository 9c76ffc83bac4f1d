// Files of one volume that lie in each other's way. Upstream: pkg/api/pod/warnings.go.
import { asObject, at, objects, text } from '../values.ts';
import type { Obj } from '../values.ts';

interface Source { path: string; source: string }
const shown = ({ path, source }: Source): string => `${JSON.stringify(path)}${source === '' ? '' : ` (${source})`}`;
const quoted = (kind: string, name: unknown): string => `${kind} ${JSON.stringify(text(name))}`;

export function overlapWarnings(volumes: unknown): string[] {
  return objects(volumes).flatMap((volume) => {
    const name = JSON.stringify(text(volume['name']));
    const within = (field: string, what: (source: Obj) => string): string[] => {
      const source = asObject(volume[field]);
      return source ? overlaps(itemsOf(source, '')).map((one) => `volume ${name} (${what(source)}): overlapping paths: ${one}`) : [];
    };
    return [
      ...within('configMap', (source) => quoted('ConfigMap', source['name'])),
      ...within('secret', (source) => quoted('Secret', source['secretName'])),
      ...within('downwardAPI', () => 'DownwardAPI'),
      ...projectedWarnings(objects(at(volume, 'projected', 'sources')), name),
    ];
  });
}

const itemsOf = (source: Obj, from: string): Source[] => objects(source['items']).map((item) => ({ path: text(item['path']), source: from }));

function projectedWarnings(sources: readonly Obj[], volume: string): string[] {
  const empty = sources.filter((source) => !Object.values(source).some((value) => asObject(value))).map(() => `volume ${volume} (Projected) has no sources provided`);
  return [...empty, ...overlaps(sources.flatMap(filesOf)).map((one) => `volume ${volume} (Projected): overlapping paths: ${one}`)];
}
function filesOf(source: Obj): Source[] {
  const [configMap, secret, downward, token, bundle, certificate] = ['configMap', 'secret', 'downwardAPI', 'serviceAccountToken', 'clusterTrustBundle', 'podCertificate'].map((field) => asObject(source[field]));
  if (configMap?.['items']) return itemsOf(configMap, quoted('ConfigMap', configMap['name']));
  if (secret?.['items']) return itemsOf(secret, quoted('Secret', secret['name']));
  if (downward?.['items']) return itemsOf(downward, 'DownwardAPI');
  if (token) return [{ path: text(token['path']), source: 'ServiceAccountToken' }];
  if (bundle) return [{ path: text(bundle['path']), source: quoted('ClusterTrustBundle', bundle['name'] ?? bundle['signerName']) }];
  const files = [['certificateChainPath', 'chain'], ['keyPath', 'key'], ['credentialBundlePath', 'credential bundle']] as const;
  return files.flatMap(([field, part]) => (text(certificate?.[field]) === '' ? [] : [{ path: text(certificate?.[field]), source: `PodCertificate ${part}` }]));
}

function overlaps(files: readonly Source[]): string[] {
  const trimmed = files.map((file) => ({ ...file, path: file.path.replace(/\/+$/, '') }));
  return trimmed.flatMap((file, index) => (file.path === '' ? [] : trimmed.slice(0, index)
    .filter(({ path }) => path !== '' && (`${path}/`.startsWith(`${file.path}/`) || `${file.path}/`.startsWith(`${path}/`)))
    .map((other) => `${shown(file)} with ${shown(other)}`)));
}
