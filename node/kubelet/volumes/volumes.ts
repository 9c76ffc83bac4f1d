// The volumes of a pod on this node: made before its containers, kept up to date while it runs, taken away at its end.
import { chmod, chown, lstat, mkdir, open, readdir, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, Pod, Volume } from '#machinery/api/object.ts';
import { quantityToNumber } from '#machinery/api/quantity.ts';
import { allContainers, podUid } from '../container-spec.ts';
import type { Mount } from '../runtime/runtime.ts';
import { checkPath, writeAtomically } from './atomic-writer.ts';
import { ClaimError, mountClaim, type ClaimInput, type MountedClaim } from './claims.ts';
import { checkHostPath } from './host-path.ts';
import { bind, mountTmpfs, mountsBelow, unmountBelow } from './mounts.ts';
import { volumePayload, type PayloadInput } from './payload.ts';

/** One volume could not be made. */
export class VolumeError extends Error {
  override name = 'VolumeError';
  readonly volume: string;
  /** What the pod's event says. */
  readonly event: { readonly reason: string; readonly message: string };
  constructor(volume: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.volume = volume;
    this.event = cause instanceof ClaimError ? { reason: cause.reason, message: cause.message } : { reason: 'FailedMount', message: `MountVolume.SetUp failed for volume "${volume}" : ${this.message}` };
  }
}

export interface Volumes {
  podDir(uid: string): string;
  /** Makes or renews all volumes; throws VolumeError for the first that cannot be. */
  setUp(pod: Pod, input: Omit<PayloadInput, 'pod'>): Promise<void>;
  /** True when files of the pod's volumes can change while it runs. */
  canChange(pod: Pod): boolean;
  mountsOf(pod: Pod, container: Container, expand: (text: string) => string): Promise<Mount[]>;
  tearDown(uid: string): Promise<void>;
  /** Pods that have files here. */
  uids(): Promise<string[]>;
}

const plugin = (volume: Volume): string | undefined =>
  volume.configMap ? 'configmap' : volume.secret ? 'secret' : volume.projected ? 'projected' : volume.downwardAPI ? 'downward-api' : volume.emptyDir ? 'empty-dir' : undefined;

