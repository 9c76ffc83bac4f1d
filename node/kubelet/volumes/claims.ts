// From a claim in a pod to a folder on this node: reads claim and volume, checks that they belong together and that this node
// may use them. Upstream: volumemanager/populator, volume/local, volume/hostpath.
import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { provisioner } from '#machinery/api/local-path.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '#machinery/api/object.ts';
import { annotation, claimNameOf, foreignClaim, reachableFrom } from '#machinery/api/volumes.ts';
import { allContainers } from '../container-spec.ts';
import { checkHostPath } from './host-path.ts';
import { giveToGroup } from './ownership.ts';

export interface ClaimReader {
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim>;
  volume(name: string): Promise<PersistentVolume>;
}
export interface ClaimInput {
  reader: ClaimReader;
  node: { name: string; object: () => Node | undefined };
  /** Where this node keeps local-path volumes; without it there are none here. */
  localVolumesDir?: string;
}
export interface MountedClaim { path: string; readOnly: boolean }

/** An error that is an event of its own, in upstream's words. */
export class ClaimError extends Error {
  override name = 'ClaimError';
  readonly reason: string;
  constructor(message: string, reason = 'FailedMount') {
    super(message);
    this.reason = reason;
  }
}
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Claim and volume as the API has them now; throws a ClaimError that says what is missing. */
export async function findVolumeOf(pod: Pod, volume: Volume, { reader }: Pick<ClaimInput, 'reader'>): Promise<PersistentVolume> {
  const namespace = pod.metadata.namespace ?? '';
  const name = claimNameOf(pod, volume) ?? '';
  const refuse = (cause: string): ClaimError => new ClaimError(
    `Unable to attach or mount volumes: unmounted volumes=[${volume.name}], unattached volumes=[], failed to process volumes=[${volume.name}]: ${cause}`);
  const processing = (cause: string): ClaimError => refuse(`error processing PVC ${namespace}/${name}: ${cause}`);
  const claim = await reader.claim(namespace, name).catch((error: unknown) => { throw processing(`failed to fetch PVC from API server: ${messageOf(error)}`); });
  if (claim.metadata.deletionTimestamp !== undefined && !claim.metadata.finalizers?.includes('kubernetes.io/pvc-protection')) throw processing('PVC is being deleted');
  if (claim.status?.phase !== 'Bound') throw processing('PVC is not bound');
  const volumeName = claim.spec?.volumeName;
  if (!volumeName) throw processing('PVC has empty pvc.Spec.VolumeName');
  const foreign = volume.ephemeral ? foreignClaim(pod, claim) : undefined;
  if (foreign !== undefined) throw refuse(foreign);
  const found = await reader.volume(volumeName).catch((error: unknown) => { throw processing(`failed to fetch PV ${volumeName} from API server: ${messageOf(error)}`); });
  const ref = found.spec?.claimRef;
  if (!ref) throw processing(`found PV object ${volumeName} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim`);
  if (ref.uid !== claim.metadata.uid) throw processing(`found PV object ${volumeName} but its pv.Spec.ClaimRef.UID ${ref.uid ?? ''} does not point to claim.UID ${claim.metadata.uid}`);
  const mode = found.spec?.volumeMode ?? 'Filesystem';
  const uses = (list: 'volumeMounts' | 'volumeDevices'): boolean => allContainers(pod).some((container) => container[list]?.some((each) => each.name === volume.name));
  if (uses('volumeMounts') && mode !== 'Filesystem') throw refuse(`volume ${volume.name} has volumeMode ${mode}, but is specified in volumeMounts`);
  if (uses('volumeDevices') && mode !== 'Block') throw refuse(`volume ${volume.name} has volumeMode ${mode}, but is specified in volumeDevices`);
  return found;
}

/** Makes the claim's folder ready for the pod and says where it is. */
export async function mountClaim(pod: Pod, volume: Volume, input: ClaimInput): Promise<MountedClaim> {
  const found = await findVolumeOf(pod, volume, input);
  const { name = '' } = found.metadata;
  const spec = found.spec ?? {};
  if (spec.volumeMode === 'Block') throw new ClaimError(`MapVolume.SetUpDevice failed for volume "${name}" : volumeMode Block is not supported by this node`, 'FailedMapVolume');
  const failed = (cause: string): ClaimError => new ClaimError(`MountVolume.SetUp failed for volume "${name}" : ${cause}`);
  const labels = input.node.object()?.metadata.labels ?? {};
  if (!reachableFrom(found, { name: input.node.name, labels })) throw new ClaimError(`MountVolume.NodeAffinity check failed for volume "${name}" : no matching NodeSelectorTerms`);
  const readOnly = volume.persistentVolumeClaim?.readOnly === true;
  try {
    if (spec.hostPath) {
      await checkHostPath(spec.hostPath.path, spec.hostPath.type ?? '');
      if (!spec.hostPath.type && (await stat(spec.hostPath.path).catch(() => undefined)) === undefined) await mkdir(spec.hostPath.path, { recursive: true });
      return { path: spec.hostPath.path, readOnly };
    }
    if (spec.local) {
      const { path } = spec.local;
      // A provisioned folder is made by its node at the first mount, open to every user as its class promises; others a person has made.
      if (found.metadata.annotations?.[annotation.provisionedBy] === provisioner) await makeOwnFolder(path, input.localVolumesDir);
      if ((await stat(path).catch(() => undefined)) === undefined) throw new Error(`path ${JSON.stringify(path)} does not exist`);
      const group = pod.spec?.securityContext?.fsGroup;
      if (group !== undefined && !readOnly) await giveToGroup(path, group, pod.spec?.securityContext?.fsGroupChangePolicy === 'OnRootMismatch');
      return { path, readOnly };
    }
  } catch (error) {
    throw failed(messageOf(error));
  }
  const kind = Object.keys(spec).find((key) => !['capacity', 'accessModes', 'claimRef', 'persistentVolumeReclaimPolicy', 'storageClassName', 'volumeMode', 'nodeAffinity', 'mountOptions', 'volumeAttributesClassName'].includes(key)) ?? 'unknown';
  throw failed(`volume type ${kind} is not supported by this node`);
}

async function makeOwnFolder(path: string, root: string | undefined): Promise<void> {
  if (root === undefined || dirname(path) !== root) throw new Error(`path ${JSON.stringify(path)} is not in this node's folder for local volumes`);
  if (await stat(path).catch(() => undefined)) return;
  await mkdir(root, { recursive: true, mode: 0o711 });
  await mkdir(path);
  await chmod(path, 0o777);
}
