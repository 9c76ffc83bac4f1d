// What the parts of one kubelet share; made once in main.ts and passed down.
import type { Container, Pod, Service } from '#machinery/api/object.ts';
import type { Logger } from '#machinery/base/log.ts';
import type { Client, EventRecorder, Informer } from '#machinery/client/types.ts';
import type { KubeletConfig } from './config.ts';
import type { References } from './env.ts';
import type { Images } from './images/images.ts';
import type { ResolverConfig } from './pod-files.ts';
import type { Probes } from './probes/probes.ts';
import type { Runtime } from './runtime/runtime.ts';
import type { StatusWriter } from './status-writer.ts';
import type { Tokens } from './volumes/tokens.ts';
import type { Volumes } from './volumes/volumes.ts';

export interface KubeletContext {
  readonly config: KubeletConfig;
  readonly client: Client;
  readonly runtime: Runtime;
  readonly volumes: Volumes;
  readonly tokens: Tokens;
  readonly images: Images;
  readonly references: References;
  readonly recorder: EventRecorder;
  readonly probes: Probes;
  readonly statuses: StatusWriter;
  readonly services: Informer<Service>;
  readonly log: Logger;
  readonly hostResolver: ResolverConfig;
  allocatable(): Record<string, string>;
  /** Why pods cannot have a network yet; '' when they can. */
  networkProblem(): string;
}

type EventType = 'Normal' | 'Warning';
const subject = (pod: Pod): Pod => ({ ...pod, apiVersion: 'v1', kind: 'Pod' });

export function podEvent({ recorder }: Pick<KubeletContext, 'recorder'>, pod: Pod, type: EventType, reason: string, message: string): void {
  recorder.event(subject(pod), type, reason, message);
}
export function containerEvent({ recorder }: Pick<KubeletContext, 'recorder'>, pod: Pod, container: Container, type: EventType, reason: string, message: string): void {
  const list = pod.spec?.initContainers?.some(({ name }) => name === container.name) ? 'initContainers'
    : pod.spec?.ephemeralContainers?.some(({ name }) => name === container.name) ? 'ephemeralContainers' : 'containers';
  recorder.event(subject(pod), type, reason, message, { fieldPath: `spec.${list}{${container.name}}` });
}
