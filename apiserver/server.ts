// The HTTPS server and its one filter chain, which requests and upgrades both go through. `/api` and `/apis` are handled
// directly, Express carries the rest and is loaded by the first request that needs it: it costs 100 ms.
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createLogger } from '#machinery/base/log.ts';
import { serviceUnavailable, StatusError } from '#machinery/api/status.ts';
import { versionInfo } from './discovery/version.ts';
import type { Discovery } from './discovery/serve.ts';
import type { Auditor } from './audit/auditor.ts';
import type { AuditTrail } from './audit/trail.ts';
import { auditRefusal, auditUnknownCaller, beginAudit, endAudit, whenAnswerBegins, whenUpgradeAnswers } from './filters/audit.ts';
import { anonymous } from './auth/identity.ts';
import { authenticateRequest, type AnonymousAuth } from './filters/authn.ts';
import { authorizeRequest } from './filters/authz.ts';
import { RequestState } from './filters/context.ts';
import { timeAllowed } from './filters/deadline.ts';
import { PlainError, refuseConnection, refuseUpgrade, RequestTimeout, writeError } from './filters/errors.ts';
import { impersonate } from './filters/impersonation.ts';
import { InFlight } from './filters/in-flight.ts';
import { createLimits, isLongRunning, isProbe } from './filters/limits.ts';
import type { Authenticator, Authorizer } from './filters/seams.ts';
import { serveResource } from './handlers/api.ts';
import type { ApiDeps } from './handlers/api.ts';
import { negotiateOutput } from './handlers/negotiate.ts';
import { respond, send } from './handlers/respond.ts';
import { writeWarnings } from './handlers/warnings.ts';
import type { Health } from './health.ts';
import type { AccessMetrics } from './metrics/access.ts';
import { processMetrics } from './metrics/process.ts';
import type { Registry } from '#machinery/base/metrics.ts';
import type { RequestMetrics, RequestSeries } from './metrics/requests.ts';
import type { ApiserverOptions } from './options.ts';

const log = createLogger('apiserver');
/** Watches and streams were told to end; how long that may take. */
const longRunningGraceMs = 10_000;
const lingerMs = 1000;

export interface ServerOptions {
  addresses: readonly string[];
  /** 0 picks a free one, the same on all addresses. */
  port: number;
  tls: { cert: string; key: string; clientCa: string };
  anonymousAuth: AnonymousAuth;
  authenticator: Authenticator;
  authorizer: Authorizer;
  api: ApiDeps;
  discovery: Discovery;
  health: Health;
  metrics: RequestMetrics;
  access: AccessMetrics;
  /** /metrics/slis */
  slis: Registry;
  limits: ApiserverOptions;
  /** Absent: nothing is audited. */
  audit: Auditor | undefined;
  /** Further documents: OpenID discovery, OpenAPI. Undefined: not served. */
  document(path: string, request: IncomingMessage): Promise<{ status: number; headers: Record<string, string>; body: Buffer } | undefined>;
  /** State for /debug/. */
  debug(): Record<string, unknown>;
}

export interface RunningServer {
  port: number;
  /** Refuses new requests and connections, ends watches, lets requests finish within their time, then closes. */
  close(): Promise<void>;
  /** Rejects when a listener dies. */
  failed: Promise<never>;
}

