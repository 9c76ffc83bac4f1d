// Which signing requests are approved by themselves, what each signer demands, and when requests are forgotten, without I/O.
// Upstream: pkg/controller/certificates, pkg/apis/certificates/helpers.go.
import type { CertificateSigningRequest } from '#machinery/api/object.ts';
import type { SigningRequest } from '#machinery/pki/signing-request.ts';

export const signers = ['kubernetes.io/kube-apiserver-client', 'kubernetes.io/kube-apiserver-client-kubelet', 'kubernetes.io/kubelet-serving', 'kubernetes.io/legacy-unknown'] as const;
const kubeletClient = 'kubernetes.io/kube-apiserver-client-kubelet';

type Asked = Pick<SigningRequest, 'commonName' | 'organizations' | 'dnsNames' | 'ips' | 'emails' | 'uris'>;

export function hasCondition({ status }: CertificateSigningRequest, type: string): boolean {
  return status?.conditions?.some((condition) => condition.type === type && condition.status === 'True') === true;
}
export function isDecided(request: CertificateSigningRequest): boolean {
  return request.status?.conditions?.some(({ type }) => type === 'Approved' || type === 'Denied') === true;
}

/** Rights on certificatesigningrequests that let a kubelet's client certificate be approved, the first one that is granted wins. */
export function approvals(request: CertificateSigningRequest, asked: Asked): { subresource: 'selfnodeclient' | 'nodeclient'; message: string }[] {
  if (request.spec?.signerName !== kubeletClient || kubeletClientProblem(asked, request.spec.usages) !== undefined) return [];
  return [
    ...(request.spec.username === asked.commonName ? [{ subresource: 'selfnodeclient' as const, message: 'Auto approving self kubelet client certificate after SubjectAccessReview.' }] : []),
    { subresource: 'nodeclient', message: 'Auto approving kubelet client certificate after SubjectAccessReview.' },
  ];
}

/** Why the signer refuses; undefined when it signs. */
export function signingProblem(signer: string, asked: Asked, usages: readonly string[] | undefined): string | undefined {
  switch (signer) {
    case 'kubernetes.io/kube-apiserver-client': return clientProblem(usages ?? []);
    case kubeletClient: return kubeletClientProblem(asked, usages);
    case 'kubernetes.io/kubelet-serving': return kubeletServingProblem(asked, usages);
    default: return undefined; // legacy-unknown signs whatever was approved
  }
}

function clientProblem(usages: readonly string[]): string | undefined {
  const other = usages.find((usage) => !['digital signature', 'key encipherment', 'client auth'].includes(usage));
  if (other !== undefined) return `invalid usage for client certificate: ${other}`;
  return usages.includes('client auth') ? undefined : 'missing required usage for client certificate: client auth';
}
function kubeletClientProblem(asked: Asked, usages: readonly string[] | undefined): string | undefined {
  if (!isOfNodes(asked)) return 'subject organization is not system:nodes';
  if (asked.dnsNames.length > 0) return 'DNS subjectAltNames are not allowed';
  if (asked.emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (asked.ips.length > 0) return 'IP subjectAltNames are not allowed';
  if (asked.uris.length > 0) return 'URI subjectAltNames are not allowed';
  return nodeProblem(asked, usages, 'client auth');
}
function kubeletServingProblem(asked: Asked, usages: readonly string[] | undefined): string | undefined {
  if (!isOfNodes(asked)) return 'subject organization is not system:nodes';
  if (asked.dnsNames.length === 0 && asked.ips.length === 0) return 'DNS or IP subjectAltName is required';
  if (asked.emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (asked.uris.length > 0) return 'URI subjectAltNames are not allowed';
  return nodeProblem(asked, usages, 'server auth');
}
const isOfNodes = ({ organizations }: Asked): boolean => organizations.length === 1 && organizations[0] === 'system:nodes';
/** Key encipherment is for RSA keys. */
function nodeProblem({ commonName }: Asked, usages: readonly string[] = [], purpose: string): string | undefined {
  const given = new Set(usages);
  given.delete('key encipherment');
  if (given.size !== 2 || !given.has('digital signature') || !given.has(purpose)) return `usages did not match [${[purpose, 'digital signature', 'key encipherment'].sort().join(' ')}]`;
  return commonName.startsWith('system:node:') ? undefined : 'subject common name does not begin with system:node:';
}

const backdateMs = 5 * 60_000;
const leastMs = 10 * 60_000;
const shortMs = 8 * 3600_000;
/** What is asked for, within what the signer gives; it begins a little earlier because clocks differ. */
export function validity(expirationSeconds: number | undefined, longestMs: number, now: number): { from: Date; to: Date } {
  const wanted = expirationSeconds === undefined ? longestMs : Math.min(longestMs, Math.max(leastMs, expirationSeconds * 1000));
  return { from: new Date(now - backdateMs), to: new Date(now + wanted - (wanted < shortMs ? 0 : backdateMs)) };
}

const hourMs = 3600_000;
/** Milliseconds until the request is deleted, 0 or less: now. A request nobody decided on stays a day, an answered one an hour. */
export function forgottenInMs({ metadata, status }: CertificateSigningRequest, certificateEnd: number | undefined, now: number): number | undefined {
  const issued = (status?.certificate ?? '') !== '';
  const conditions = status?.conditions ?? [];
  const deadlines = [
    ...(conditions.length === 0 ? [since(metadata.creationTimestamp, 24 * hourMs)] : []),
    ...conditions.flatMap(({ type, lastUpdateTime }) => {
      if (type === 'Denied' || type === 'Failed') return [since(lastUpdateTime, hourMs)];
      if (type !== 'Approved') return [];
      return issued ? [since(lastUpdateTime, hourMs), certificateEnd] : [since(lastUpdateTime, 24 * hourMs)];
    }),
  ].filter((at) => at !== undefined);
  return deadlines.length === 0 ? undefined : Math.min(...deadlines) - now;
}
function since(time: string | undefined, ms: number): number | undefined {
  const at = Date.parse(time ?? '');
  return Number.isNaN(at) ? undefined : at + ms;
}