export function createVolumes(rootDir: string, claimInput?: ClaimInput): Volumes {
  const podDir = (uid: string): string => join(rootDir, 'pods', uid);
  // Secrets never touch a disk: one memory file system of the kubelet holds them all.
  const memoryDir = join(rootDir, 'memory');
  let memory: Promise<void> | undefined;
  const ensureMemory = (): Promise<void> => (memory ??= (async () => {
    await mkdir(memoryDir, { recursive: true });
    if (!(await mountsBelow(memoryDir)).includes(memoryDir)) await mountTmpfs(memoryDir);
  })().catch((error: unknown) => {
    memory = undefined;
    throw error;
  }));
  // Where the claims of a pod are, by volume; found once, and kept while the pod is here.
  const claims = new Map<string, Map<string, MountedClaim>>();
  const usesClaim = (volume: Volume): boolean => volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined;
  const pathOf = (uid: string, volume: Volume): string => {
    if (volume.hostPath) return volume.hostPath.path;
    if (usesClaim(volume)) {
      const mounted = claims.get(uid)?.get(volume.name);
      if (!mounted) throw new Error(`volume "${volume.name}" is not mounted yet`);
      return mounted.path;
    }
    const kind = plugin(volume);
    const inMemory = volume.secret !== undefined || volume.projected !== undefined;
    return inMemory ? join(memoryDir, uid, `kubernetes.io~${kind}`, volume.name) : join(podDir(uid), 'volumes', `kubernetes.io~${kind}`, volume.name);
  };

  async function emptyDir(path: string, volume: Volume, pod: Pod): Promise<void> {
    const exists = (await stat(path).catch(() => undefined)) !== undefined;
    if (!exists) await mkdir(path, { recursive: true });
    if (volume.emptyDir?.medium === 'Memory') {
      const limits = allContainers(pod).map((container) => container.resources?.limits?.memory);
      const podLimit = limits.every((limit) => limit !== undefined) ? limits.reduce((sum, limit) => sum + quantityToNumber(limit ?? '0'), 0) : Infinity;
      const size = Math.min(podLimit, volume.emptyDir.sizeLimit && quantityToNumber(volume.emptyDir.sizeLimit) > 0 ? quantityToNumber(volume.emptyDir.sizeLimit) : Infinity);
      if (!(await mountsBelow(path)).includes(path)) await mountTmpfs(path, Number.isFinite(size) ? Math.ceil(size) : undefined);
    } else if (volume.emptyDir?.medium) throw new Error(`unknown storage medium "${volume.emptyDir.medium}"`);
    if (!exists) {
      await chmod(path, 0o777);
      const group = pod.spec?.securityContext?.fsGroup;
      if (group !== undefined) {
        await chown(path, 0, group);
        await chmod(path, 0o2777);
      }
    }
  }

  return {
    podDir,
    async setUp(pod, input) {
      const uid = podUid(pod);
      await mkdir(join(podDir(uid), 'volumes'), { recursive: true, mode: 0o750 });
      let failure: VolumeError | undefined; // one volume's trouble keeps none of the others from being updated
      for (const volume of pod.spec?.volumes ?? []) {
        try {
          if (usesClaim(volume)) {
            const mounted = claims.get(uid) ?? new Map<string, MountedClaim>();
            claims.set(uid, mounted);
            if (!claimInput) throw new Error('claims are not supported by this node');
            if (!mounted.has(volume.name)) mounted.set(volume.name, await mountClaim(pod, volume, claimInput));
            continue;
          }
          const path = pathOf(uid, volume);
          if (volume.emptyDir) await emptyDir(path, volume, pod);
          else if (volume.hostPath) await checkHostPath(path, volume.hostPath.type ?? '');
          else if (plugin(volume) === undefined) {
            const kind = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
            throw new Error(`volume type ${kind} is not supported by this node`);
          } else {
            if (volume.secret || volume.projected) await ensureMemory();
            const files = await volumePayload(volume, { ...input, pod });
            const group = pod.spec?.securityContext?.fsGroup;
            if (files && group !== undefined) for (const [name, file] of files) files.set(name, { ...file, gid: group, mode: file.mode | 0o440 });
            if (files) await writeAtomically(path, files, Date.now());
          }
        } catch (error) {
          failure ??= new VolumeError(volume.name, error);
        }
      }
      if (failure) throw failure;
    },
    canChange: (pod) => (pod.spec?.volumes ?? []).some((volume) => volume.configMap ?? volume.secret ?? volume.projected ?? volume.downwardAPI),
    async mountsOf(pod, container, expand) {
      const uid = podUid(pod);
      const mounts: Mount[] = [];
      for (const [index, wanted] of (container.volumeMounts ?? []).entries()) {
        const volume = pod.spec?.volumes?.find(({ name }) => name === wanted.name);
        if (!volume) throw new Error(`cannot find volume "${wanted.name}" to mount into container "${container.name}"`);
        let source = pathOf(uid, volume);
        const filesOnly = !volume.emptyDir && !volume.hostPath && !usesClaim(volume);
        if (volume.hostPath && !(volume.hostPath.type) && !wanted.subPath && !wanted.subPathExpr && (await stat(source).catch(() => undefined)) === undefined) await mkdir(source, { recursive: true });
        const subPath = wanted.subPathExpr ? expand(wanted.subPathExpr) : wanted.subPath;
        if (wanted.subPathExpr && /\$\([^)]*\)/.test(subPath ?? '')) throw new Error(`missing value for ${JSON.stringify(wanted.subPathExpr)}`);
        if (subPath) source = await bindSubPath(source, subPath, join(podDir(uid), 'volume-subpaths', volume.name, container.name, String(index)), filesOnly);
        mounts.push({
          source, target: wanted.mountPath.startsWith('/') ? wanted.mountPath : `/${wanted.mountPath}`, readOnly: wanted.readOnly === true || filesOnly || claims.get(uid)?.get(volume.name)?.readOnly === true,
          propagation: wanted.mountPropagation === 'Bidirectional' ? 'rshared' : wanted.mountPropagation === 'HostToContainer' ? 'rslave' : 'rprivate',
        });
      }
      return mounts;
    },
    async tearDown(uid) {
      const dir = podDir(uid);
      await unmountBelow(dir);
      await rm(dir, { recursive: true, force: true });
      await rm(join(memoryDir, uid), { recursive: true, force: true });
      claims.delete(uid);
    },
    async uids() {
      return [...new Set([...await readdir(join(rootDir, 'pods')).catch(() => []), ...await readdir(memoryDir).catch(() => [])])];
    },
  };
}

/** Binds what the path means now, so that a later change of a link inside the volume cannot lead out of it. */
async function bindSubPath(volume: string, subPath: string, target: string, readOnly: boolean): Promise<string> {
  if (subPath.startsWith('/')) throw new Error(`error SubPath \`${subPath}\` must not be an absolute path`);
  if (subPath.split('/').includes('..')) throw new Error(`unable to provision SubPath \`${subPath}\`: must not contain '..'`);
  checkPath(subPath.replace(/^(\.\/)+/, '') || '.');
  const root = await realpath(volume);
  let wanted = join(root, subPath);
  if ((await lstat(wanted).catch(() => undefined)) === undefined) {
    if (readOnly) throw new Error(`failed to prepare subPath for volumeMount: ${subPath} does not exist`);
    // Made step by step: a link on the way must not take us out of the volume.
    let at = root;
    for (const part of subPath.split('/').filter((piece) => piece !== '' && piece !== '.')) {
      at = join(at, part);
      if ((await lstat(at).catch(() => undefined)) === undefined) {
        await mkdir(at);
        const { mode } = await stat(root);
        await chmod(at, mode & 0o7777);
      }
      const real = await realpath(at);
      if (real !== root && !real.startsWith(`${root}/`)) throw new Error(`failed to prepare subPath for volumeMount: ${subPath} leaves the volume`);
    }
  }
  wanted = await realpath(wanted);
  if (wanted !== root && !wanted.startsWith(`${root}/`)) throw new Error(`failed to prepare subPath for volumeMount: ${subPath} leaves the volume`);
  await mkdir(join(target, '..'), { recursive: true });
  if ((await mountsBelow(target)).includes(target)) return target;
  if ((await stat(wanted)).isDirectory()) await mkdir(target, { recursive: true });
  else await (await open(target, 'a')).close();
  await bind(wanted, target);
  return target;
}

