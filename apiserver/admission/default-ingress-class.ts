// DefaultIngressClass: an Ingress that asks for no class gets the default one; of several the newest. Upstream:
// plugin/pkg/admission/network/defaultingressclass.
import type { KubeObject } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import type { AdmissionPlugin } from './admission.ts';

const isDefault = 'ingressclass.kubernetes.io/is-default-class';
const classAnnotation = 'kubernetes.io/ingress.class';

export function createDefaultIngressClass(backend: Pick<Backend, 'cached'>): AdmissionPlugin {
  return {
    name: 'DefaultIngressClass',
    handles: (operation, { group, resource }, subresource) => operation === 'CREATE' && group === 'networking.k8s.io' && resource === 'ingresses' && subresource === '',
    admit({ object }) {
      const ingress = object as KubeObject & { spec?: { ingressClassName?: string } }; // `handles` lets only these through
      if (ingress.spec?.ingressClassName !== undefined || ingress.metadata?.annotations?.[classAnnotation] !== undefined) return;
      const classes = backend.cached('ingressclasses.networking.k8s.io').filter(({ metadata }) => metadata?.annotations?.[isDefault] === 'true')
        .toSorted(({ metadata: a }, { metadata: b }) => String(b?.creationTimestamp).localeCompare(String(a?.creationTimestamp)) || ((a?.name ?? '') < (b?.name ?? '') ? -1 : 1));
      const name = classes[0]?.metadata?.name;
      if (name !== undefined) ingress.spec = { ...ingress.spec, ingressClassName: name };
    },
  };
}
