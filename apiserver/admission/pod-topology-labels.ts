// PodTopologyLabels: a pod gets zone and region of its node as labels when it is bound, so that what runs in it can read them from
// the downward API. Upstream: plugin/pkg/admission/podtopologylabels; KEP 4742.
import type { Backend } from '../backend.ts';
import type { AdmissionPlugin } from './admission.ts';

const topologyLabels = ['topology.kubernetes.io/zone', 'topology.kubernetes.io/region'];

export function createPodTopologyLabels(backend: Pick<Backend, 'lookup'>): AdmissionPlugin {
  return {
    name: 'PodTopologyLabels',
    handles: (operation, { group, resource }, subresource) => operation === 'CREATE' && group === '' && resource === 'pods' && (subresource === '' || subresource === 'binding'),
    admit({ object, subresource }) {
      const { spec, target } = object as { spec?: { nodeName?: string }; target?: { kind?: string; name?: string } }; // a Pod or a Binding, by `handles`
      const name = subresource === '' ? spec?.nodeName : target?.kind === 'Node' ? target.name : undefined;
      if (!object || !name) return;
      const labels = backend.lookup('nodes', '', name)?.metadata?.labels ?? {};
      const found = topologyLabels.filter((label) => labels[label] !== undefined);
      if (found.length > 0) object.metadata = { ...object.metadata, labels: { ...object.metadata?.labels, ...Object.fromEntries(found.map((label) => [label, labels[label] ?? ''])) } };
    },
  };
}
