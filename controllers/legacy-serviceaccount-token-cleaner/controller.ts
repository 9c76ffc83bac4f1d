// Once a day: marks token Secrets that were made by themselves and not used for a year as invalid, and deletes them a year later. Works
// only where the API server notes when tokens were used (upstream's does).
import { sleep } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Secret } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { configMaps, pods, secrets, serviceAccounts } from '#machinery/client/resources.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { dayOf, invalidSinceLabel, nextStep, secretsOf, tellsFrom } from './reconcile.ts';

const log = createLogger('legacy-token-cleaner');
const periodMs = 86_400_000;
const trackingName = 'kube-apiserver-legacy-service-account-token-tracking';

export function createLegacyTokenCleaner({ informers, clientFor, config, now }: ControllerContext): Controller {
  const accounts = informers.for(serviceAccounts);
  const allPods = informers.for(pods);
  const client = clientFor('legacy-service-account-token-cleaner');
  const keptMs = config.legacyTokenCleanUpPeriodMs;

  async function isTelling(signal: AbortSignal): Promise<boolean> {
    try {
      const { data } = await client.get(configMaps, 'kube-system', trackingName, signal);
      const from = tellsFrom(data, keptMs);
      return from !== undefined && now() >= from;
    } catch (error) {
      if (isNotFound(error)) return false; // nobody tracks
      throw error;
    }
  }
  async function clean(signal: AbortSignal): Promise<void> {
    if (!(await isTelling(signal))) return;
    const used = new Map<string, ReadonlySet<string>>();
    const usedIn = (namespace: string): ReadonlySet<string> => {
      const names = used.get(namespace) ?? new Set(allPods.list(namespace).flatMap((pod) => [...secretsOf(pod)]));
      used.set(namespace, names);
      return names;
    };
    let next: string | undefined;
    do {
      const page = await informers.client.list(secrets, '', { fieldSelector: 'type=kubernetes.io/service-account-token', limit: 500, continue: next }, signal);
      for (const secret of page.items) await step(secret, usedIn, signal);
      next = page.metadata.continue || undefined;
    } while (next !== undefined);
  }
  async function step(secret: Secret, usedIn: (namespace: string) => ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const { namespace = '', name = '', uid = '', resourceVersion = '', annotations = {} } = secret.metadata;
    const account = accounts.get(namespace, annotations['kubernetes.io/service-account.name'] ?? '');
    const todo = nextStep(secret, { account, used: () => usedIn(namespace), now: now(), keptMs });
    try {
      if (todo === 'mark') {
        log.info('a token that nobody uses is invalid from now on', { secret: `${namespace}/${name}` });
        await client.patch(secrets, namespace, name, 'merge', { metadata: { uid, labels: { [invalidSinceLabel]: dayOf(now()) } } }, signal);
      } else if (todo === 'delete') {
        log.info('a token that has been invalid for long is deleted', { secret: `${namespace}/${name}` });
        await client.delete(secrets, namespace, name, { preconditions: { resourceVersion } }, signal);
      }
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error; // changed meanwhile: tomorrow is early enough
    }
  }

  return {
    async run(signal) {
      while (!signal.aborted) {
        await clean(signal).catch((error: unknown) => {
          if (!signal.aborted) log.warn('looking for unused tokens failed, trying again tomorrow', { error });
        });
        await sleep(periodMs, signal).catch(() => undefined); // the condition sees the abort
      }
    },
  };
}
