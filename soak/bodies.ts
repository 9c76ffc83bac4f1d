// Hostile request bodies against an API server, for long: named ones that keep it busy, random ones from changing seeds. Every answer
// is right, the server goes on, its event loop never stands still for seconds, and its memory comes back.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import fc from 'fast-check';
import { namedBodies, prepare, randomBodies, randomPatches, wrongAnswer } from '../apiserver/hostile-bodies.ts';
import { startTestServer } from '../apiserver/testing.ts';
import type { Soak, SoakRun } from './soak.ts';

const maxPauseMs = 2000;
const maxGrowthBytes = 700 * 1024 * 1024;

export const bodies: Soak = {
  name: 'bodies',
  summary: 'hostile request bodies: 4xx and nothing worse, for ten minutes (short: some seconds)',
  run,
};

async function run({ short, signal, say }: SoakRun): Promise<string[]> {
  const server = await startTestServer();
  const delay = monitorEventLoopDelay({ resolution: 20 });
  try {
    await prepare(server);
    const before = process.memoryUsage().rss;
    delay.enable();
    const named = await namedBodies(!short);
    for (const body of named) {
      signal.throwIfAborted();
      const wrong = await wrongAnswer(server, body);
      if (wrong !== undefined) throw new Error(`${body.title}: ${wrong}`);
      if (delay.max / 1e6 > maxPauseMs) throw new Error(`${body.title}: the event loop stood still for ${Math.round(delay.max / 1e6)} ms`);
    }
    say(`${named.length} named bodies`);
    const until = Date.now() + (short ? 3000 : 600_000);
    let random = 0;
    for (let seed = short ? 1 : Date.now() % 2 ** 31; Date.now() < until; seed += 1) {
      for (const arbitrary of [randomBodies(), randomPatches()]) {
        await fc.assert(fc.asyncProperty(arbitrary, async (body) => {
          signal.throwIfAborted();
          random += 1;
          const wrong = await wrongAnswer(server, body);
          if (wrong !== undefined) throw new Error(wrong);
        }), { numRuns: short ? 50 : 1000, seed, interruptAfterTimeLimit: Math.max(1000, until - Date.now()) });
      }
      say(`${random} random bodies, the last from seed ${seed}`);
    }
    const pauseMs = Math.round(delay.max / 1e6);
    const growth = process.memoryUsage().rss - before;
    if (pauseMs > maxPauseMs) throw new Error(`the event loop stood still for ${pauseMs} ms`);
    if (growth > maxGrowthBytes) throw new Error(`memory grew by ${Math.round(growth / 1024 / 1024)} MB`);
    const ready = await server.call('GET', '/readyz');
    if (ready.status !== 200) throw new Error(`not ready afterwards: ${ready.text}`);
    return [`${named.length} named and ${random} random bodies: no answer beyond 4xx`, `longest pause of the event loop ${pauseMs} ms`, `memory grew by ${Math.round(growth / 1024 / 1024)} MB`];
  } finally {
    delay.disable();
    await server.stop();
  }
}
