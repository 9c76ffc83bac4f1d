// The thread that a large fleet of hollow nodes runs in; fleet-thread.ts starts it.
import { parentPort, workerData } from 'node:worker_threads';
import { runFleet } from './fleet.ts';
import type { FleetOptions } from './fleet.ts';

if (!parentPort) throw new Error('this file is the entry of a thread');
const port = parentPort;
const stop = new AbortController();
port.once('message', () => stop.abort(new Error('the fleet is stopped'))); // the one message there is
await runFleet(workerData as FleetOptions, stop.signal, () => port.postMessage('ready')); // as fleet-thread.ts passes it
port.close();
