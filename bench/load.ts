// The load generator: plain keep-alive requests over TLS, and the cost of the server read from the kernel.
import { readFileSync, readdirSync } from 'node:fs';
import https from 'node:https';
import type { ClientConfig } from '#machinery/client/types.ts';

export interface Answer { status: number; bytes: number; body: string }

export interface Load {
  request(method: string, path: string, options?: { body?: string; contentType?: string; accept?: string; keepBody?: boolean }): Promise<Answer>;
  /** Opens a stream and calls back with every chunk, and when it ends; resolves when the answer has begun. */
  stream(path: string, onChunk: (chunk: Buffer) => void, onEnd?: () => void): Promise<{ close(): void }>;
  close(): void;
}

export function createLoad(config: ClientConfig, clients: number): Load {
  const base = new URL(config.server);
  const tls = { ca: config.ca, cert: config.cert, key: config.key, rejectUnauthorized: config.ca !== undefined };
  const agent = new https.Agent({ keepAlive: true, maxSockets: clients, ...tls });
  const headers = (extra: Record<string, string | number>): Record<string, string | number> => ({ ...(config.token ? { authorization: `Bearer ${config.token}` } : {}), ...extra });
  return {
    request: (method, path, { body, contentType = 'application/json', accept = 'application/json', keepBody = false } = {}) => new Promise((resolve, reject) => {
      const call = https.request({
        agent, host: base.hostname, port: base.port, method, path,
        headers: headers({ accept, ...(body === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }) }),
      }, (response) => {
        let bytes = 0;
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (keepBody) chunks.push(chunk);
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes, body: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      });
      call.on('error', reject);
      call.end(body);
    }),
    stream: (path, onChunk, onEnd) => new Promise((resolve, reject) => {
      const call = https.request({ agent: false, ...tls, host: base.hostname, port: base.port, path, headers: headers({ accept: 'application/json' }) }, (response) => {
        if (response.statusCode !== 200) return reject(new Error(`${path} answered ${response.statusCode}`));
        response.on('data', onChunk);
        if (onEnd) response.on('close', onEnd);
        response.on('error', () => {}); // closed by us
        resolve({ close: () => call.destroy() });
      });
      call.on('error', reject);
      call.end();
    }),
    close: () => agent.destroy(),
  };
}

/** Runs `count` operations with `clients` of them under way at a time. */
export async function repeat(count: number, clients: number, operation: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(clients, count) }, async () => {
    while (next < count) await operation(next++);
  }));
}

/** CPU milliseconds that a process has used (10 ms steps), by the kernel. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Proportional set size of a process and its children, in MB. */
export function memoryMb(pid: number): number {
  let sum = 0;
  for (const id of tree(pid)) {
    const pss = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, 'utf8'))?.[1];
    sum += Number(pss ?? 0);
  }
  return sum / 1024;
}
function tree(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number));
  return [pid, ...children.flatMap(tree)];
}
