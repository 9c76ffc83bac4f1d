// Takes ServiceCIDRs in: a finalizer first, then the Ready condition that lets API servers give out their addresses. One that is
// being deleted stays until no cluster IP would be left without a ServiceCIDR.
import { rfc3339 } from '#machinery/base/clock.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { ipAddresses, serviceCidrs } from '#machinery/client/resources.ts';
import type { ReconcileResult } from '#machinery/client/types.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { blocked, containing, deletionGraceMs, finalizer, isConditionCurrent, mayGo, overlapping, ready, type ReadyCondition } from './reconcile.ts';

const name = 'service-cidr-controller';

export function createServiceCidrController({ informers, clientFor, recorderFor, now }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'ipaddresses' });
  const cidrs = informers.for(serviceCidrs);
  const addresses = informers.for(ipAddresses);
  const account = 'service-cidrs-controller';
  const client = clientFor(account);
  const recorder = recorderFor(name, account);

  cidrs.onChange(({ type, object }) => {
    queue.add(object.metadata.name ?? '');
    if (type === 'added') for (const key of overlapping(object, cidrs.list())) queue.add(key);
  });
  addresses.onChange(({ type, object }) => {
    if (type !== 'updated') for (const key of containing(object, cidrs.list())) queue.add(key);
  });

  async function setCondition(key: string, { status, reason, message }: ReadyCondition, signal: AbortSignal): Promise<void> {
    const condition = { type: 'Ready', status, reason, message, lastTransitionTime: rfc3339(now()) };
    await client.patch(serviceCidrs, '', key, 'strategic', { status: { conditions: [condition] } }, signal, { subresource: 'status', fieldManager: name });
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | void> {
    const cidr = cidrs.get('', key);
    if (!cidr) return;
    const has = cidr.metadata.finalizers?.includes(finalizer) ?? false;
    try {
      if (cidr.metadata.deletionTimestamp !== undefined) {
        if (!mayGo(cidr, cidrs.list(), addresses.list())) {
          if (!isConditionCurrent(cidr, blocked)) await setCondition(key, blocked, signal);
          return;
        }
        const wait = deletionGraceMs - (now() - Date.parse(cidr.metadata.deletionTimestamp));
        if (wait > 0) return { requeueAfterMs: wait };
        if (has) await client.patch(serviceCidrs, '', key, 'strategic', { metadata: { '$deleteFromPrimitiveList/finalizers': [finalizer] } }, signal);
        return;
      }
      if (!has) await client.patch(serviceCidrs, '', key, 'strategic', { metadata: { finalizers: [finalizer] } }, signal);
      if (!isConditionCurrent(cidr, ready)) {
        await setCondition(key, ready, signal).catch((error: unknown) => {
          recorder.event({ apiVersion: 'networking.k8s.io/v1', kind: 'ServiceCIDR', metadata: cidr.metadata }, 'Warning', 'KubernetesServiceCIDRError', 'The ServiceCIDR Status can not be set to Ready=True');
          throw error;
        });
      }
    } catch (error) {
      if (!isNotFound(error)) throw error; // it is gone
    }
  }

  return { run: (stop) => runController({ name, queue, workers: 5, reconcile }, stop) };
}
