// What load balancers ask a node before they send it traffic: whether a Service has an endpoint there (the health check node port of
// Services that keep the client's address), and whether the proxy is well (/healthz, /livez). Upstream: pkg/proxy/healthcheck.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Node } from '#machinery/api/object.ts';
import { systemClock, type Clock } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { ServicePort } from './services.ts';

const log = createLogger('proxy');

/** Set by the cluster autoscaler on a node that is about to go. */
const toBeDeleted = 'ToBeDeletedByClusterAutoscaler';

/** Whether the rules keep up with what the API server tells. */
export class ProxyHealth {
  readonly #lateMs: number;
  readonly #clock: Clock;
  #pendingSince: number | undefined;
  #updatedAt: number | undefined;

  /** A change that is not in the rules for so long makes the proxy unwell. */
  constructor(lateMs: number, clock = systemClock) {
    this.#lateMs = lateMs;
    this.#clock = clock;
  }
  /** There is something to write. */
  pending(): void {
    this.#pendingSince ??= this.#clock.now();
  }
  /** All is written. */
  updated(): void {
    this.#pendingSince = undefined;
    this.#updatedAt = this.#clock.now();
  }
  get healthy(): boolean {
    return this.#pendingSince === undefined || this.#updatedAt === undefined || this.#clock.now() - this.#pendingSince < this.#lateMs;
  }
  /** As upstream's page; `nodeEligible` only where it counts. */
  page(nodeEligible?: boolean): { status: number; body: string } {
    const now = this.#clock.now();
    const { healthy } = this;
    const well = healthy && nodeEligible !== false;
    const time = (ms: number | undefined): string => (ms === undefined ? '0001-01-01T00:00:00Z' : new Date(ms).toISOString());
    const body = {
      lastUpdated: time(well ? now : this.#updatedAt), currentTime: time(now), ...(nodeEligible === undefined ? {} : { nodeEligible }), healthy,
      ...(this.#updatedAt === undefined ? {} : { status: { IPv4: { lastUpdated: time(this.#updatedAt), healthy } } }),
    };
    return { status: well ? 200 : 503, body: JSON.stringify(body) };
  }
}

/** Neither going nor gone. */
export function isEligible(node: Node | undefined): boolean {
  return node !== undefined && node.metadata.deletionTimestamp === undefined && !node.spec?.taints?.some(({ key }) => key === toBeDeleted);
}

/** A Service that has a health check node port, and how many of its ready endpoints each node has. */
export interface CheckedService { namespace: string; name: string; port: number; local: ReadonlyMap<string, number> }

export function checkedServices(ports: readonly ServicePort[]): CheckedService[] {
  const found = new Map<string, { service: CheckedService; ips: Map<string, Set<string>> }>();
  for (const { namespace, service: name, healthCheckNodePort: port, endpoints } of ports) {
    if (port === 0) continue;
    const key = `${namespace}/${name}`;
    const known = found.get(key) ?? { service: { namespace, name, port, local: new Map<string, number>() }, ips: new Map<string, Set<string>>() };
    found.set(key, known);
    for (const { ip, nodeName, ready } of endpoints) {
      if (!ready) continue;
      const ips = known.ips.get(nodeName) ?? new Set();
      known.ips.set(nodeName, ips.add(ip));
    }
  }
  return [...found.values()].map(({ service, ips }) => ({ ...service, local: new Map([...ips].map(([node, own]) => [node, own.size])) }));
}

type Answer = (request: IncomingMessage) => { status: number; body: string; headers?: Record<string, string> };

export interface HealthServersOptions {
  nodes: readonly { name: string; ip: string }[];
  health: ProxyHealth;
  /** Told once for each Service and node whose port cannot be had; tried again at every sync. */
  onFailure: (service: CheckedService, node: string, message: string) => void;
}

/** One server for each Service with a health check node port and each node, on the node's own address. */
export class HealthServers {
  readonly #options: HealthServersOptions;
  /** By node, Service and port; `service` is the newest. */
  readonly #servers = new Map<string, { server: Server; service: CheckedService }>();
  readonly #failed = new Set<string>();

  constructor(options: HealthServersOptions) {
    this.#options = options;
  }

  async sync(services: readonly CheckedService[]): Promise<void> {
    const wanted = new Map<string, { service: CheckedService; node: { name: string; ip: string } }>(services.flatMap((service) => this.#options.nodes.map((node) =>
      [`${node.name} ${service.namespace}/${service.name} ${service.port}`, { service, node }] as const)));
    await Promise.all([...this.#servers].filter(([key]) => !wanted.has(key)).map(async ([key, { server }]) => {
      this.#servers.delete(key);
      await close(server);
    }));
    for (const key of this.#failed) if (!wanted.has(key)) this.#failed.delete(key);
    for (const [key, { service, node }] of wanted) {
      const known = this.#servers.get(key);
      if (known) {
        known.service = service;
        continue;
      }
      const entry: { server: Server; service: CheckedService } = { service, server: answering(() => this.#answer(entry.service, node.name)) };
      try {
        await listen(entry.server, service.port, node.ip);
        this.#servers.set(key, entry);
        this.#failed.delete(key);
      } catch (error) {
        if (this.#failed.has(key)) continue;
        this.#failed.add(key);
        const message = `node ${node.name} failed to start healthcheck "${service.namespace}/${service.name}" on port ${service.port}: ${error instanceof Error ? error.message : String(error)}`;
        log.warn('health check port not served', { service: `${service.namespace}/${service.name}`, node: node.name, error });
        this.#options.onFailure(service, node.name, message);
      }
    }
  }

  async close(): Promise<void> {
    await this.sync([]);
  }

  #answer({ namespace, name, local }: CheckedService, node: string): ReturnType<Answer> {
    const localEndpoints = local.get(node) ?? 0;
    const { healthy } = this.#options.health;
    return {
      status: localEndpoints > 0 && healthy ? 200 : 503,
      headers: { 'x-load-balancing-endpoint-weight': String(localEndpoints) },
      body: JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy: healthy }, undefined, '\t'),
    };
  }
}

/** /healthz and /livez on an address; runs until the signal aborts. An address that cannot be had is said and left alone. */
export async function serveHealth({ host, port }: { host: string; port: number }, health: ProxyHealth, node: () => Node | undefined, signal: AbortSignal): Promise<void> {
  const server = answering(({ url = '' }) => {
    const path = url.split('?')[0];
    if (path === '/healthz') return health.page(isEligible(node()));
    if (path === '/livez') return health.page();
    return { status: 404, body: '404 page not found\n' };
  });
  try {
    await listen(server, port, host);
  } catch (error) {
    log.warn('health port not served', { host, port, error });
    return;
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await close(server);
}

function answering(answer: Answer): Server {
  return createServer({ keepAliveTimeout: 1000 }, (request: IncomingMessage, response: ServerResponse) => {
    const { status, body, headers } = answer(request);
    request.resume();
    response.writeHead(status, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff', ...headers });
    response.end(body);
  });
}
async function listen(server: Server, port: number, host: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
}
