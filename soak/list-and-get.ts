// Long lists must not keep others waiting: while clients list all pods in a loop, single GETs are answered soon.
import { Worker } from 'node:worker_threads';
import { repeat } from '../bench/load.ts';
import { expect } from '../bench/requests.ts';
import type { GetLoop } from './get-loop.ts';
import { Durations, residentMb, startWithPods } from './pods.ts';
import type { Soak, SoakRun } from './soak.ts';

export const listAndGet: Soak = {
  name: 'list-and-get',
  summary: '8 clients list 5,000 pods in a loop beside single GETs, for half a minute (short: 4 list 500 for three seconds)',
  run,
};

const forms = {
  long: { listers: 8, pods: 5000, seconds: 30, longestP99Ms: 50 },
  short: { listers: 4, pods: 500, seconds: 3, longestP99Ms: 250 }, // tests run beside others
};

async function run({ short, folder, signal, say }: SoakRun): Promise<string[]> {
  const form = short ? forms.short : forms.long;
  const server = await startWithPods({ folder, pods: form.pods, nodes: 100 });
  try {
    say(`${form.pods} pods are there`);
    const { load, pid, pods } = server;
    const until = performance.now() + form.seconds * 1000;
    const goesOn = (): boolean => !signal.aborted && performance.now() < until;
    const lists = new Durations();
    const gets = new Durations();
    let bytes = 0;
    let memoryEarly = 0;
    const lister = async (n: number): Promise<void> => {
      while (goesOn()) {
        const began = performance.now();
        // Half of them want to see the newest state, half take the cache's.
        const answer = await expect(load.request('GET', n % 2 === 0 ? pods : `${pods}?resourceVersion=0`), 200);
        lists.add(performance.now() - began);
        if (bytes !== 0 && answer.bytes !== bytes) throw new Error(`a list of ${answer.bytes} bytes, others have ${bytes}`);
        ({ bytes } = answer);
        if (memoryEarly === 0 && performance.now() > until - form.seconds * 750) memoryEarly = residentMb(pid);
      }
    };
    // On an event loop of its own: this one is busy with the lists.
    const getting = new Worker(new URL('./get-loop.ts', import.meta.url), { workerData: { kubeconfig: server.kubeconfig, pods, count: form.pods, forMs: form.seconds * 1000 } satisfies GetLoop });
    const got = new Promise<number[]>((resolve, reject) => getting.once('message', resolve).once('error', reject));
    await Promise.all([repeat(form.listers, form.listers, lister), got.then((durations) => {
      for (const ms of durations) gets.add(ms);
    })]);
    signal.throwIfAborted();
    const memoryLate = residentMb(pid);
    if (gets.quantile(0.99) > form.longestP99Ms) throw new Error(`GETs wait for lists: ${gets.toString()}; at most ${form.longestP99Ms} ms were allowed at p99`);
    if (memoryLate > memoryEarly * 1.25 + 64) throw new Error(`memory rose from ${memoryEarly.toFixed(0)} to ${memoryLate.toFixed(0)} MB`);
    return [
      `${form.listers} clients listed ${form.pods} pods (${(bytes / 1e6).toFixed(1)} MB): ${lists.toString()}`,
      `a single GET beside them: ${gets.toString()}`,
      `memory of the server: ${memoryEarly.toFixed(0)} MB after a quarter, ${memoryLate.toFixed(0)} MB at the end`,
    ];
  } finally {
    await server.stop();
  }
}
