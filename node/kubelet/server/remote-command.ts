// Exec and attach: joins a client's streams (WebSocket channels or SPDY streams) to those of a process in a container.
// Protocol versions and the status on the error stream: remotecommand v1 to v5 of upstream's streaming server.
import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createLogger } from '#machinery/base/log.ts';
import { acceptSpdy, chooseStreamProtocol, isSpdy, refuseUpgrade } from '#machinery/stream/spdy-upgrade.ts';
import type { SpdyStream } from '#machinery/stream/spdy.ts';
import { acceptWebSocket, chooseProtocol, createChannels, isWebSocket } from '#machinery/stream/web-socket.ts';
import type { StreamSession } from '../runtime/runtime.ts';

export interface RemoteCommandOptions { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean }

/** The client's ends. What the client did not ask for is undefined. */
interface ClientStreams {
  stdin: Readable | undefined;
  stdout: Writable | undefined;
  stderr: Writable | undefined;
  resize: Readable | undefined;
  error: Writable;
  /** v4 and v5 send a Status; older protocols send text, and nothing on success. */
  sendsStatus: boolean;
  readonly close: () => void;
  closed: Promise<void>;
}

const webSocketProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io', 'channel.k8s.io', 'base64.channel.k8s.io', ''];
const spdyProtocols = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'];
const streamCreationTimeoutMs = 30_000;
const log = createLogger('kubelet');

/** The query of an exec or attach request; throws with upstream's text when no stream is asked for. */
export function remoteCommandOptions(query: URLSearchParams): RemoteCommandOptions {
  const on = (...names: string[]): boolean => names.some((name) => query.get(name) === '1' || query.get(name) === 'true');
  const options = { stdin: on('input', 'stdin'), stdout: on('output', 'stdout'), stderr: on('error', 'stderr'), tty: on('tty') };
  if (options.tty && options.stderr) options.stderr = false; // a terminal has one output
  if (!options.stdin && !options.stdout && !options.stderr) throw new Error('you must specify at least 1 of stdin, stdout, stderr');
  return options;
}

/**
 * Answers the upgrade and runs the session to its end. `start` begins the exec or attach; its failure is reported on the error
 * stream, as is the exit code. Never rejects.
 */
export async function serveRemoteCommand(
  request: IncomingMessage, socket: Duplex, head: Buffer, options: RemoteCommandOptions, start: (signal: AbortSignal) => Promise<StreamSession>, signal: AbortSignal,
): Promise<void> {
  let client: ClientStreams | undefined;
  try {
    client = await openStreams(request, socket, head, options);
  } catch (error) {
    log.warn('streams were not set up', { error });
    socket.destroy();
  }
  if (!client) return;
  const { closed, close } = client;
  const gone = new AbortController();
  const bounded = AbortSignal.any([signal, gone.signal]);
  closed.then(() => gone.abort(new Error('the client went away')), () => {});
  bounded.addEventListener('abort', close, { once: true });
  try {
    const session = await start(bounded);
    const code = await join(client, session, closed);
    if (code !== undefined) await writeStatus(client, code === 0 ? { metadata: {}, status: 'Success' } : {
      metadata: {}, status: 'Failure', message: `command terminated with non-zero exit code: exit status ${code}`,
      reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
    });
  } catch (error) {
    const message = `error executing command in container: ${error instanceof Error ? error.message : String(error)}`;
    await writeStatus(client, {
      metadata: {}, status: 'Failure', message: `Internal error occurred: ${message}`, reason: 'InternalError', details: { causes: [{ message }] }, code: 500,
    });
  } finally {
    bounded.removeEventListener('abort', close);
    close();
  }
}

/** Pumps until the process has ended and its output is written; undefined when the client went first. */
async function join(client: ClientStreams, session: StreamSession, closed: Promise<void>): Promise<number | undefined> {
  const pump = (from: Readable, to: Writable | undefined): Promise<void> => {
    if (!to) {
      from.resume();
      return finished(from, { writable: false }).catch(() => {});
    }
    from.pipe(to, { end: false });
    return finished(from, { writable: false }).catch(() => {}); // an output that breaks off is an output that ended
  };
  if (client.stdin) client.stdin.pipe(session.stdin);
  else session.stdin.end();
  session.stdin.on('error', () => {}); // the process closed its input
  if (client.resize) readSizes(client.resize, session);
  const outputs = Promise.all([pump(session.stdout, client.stdout), pump(session.stderr, client.stderr)]);
  const result = await Promise.race([outputs.then(() => session.exitCode), closed.then(() => undefined)]);
  if (result === undefined) {
    client.stdin?.unpipe(session.stdin);
    session.stdin.destroy();
    session.stdout.destroy();
    session.stderr.destroy();
    session.exitCode.catch(() => {}); // nobody is left to hear it
  }
  return result;
}

