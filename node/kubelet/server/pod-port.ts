// A connection to a port inside a pod: by its address where something listens there, else from inside the pod's network
// namespace, where servers that listen on the pod's own loopback are found too.
import { spawn } from 'node:child_process';
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { withTimeout } from '#machinery/base/abort.ts';

const connectTimeoutMs = 10_000;

/** `pid`: a process in the pod's namespaces (0: none). Rejects with upstream's words when nothing listens. */
export async function connectPodPort(target: { ip: string; pid: number }, port: number, signal: AbortSignal): Promise<Duplex> {
  try {
    return await connectAddress(target.ip, port, signal);
  } catch (cause) {
    if (target.pid > 0 && !signal.aborted) return connectInside(target.pid, port, signal);
    throw new Error(`failed to connect to localhost:${port} inside the pod: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function connectAddress(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
  return withTimeout(`connecting to ${host}:${port}`, connectTimeoutMs, signal, (bounded) => new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, allowHalfOpen: true });
    const abort = (): void => { socket.destroy(new Error('aborted')); };
    bounded.addEventListener('abort', abort, { once: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      bounded.removeEventListener('abort', abort);
      socket.off('error', reject);
      resolve(socket);
    });
  }));
}

/** Says "ok" in one byte once connected, so that a refusal is told apart from a server that ends at once. */
const relay = `const s=require('net').connect({host:'127.0.0.1',port:+process.argv[1],allowHalfOpen:true},()=>{process.stdout.write('+');process.stdin.pipe(s);s.pipe(process.stdout)});s.on('error',e=>{process.stderr.write(e.code||e.message);process.exit(1)})`;

async function connectInside(pid: number, port: number, signal: AbortSignal): Promise<Duplex> {
  const child = spawn('nsenter', ['--target', String(pid), '--net', process.execPath, '-e', relay, String(port)], { stdio: 'pipe' });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => { complaint = (complaint + chunk.toString()).slice(0, 500); });
  child.stdin.on('error', () => {}); // the relay ended first; reading from it ends too
  try {
    await withTimeout(`connecting to port ${port} inside the pod`, connectTimeoutMs, signal, (bounded) => new Promise<void>((resolve, reject) => {
      const fail = (): void => reject(new Error(`failed to connect to localhost:${port} inside the pod's network namespace: ${complaint || 'nsenter ended'}`));
      bounded.addEventListener('abort', fail, { once: true });
      child.once('error', fail);
      child.once('exit', fail);
      child.stdout.once('readable', () => {
        if (child.stdout.read(1) === null) return; // it ended: exit tells why
        child.off('exit', fail);
        bounded.removeEventListener('abort', fail);
        resolve();
      });
    }));
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  const duplex = Duplex.from({ readable: child.stdout, writable: child.stdin });
  duplex.once('close', () => child.kill('SIGKILL'));
  return duplex;
}
