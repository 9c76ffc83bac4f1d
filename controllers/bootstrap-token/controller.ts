// Two controllers of bootstrap tokens, off by default as upstream: one signs kube-public/cluster-info with each, the other deletes ended ones.
import { createTaskGroup } from '#machinery/base/group.ts';
import type { Secret } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { configMaps, secrets } from '#machinery/client/resources.ts';
import type { Informer, Reconcile } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { endsInMs, secretType, signedData, signingToken } from './reconcile.ts';

const mapName = 'cluster-info';
/** Timers of Node end at 25 days; an end farther away is looked at again before that. */
const longestMs = 86_400_000;

function tokensOf({ informers }: ControllerContext): Informer<Secret> {
  return createInformer(informers.client, secrets, { namespace: 'kube-system', fieldSelector: `type=${secretType}` });
}
function start(name: string, own: readonly Informer<unknown>[], queue: ReturnType<typeof createWorkQueue>, reconcile: Reconcile): Controller {
  return {
    async run(stop) {
      const group = createTaskGroup(stop);
      for (const informer of own) group.start(`informer of ${name}`, (signal) => informer.run(signal));
      group.start(name, async (signal) => {
        for (const informer of own) await informer.waitForSync(signal);
        await runController({ name, queue, reconcile, maxRetries: Infinity }, signal);
      });
      await group.wait();
    },
  };
}

export function createBootstrapSigner(context: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'bootstrap_signer_queue' });
  const tokens = tokensOf(context);
  const maps = createInformer(context.informers.client, configMaps, { namespace: 'kube-public', fieldSelector: `metadata.name=${mapName}` });
  const client = context.clientFor('bootstrap-signer');
  tokens.onChange(() => queue.add(mapName));
  maps.onChange(() => queue.add(mapName));
  return start('bootstrap-signer-controller', [tokens, maps], queue, async (_, signal) => {
    const map = maps.get('kube-public', mapName);
    const usable = tokens.list().map((secret) => signingToken(secret, context.now())).filter((token) => token !== undefined);
    const data = map && signedData(map, usable);
    if (!map || !data) return;
    await client.update(configMaps, 'kube-public', mapName, { ...map, apiVersion: 'v1', kind: 'ConfigMap', data }, signal).catch((error: unknown) => {
      if (!isConflict(error) && !isNotFound(error)) throw error; // its event brings us back
    });
  });
}

export function createTokenCleaner(context: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'token_cleaner' });
  const tokens = tokensOf(context);
  const client = context.clientFor('token-cleaner');
  tokens.onChange(({ type, object }) => {
    if (type !== 'deleted') queue.add(object.metadata.name ?? '');
  });
  return start('token-cleaner-controller', [tokens], queue, async (name, signal) => {
    const secret = tokens.get('kube-system', name);
    const left = secret && endsInMs(secret, context.now());
    if (left === undefined) return;
    if (left > 0) return { requeueAfterMs: Math.min(left, longestMs) };
    await client.delete(secrets, 'kube-system', name, { preconditions: { uid: secret?.metadata.uid ?? '' } }, signal).catch((error: unknown) => {
      if (!isConflict(error) && !isNotFound(error)) throw error;
    });
  });
}
