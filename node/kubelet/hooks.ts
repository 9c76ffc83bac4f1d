// Lifecycle handlers: a command, an HTTP request or a pause. Upstream: pkg/kubelet/lifecycle/handlers.go.
import { request as https } from 'node:https';
import { sleep } from '#machinery/base/clock.ts';
import { http } from '#machinery/base/http.ts';
import type { Container } from '#machinery/api/object.ts';
import type { Runtime } from './runtime/runtime.ts';

export type Handler = NonNullable<NonNullable<Container['lifecycle']>['preStop']>;

/** The output of a command, cut at `limit` bytes; a command that outlives the signal is a failure. */
export async function runCommand(runtime: Runtime, id: string, command: string[], limit: number, signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
  const session = await runtime.exec(id, { command, stdin: false, stdout: true, stderr: true, tty: false }, signal);
  const parts: Buffer[] = [];
  let size = 0;
  const collect = async (stream: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of stream) {
      if (size < limit) parts.push(chunk.subarray(0, limit - size));
      size += chunk.length;
    }
  };
  let stop: (() => void) | undefined;
  const stopped = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  stopped.catch(() => undefined);
  try {
    const done = Promise.all([collect(session.stdout), collect(session.stderr), session.exitCode]);
    done.catch(() => undefined); // lost the race
    const [, , exitCode] = await Promise.race([done, stopped]);
    return { exitCode, output: Buffer.concat(parts).toString() };
  } finally {
    if (stop) signal.removeEventListener('abort', stop);
  }
}

/** Number or name of a container's port. */
export function portOf(port: string | number, container: Container): number {
  const number = typeof port === 'number' ? port : /^\d+$/.test(port) ? Number(port) : container.ports?.find(({ name }) => name === port)?.containerPort;
  if (number === undefined || number < 1 || number > 65535) throw new Error(`invalid port: ${port}`);
  return number;
}

/** Throws what went wrong. */
export async function runHook(runtime: Runtime, id: string, container: Container, handler: Handler, podIp: string, signal: AbortSignal): Promise<void> {
  if (runtime.pretends) return;
  if (handler.exec) {
    const { exitCode, output } = await runCommand(runtime, id, handler.exec.command ?? [], 10_240, signal);
    if (exitCode !== 0) throw new Error(`Exec lifecycle hook (${JSON.stringify(handler.exec.command)}) for Container "${container.name}" failed - error: command exited with ${exitCode}, message: ${JSON.stringify(output)}`);
  } else if (handler.httpGet) {
    const { scheme = 'HTTP', host = podIp, port, path = '/', httpHeaders = [] } = handler.httpGet;
    const url = new URL(`${scheme.toLowerCase()}://${host.includes(':') ? `[${host}]` : host}:${portOf(port as string | number, container)}${path.startsWith('/') ? path : `/${path}`}`);
    const headers = { 'User-Agent': 'kube-lifecycle/1.36', Accept: '*/*', ...Object.fromEntries(httpHeaders.map(({ name, value }) => [name, value])) };
    await new Promise<void>((resolve, reject) => {
      const send = scheme === 'HTTPS' ? https : http.request;
      const request = send(url, { headers, signal, agent: false, rejectUnauthorized: false }, (response) => {
        response.resume(); // only that there was an answer counts
        resolve();
      });
      request.on('error', reject);
      request.end();
    });
  } else if (handler.sleep) {
    await sleep(handler.sleep.seconds * 1000, signal);
  } else throw new Error(`invalid handler: ${JSON.stringify(handler)}`);
}