export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const chain = createChain(options);
  const servers: Server[] = [];
  const sockets = new Set<Duplex>(); // the TCP ones: some outlive the TLS on them, which is all that the server closes by itself
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined); // whoever waits for it hears of it
  let { port } = options;
  try {
    for (const address of options.addresses) {
      const server = createServer({
        cert: options.tls.cert, key: options.tls.key, ca: options.tls.clientCa, requestCert: true, rejectUnauthorized: false,
        // Half-closed streams of exec and port-forward still carry the other half.
        allowHalfOpen: true, ALPNProtocols: ['http/1.1'], minVersion: 'TLSv1.2', keepAliveTimeout: 180_000,
        // Slow clients: the filter chain bounds whole requests, these what comes before it.
        handshakeTimeout: 32_000, headersTimeout: 32_000, requestTimeout: 0,
      }, chain.request);
      server.on('connection', (socket: Duplex) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
      });
      server.on('upgrade', chain.upgrade);
      server.on('tlsClientError', () => options.metrics.tlsHandshakeErrors.add());
      server.on('clientError', (error, socket) => {
        log.debug('bad request on a connection', { error });
        refuseConnection(socket, error);
      });
      await listen(server, address, port);
      server.on('error', fail);
      servers.push(server);
      port = (server.address() as AddressInfo).port; // listening on TCP
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return {
    port,
    failed,
    async close() {
      const stopListening = (): Promise<unknown> => Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
      const listening = options.limits.shutdownSendRetryAfter;
      let closed = listening ? undefined : stopListening();
      await chain.drain();
      closed ??= stopListening();
      for (const server of servers) server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** An address or port that cannot be had; the message is one line that says what to do. */
export class ListenError extends Error {
  override name = 'ListenError';
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const why = error.code === 'EADDRINUSE' ? 'the port is taken; stop what uses it or choose another with --https-port'
        : error.code === 'EADDRNOTAVAIL' ? 'this machine does not have that address'
        : error.code === 'EACCES' ? 'ports below 1024 need more rights' : error.message;
      reject(new ListenError(`cannot listen on ${address}:${port}: ${why}`, { cause: error }));
    };
    server.once('error', onError);
    server.listen(port, address, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

interface Chain {
  request: RequestListener;
  upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  drain(): Promise<void>;
}

function createChain(options: ServerOptions): Chain {
  const { access, api, audit, authenticator, authorizer, metrics } = options;
  const { requestTimeoutMs, shutdownSendRetryAfter } = options.limits;
  const limits = createLimits({ reading: options.limits.maxRequestsInflight, changing: options.limits.maxMutatingRequestsInflight });
  metrics.waiting = () => {
    const { readingWaiting, changingWaiting } = limits.counts();
    return { reading: readingWaiting, changing: changingWaiting };
  };
  const inFlight = new InFlight();
  const upgraded = new Set<Duplex>();
  let stopping = false;
  let other: Promise<RequestListener> | undefined;

  /** Who asks, and whether they may: what comes before any answer. The result gives back the place among the requests in flight. */
  async function admit(context: RequestState, longRunning: boolean, waitMs: number, onTrail: (trail: AuditTrail) => void): Promise<(() => void) | undefined> {
    const began = performance.now();
    try {
      const authenticated = authenticateRequest(context, authenticator, options);
      if (authenticated) await authenticated;
      access.authenticated(context.user, context.user === anonymous ? 'failure' : 'success', (performance.now() - began) / 1000);
    } catch (error) {
      access.authenticated(undefined, 'error', (performance.now() - began) / 1000);
      if (audit) auditUnknownCaller(audit, context, error);
      throw error;
    }
    if (audit) beginAudit(audit, context);
    if (longRunning && context.audit) onTrail(context.audit);
    const impersonated = impersonate(context, authorizer);
    if (impersonated) await impersonated;
    let leave: (() => void) | undefined;
    if (!longRunning) {
      const entered = limits.enter(context.user, context.info, () => waitMs, () => context.signal);
      if (entered instanceof Promise) {
        const waiting = performance.now();
        leave = await entered.catch((error: unknown) => {
          if (error instanceof PlainError) metrics.refused(context, seriesOf(context));
          throw error;
        });
        context.waitedMs = performance.now() - waiting;
      } else leave = entered;
    }
    // The paths that probes ask for have to answer before there are rules to look at.
    if (isOpen(context.info.path)) return leave;
    const asked = performance.now();
    try {
      const authorized = authorizeRequest(context, authorizer);
      if (authorized) await authorized;
      access.authorized('allowed', (performance.now() - asked) / 1000);
    } catch (error) {
      access.authorized(error instanceof StatusError && error.status.code === 403 ? 'no-opinion' : 'error', (performance.now() - asked) / 1000);
      leave?.();
      throw error;
    }
    return leave;
  }

  /** What the request counts for; undefined when it is for nothing that is served. */
  function seriesOf(context: RequestState): RequestSeries | undefined {
    const { info } = context;
    if (!info.isResourceRequest) return isHealthRoot(info.path) ? metrics.ofPath(info.path) : undefined;
    const served = api.resources.find(info.group, info.version, info.resource);
    return served && metrics.ofResource(context, served.row);
  }

  /** From the handler's beginning to its end; the result is called with the answer's code. */
  function measure(context: RequestState): (code: number) => void {
    const series = seriesOf(context);
    const { info } = context;
    const left = isLongRunning(info) ? undefined : metrics.enter(info, context.receivedAt);
    if (series?.longRunning) series.longRunning.value += 1;
    if (series && info.verb === 'watch') {
      context.watching = {
        sent: (events, bytes) => metrics.watchEvents(series, events, bytes),
        tooSlow: () => metrics.watchTooSlow(series),
        listed: () => metrics.watchList(series, (performance.now() - context.started) / 1000),
      };
    }
    return (code) => {
      left?.(Date.now());
      if (!series) return;
      if (series.longRunning) series.longRunning.value -= 1;
      metrics.answered(series, context, code, (performance.now() - context.started) / 1000, context.waitedMs / 1000, context.answerBytes);
    };
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let context: RequestState;
    try {
      context = new RequestState(request);
    } catch (error) {
      await writeError(response, error);
      return;
    }
    const { info } = context;
    response.setHeader('Audit-Id', context.id);
    response.setHeader('Cache-Control', 'no-cache, private');
    if (stopping && !isProbe(info.path)) {
      await writeError(response, refuseWhileStopping(response, shutdownSendRetryAfter));
      return;
    }
    const longRunning = isLongRunning(info);
    const describe = (): Record<string, unknown> => ({ method: request.method, path: info.path, user: context.user?.name });
    let done: ((code: number) => void) | undefined;
    let leave: (() => void) | undefined;
    let finish: (() => void) | undefined;
    let timedOut = false;
    let refused = false;
    try {
      let allowedMs = 0;
      try {
        if (!longRunning) {
          allowedMs = timeAllowed(context.query, requestTimeoutMs);
          context.deadline = context.receivedAt + allowedMs;
        }
      } catch (error) {
        if (audit) auditUnknownCaller(audit, context, error);
        throw error;
      }
      finish = inFlight.add({
        context, response, longRunning, deadline: context.receivedAt + allowedMs,
        onTimeout() {
          timedOut = true;
          metrics.timedOut(context, seriesOf(context), response.headersSent);
          answerLate(response, describe());
        },
      });
      response.on('close', () => context.abort(new Error('the client has gone')));
      leave = await admit(context, longRunning, allowedMs / 4, (trail) => whenAnswerBegins(response, (code) => {
        if (!refused) trail.answered(code);
        trail.stage('ResponseStarted');
      }));
      done = measure(context);
      await dispatch(context, response);
      if (timedOut) metrics.afterTimeout('ok');
    } catch (error) {
      // What the handler makes of its end is nobody's business any more.
      if (timedOut) metrics.afterTimeout('error');
      else if (!response.destroyed) {
        if (!response.headersSent) writeWarnings(response, context.warnings);
        await writeError(response, error, describe(), (status) => {
          refused = !response.headersSent;
          if (refused) auditRefusal(context, error, status);
        });
      }
    } finally {
      leave?.();
      finish?.();
      done?.(response.statusCode);
      if (audit) endAudit(context, response, refused);
    }
  }

  async function dispatch(context: RequestState, response: ServerResponse): Promise<void> {
    const { info } = context;
    if (info.isResourceRequest) {
      if (api.resources.hasVersion(info.group, info.version)) return serveResource(api, context, response);
      return pageNotFound(response);
    }
    const { path } = info;
    if (path === '/api' || path === '/apis' || path.startsWith('/api/') || path.startsWith('/apis/')) {
      if (!(await options.discovery.serve(context, response))) pageNotFound(response);
      return;
    }
    if (await options.health.serve(context, response)) return;
    if (path === '/metrics') return send(context, response, 200, metricsType, [Buffer.from(await metrics.render() + await processMetrics())]);
    if (path === '/metrics/slis') return send(context, response, 200, metricsType, [Buffer.from(await options.slis.render())]);
    if (path === '/version' || path === '/version/') return respond(context, response, negotiateOutput(undefined, false), 200, JSON.stringify(versionInfo, undefined, 2));
    const app = await (other ??= createOther(options));
    app(context.request, response);
  }

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', (error) => log.debug('upgraded connection failed', { error }));
    upgraded.add(socket);
    socket.once('close', () => upgraded.delete(socket));
    let context: RequestState | undefined;
    let done: ((code: number) => void) | undefined;
    let finish: (() => void) | undefined;
    let code = 101;
    try {
      context = new RequestState(request);
      if (stopping) throw serviceUnavailable('apiserver is shutting down');
      finish = inFlight.add({ context, response: undefined, longRunning: true, deadline: 0, onTimeout: () => undefined });
      const state = context;
      socket.on('close', () => state.abort(new Error('the client has gone')));
      await admit(context, true, 0, (trail) => whenUpgradeAnswers(socket, (answer) => {
        trail.answered(answer);
        trail.stage('ResponseStarted');
      }));
      done = measure(context);
      const { serveUpgrade } = await import('./handlers/connect.ts');
      await serveUpgrade(api, context, socket, head);
    } catch (error) {
      code = error instanceof StatusError ? error.status.code : 500;
      refuseUpgrade(socket, error, { path: context?.info.path, user: context?.user?.name }, (status) => {
        context?.audit?.failed(status);
        context?.audit?.stage('ResponseStarted');
      });
    } finally {
      finish?.();
      done?.(code);
      context?.audit?.stage('ResponseComplete');
      // Whoever keeps his half of a finished connection open does not keep ours.
      if (!socket.destroyed) setTimeout(() => socket.destroy(), lingerMs).unref();
    }
  }

  return {
    request: (request, response) => {
      serve(request, response).catch((error: unknown) => {
        log.error('request handling failed', { error });
        response.destroy();
      });
    },
    upgrade: (request, socket, head) => {
      upgrade(request, socket, head).catch((error: unknown) => {
        log.error('upgrade handling failed', { error });
        socket.destroy();
      });
    },
    async drain() {
      stopping = true;
      await inFlight.drain(requestTimeoutMs, longRunningGraceMs);
      for (const socket of upgraded) socket.destroy();
      inFlight.close();
    },
  };
}

/** The handler still works, or waits for a body that does not come: it is answered without it. */
function answerLate(response: ServerResponse, keys: Record<string, unknown>): void {
  if (response.destroyed || response.writableEnded) return;
  const cut = (): void => {
    if (!response.req.complete) response.req.destroy();
  };
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // What is left of the body would be taken for the next request.
  if (!response.req.complete) response.setHeader('Connection', 'close');
  response.once('finish', () => setTimeout(cut, lingerMs).unref());
  writeError(response, new RequestTimeout('the time of the request is over'), keys).catch((error: unknown) => {
    log.error('a late answer failed', { error });
    response.destroy();
  });
}

/** What comes over connections that were open before. Upstream: server/filters/waitgroup.go, with_retry_after.go. */
function refuseWhileStopping(response: ServerResponse, sendRetryAfter: boolean): Error {
  response.setHeader('Connection', 'close');
  if (sendRetryAfter) return new PlainError(429, 'The apiserver is shutting down, please try again later.', { 'Retry-After': '5' });
  response.setHeader('Retry-After', '1');
  return serviceUnavailable('apiserver is shutting down');
}

const metricsType = 'text/plain; version=0.0.4; charset=utf-8';

function isHealthRoot(path: string): boolean {
  return path === '/readyz' || path === '/livez' || path === '/healthz';
}

function isOpen(path: string): boolean {
  return isHealthRoot(path) || path === '/version' || path === '/version/';
}

function pageNotFound(response: ServerResponse): void {
  if (response.destroyed) return;
  response.statusCode = 404;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.end('404 page not found\n');
}

/** Everything that is neither resources nor discovery nor health. */
async function createOther(options: ServerOptions): Promise<RequestListener> {
  const { default: express } = await import('express');
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.get('/', (_request, response) => {
    response.json({ paths: ['/api', '/apis', '/healthz', '/livez', '/metrics', '/metrics/slis', '/openapi/v2', '/openapi/v3', '/readyz', '/version', '/debug/'] });
  });
  app.get('/debug/', (_request, response) => {
    response.json(options.debug());
  });
  app.use(async (request, response) => {
    const document = request.method === 'GET' || request.method === 'HEAD' ? await options.document(request.path, request) : undefined;
    if (!document) {
      pageNotFound(response);
      return;
    }
    for (const [name, value] of Object.entries(document.headers)) response.setHeader(name, value);
    // What comes compressed is kept so; anything else is compressed for who takes it.
    if (document.status === 304 || response.hasHeader('Content-Encoding')) response.status(document.status).end(document.body);
    else await send(new RequestState(request), response, document.status, String(response.getHeader('Content-Type') ?? 'application/json'), [document.body]);
  });
  app.use(async (error: unknown, request: IncomingMessage, response: ServerResponse, _next: () => void) => {
    await writeError(response, error, { path: request.url });
  });
  return app as unknown as RequestListener; // an Express application is a listener of any server
}
