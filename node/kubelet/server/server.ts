// The kubelet's own API on 10250: logs, pods, health, metrics; connections that upgrade are handed to whoever registered for them.
// Only clients with a certificate of the client CA are let in.
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import type { Logger } from '#machinery/base/log.ts';
import type { ContainerStatus, Pod } from '#machinery/api/object.ts';
import type { Runtime } from '../runtime/runtime.ts';

export interface StreamTarget {
  runtime: Runtime;
  pod: Pod;
  /** Undefined for port-forward. */
  containerId: string | undefined;
  podIp: string;
  /** A process inside the pod's network namespace; 0 with the hollow runtime. */
  sandboxPid: number;
}
/**
 * Takes an upgraded connection (SPDY or WebSocket) of exec, attach or portForward. `target` throws an HttpError when the
 * pod or container is not there; it must be called before the connection is accepted.
 */
export type UpgradeHandler = (request: { incoming: IncomingMessage; socket: Duplex; head: Buffer; url: URL; target: () => StreamTarget }) => Promise<void>;
export type StreamVerb = 'exec' | 'attach' | 'portForward';

export class HttpError extends Error {
  override name = 'HttpError';
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** What the API tells of a node. */
export interface ServedNode {
  nodeIp: string;
  runtime: Runtime;
  pods: () => Pod[];
  pod: (namespace: string, name: string) => Pod | undefined;
  healthy: () => string;
  /** For /debug/pods: one line of state a worker. */
  debug: () => readonly unknown[];
}
export interface ServerOptions {
  address: string;
  port: number;
  serving: { cert: string; key: string };
  clientCa: string | undefined;
  /** One, but for hollow nodes, which share a server; may change while it serves. */
  nodes: ReadonlySet<ServedNode>;
  upgrade: Partial<Record<StreamVerb, UpgradeHandler>>;
  log: Logger;
}
export interface KubeletServer { port: number; close(): Promise<void> }

export async function startServer(options: ServerOptions): Promise<KubeletServer> {
  const { log } = options;
  const server: Server = createServer({
    cert: options.serving.cert, key: options.serving.key, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2',
    ...(options.clientCa === undefined ? {} : { ca: options.clientCa }),
  });
  // rejectUnauthorized off: the refusal is then an answer that says why instead of a broken connection.
  const allowed = (request: IncomingMessage): boolean => options.clientCa !== undefined && (request.socket as TLSSocket).authorized;
  server.on('request', (request, response) => {
    const controller = new AbortController();
    response.once('close', () => controller.abort());
    const handle = async (): Promise<void> => {
      if (!allowed(request)) throw new HttpError(401, 'Unauthorized');
      await route(options, new URL(request.url ?? '/', 'https://kubelet'), request, response, controller.signal);
    };
    handle().catch((error: unknown) => {
      if (controller.signal.aborted) return;
      const { code, message } = error instanceof HttpError ? error : { code: 500, message: error instanceof Error ? error.message : String(error) };
      if (code >= 500) log.warn('request failed', { url: request.url, error });
      if (response.headersSent) return void response.destroy();
      response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8' });
      response.end(message);
    });
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refuse = (code: number, message: string): void => {
      const body = Buffer.from(message);
      socket.end(`HTTP/1.1 ${code} ${code === 401 ? 'Unauthorized' : code === 404 ? 'Not Found' : 'Error'}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${message}`);
    };
    socket.on('error', (error) => log.debug('connection broke', { error }));
    if (!allowed(request)) return refuse(401, 'Unauthorized');
    const url = new URL(request.url ?? '/', 'https://kubelet');
    const [, verb = '', namespace = '', name = '', ...rest] = url.pathname.split('/').map(decodeURIComponent);
    const handler = options.upgrade[verb as StreamVerb];
    if (!handler) return refuse(404, `no handler for ${url.pathname}`);
    // /exec/{ns}/{pod}/{container}, /exec/{ns}/{pod}/{uid}/{container}, /portForward/{ns}/{pod}[/{uid}]
    const container = verb === 'portForward' ? undefined : rest.at(-1) ?? '';
    handler({ incoming: request, socket, head, url, target: () => streamTarget(options, namespace, name, container) }).catch((error: unknown) => {
      log.info('stream failed', { url: request.url, error });
      if (!socket.destroyed) refuse(error instanceof HttpError ? error.code : 500, error instanceof Error ? error.message : String(error));
    });
  });
  server.listen(options.port, options.address);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close').catch(() => undefined);
    },
  };
}

