// ConfigMap kube-root-ca.crt in every active namespace: what pods check the API server's certificate with.
import { isAlreadyExists, isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { configMaps, namespaces } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { isNamespaceTerminating } from '../pods.ts';
import { createTaskGroup } from '#machinery/base/group.ts';

const name = 'kube-root-ca.crt';
const descriptionKey = 'kubernetes.io/description';
const description = 'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. '
  + 'No other usage is guaranteed across distributions of Kubernetes clusters.';

export function createRootCaPublisher({ informers, clientFor, config }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'root_ca_cert_publisher' });
  const active = informers.for(namespaces);
  // Only the maps of this name are watched: nobody wants all ConfigMaps of a cluster in memory.
  const maps = createInformer(informers.client, configMaps, { fieldSelector: `metadata.name=${name}` });
  const client = clientFor('root-ca-cert-publisher');
  active.onChange(({ type, object }) => {
    if (type !== 'deleted') queue.add(object.metadata.name ?? '');
  });
  maps.onChange(({ object }) => queue.add(object.metadata.namespace ?? ''));

  async function reconcile(namespace: string, signal: AbortSignal): Promise<void> {
    if (active.get('', namespace)?.status?.phase !== 'Active') return;
    const current = maps.get(namespace, name);
    const data = { 'ca.crt': config.rootCa };
    if (!current) {
      try {
        await client.create(configMaps, namespace, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name, annotations: { [descriptionKey]: description } }, data }, signal);
      } catch (error) {
        if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
      }
      return;
    }
    const same = current.data?.['ca.crt'] === config.rootCa && Object.keys(current.data ?? {}).length === 1 && current.metadata.annotations?.[descriptionKey] !== undefined;
    if (same) return;
    const metadata = { ...current.metadata, annotations: { ...current.metadata.annotations, [descriptionKey]: description } };
    await client.update(configMaps, namespace, name, { ...current, metadata, data }, signal).catch((error: unknown) => {
      if (!isNotFound(error)) throw error; // deleted meanwhile: that event brings us back
    });
  }

  return {
    async run(stop) {
      if (config.rootCa === '') return;
      const group = createTaskGroup(stop);
      group.start('informer of root CA maps', (signal) => maps.run(signal));
      group.start('root-ca-certificate-publisher-controller', async (signal) => {
        await maps.waitForSync(signal);
        await runController({ name: 'root-ca-certificate-publisher-controller', queue, reconcile }, signal);
      });
      await group.wait();
    },
  };
}
