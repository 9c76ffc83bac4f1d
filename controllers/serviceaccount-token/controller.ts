// Fills Secrets of type kubernetes.io/service-account-token with a token that does not end, and removes them with their account.
// Upstream: pkg/controller/serviceaccount/tokens_controller.go.
import type { Secret, ServiceAccount } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import { runController } from '#machinery/client/controller.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { secrets, serviceAccounts } from '#machinery/client/resources.ts';
import { keyOf, splitKey } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import { createSigner } from '#machinery/pki/jwt.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { accountOf, filled, isOf, legacyClaims, needs, secretType } from './reconcile.ts';

const log = createLogger('service-account-tokens');

export function createServiceAccountTokenController({ informers, config }: ControllerContext): Controller {
  if (config.serviceAccountPrivateKey === '') {
    return { run: async () => log.info('no key to sign with: Secrets of service account tokens stay empty') };
  }
  const sign = createSigner(config.serviceAccountPrivateKey);
  const queue = createWorkQueue({ name: 'serviceaccount_tokens_secret' });
  const accounts = informers.for(serviceAccounts);
  // Only these are watched: nobody wants all Secrets of a cluster in memory.
  const tokens = createInformer(informers.client, secrets, { fieldSelector: `type=${secretType}` });
  tokens.addIndex('account', (secret) => [`${secret.metadata.namespace}/${accountOf(secret).name}`]);
  const { client } = informers; // as itself: no role of a service account may write Secrets everywhere

  tokens.onChange(({ type, object }) => {
    if (type !== 'deleted') queue.add(keyOf(object));
  });
  accounts.onChange(({ type, object }) => {
    if (type === 'deleted') for (const secret of tokens.byIndex('account', keyOf(object))) queue.add(keyOf(secret));
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const cached = tokens.get(namespace, name);
    if (!cached || cached.metadata.deletionTimestamp !== undefined || accountOf(cached).name === '') return;
    const account = await accountFor(cached, signal);
    try {
      if (!account) {
        await client.delete(secrets, namespace, name, { preconditions: { uid: cached.metadata.uid ?? '' } }, signal);
        return;
      }
      const missing = needs(cached, config.rootCa);
      if (!missing.ca && !missing.namespace && !missing.token) return;
      const token = missing.token ? await sign(legacyClaims(account, cached)) : undefined;
      // The version goes along: a Secret that changed since is looked at again.
      await client.update(secrets, namespace, name, filled(cached, account, config.rootCa, token), signal);
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
  /** Asked for afresh when the cache does not have it: a token may be created right after its account. */
  async function accountFor(secret: Secret, signal: AbortSignal): Promise<ServiceAccount | undefined> {
    const { namespace = '' } = secret.metadata;
    const cached = accounts.get(namespace, accountOf(secret).name);
    if (cached && isOf(secret, cached)) return cached;
    try {
      const fresh = await client.get(serviceAccounts, namespace, accountOf(secret).name, signal);
      return isOf(secret, fresh) ? fresh : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  return {
    async run(stop) {
      const group = createTaskGroup(stop);
      group.start('informer of service account tokens', (signal) => tokens.run(signal));
      group.start('serviceaccount-token-controller', async (signal) => {
        await tokens.waitForSync(signal);
        await runController({ name: 'serviceaccount-token-controller', queue, workers: config.concurrent.serviceAccountToken, reconcile }, signal);
      });
      await group.wait();
    },
  };
}
