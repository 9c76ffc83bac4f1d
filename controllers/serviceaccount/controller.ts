// ServiceAccount default in every active namespace, made again when it is deleted.
import { isAlreadyExists } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { namespaces, serviceAccounts } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isNamespaceTerminating } from '../pods.ts';

export function createServiceAccountController({ informers, clientFor, config }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'serviceaccount' });
  const known = { namespaces: informers.for(namespaces), accounts: informers.for(serviceAccounts) };
  const client = clientFor('service-account-controller');
  known.namespaces.onChange(({ object }) => queue.add(object.metadata.name ?? ''));
  known.accounts.onChange(({ type, object }) => {
    if (type === 'deleted' && object.metadata.name === 'default') queue.add(object.metadata.namespace ?? '');
  });
  return {
    run: (stop) => runController({
      name: 'serviceaccount-controller', queue, workers: config.concurrent.serviceAccount,
      async reconcile(name, signal) {
        if (known.namespaces.get('', name)?.status?.phase !== 'Active' || known.accounts.get(name, 'default')) return;
        try {
          await client.create(serviceAccounts, name, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } }, signal);
        } catch (error) {
          if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
        }
      },
    }, stop),
  };
}
