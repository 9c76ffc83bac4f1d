// What others need to check service-account tokens on their own: the discovery document and the public keys.
import type { ApiserverConfig } from '../config.ts';
import { jwks, readTokenKey } from '#machinery/pki/jwt.ts';

export const openidConfigurationPath = '/.well-known/openid-configuration';
export const jwksPath = '/openid/v1/jwks';

export interface OpenidDocument { contentType: string; cacheControl: string; body: Buffer }
/** The document for a path, made at the first request; undefined for other paths. Both paths are ordinary, authorized requests. */
export function createOpenidDocuments(config: ApiserverConfig, address: () => string): (path: string) => OpenidDocument | undefined {
  const made = new Map<string, OpenidDocument>();
  const cacheControl = 'public, max-age=3600';
  return (path) => {
    if (path !== openidConfigurationPath && path !== jwksPath) return undefined;
    const known = made.get(path);
    if (known !== undefined) return known;
    const keys = config.serviceAccount.publicKeys.map(readTokenKey);
    const document = path === jwksPath
      ? { contentType: 'application/jwk-set+json', cacheControl, body: Buffer.from(JSON.stringify(jwks(keys))) }
      : {
        contentType: 'application/json', cacheControl,
        body: Buffer.from(JSON.stringify({
          issuer: config.serviceAccount.issuer,
          jwks_uri: `https://${address()}${jwksPath}`,
          response_types_supported: ['id_token'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: [...new Set(keys.map((key) => key.algorithm))].toSorted(),
        })),
      };
    made.set(path, document);
    return document;
  };
}
