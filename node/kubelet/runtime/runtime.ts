// What the kubelet asks of whatever runs containers: sandboxes, containers, images, streams and a view of what runs.
// docker.ts and hollow.ts make it; suite.ts holds what both must do.
import type { Readable, Writable } from 'node:stream';

export interface PodIdentity { namespace: string; name: string; uid: string }

export interface PortMapping { protocol: 'TCP' | 'UDP' | 'SCTP'; hostPort: number; containerPort: number; hostIp: string }

export interface SandboxConfig {
  pod: PodIdentity;
  attempt: number;
  hostname: string;
  hostNetwork: boolean;
  hostPid: boolean;
  hostIpc: boolean;
  ports: PortMapping[];
  sysctls: Record<string, string>;
  /** Labels and annotations of the pod, for people who look with the engine's own tools. */
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface Mount {
  source: string;
  target: string;
  readOnly: boolean;
  propagation: 'rprivate' | 'rslave' | 'rshared';
}

export interface ContainerConfig {
  pod: PodIdentity;
  name: string;
  /** The restart count of this instance. */
  attempt: number;
  /** As written in the pod. */
  image: string;
  /** What the image resolved to; the container is made from it. */
  imageId: string;
  command?: string[];
  args?: string[];
  workingDir?: string;
  env: string[];
  mounts: Mount[];
  /** Further facts that a restarted kubelet needs, kept with the container. */
  annotations: Record<string, string>;
  user?: string;
  groups: string[];
  privileged: boolean;
  capabilities: { add: string[]; drop: string[] };
  readOnlyRootFilesystem: boolean;
  noNewPrivileges: boolean;
  /** `unconfined`, `runtime/default`, or the profile's JSON. */
  seccomp: string;
  unmaskedProc: boolean;
  sharePid: boolean;
  hostPid: boolean;
  hostIpc: boolean;
  /** Joins the process namespace of this container of the pod (ephemeral containers). */
  targetContainerId?: string;
  cpuShares: number;
  /** Microseconds a period of 100 ms; 0 is no limit. */
  cpuQuota: number;
  memoryBytes: number;
  oomScoreAdj: number;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
}

export interface SandboxState {
  id: string;
  pod: PodIdentity;
  attempt: number;
  running: boolean;
  hostNetwork: boolean;
  /** '' on the host network and while not running. */
  ip: string;
  createdAtMs: number;
  /** A process inside the sandbox's namespaces; 0 when it does not run. */
  pid: number;
}

export interface ContainerState {
  id: string;
  pod: PodIdentity;
  name: string;
  attempt: number;
  image: string;
  /** As a status shows it: `docker-pullable://repo@sha256:…` or `docker://sha256:…`. */
  imageRef: string;
  state: 'created' | 'running' | 'exited';
  createdAtMs: number;
  startedAtMs: number;
  finishedAtMs: number;
  exitCode: number;
  oomKilled: boolean;
  /** The runtime's own words when the container could not be started. */
  error: string;
  annotations: Record<string, string>;
  tty: boolean;
}

/** Everything of one pod that exists, newest first. */
export interface RuntimePod {
  pod: PodIdentity;
  sandboxes: SandboxState[];
  containers: ContainerState[];
}

export interface ImageInfo {
  id: string;
  /** What a container status shows. */
  ref: string;
  /** User of the image's config, may be ''. */
  user: string;
  sizeBytes: number;
  names: string[];
}
export interface RegistryCredentials { username: string; password: string; serverAddress: string }

export interface LogOptions {
  follow: boolean;
  tailLines?: number;
  /** Milliseconds since the epoch; fractions count. */
  sinceMs?: number;
  timestamps: boolean;
  stdout: boolean;
  stderr: boolean;
}

export interface ExecOptions { command: string[]; stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean }
export interface AttachOptions { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean }
/** Running streams of an exec or attach. With a tty all output is in stdout. */
export interface StreamSession {
  /** Ending it closes the process's stdin. Always there; writes go nowhere when stdin was not asked for. */
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  resize(size: { width: number; height: number }): Promise<void>;
  /** Of the process: after an attach that of the container. Settles after both outputs have ended. */
  exitCode: Promise<number>;
}

/** Thrown when the thing asked for is not there (container gone, image missing). */
export class RuntimeNotFound extends Error {
  override name = 'RuntimeNotFound';
}

export interface NetworkConfig { name: string; podCidr: string }

export interface Runtime {
  readonly kind: 'docker' | 'hollow';
  /** Nothing really runs: no files are mounted, probes and hooks pass. */
  readonly pretends: boolean;
  version(): Promise<{ name: string; version: string }>;
  /**
   * Reads what exists and keeps the view current until the signal aborts, whatever happens to the connection.
   * `ready` is called after the first complete read.
   */
  run(ready: () => void, signal: AbortSignal): Promise<void>;
  /** False while the engine does not answer. */
  isUp(): boolean;
  /** The pod as last seen; what this process did itself is always in it. */
  podStatus(uid: string): RuntimePod | undefined;
  listPods(): RuntimePod[];
  /** Called synchronously after something of the pod changed by itself. */
  onChange(handler: (uid: string) => void): void;

  /** Whether the engine can mount this folder of ours into a container. Nothing is made. */
  seesFolder(path: string, signal: AbortSignal): Promise<boolean>;

  /** Makes the node's network; repeated calls change nothing. */
  ensureNetwork(network: NetworkConfig, signal: AbortSignal): Promise<void>;

  createSandbox(config: SandboxConfig, signal: AbortSignal): Promise<SandboxState>;
  startSandbox(id: string, signal: AbortSignal): Promise<SandboxState>;
  removeSandbox(id: string, signal: AbortSignal): Promise<void>;

  createContainer(sandboxId: string, config: ContainerConfig, signal: AbortSignal): Promise<ContainerState>;
  startContainer(id: string, signal: AbortSignal): Promise<ContainerState>;
  /** The stop signal, then SIGKILL after the grace; the kill comes at once when `hurry` aborts. Resolves when it has ended. */
  stopContainer(id: string, graceMs: number, hurry: AbortSignal): Promise<void>;
  removeContainer(id: string, signal: AbortSignal): Promise<void>;

  /** Lines as the container wrote them, each output chunk whole; ends with the container when following. */
  logs(id: string, options: LogOptions, signal: AbortSignal): AsyncIterable<Buffer>;
  exec(id: string, options: ExecOptions, signal: AbortSignal): Promise<StreamSession>;
  attach(id: string, options: AttachOptions, signal: AbortSignal): Promise<StreamSession>;

  /** Undefined when the image is not there. */
  imageInfo(image: string, signal: AbortSignal): Promise<ImageInfo | undefined>;
  pullImage(image: string, credentials: RegistryCredentials | undefined, signal: AbortSignal): Promise<void>;
  listImages(signal: AbortSignal): Promise<ImageInfo[]>;

  /** Removes every container and network of this cluster's node. */
  removeAll(signal: AbortSignal): Promise<void>;
}
