// A container of a pod as the runtime is to make it. Pure but for what is passed in. Upstream: kuberuntime_container_linux.go, security_context.go.
import type { Container, Pod, ResourceRequirements } from '#machinery/api/object.ts';
import { quantityBytes, quantityMilli } from '#machinery/api/quantity.ts';
import { containerHash, isSidecar, podFullName, podUid, regularContainers } from './container-spec.ts';
import { ConfigError } from './env.ts';
import { expand } from './expansion.ts';
import type { ContainerConfig, Mount } from './runtime/runtime.ts';
import { qosClass } from './status.ts';

export const noteKey = {
  hash: 'io.kubernetes.container.hash',
  messagePath: 'io.kubernetes.container.terminationMessagePath',
  messagePolicy: 'io.kubernetes.container.terminationMessagePolicy',
  messageFile: 'io.kubernetes.container.terminationMessageFile',
  preStop: 'io.kubernetes.container.preStopHandler',
  gracePeriod: 'io.kubernetes.pod.terminationGracePeriod',
} as const;

export interface ConfigInput {
  pod: Pod;
  container: Container;
  attempt: number;
  image: { id: string; user: string };
  env: ReadonlyMap<string, string>;
  mounts: Mount[];
  /** On this machine, mounted at terminationMessagePath. */
  messageFile: string;
  nodeMemoryBytes: number;
  targetContainerId?: string;
  /** Reads a profile below the node's seccomp folder. */
  seccompProfile(path: string): Promise<string>;
}

const minShares = 2;
const maxShares = 262_144;
export function cpuShares(milli: number): number {
  return milli <= 0 ? minShares : Math.min(maxShares, Math.max(minShares, Math.floor((milli * 1024) / 1000)));
}
/** Microseconds of each 100 ms; 0 without a limit. */
export function cpuQuota(milli: number): number {
  return milli <= 0 ? 0 : Math.max(1000, Math.floor((Math.max(10, milli) * 100_000) / 1000));
}
const milliOf = (resources: ResourceRequirements | undefined, kind: 'limits' | 'requests'): number | undefined => {
  const text = resources?.[kind]?.cpu;
  return text === undefined ? undefined : quantityMilli(text);
};

export function oomScoreAdj(pod: Pod, container: Container, nodeMemoryBytes: number): number {
  if ((pod.spec?.priority ?? 0) >= 2_000_000_000) return -997;
  const qos = qosClass(pod);
  if (qos === 'Guaranteed') return -997;
  if (qos === 'BestEffort') return 1000;
  const requestOf = (one: Container): number => (one.resources?.requests?.memory === undefined ? 0 : quantityBytes(one.resources.requests.memory));
  const score = (bytes: number): number => Math.min(999, Math.max(3, Math.floor(1000 - (1000 * bytes) / nodeMemoryBytes)));
  const own = score(requestOf(container));
  return isSidecar(container) ? Math.min(own, ...regularContainers(pod).map((one) => score(requestOf(one)))) : own;
}

/** Throws ConfigError where a container that must not be root would be. */
export function checkNonRoot(pod: Pod, container: Container, imageUser: string): void {
  const own = container.securityContext;
  const shared = pod.spec?.securityContext;
  if (!(own?.runAsNonRoot ?? shared?.runAsNonRoot)) return;
  const where = `(pod: "${podFullName(pod)}", container: ${container.name})`;
  const uid = own?.runAsUser ?? shared?.runAsUser;
  if (uid !== undefined) {
    if (uid === 0) throw new ConfigError(`container's runAsUser breaks non-root policy ${where}`);
    return;
  }
  const [user = ''] = imageUser.split(':');
  if (user === '' || user === '0') throw new ConfigError(`container has runAsNonRoot and image will run as root ${where}`);
  if (!/^\d+$/.test(user)) throw new ConfigError(`container has runAsNonRoot and image has non-numeric user (${user}), cannot verify user is non-root ${where}`);
}

export async function containerConfig(input: ConfigInput): Promise<ContainerConfig> {
  const { pod, container, env } = input;
  checkNonRoot(pod, container, input.image.user);
  const own = container.securityContext;
  const shared = pod.spec?.securityContext;
  const replace = (text: string): string => expand(text, (name) => env.get(name));
  const uid = own?.runAsUser ?? shared?.runAsUser;
  const gid = own?.runAsGroup ?? shared?.runAsGroup;
  if (gid !== undefined && uid === undefined && input.image.user !== '' && input.image.user !== '0') {
    throw new ConfigError(`runAsGroup is specified without a runAsUser (container: ${container.name})`);
  }
  const profile = own?.seccompProfile ?? shared?.seccompProfile;
  const limit = milliOf(container.resources, 'limits');
  const memory = container.resources?.limits?.memory;
  const { namespace = '', name = '' } = pod.metadata;
  return {
    pod: { namespace, name, uid: podUid(pod) },
    name: container.name,
    attempt: input.attempt,
    image: container.image ?? '',
    imageId: input.image.id,
    ...(container.command && container.command.length > 0 ? { command: container.command.map(replace) } : {}),
    ...(container.args && container.args.length > 0 ? { args: container.args.map(replace) } : {}),
    ...(container.workingDir ? { workingDir: container.workingDir } : {}),
    env: [...env].map(([key, value]) => `${key}=${value}`),
    mounts: input.mounts,
    annotations: {
      [noteKey.hash]: containerHash(container),
      [noteKey.messagePath]: container.terminationMessagePath ?? '/dev/termination-log',
      [noteKey.messagePolicy]: container.terminationMessagePolicy ?? 'File',
      [noteKey.messageFile]: input.messageFile,
      [noteKey.gracePeriod]: String(pod.spec?.terminationGracePeriodSeconds ?? 30),
      ...(container.lifecycle?.preStop ? { [noteKey.preStop]: JSON.stringify(container.lifecycle.preStop) } : {}),
    },
    ...(uid === undefined ? (gid === undefined ? {} : { user: `0:${gid}` }) : { user: gid === undefined ? String(uid) : `${uid}:${gid}` }),
    groups: [...new Set([...shared?.supplementalGroups ?? [], ...(shared?.fsGroup === undefined ? [] : [shared.fsGroup])])].map(String),
    privileged: own?.privileged === true,
    capabilities: { add: own?.capabilities?.add ?? [], drop: own?.capabilities?.drop ?? [] },
    readOnlyRootFilesystem: own?.readOnlyRootFilesystem === true,
    noNewPrivileges: own?.allowPrivilegeEscalation === false && own.privileged !== true,
    seccomp: profile?.type === 'RuntimeDefault' ? 'runtime/default' : profile?.type === 'Localhost' ? await input.seccompProfile(profile.localhostProfile ?? '') : 'unconfined',
    unmaskedProc: own?.procMount === 'Unmasked',
    sharePid: pod.spec?.shareProcessNamespace === true,
    hostPid: pod.spec?.hostPID === true,
    hostIpc: pod.spec?.hostIPC === true,
    ...(input.targetContainerId === undefined ? {} : { targetContainerId: input.targetContainerId }),
    cpuShares: cpuShares(milliOf(container.resources, 'requests') ?? limit ?? 0),
    cpuQuota: cpuQuota(limit ?? 0),
    memoryBytes: memory === undefined ? 0 : quantityBytes(memory),
    oomScoreAdj: oomScoreAdj(pod, container, input.nodeMemoryBytes),
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
  };
}
