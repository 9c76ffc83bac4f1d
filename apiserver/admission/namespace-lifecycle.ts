// NamespaceLifecycle: nothing is created in a namespace that is missing or going away, and some namespaces stay for ever.
// Upstream: apiserver/pkg/admission/plugin/namespace/lifecycle.
import { forbidden, isNotFound } from '#machinery/api/status.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionPlugin } from './admission.ts';
import { refuse } from './refuse.ts';

const immortal = new Set(['default', 'kube-system', 'kube-public']);
const liveLookupMs = 30_000;
const rememberedLimit = 100;

export function createNamespaceLifecycle(backend: Pick<Backend, 'lookup' | 'store'>, now: () => number = Date.now): AdmissionPlugin {
  /** Namespaces whose deletion was asked lately: the cache may not show it yet, so they are read from the store. */
  const deleted = new Map<string, number>();

  function wasDeletedLately(name: string): boolean {
    const at = deleted.get(name);
    if (at === undefined) return false;
    if (now() - at < liveLookupMs) return true;
    deleted.delete(name);
    return false;
  }
  function remember(name: string): void {
    deleted.delete(name);
    if (deleted.size >= rememberedLimit) deleted.delete(deleted.keys().next().value ?? '');
    deleted.set(name, now());
  }
  const isTerminating = (namespace: Readonly<KubeObject>): boolean => (namespace.status as { phase?: string } | undefined)?.phase === 'Terminating';

  return {
    name: 'NamespaceLifecycle',
    handles: (operation, row) => operation !== 'CONNECT' && (row.namespaced || (row.group === '' && row.resource === 'namespaces')),
    admit(attributes) {
      const { operation, row, namespace, name } = attributes;
      if (row.group === '' && row.resource === 'namespaces') {
        if (operation !== 'DELETE') return;
        if (immortal.has(name)) throw forbidden({ group: '', resource: 'namespaces' }, name, 'this namespace may not be deleted');
        if (!attributes.dryRun) remember(name);
        return;
      }
      if (operation === 'DELETE' || namespace === '') return;
      // To say whether the namespace exists would tell more than the question is worth.
      if (row.group === 'authorization.k8s.io' && row.resource === 'localsubjectaccessreviews') return;

      const cached = backend.lookup('namespaces', '', namespace);
      if (cached === undefined || (wasDeletedLately(namespace) && !isTerminating(cached))) {
        return backend.store('namespaces').get('', namespace).then((live) => check(live), (error: unknown) => {
          if (isNotFound(error)) deleted.delete(namespace);
          throw error;
        });
      }
      check(cached);

      function check(current: Readonly<KubeObject>): void {
        if (operation !== 'CREATE' || !isTerminating(current)) return;
        throw refuse(attributes, `unable to create new content in namespace ${namespace} because it is being terminated`, [
          { reason: 'NamespaceTerminating', message: `namespace ${namespace} is being terminated`, field: 'metadata.namespace' },
        ]);
      }
    },
  };
}
