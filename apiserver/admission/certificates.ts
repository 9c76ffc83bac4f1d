// CertificateApproval, CertificateSigning, CertificateSubjectRestriction, ClusterTrustBundleAttest: who may speak for a signer, and
// what nobody may ask it for. Upstream: plugin/pkg/admission/certificates, pkg/certauthorization.
import { isDeepStrictEqual } from 'node:util';
import type { CertificateSigningRequest, KubeObject } from '#machinery/api/object.ts';
import { mastersGroup } from '../auth/identity.ts';
import type { Authorizer } from '../filters/seams.ts';
import type { UserInfo } from '../request.ts';
import type { AdmissionPlugin } from './admission.ts';
import { refuse } from './refuse.ts';

const group = 'certificates.k8s.io';
const clientSigner = 'kubernetes.io/kube-apiserver-client';
const asRequest = (object: Readonly<KubeObject> | undefined): CertificateSigningRequest => object as unknown as CertificateSigningRequest; // `handles` lets only these through

/** For the signer by its name, or for all of its domain: `example.com/*`. */
async function maySpeakFor(authorizer: Authorizer, user: UserInfo, verb: string, signerName: string): Promise<boolean> {
  for (const name of [signerName, `${signerName.split('/')[0] ?? ''}/*`]) {
    const { allowed } = await authorizer.authorize(user, { isResourceRequest: true, path: '', verb, apiPrefix: 'apis', group, version: '*', namespace: '', resource: 'signers', subresource: '', name, parts: [] });
    if (allowed) return true;
  }
  return false;
}

export function certificatePlugins(authorizer: Authorizer): AdmissionPlugin[] {
  const forRequests = (subresource: string): AdmissionPlugin['handles'] => (operation, row, asked) => operation === 'UPDATE' && row.group === group && row.resource === 'certificatesigningrequests' && asked === subresource;
  return [
    {
      name: 'CertificateApproval',
      handles: forRequests('approval'),
      async validate(attributes) {
        const signerName = asRequest(attributes.oldObject).spec.signerName ?? '';
        if (!await maySpeakFor(authorizer, attributes.user, 'approve', signerName)) throw refuse(attributes, `user not permitted to approve requests with signerName ${JSON.stringify(signerName)}`);
      },
    },
    {
      name: 'CertificateSigning',
      handles: forRequests('status'),
      async validate(attributes) {
        const [old, now] = [asRequest(attributes.oldObject), asRequest(attributes.object)];
        if (old.status?.certificate === now.status?.certificate && isDeepStrictEqual(old.status?.conditions ?? [], now.status?.conditions ?? [])) return;
        const signerName = old.spec.signerName ?? '';
        if (!await maySpeakFor(authorizer, attributes.user, 'sign', signerName)) throw refuse(attributes, `user not permitted to sign requests with signerName ${JSON.stringify(signerName)}`);
      },
    },
    {
      name: 'CertificateSubjectRestriction',
      handles: (operation, row, subresource) => operation === 'CREATE' && row.group === group && row.resource === 'certificatesigningrequests' && subresource === '',
      async validate(attributes) {
        const { signerName, request } = asRequest(attributes.object).spec;
        if (signerName !== clientSigner) return;
        const { parseSigningRequest } = await import('#machinery/pki/signing-request.ts');
        const { organizations } = parseSigningRequest(Buffer.from(request, 'base64').toString('latin1'));
        if (organizations.includes(mastersGroup)) throw refuse(attributes, `use of ${clientSigner} signer with ${mastersGroup} group is not allowed`);
      },
    },
    {
      name: 'ClusterTrustBundleAttest',
      handles: (operation, row, subresource) => (operation === 'CREATE' || operation === 'UPDATE') && row.group === group && row.resource === 'clustertrustbundles' && subresource === '',
      async validate(attributes) {
        const bundle = (object: Readonly<KubeObject> | undefined): { signerName?: string; trustBundle?: string } => (object?.spec ?? {}) as { signerName?: string; trustBundle?: string }; // validated before this step
        const { signerName = '' } = bundle(attributes.object);
        if (signerName === '' || attributes.oldObject && isDeepStrictEqual(withoutOwners(attributes.oldObject), withoutOwners(attributes.object ?? {}))) return;
        if (!await maySpeakFor(authorizer, attributes.user, 'attest', signerName)) throw refuse(attributes, `user not permitted to attest for signerName ${JSON.stringify(signerName)}`);
      },
    },
  ];
}

/** What garbage collection may change for somebody who does not speak for the signer. */
function withoutOwners(object: Readonly<KubeObject>): unknown {
  const { ownerReferences: _owners, finalizers: _finalizers, managedFields: _managed, resourceVersion: _version, ...metadata } = object.metadata ?? {};
  return { ...object, metadata };
}