function findPod({ nodes }: ServerOptions, namespace: string, name: string): { pod: Pod; node: ServedNode } | undefined {
  for (const node of nodes) {
    const pod = node.pod(namespace, name);
    if (pod) return { pod, node };
  }
  return undefined;
}
function streamTarget(options: ServerOptions, namespace: string, name: string, container: string | undefined): StreamTarget {
  const found = findPod(options, namespace, name);
  if (!found) throw new HttpError(404, 'pod does not exist');
  const { pod, node: { runtime, nodeIp } } = found;
  const running = runtime.podStatus(pod.metadata.uid ?? '');
  const sandbox = running?.sandboxes.find((candidate) => candidate.running);
  const instance = container === undefined ? undefined : running?.containers.find((candidate) => candidate.name === container && candidate.state === 'running');
  if (container !== undefined && !instance) throw new HttpError(404, `container not found ("${container}")`);
  if (!sandbox) throw new HttpError(404, `pod not found ("${name}_${namespace}")`);
  return { runtime, pod, containerId: instance?.id, podIp: sandbox.hostNetwork ? nodeIp : sandbox.ip, sandboxPid: sandbox.pid };
}

const ofAll = <T>({ nodes }: ServerOptions, read: (node: ServedNode) => readonly T[]): T[] => [...nodes].flatMap(read);

async function route(options: ServerOptions, url: URL, request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
  const parts = url.pathname.split('/').filter(Boolean).map(decodeURIComponent);
  const [first = ''] = parts;
  if (request.method !== 'GET') throw new HttpError(405, 'Method Not Allowed');
  const send = (type: string, body: string): void => {
    response.writeHead(200, { 'content-type': type });
    response.end(body);
  };
  if (first === 'healthz') {
    const [problem] = ofAll(options, (node) => [node.healthy()].filter(Boolean));
    if (problem !== undefined) throw new HttpError(500, problem);
    return send('text/plain; charset=utf-8', 'ok');
  }
  if (first === 'pods') return send('application/json', JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items: ofAll(options, (node) => node.pods()) }));
  if (first === 'debug' && parts[1] === 'pods') return send('application/json', JSON.stringify(ofAll(options, (node) => node.debug()), null, 1));
  if (first === 'metrics') return send('text/plain; version=0.0.4; charset=utf-8', metrics(options));
  if (first === 'containerLogs' && parts.length === 4) return containerLogs(options, parts[1] ?? '', parts[2] ?? '', parts[3] ?? '', url.searchParams, response, signal);
  throw new HttpError(404, '404 page not found');
}

function metrics(options: ServerOptions): string {
  const all = ofAll(options, ({ runtime }) => runtime.listPods());
  const counts = new Map<string, number>();
  for (const pod of all) for (const { state } of pod.containers) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [
    '# HELP kubelet_running_pods Number of pods that have a running pod sandbox', '# TYPE kubelet_running_pods gauge',
    `kubelet_running_pods ${all.filter((pod) => pod.sandboxes.some(({ running }) => running)).length}`,
    '# HELP kubelet_running_containers Number of containers currently running', '# TYPE kubelet_running_containers gauge',
    ...[...counts].map(([state, count]) => `kubelet_running_containers{container_state="${state}"} ${count}`),
    '# HELP process_resident_memory_bytes Resident memory size in bytes.', '# TYPE process_resident_memory_bytes gauge',
    `process_resident_memory_bytes ${process.memoryUsage.rss()}`, '',
  ].join('\n');
}

