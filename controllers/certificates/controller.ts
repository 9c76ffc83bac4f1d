// Three controllers of CertificateSigningRequests: approving those of kubelets, signing what is approved, deleting old ones. Rules: rules.ts.
import { X509Certificate } from 'node:crypto';
import { rfc3339 } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { CertificateSigningRequest } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { certificateSigningRequests, subjectAccessReviews } from '#machinery/client/resources.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { SigningRequest } from '#machinery/pki/signing-request.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { approvals, forgottenInMs, hasCondition, isDecided, signers, signingProblem, validity } from './rules.ts';

const log = createLogger('certificates');
const account = 'certificate-controller';
type Handle = (request: CertificateSigningRequest, signal: AbortSignal) => Promise<ReconcileResult | void>;

/** Looks at each request when it changes, as long as it has no certificate. */
function create(name: string, { informers }: ControllerContext, handle: Handle): Controller {
  const queue = createWorkQueue({ name: 'certificate', baseMs: 200 });
  const requests = informers.for(certificateSigningRequests);
  requests.onChange(({ type, object }) => {
    if (type !== 'deleted') queue.add(object.metadata.name ?? '');
  });
  return {
    run: (stop) => runController({
      name, queue, workers: 5, maxRetries: Infinity,
      async reconcile(key, signal) {
        const request = requests.get('', key);
        if (!request || request.status?.certificate) return;
        return handle(request, signal);
      },
    }, stop),
  };
}
async function parse({ spec }: CertificateSigningRequest): Promise<SigningRequest> {
  const { parseSigningRequest } = await import('#machinery/pki/signing-request.ts');
  return parseSigningRequest(Buffer.from(spec?.request ?? '', 'base64').toString('latin1'));
}
/** The whole object: subresources take it, and its version keeps two from deciding. */
const withStatus = (request: CertificateSigningRequest, status: object): object =>
  ({ ...request, apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', status: { ...request.status, ...status } });

export function createCertificateApprover(context: ControllerContext): Controller {
  const client = context.clientFor(account);
  return create('certificatesigningrequest-approving-controller', context, async (request, signal) => {
    if (isDecided(request)) return;
    const wanted = approvals(request, await parse(request));
    const { username: user, uid, groups, extra } = request.spec ?? {};
    for (const { subresource, message } of wanted) {
      const resourceAttributes = { group: 'certificates.k8s.io', resource: 'certificatesigningrequests', verb: 'create', subresource, version: '*' };
      const review = await client.create(subjectAccessReviews, '', { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec: { user, uid, groups, extra, resourceAttributes } }, signal);
      if (!review.status?.allowed) continue;
      const conditions = [...(request.status?.conditions ?? []), { type: 'Approved', status: 'True', reason: 'AutoApproved', message }];
      await client.update(certificateSigningRequests, '', request.metadata.name ?? '', withStatus(request, { conditions }), signal, { subresource: 'approval' });
      return;
    }
    return { backOff: wanted.length > 0 }; // the right may be given later
  });
}

/** Signs for those of Kubernetes' own four signers that have a CA: one for all, or each its own. Without any it only says so. */
export function createCertificateSigner(context: ControllerContext): Controller {
  const { clusterSigning, signerCas, clusterSigningDurationMs } = context.config;
  if (!clusterSigning && Object.keys(signerCas).length === 0) {
    return { run: async () => log.info('no CA to sign with: certificate signing requests wait for other signers') };
  }
  const client = context.clientFor(account);
  return create('certificatesigningrequest-signing-controller', context, async (request, signal) => {
    const { signerName, usages, expirationSeconds } = request.spec ?? { signerName: '' };
    const ca = signerCas[signerName] ?? clusterSigning;
    if (!ca || !signers.some((signer) => signer === signerName) || !hasCondition(request, 'Approved') || hasCondition(request, 'Failed')) return;
    const asked = await parse(request);
    const problem = signingProblem(signerName, asked, usages);
    const write = (status: object): Promise<unknown> =>
      client.update(certificateSigningRequests, '', request.metadata.name ?? '', withStatus(request, status), signal, { subresource: 'status' });
    if (problem !== undefined) {
      await write({ conditions: [...(request.status?.conditions ?? []), { type: 'Failed', status: 'True', reason: 'SignerValidationFailure', message: problem, lastUpdateTime: rfc3339(context.now()) }] });
      return;
    }
    const { signRequest } = await import('#machinery/pki/signing-request.ts');
    const { from, to } = validity(expirationSeconds, clusterSigningDurationMs, context.now());
    await write({ certificate: Buffer.from(signRequest(ca, asked, usages ?? [], from, to, context.now())).toString('base64') });
  });
}

export function createCertificateCleaner({ informers, clientFor, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'certificate_cleaner' });
  const requests = informers.for(certificateSigningRequests);
  const client = clientFor(account);
  requests.onChange(({ type, object }) => {
    if (type !== 'deleted') queue.add(object.metadata.name ?? '');
  });
  async function reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const request = requests.get('', name);
    const left = request && forgottenInMs(request, endOf(request.status?.certificate), now());
    if (left === undefined) return;
    if (left > 0) return { requeueAfterMs: left };
    await client.delete(certificateSigningRequests, '', name, { preconditions: { uid: request?.metadata.uid ?? '' } }, signal).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  return { run: (stop) => runController({ name: 'certificatesigningrequest-cleaner-controller', queue, reconcile, maxRetries: Infinity }, stop) };
}

/** When a certificate (base64 of PEM) ends; undefined when there is none to read. */
function endOf(certificate: string | undefined): number | undefined {
  if (!certificate) return undefined;
  try {
    return Date.parse(new X509Certificate(Buffer.from(certificate, 'base64')).validTo);
  } catch {
    return undefined; // other signers may answer with what they like
  }
}
