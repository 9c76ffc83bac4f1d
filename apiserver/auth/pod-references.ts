// What a pod's spec refers to in its namespace: secrets, config maps, claims. The node authorizer and admission ask.
import type { Container, Pod, Volume } from '#machinery/api/object.ts';

export interface PodReferences {
  secrets: ReadonlySet<string>;
  configMaps: ReadonlySet<string>;
  claims: ReadonlySet<string>;
  resourceClaims: ReadonlySet<string>;
}

const known = new WeakMap<object, PodReferences>();

/** Objects from the cache never change, so each is read once. */
export function podReferences(pod: Readonly<Pod>): PodReferences {
  let references = known.get(pod);
  if (references === undefined) known.set(pod, (references = collect(pod)));
  return references;
}

function collect(pod: Readonly<Pod>): PodReferences {
  const secrets = new Set<string>();
  const configMaps = new Set<string>();
  const claims = new Set<string>();
  const resourceClaims = new Set<string>();
  const add = (set: Set<string>, name: string | undefined): void => {
    if (name !== undefined && name !== '') set.add(name);
  };
  const { spec } = pod;
  for (const secret of spec?.imagePullSecrets ?? []) add(secrets, secret.name);
  for (const container of containersOf(pod)) {
    for (const source of container.envFrom ?? []) {
      add(secrets, source.secretRef?.name);
      add(configMaps, source.configMapRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add(secrets, valueFrom?.secretKeyRef?.name);
      add(configMaps, valueFrom?.configMapKeyRef?.name);
    }
  }
  for (const volume of spec?.volumes ?? []) {
    for (const name of secretsOfVolume(volume)) add(secrets, name);
    add(configMaps, volume.configMap?.name);
    for (const source of volume.projected?.sources ?? []) add(configMaps, source.configMap?.name);
    add(claims, volume.persistentVolumeClaim?.claimName);
    if (volume.ephemeral) add(claims, `${pod.metadata.name}-${volume.name}`);
  }
  for (const claim of spec?.resourceClaims ?? []) {
    add(resourceClaims, claim.resourceClaimName);
    add(resourceClaims, pod.status?.resourceClaimStatuses?.find((status) => status.name === claim.name)?.resourceClaimName);
  }
  return { secrets, configMaps, claims, resourceClaims };
}

export function containersOf(pod: Readonly<Pod>): Container[] {
  // Ephemeral containers have the same fields as far as anybody here looks.
  return [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? []), ...((pod.spec?.ephemeralContainers ?? []) as Container[])];
}

function secretsOfVolume(volume: Volume): (string | undefined)[] {
  return [
    volume.azureFile?.secretName, volume.cephfs?.secretRef?.name, volume.cinder?.secretRef?.name, volume.flexVolume?.secretRef?.name,
    ...(volume.projected?.sources ?? []).map((source) => source.secret?.name),
    volume.rbd?.secretRef?.name, volume.secret?.secretName, volume.scaleIO?.secretRef?.name, volume.iscsi?.secretRef?.name,
    volume.storageos?.secretRef?.name, volume.csi?.nodePublishSecretRef?.name,
  ];
}
