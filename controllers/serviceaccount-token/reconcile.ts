// What a Secret of a service account token holds, without I/O.
import type { Secret, ServiceAccount } from '#machinery/api/object.ts';

export const secretType = 'kubernetes.io/service-account-token';
const nameKey = 'kubernetes.io/service-account.name';
const uidKey = 'kubernetes.io/service-account.uid';

export function accountOf({ metadata: { annotations } }: Secret): { name: string; uid: string | undefined } {
  return { name: annotations?.[nameKey] ?? '', uid: annotations?.[uidKey] || undefined };
}
/** A Secret that names no UID belongs to whoever has the name. */
export function isOf(secret: Secret, { metadata }: ServiceAccount): boolean {
  const { name, uid } = accountOf(secret);
  return name === metadata.name && secret.metadata.namespace === metadata.namespace && (uid === undefined || uid === metadata.uid);
}
export function needs({ data }: Secret, rootCa: string): { ca: boolean; namespace: boolean; token: boolean } {
  return { ca: rootCa !== '' && data?.['ca.crt'] !== base64(rootCa), namespace: !data?.['namespace'], token: !data?.['token'] };
}
export function filled(secret: Secret, account: ServiceAccount, rootCa: string, token: string | undefined): Secret {
  const { namespace = '', annotations } = secret.metadata;
  return {
    ...secret, apiVersion: 'v1', kind: 'Secret',
    metadata: { ...secret.metadata, annotations: { ...annotations, [nameKey]: account.metadata.name ?? '', [uidKey]: account.metadata.uid ?? '' } },
    data: {
      ...secret.data, ...(rootCa === '' ? {} : { 'ca.crt': base64(rootCa) }), namespace: secret.data?.['namespace'] || base64(namespace),
      ...(token === undefined ? {} : { token: base64(token) }),
    },
  };
}
/** Such a token has no end, and is good only as long as its Secret holds it. */
export function legacyClaims({ metadata: { namespace = '', name = '', uid = '' } }: ServiceAccount, secret: Secret): Record<string, unknown> {
  const prefix = 'kubernetes.io/serviceaccount';
  return {
    iss: 'kubernetes/serviceaccount', sub: `system:serviceaccount:${namespace}:${name}`, [`${prefix}/namespace`]: namespace,
    [`${prefix}/secret.name`]: secret.metadata.name ?? '', [`${prefix}/service-account.name`]: name, [`${prefix}/service-account.uid`]: uid,
  };
}
const base64 = (text: string): string => Buffer.from(text).toString('base64');
