// The single GETs of list-and-get.ts, one after the other, on a thread of their own. Answers with how long each took.
import { parentPort, workerData } from 'node:worker_threads';
import { loadKubeconfig } from '#machinery/client/kubeconfig.ts';
import { createLoad } from '../bench/load.ts';
import { expect } from '../bench/requests.ts';

export interface GetLoop { kubeconfig: string; pods: string; count: number; forMs: number }

const { kubeconfig, pods, count, forMs } = workerData as GetLoop; // list-and-get.ts starts it
const load = createLoad(await loadKubeconfig(kubeconfig), 1);
const durations: number[] = [];
const until = performance.now() + forMs;
for (let n = 0; performance.now() < until; n = (n + 7) % count) {
  const began = performance.now();
  await expect(load.request('GET', `${pods}/pod-${n}`), 200);
  durations.push(performance.now() - began);
  await new Promise((resolve) => setTimeout(resolve, 5));
}
load.close();
parentPort?.postMessage(durations);
