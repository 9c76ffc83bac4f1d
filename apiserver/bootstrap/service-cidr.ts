// The default ServiceCIDR, made from --service-cluster-ip-range and kept: made again when it is gone, grown from one family to two,
// never otherwise changed. Upstream: pkg/controlplane/controller/defaultservicecidr.
import { rfc3339 } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { createEventRecorder } from '../allocators/allocation-events.ts';
import { defaultServiceCidr as name, serviceCidrs } from '../allocators/cluster-ips.ts';
import type { Backend } from '../backend.ts';
import { ensure } from './ensure.ts';

const log = createLogger('bootstrap');

interface Condition { type: string; status: string; reason?: string; message?: string }
const specOf = (object: Readonly<KubeObject> | undefined): string[] => (object?.spec as { cidrs?: string[] } | undefined)?.cidrs ?? []; // validated when it was stored
const readyOf = (object: Readonly<KubeObject> | undefined): Condition | undefined =>
  (object?.status as { conditions?: Condition[] } | undefined)?.conditions?.find(({ type }) => type === 'Ready'); // as above

/** Call the returned function at the start and every ten seconds. `range`: comma separated, the default family first. */
export function createDefaultServiceCidr(backend: Backend, range: string): () => Promise<void> {
  const cidrs = range.split(',').map((cidr) => cidr.trim());
  const record = createEventRecorder('kubernetes-service-cidr-controller', backend, Date.now);
  const told = new Set<string>();
  const tell = async (about: Readonly<KubeObject>, reason: string, note: string): Promise<void> => {
    if (told.has(note)) return;
    told.add(note);
    log.warn('the default ServiceCIDR is not as configured', { configured: cidrs, stored: specOf(about), note });
    await record({ about, kind: 'ServiceCIDR', reason, action: reason, note });
  };

  return async () => {
    await ensure(backend, serviceCidrs, { apiVersion: 'networking.k8s.io/v1', kind: 'ServiceCIDR', metadata: { name }, spec: { cidrs } });
    const existing = backend.lookup(serviceCidrs, '', name);
    if (existing?.metadata?.deletionTimestamp !== undefined) return; // its controller's matter
    const stored = existing === undefined ? cidrs : specOf(existing);
    if (existing !== undefined && cidrs.length === 2 && stored.length === 1 && stored[0] === cidrs[0]) {
      await backend.store(serviceCidrs).modify('', name, (object) => void (object.spec = { cidrs })).catch((error: unknown) =>
        tell(existing, 'KubernetesDefaultServiceCIDRError', `The default ServiceCIDR can not be upgraded from ${stored[0]} to dual stack [${cidrs.join(' ')}] : ${String(error)}`));
      return;
    }
    if (existing !== undefined && stored.join() !== cidrs.join()) {
      await tell(existing, 'KubernetesDefaultServiceCIDRInconsistent', `The default ServiceCIDR [${stored.join(' ')}] does not match the controller flag configurations [${cidrs.join(' ')}]`);
      return;
    }
    const ready = readyOf(existing);
    if (ready?.status === 'True') return;
    if (existing !== undefined && ready?.status === 'False') {
      await tell(existing, ready.reason || 'KubernetesDefaultServiceCIDRError', `Configuration matches, but ${ready.message ?? ''}`); // an administrator has to look
      return;
    }
    await backend.store(serviceCidrs).modify('', name, (object) => {
      const now = readyOf(object);
      if ((now !== undefined && now.status !== 'Unknown') || object.metadata.deletionTimestamp !== undefined) return false;
      object.status = {
        conditions: [{ type: 'Ready', status: 'True', reason: '', message: 'Kubernetes default Service CIDR is ready', lastTransitionTime: rfc3339(Date.now()) }],
      };
      return undefined;
    }, { subresource: 'status' });
  };
}