/** Why a container has no logs yet, in the API's words. Upstream: kubelet_pods.go validateContainerLogStatus. */
export function logsRefusal(podName: string, container: string, status: ContainerStatus | undefined, previous: boolean): string | undefined {
  if (!status) return `container "${container}" in pod "${podName}" is not available`;
  const { state, lastState } = status;
  const waitingText = (reason: string | undefined): string => (reason === 'ErrImagePull' ? `container "${container}" in pod "${podName}" is waiting to start: image can't be pulled`
    : reason === 'ImagePullBackOff' ? `container "${container}" in pod "${podName}" is waiting to start: trying and failing to pull image`
    : `container "${container}" in pod "${podName}" is waiting to start: ${reason ?? ''}`);
  if (previous) return lastState?.terminated?.containerID ? undefined : `previous terminated container "${container}" in pod "${podName}" not found`;
  if (state?.running || state?.terminated?.containerID || lastState?.terminated?.containerID) return undefined;
  if (state?.terminated) return `container "${container}" in pod "${podName}" is terminated`;
  return waitingText(state?.waiting?.reason);
}

async function containerLogs(options: ServerOptions, namespace: string, name: string, container: string, query: URLSearchParams, response: ServerResponse, signal: AbortSignal): Promise<void> {
  const found = findPod(options, namespace, name);
  if (!found) throw new HttpError(404, `pod "${name}" does not exist`);
  const { pod, node: { runtime } } = found;
  const whole = (key: string): number | undefined => {
    const text = query.get(key);
    if (text === null || text === '') return undefined;
    if (!/^\d+$/.test(text)) throw new HttpError(400, `${key} must be a whole number, not "${text}"`);
    return Number(text);
  };
  const flag = (key: string): boolean => query.has(key) && !['false', '0'].includes(query.get(key) ?? '');
  const sinceTime = query.get('sinceTime');
  const sinceSeconds = whole('sinceSeconds');
  const sinceMs = sinceSeconds !== undefined ? Date.now() - sinceSeconds * 1000 : sinceTime ? Date.parse(sinceTime) : undefined;
  if (Number.isNaN(sinceMs)) throw new HttpError(400, `sinceTime is not a time: "${sinceTime ?? ''}"`);
  const tailLines = whole('tailLines');
  const limitBytes = whole('limitBytes');
  const previous = flag('previous');
  const stream = query.get('stream') ?? 'All';

  const known = [...pod.spec?.containers ?? [], ...pod.spec?.initContainers ?? [], ...pod.spec?.ephemeralContainers ?? []].some((candidate) => candidate.name === container);
  if (!known) throw new HttpError(404, `container "${container}" not found in pod "${name}"`);
  const instances = (runtime.podStatus(pod.metadata.uid ?? '')?.containers ?? []).filter((candidate) => candidate.name === container);
  const status = [...pod.status?.containerStatuses ?? [], ...pod.status?.initContainerStatuses ?? [], ...pod.status?.ephemeralContainerStatuses ?? []].find((candidate) => candidate.name === container);
  // The runtime knows first; the API's status serves for the words of a refusal.
  const usable = instances.filter(({ state }) => state !== 'created');
  const instance = previous ? (instances[0]?.state === 'exited' && status?.state?.waiting ? usable[0] : usable[1]) : usable[0];
  if (!instance) throw new HttpError(400, logsRefusal(name, container, status, previous) ?? `container "${container}" in pod "${name}" is not available`);

  response.writeHead(200, { 'content-type': 'text/plain' });
  if (flag('follow')) response.flushHeaders();
  let left = limitBytes ?? Infinity;
  const lines = runtime.logs(instance.id, {
    follow: flag('follow') && !previous, timestamps: flag('timestamps'), stdout: stream !== 'Stderr', stderr: stream !== 'Stdout',
    ...(tailLines === undefined ? {} : { tailLines }), ...(sinceMs === undefined ? {} : { sinceMs }),
  }, signal);
  for await (const chunk of lines) {
    const part = chunk.length > left ? chunk.subarray(0, left) : chunk;
    left -= part.length;
    if (!response.write(part)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    if (left <= 0 || signal.aborted) break;
  }
  response.end();
}