function readSizes(from: Readable, session: StreamSession): void {
  let rest = '';
  from.on('data', (chunk: Buffer) => {
    rest = (rest + chunk.toString('utf8')).slice(-4096);
    for (let end = rest.indexOf('}'); end >= 0; end = rest.indexOf('}')) {
      const text = rest.slice(0, end + 1);
      rest = rest.slice(end + 1);
      try {
        const size = JSON.parse(text) as { Width?: number; Height?: number };
        if (size.Width && size.Height) session.resize({ width: size.Width, height: size.Height }).catch((error: unknown) => log.debug('resize failed', { error }));
      } catch (error) {
        log.debug('not a terminal size', { error });
      }
    }
  });
}

interface ErrorStatus { metadata: object; status: 'Success' | 'Failure'; message?: string; reason?: string; details?: object; code?: number }

/** Everything the process wrote goes out first, then the status. A client that left meanwhile needs neither. */
async function writeStatus(client: ClientStreams, status: ErrorStatus): Promise<void> {
  const text = client.sendsStatus ? JSON.stringify(status) : status.message ?? '';
  await Promise.all([finish(client.stdout), finish(client.stderr)]);
  await finish(client.error, text);
}

/** Ends a stream and resolves when what was written has gone out, or the stream is gone. */
function finish(stream: Writable | undefined, last = ''): Promise<void> {
  return new Promise((resolve) => {
    if (!stream || stream.destroyed) return resolve();
    stream.once('close', () => resolve());
    stream.end(last, () => resolve());
  });
}

async function openStreams(request: IncomingMessage, socket: Duplex, head: Buffer, options: RemoteCommandOptions): Promise<ClientStreams | undefined> {
  if (isWebSocket(request)) {
    const protocol = chooseProtocol(request, webSocketProtocols);
    if (protocol === undefined) {
      refuseUpgrade(socket, 403, 'Forbidden');
      return undefined;
    }
    const channels = createChannels(await acceptWebSocket(request, socket, head, protocol), protocol, 5);
    const [stdin, stdout, stderr, error, resize] = [0, 1, 2, 3, 4].map((n) => channels.channel(n)) as [Duplex, Duplex, Duplex, Duplex, Duplex];
    for (const stream of [stdout, stderr, error, ...(options.stdin ? [] : [stdin]), ...(options.tty ? [] : [resize])]) stream.resume();
    // An empty message tells the client that the streams are there.
    (options.stdout ? stdout : options.stderr ? stderr : error).write('');
    return {
      stdin: options.stdin ? stdin : undefined, stdout: options.stdout ? stdout : undefined, stderr: options.stderr ? stderr : undefined,
      resize: options.tty ? resize : undefined, error,
      sendsStatus: protocol.startsWith('v4.') || protocol.startsWith('v5.'), close: channels.close, closed: channels.closed,
    };
  }
  if (!isSpdy(request)) {
    refuseUpgrade(socket, 400, 'Upgrade request required');
    return undefined;
  }
  const protocol = chooseStreamProtocol(request, spdyProtocols);
  if (protocol === undefined) {
    refuseUpgrade(socket, 403, `unable to upgrade: unable to negotiate protocol: client supports ${JSON.stringify(request.headers['x-stream-protocol-version'])}, server accepts ${spdyProtocols.join(' ')}`);
    return undefined;
  }
  const session = acceptSpdy(socket, head, protocol);
  const resizes = options.tty && (protocol.startsWith('v4.') || protocol.startsWith('v3.'));
  const wanted = ['error', ...(options.stdin ? ['stdin'] : []), ...(options.stdout ? ['stdout'] : []), ...(options.stderr ? ['stderr'] : []), ...(resizes ? ['resize'] : [])];
  const streams = new Map<string, SpdyStream>();
  const timer = setTimeout(() => session.close(), streamCreationTimeoutMs);
  try {
    for await (const stream of session.incoming) {
      const type = stream.headers.streamtype ?? '';
      if (!wanted.includes(type)) throw new Error(`invalid stream type: "${type}"`);
      stream.on('error', () => {}); // the reader or writer of the stream sees it too
      await stream.reply();
      streams.set(type, stream);
      if (streams.size === wanted.length) break;
    }
  } catch (error) {
    session.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  const error = streams.get('error');
  if (!error || streams.size < wanted.length) throw new Error('timed out waiting for client to create streams');
  for (const name of ['error', 'stdout', 'stderr']) streams.get(name)?.resume();
  return {
    stdin: streams.get('stdin'), stdout: streams.get('stdout'), stderr: streams.get('stderr'), resize: streams.get('resize'), error,
    sendsStatus: protocol.startsWith('v4.'), close: () => session.close(), closed: session.closed,
  };
}
