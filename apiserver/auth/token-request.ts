// POST serviceaccounts/NAME/token: a token bound to a pod, secret or node, for the audiences asked for. Upstream:
// registry/core/serviceaccount/storage/token.go.
import { randomUUID } from 'node:crypto';
import { rfc3339 } from '#machinery/base/clock.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { badRequest, conflict, invalid, isNotFound, type FieldError } from '#machinery/api/status.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../admission/admission.ts';
import { runAdmission } from '../admission/chain.ts';
import { createNodeRestriction } from '../admission/node-restriction.ts';
import type { CustomHandler, ServerDeps } from '../backend.ts';
import { projectedTokenSeconds, serviceAccountUsername } from './identity.ts';
import { createSigner } from '#machinery/pki/jwt.ts';

const group = 'authentication.k8s.io';
const kind = 'TokenRequest';
const minimumSeconds = 600;
const defaultSeconds = 3600;
const extendedSeconds = 365 * 24 * 3600;

interface BoundObjectRef { kind?: string; apiVersion?: string; name?: string; uid?: string }
interface TokenRequestSpec { audiences?: string[]; expirationSeconds?: number; boundObjectRef?: BoundObjectRef | null }
interface Ref { name: string; uid?: string }
interface Bound { pod?: Ref; secret?: Ref; node?: Ref }

/** `admission`: what decides on the request after its static validation; NodeRestriction has to be among it. */
export function createTokenRequestHandler(
  { config, backend }: Pick<ServerDeps, 'config' | 'backend'>,
  admission: readonly AdmissionPlugin[] = [createNodeRestriction(backend)],
  now: () => number = Date.now,
): CustomHandler {
  const { issuer, audiences: ownAudiences, signingKey } = config.serviceAccount;
  let signer: ReturnType<typeof createSigner> | undefined;

  return async ({ namespace, name, body, context, dryRun, row }) => {
    const request = body ?? {};
    const errors: FieldError[] = [];
    const metadata = request.metadata ?? {};
    if (metadata.name && metadata.name !== name) errors.push({ type: 'Invalid', field: 'metadata.name', value: metadata.name, detail: 'must match the service account name if specified' });
    if (metadata.namespace && metadata.namespace !== namespace) {
      errors.push({ type: 'Invalid', field: 'metadata.namespace', value: metadata.namespace, detail: 'must match the service account namespace if specified' });
    }
    if (errors.length > 0) throw invalid({ group, kind }, name, errors.slice(0, 1));

    const account = await backend.store('serviceaccounts').get(namespace, name);
    const { uid } = account.metadata;
    if (metadata.uid && metadata.uid !== uid) {
      throw conflict({ group, resource: kind }, name, `the UID in the token request (${metadata.uid}) does not match the UID of the service account (${uid})`);
    }
    const spec = (request.spec ?? {}) as TokenRequestSpec; // shape is checked by decoding
    const audiences = spec.audiences?.length ? spec.audiences : ownAudiences;
    const seconds = spec.expirationSeconds ?? defaultSeconds;
    const path = { type: 'Invalid', field: 'spec.expirationSeconds', value: seconds } as const;
    if (seconds < minimumSeconds) throw invalid({ group, kind }, '', [{ ...path, detail: 'may not specify a duration less than 10 minutes' }]);
    if (seconds > 2 ** 32) throw invalid({ group, kind }, '', [{ ...path, detail: 'may not specify a duration larger than 2^32 seconds' }]);

    const attributes: AdmissionAttributes = {
      operation: 'CREATE', row, subresource: 'token', namespace, name, object: request, oldObject: undefined, options: {}, dryRun,
      user: context.user ?? { name: '', groups: [] },
      context: { request: context, now: now(), dryRun, lookup: (...about) => backend.lookup(...about), list: (id, within) => backend.cached(id, within) },
    };
    await runAdmission(admission, 'admit', attributes);
    await runAdmission(admission, 'validate', attributes);

    const bound = spec.boundObjectRef ? await bind(spec.boundObjectRef, namespace, name) : {};
    const nowMs = now();
    const nowSeconds = Math.floor(nowMs / 1000);
    const isExtended = bound.pod !== undefined && seconds === projectedTokenSeconds && audiences.every((audience) => ownAudiences.includes(audience));
    const id = randomUUID();
    let token = '';
    if (!dryRun) {
      token = await (signer ??= createSigner(signingKey))({
        aud: audiences,
        exp: nowSeconds + (isExtended ? extendedSeconds : seconds),
        iat: nowSeconds,
        iss: issuer,
        jti: id,
        'kubernetes.io': {
          namespace,
          ...(bound.node ? { node: bound.node } : {}),
          ...(bound.pod ? { pod: bound.pod } : {}),
          ...(bound.secret ? { secret: bound.secret } : {}),
          serviceaccount: { name, uid },
          ...(isExtended ? { warnafter: nowSeconds + seconds } : {}),
        },
        nbf: nowSeconds,
        sub: serviceAccountUsername(namespace, name),
      });
      context.annotations.set('authentication.kubernetes.io/issued-credential-id', `JTI=${id}`);
    }
    return {
      apiVersion: `${group}/v1`,
      kind,
      metadata: { ...metadata, name, namespace, uid, creationTimestamp: rfc3339(nowMs) },
      spec: { audiences, expirationSeconds: seconds, boundObjectRef: spec.boundObjectRef ?? null },
      status: { token, expirationTimestamp: rfc3339(nowMs + seconds * 1000) },
    };
  };

  async function bind(ref: BoundObjectRef, namespace: string, account: string): Promise<Bound> {
    const name = ref.name ?? '';
    const check = (object: KubeObject): Ref => {
      const uid = object.metadata?.uid ?? '';
      if (ref.uid && ref.uid !== uid) {
        throw conflict({ group: '', resource: ref.kind ?? '' }, name,
          `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`);
      }
      return { name, uid };
    };
    switch (ref.apiVersion === 'v1' ? ref.kind : undefined) {
      case 'Pod': {
        const pod = await backend.store('pods').get(namespace, name);
        const { serviceAccountName, nodeName } = (pod.spec ?? {}) as { serviceAccountName?: string; nodeName?: string }; // a stored pod
        if (serviceAccountName !== account) throw badRequest(`cannot bind token for serviceaccount ${JSON.stringify(account)} to pod running with different serviceaccount name.`);
        return { pod: check(pod), ...(nodeName ? { node: await nodeRef(nodeName) } : {}) };
      }
      case 'Secret': return { secret: check(await backend.store('secrets').get(namespace, name)) };
      case 'Node': return { node: check(await backend.store('nodes').get('', name)) };
      default: {
        const { apiVersion = '' } = ref;
        const slash = apiVersion.indexOf('/');
        const version = slash < 0 ? `/${apiVersion}` : apiVersion;
        throw badRequest(`cannot bind token to object of type ${version}, Kind=${ref.kind ?? ''}`);
      }
    }
  }

  /** Told beside a pod: only its name when the Node object is not there. */
  async function nodeRef(name: string): Promise<Ref> {
    const cached = backend.lookup('nodes', '', name);
    if (cached?.metadata?.uid !== undefined) return { name, uid: cached.metadata.uid };
    try {
      return { name, uid: (await backend.store('nodes').get('', name)).metadata.uid };
    } catch (error) {
      if (isNotFound(error)) return { name };
      throw error;
    }
  }
}
