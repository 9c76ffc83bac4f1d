// The authenticating front proxy: a proxy that shows a certificate of the request-header CA says in headers who sends a request.
// Upstream: authentication/request/headerrequest.
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { UserInfo } from '../request.ts';
import { CertificateError, createCertificateAuthenticator } from './certificates.ts';
import { withAuthenticatedGroup } from './identity.ts';

export interface RequestHeaderConfig {
  /** PEM. A CA of its own: whoever it signs can be anybody. */
  ca: string;
  /** Common names of the proxies; empty: every certificate of the CA. */
  allowedNames: readonly string[];
  usernameHeaders: readonly string[];
  uidHeaders: readonly string[];
  groupHeaders: readonly string[];
  extraHeaderPrefixes: readonly string[];
}

export const usualHeaders = { usernameHeaders: ['X-Remote-User'], uidHeaders: ['X-Remote-Uid'], groupHeaders: ['X-Remote-Group'], extraHeaderPrefixes: ['X-Remote-Extra-'] } as const;

export interface RequestHeaderAuthenticator {
  /** undefined: no proxy sent this, or it names nobody. Throws CertificateError. */
  authenticate(request: IncomingMessage): UserInfo | undefined;
  /** Takes the headers away, whoever wrote them, so that nobody behind this believes them. */
  clear(request: IncomingMessage): void;
}

/** Without a configuration nobody is a proxy, and the usual headers are only taken away. */
export function createRequestHeaderAuthenticator(config: RequestHeaderConfig | undefined, now: () => number = Date.now): RequestHeaderAuthenticator {
  const certificates = config && createCertificateAuthenticator(config.ca, now);
  const lower = (names: readonly string[]): string[] => names.map((name) => name.toLowerCase());
  const known = config ?? { ...usualHeaders, allowedNames: [] };
  const [users, uids, groups, extras] = [known.usernameHeaders, known.uidHeaders, known.groupHeaders, known.extraHeaderPrefixes].map(lower) as [string[], string[], string[], string[]]; // as many as go in
  const all = new Set([users, uids, groups, lower(usualHeaders.usernameHeaders), lower(usualHeaders.uidHeaders), lower(usualHeaders.groupHeaders)].flat());
  const prefixes = [...new Set([...extras, ...lower(usualHeaders.extraHeaderPrefixes)])];

  return {
    authenticate(request) {
      if (!certificates || !config) return undefined;
      const values = request.headersDistinct;
      const name = users.map((header) => values[header]?.[0]).find(Boolean);
      if (name === undefined) return undefined;
      if ((request.socket as Partial<TLSSocket>).getPeerX509Certificate?.() === undefined) return undefined; // plain sockets lack the method
      const proxy = certificates.authenticate(request);
      if (config.allowedNames.length > 0 && !config.allowedNames.includes(proxy?.name ?? '')) throw new CertificateError(`x509: subject with cn=${proxy?.name ?? ''} is not in the allowed list`);
      const uid = uids.map((header) => values[header]?.[0]).find(Boolean);
      const extra: Record<string, string[]> = Object.create(null) as Record<string, string[]>; // the keys are the caller's
      for (const prefix of extras) {
        for (const [header, found] of Object.entries(values)) if (header.startsWith(prefix) && found) (extra[unescape(header.slice(prefix.length))] ??= []).push(...found);
      }
      return withAuthenticatedGroup({
        name, groups: groups.flatMap((header) => values[header] ?? []).filter((group) => group !== ''),
        ...(uid === undefined ? {} : { uid }), ...(Object.keys(extra).length > 0 ? { extra } : {}),
      });
    },
    clear(request) {
      for (const header of Object.keys(request.headers)) {
        if (!all.has(header) && !prefixes.some((prefix) => header.startsWith(prefix))) continue;
        delete request.headers[header];
        delete request.headersDistinct[header];
      }
    },
  };
}

/** Keys of extra values travel percent-encoded; one that is not stays as it is. */
function unescape(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

/** Throws an Error that says what is wrong with a CA file. */
export function checkAuthority(pem: string): void {
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it holds no certificate');
  void new X509Certificate(pem);
}
