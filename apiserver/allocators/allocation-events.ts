// Events about allocations that the API server emits, as upstream's events.k8s.io recorder names them.
import { hostname } from 'node:os';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';

export interface AllocationEvent {
  about: Readonly<KubeObject>;
  kind: 'Service' | 'IPAddress' | 'ServiceCIDR';
  reason: string;
  action: string;
  note: string;
}
export type RecordEvent = (event: AllocationEvent) => Promise<void>;

/** The same is told once in this time. */
const againAfterMs = 3_600_000;
const rememberedEvents = 1000;

/** `component` is the reporting controller. */
export function createEventRecorder(component: string, backend: Pick<Backend, 'store'>, now: () => number): RecordEvent {
  const told = new Map<string, number>();
  return async ({ about, kind, reason, action, note }) => {
    const { name = '', namespace = '', uid = '', resourceVersion = '' } = about.metadata ?? {};
    const at = now();
    const key = `${uid}/${reason}/${note}`;
    if (at - (told.get(key) ?? -Infinity) < againAfterMs) return;
    const [oldest] = told.keys();
    if (told.size >= rememberedEvents && oldest !== undefined) told.delete(oldest);
    told.set(key, at);
    const home = namespace === '' ? 'default' : namespace;
    await backend.store('events').create(home, {
      apiVersion: 'v1', kind: 'Event', metadata: { name: `${name}.${(BigInt(at) * 1_000_000n + process.hrtime.bigint() % 1_000_000n).toString(16)}`, namespace: home },
      involvedObject: { kind, ...(namespace === '' ? {} : { namespace }), name, uid, apiVersion: kind === 'Service' ? 'v1' : 'networking.k8s.io/v1', resourceVersion },
      type: 'Warning', reason, action, message: note, eventTime: microTime(at), reportingComponent: component, reportingInstance: `${component}-${hostname()}`,
      firstTimestamp: null, lastTimestamp: null, source: {},
    });
  };
}

function microTime(at: number): string {
  return new Date(at).toISOString().replace('Z', '000Z');
}
