// One look at a container: HTTP, TCP, command or gRPC health. Upstream: pkg/probe, prober.go.
import { connect } from 'node:net';
import { request as https } from 'node:https';
import { http } from '#machinery/base/http.ts';
import type { Container, Probe } from '#machinery/api/object.ts';
import { portOf, runCommand } from '../hooks.ts';
import type { Runtime } from '../runtime/runtime.ts';

export interface Look { result: 'success' | 'failure' | 'error' | 'warning'; output: string }

const bodyLimit = 10_240;

export async function look(runtime: Runtime, id: string, container: Container, probe: Probe, podIp: string, parent: AbortSignal): Promise<Look> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([parent, timeout]);
  try {
    if (probe.exec) {
      try {
        const { exitCode, output } = await runCommand(runtime, id, probe.exec.command ?? [], bodyLimit, signal);
        return { result: exitCode === 0 ? 'success' : 'failure', output };
      } catch (error) {
        if (timeout.aborted) return { result: 'failure', output: `command timed out: ${JSON.stringify((probe.exec.command ?? []).join(' '))} timed out after ${timeoutMs / 1000}s` };
        throw error;
      }
    }
    if (probe.httpGet) return await lookHttp(container, probe.httpGet, podIp, signal, timeout);
    if (probe.tcpSocket) return await lookTcp(probe.tcpSocket.host || podIp, portOf(probe.tcpSocket.port as string | number, container), timeoutMs);
    if (probe.grpc) return await lookGrpc(`${podIp}:${probe.grpc.port}`, probe.grpc.service ?? '', timeoutMs, signal);
    return { result: 'error', output: `missing probe handler for ${container.name}` };
  } catch (error) {
    return { result: 'error', output: error instanceof Error ? error.message : String(error) };
  }
}

async function lookHttp(container: Container, get: NonNullable<Probe['httpGet']>, podIp: string, signal: AbortSignal, timeout: AbortSignal): Promise<Look> {
  const host = get.host || podIp;
  const scheme = (get.scheme ?? 'HTTP').toLowerCase();
  const path = get.path ?? '/';
  let url = new URL(`${scheme}://${host.includes(':') ? `[${host}]` : host}:${portOf(get.port as string | number, container)}${path.startsWith('/') ? path : `/${path}`}`);
  const given = new Map((get.httpHeaders ?? []).map(({ name, value }) => [name.toLowerCase(), value]));
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.36', accept: '*/*', ...Object.fromEntries(given) };
  if (headers.accept === '') delete headers.accept;
  const first = url;
  for (let redirects = 0; ; redirects += 1) {
    let answer: { code: number; location: string | undefined; body: string };
    try {
      answer = await fetchOnce(url, headers, signal);
    } catch (error) {
      const why = timeout.aborted ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)' : dialError(error, url.hostname, Number(url.port));
      return { result: 'failure', output: `Get "${first.href}": ${why}` };
    }
    if (answer.code >= 300 && answer.code < 400 && answer.location !== undefined) {
      const next = new URL(answer.location, url);
      if (next.hostname !== first.hostname) return { result: 'warning', output: `Probe terminated redirects, Response body: ${answer.body}` };
      if (redirects >= 10) return { result: 'failure', output: `Get "${next.href}": stopped after 10 redirects` };
      url = next;
      continue;
    }
    return answer.code >= 200 && answer.code < 400 ? { result: 'success', output: answer.body } : { result: 'failure', output: `HTTP probe failed with statuscode: ${answer.code}` };
  }
}
function fetchOnce(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<{ code: number; location: string | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? https : http.request;
    const request = send(url, { headers: { ...headers, connection: 'close' }, signal, agent: false, rejectUnauthorized: false }, (response) => {
      const parts: Buffer[] = [];
      let size = 0;
      const finish = (): void => resolve({ code: response.statusCode ?? 0, location: response.headers.location, body: Buffer.concat(parts).toString() });
      response.on('data', (chunk: Buffer) => {
        parts.push(chunk.subarray(0, bodyLimit - size));
        size += chunk.length;
        if (size >= bodyLimit) {
          finish();
          response.destroy();
        }
      });
      response.on('end', finish);
      response.on('error', (error) => (size >= bodyLimit ? undefined : reject(error)));
    });
    request.on('error', reject);
    request.end();
  });
}
function dialError(error: unknown, host: string, port: number): string {
  const { code, message } = error as { code?: string; message?: string };
  const texts: Record<string, string> = { ECONNREFUSED: 'connect: connection refused', EHOSTUNREACH: 'connect: no route to host', ENETUNREACH: 'connect: network is unreachable', ECONNRESET: 'read: connection reset by peer' };
  return code !== undefined && texts[code] ? `dial tcp ${host}:${port}: ${texts[code]}` : message ?? String(error);
}
function lookTcp(host: string, port: number, timeoutMs: number): Promise<Look> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (result: Look): void => {
      socket.destroy();
      clearTimeout(timer);
      resolve(result);
    };
    const timer = setTimeout(() => finish({ result: 'failure', output: `dial tcp ${host}:${port}: i/o timeout` }), timeoutMs);
    socket.once('connect', () => finish({ result: 'success', output: '' }));
    socket.once('error', (error) => finish({ result: 'failure', output: dialError(error, host, port) }));
  });
}

/** grpc.health.v1.Health/Check over plain HTTP/2, by hand: one field out, one field in. */
async function lookGrpc(address: string, service: string, timeoutMs: number, signal: AbortSignal): Promise<Look> {
  const { connect: open } = await import('node:http2');
  const session = open(`http://${address}`);
  try {
    return await new Promise<Look>((resolve) => {
      const unreachable = (why: string): void => resolve({ result: 'failure', output: `timeout: failed to connect service ${JSON.stringify(address)} within ${timeoutMs / 1000}s: ${why}` });
      session.once('error', (error) => unreachable(error.message));
      signal.addEventListener('abort', () => unreachable('context deadline exceeded'), { once: true });
      const name = Buffer.from(service);
      if (name.length > 127) throw new Error('service name is too long');
      const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      const stream = session.request({ ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', 'content-type': 'application/grpc', te: 'trailers', 'user-agent': 'kube-probe/1.36' });
      const parts: Buffer[] = [];
      let status = '';
      let text = '';
      const read = (headers: Record<string, unknown>): void => {
        status = String(headers['grpc-status'] ?? status);
        text = decodeURIComponent(String(headers['grpc-message'] ?? text));
      };
      stream.on('response', read);
      stream.on('trailers', read);
      stream.on('data', (chunk: Buffer) => parts.push(chunk));
      stream.on('error', (error) => unreachable(error.message));
      stream.on('end', () => {
        const [, , , , , tag, value] = Buffer.concat(parts);
        if (status === '12') return resolve({ result: 'failure', output: `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${text}` });
        if (status !== '0' && status !== '') return resolve({ result: 'failure', output: `error: health rpc probe failed: rpc error: code = ${status} desc = ${text}` });
        const serving = tag === 0x08 ? value : 0;
        const names = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
        resolve(serving === 1 ? { result: 'success', output: 'service healthy' } : { result: 'failure', output: `service unhealthy (responded with "${names[serving ?? 0] ?? serving}")` });
      });
      stream.end(Buffer.concat([prefix, message]));
    });
  } finally {
    session.destroy();
  }
}
