// ServiceAccount: every pod runs as a service account that exists, and its containers get the account's token, the cluster's
// CA and the namespace mounted. Upstream: plugin/pkg/admission/serviceaccount.
import { randomInt } from 'node:crypto';
import { sleep } from '#machinery/base/clock.ts';
import type { Container, Pod, ServiceAccount, Volume } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { mirrorAnnotation, projectedTokenSeconds } from '../auth/identity.ts';
import { podReferences } from '../auth/pod-references.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { refuse } from './refuse.ts';

const defaultAccount = 'default';
const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
const volumePrefix = 'kube-api-access-';
const enforceAnnotation = 'kubernetes.io/enforce-mountable-secrets';
/** The default account is made by a controller just after its namespace; one look may come too early. */
const defaultAttempts = 10;

type Finder = (attributes: AdmissionAttributes, name: string) => Promise<Readonly<ServiceAccount>>;

export function createServiceAccountAdmission(backend: Pick<Backend, 'lookup' | 'store'>): AdmissionPlugin {
  const find: Finder = async (attributes, name) => {
    const { namespace } = attributes;
    const cached = backend.lookup('serviceaccounts', namespace, name);
    if (cached !== undefined) return cached as unknown as ServiceAccount; // the rows of serviceaccounts
    const attempts = name === defaultAccount ? defaultAttempts : 1;
    const retryMs = randomInt(100, 200);
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (attempt > 0) await sleep(retryMs, attributes.context.request.signal);
      try {
        return await backend.store('serviceaccounts').get(namespace, name) as unknown as ServiceAccount; // the same
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    throw refuse(attributes, `error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`);
  };
  return {
    name: 'ServiceAccount',
    handles: (operation, row, subresource) => row.group === '' && row.resource === 'pods'
      && ((operation === 'CREATE' && subresource === '') || (operation === 'UPDATE' && subresource === 'ephemeralcontainers')),
    async admit(attributes) {
      if (attributes.operation !== 'CREATE') return;
      const pod = podOf(attributes);
      const spec = pod.spec;
      if (spec === undefined || pod.metadata?.annotations?.[mirrorAnnotation] !== undefined) return;
      spec.serviceAccountName ||= spec.serviceAccount || defaultAccount;
      spec.serviceAccount = spec.serviceAccountName; // the old name of the field stays in step
      const account = await find(attributes, spec.serviceAccountName);
      if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(pod);
      if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length) spec.imagePullSecrets = account.imagePullSecrets.map(({ name }) => ({ ...(name === undefined ? {} : { name }) }));
    },
    async validate(attributes) {
      const pod = podOf(attributes);
      if (attributes.operation === 'CREATE' && pod.metadata?.annotations?.[mirrorAnnotation] !== undefined) return refuseMirror(attributes, pod);
      const name = pod.spec?.serviceAccountName ?? '';
      if (name === '') throw refuse(attributes, `no service account specified for pod ${attributes.namespace}/${pod.metadata?.name ?? ''}`);
      const account = await find(attributes, name);
      if (!isTrue(account.metadata.annotations?.[enforceAnnotation])) return;
      const why = attributes.operation === 'CREATE' ? unlistedSecret(account, pod) : unlistedEphemeral(account, pod);
      if (why !== undefined) throw refuse(attributes, why);
    },
  };
}

function podOf({ object }: AdmissionAttributes): Pod {
  return object as unknown as Pod; // `handles` lets only pods through
}

function refuseMirror(attributes: AdmissionAttributes, pod: Pod): void {
  if (pod.spec?.serviceAccountName) throw refuse(attributes, 'a mirror pod may not reference service accounts');
  if (podReferences(structuredClone(pod)).secrets.size > 0) throw refuse(attributes, 'a mirror pod may not reference secrets');
  if (pod.spec?.volumes?.some((volume) => volume.projected?.sources?.some((source) => source.serviceAccountToken))) {
    throw refuse(attributes, 'a mirror pod may not use ServiceAccountToken volume projections');
  }
}

function mountToken(pod: Pod): void {
  const spec = pod.spec;
  if (spec === undefined) return;
  const existing = spec.volumes?.find((volume) => volume.name.startsWith(volumePrefix));
  const name = existing?.name ?? `${volumePrefix}${randomSuffix()}`;
  let needed = false;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    // A mount of the user's own at this place wins.
    if (container.volumeMounts?.some((mount) => mount.mountPath === mountPath)) continue;
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath }];
    needed = true;
  }
  if (existing === undefined && needed) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: projectedTokenSeconds, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  };
}

/** Five letters and digits that cannot form words, as generated names have. */
function randomSuffix(): string {
  const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
  return Array.from({ length: 5 }, () => alphabet[randomInt(alphabet.length)]).join('');
}

/** As Go's strconv.ParseBool. */
function isTrue(text: string | undefined): boolean {
  return ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text ?? '');
}

/** Why the account's list of mountable secrets refuses the pod; undefined when it does not. */
function unlistedSecret(account: Readonly<ServiceAccount>, pod: Pod): string | undefined {
  const listed = new Set((account.secrets ?? []).map((secret) => secret.name));
  const owner = account.metadata.name ?? '';
  for (const { secret } of pod.spec?.volumes ?? []) {
    if (secret && !listed.has(secret.secretName)) return `volume with secret.secretName="${secret.secretName}" is not allowed because service account ${owner} does not reference that secret`;
  }
  for (const [kind, containers] of [['init container', pod.spec?.initContainers], ['container', pod.spec?.containers]] as const) {
    const why = unlistedIn(kind, containers ?? [], listed, owner);
    if (why !== undefined) return why;
  }
  const pullable = new Set((account.imagePullSecrets ?? []).map((secret) => secret.name));
  for (const [index, { name }] of (pod.spec?.imagePullSecrets ?? []).entries()) {
    if (!pullable.has(name)) return `imagePullSecrets[${index}].name="${name}" is not allowed because service account ${owner} does not reference that imagePullSecret`;
  }
  return undefined;
}

function unlistedEphemeral(account: Readonly<ServiceAccount>, pod: Pod): string | undefined {
  const listed = new Set((account.secrets ?? []).map((secret) => secret.name));
  // Their env is that of containers.
  return unlistedIn('ephemeral container', (pod.spec?.ephemeralContainers ?? []) as Container[], listed, account.metadata.name ?? '');
}

function unlistedIn(kind: string, containers: readonly Container[], listed: ReadonlySet<string | undefined>, owner: string): string | undefined {
  for (const container of containers) {
    for (const { name, valueFrom } of container.env ?? []) {
      const secret = valueFrom?.secretKeyRef;
      if (secret && !listed.has(secret.name)) {
        return `${kind} ${container.name} with envVar ${name} referencing secret.secretName="${secret.name}" is not allowed because service account ${owner} does not reference that secret`;
      }
    }
    for (const { secretRef } of container.envFrom ?? []) {
      if (secretRef && !listed.has(secretRef.name)) {
        return `${kind} ${container.name} with envFrom referencing secret.secretName="${secretRef.name}" is not allowed because service account ${owner} does not reference that secret`;
      }
    }
  }
  return undefined;
}
