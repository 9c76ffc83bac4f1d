// Devices and the claims for them. Few clusters have any: nothing is watched or loaded before the first pod that has a claim.
import { aborted } from '#machinery/base/abort.ts';
import type { DeviceClass, ResourceClaim, ResourceSlice } from '#machinery/api/object.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { deviceClasses, resourceClaims, resourceSlices } from '#machinery/client/resources.ts';
import type { Client, Informer } from '#machinery/client/types.ts';
import type { NodeInfo } from './snapshot.ts';

export type Allocation = NonNullable<NonNullable<ResourceClaim['status']>['allocation']>;
export type AllocatedDevice = NonNullable<NonNullable<Allocation['devices']>['results']>[number];

export interface AllocationInput {
  claims: readonly ResourceClaim[];
  node: NodeInfo;
  slices: readonly ResourceSlice[];
  classOf: (name: string) => DeviceClass | undefined;
  /** IDs of devices that somebody has. */
  inUse: ReadonlySet<string>;
}
type Tools = Pick<typeof import('./device-allocation.ts'), 'allocateDevices' | 'matchesNode'>;

export class Devices {
  readonly #claims: Informer<ResourceClaim>;
  readonly #slices: Informer<ResourceSlice>;
  readonly #classes: Informer<DeviceClass>;
  /** What claims were given here and the API server does not show yet, by UID. */
  readonly #promised = new Map<string, { allocation: Allocation; written: boolean }>();
  readonly #needed = Promise.withResolvers<void>();
  readonly #known = Promise.withResolvers<void>();
  #tools: Tools | undefined;
  #inUse: ReadonlySet<string> | undefined;
  /** Told of every change, and when all is there. */
  onChange: () => void = () => undefined;

  constructor(client: Client) {
    this.#claims = createInformer(client, resourceClaims);
    this.#slices = createInformer(client, resourceSlices);
    this.#classes = createInformer(client, deviceClasses);
    const changed = (): void => {
      this.#inUse = undefined;
      if (this.#tools) this.onChange();
    };
    this.#claims.onChange(({ type, object }) => {
      // Shown now, or gone.
      if (type === 'deleted' || object.status?.allocation) this.#promised.delete(object.metadata.uid ?? '');
      changed();
    });
    this.#slices.onChange(changed);
    this.#classes.onChange(changed);
  }

  /** There is a pod with a claim. */
  need(): void {
    this.#needed.resolve();
  }
  /** What places claims; undefined until everything about them is known. */
  get tools(): Tools | undefined {
    return this.#tools;
  }
  /** `need`, and waits until they are there. */
  async waitForTools(signal: AbortSignal): Promise<void> {
    this.need();
    await Promise.race([this.#known.promise, aborted(signal)]);
    signal.throwIfAborted();
  }
  async run(signal: AbortSignal): Promise<void> {
    await Promise.race([this.#needed.promise, aborted(signal)]);
    if (signal.aborted) return;
    const informers = [this.#claims, this.#slices, this.#classes];
    await Promise.all([...informers.map((informer) => informer.run(signal)), this.#load(informers, signal)]);
  }
  async #load(informers: readonly Informer<never>[] | readonly { waitForSync: (signal: AbortSignal) => Promise<void> }[], signal: AbortSignal): Promise<void> {
    const [tools] = await Promise.all([import('./device-allocation.ts'), ...informers.map((informer) => informer.waitForSync(signal))]);
    if (signal.aborted) return;
    this.#tools = tools;
    this.#known.resolve();
    this.onChange();
  }

  claim(namespace: string, name: string): ResourceClaim | undefined {
    return this.#claims.get(namespace, name);
  }
  slices(): readonly ResourceSlice[] {
    return this.#slices.list();
  }
  classOf(name: string): DeviceClass | undefined {
    return this.#classes.get('', name);
  }
  inUse(): ReadonlySet<string> {
    if (this.#inUse) return this.#inUse;
    const found = new Set<string>();
    const add = (allocation: Allocation | undefined): void => {
      for (const { driver, pool, device, adminAccess } of allocation?.devices?.results ?? []) if (!adminAccess) found.add(`${driver}/${pool}/${device}`);
    };
    for (const { status } of this.#claims.list()) add(status?.allocation);
    for (const { allocation } of this.#promised.values()) add(allocation);
    return (this.#inUse = found);
  }

  isPromised(uid: string): boolean {
    return this.#promised.has(uid);
  }
  promise(uid: string, allocation: Allocation): void {
    this.#promised.set(uid, { allocation, written: false });
    this.#inUse = undefined;
  }
  /** The API server has it; the promise ends when the informer shows it. */
  written(uid: string): void {
    const promised = this.#promised.get(uid);
    if (promised) promised.written = true;
  }
  /** Takes back what was not written. */
  takeBack(uid: string): void {
    if (this.#promised.get(uid)?.written !== false) return;
    this.#promised.delete(uid);
    this.#inUse = undefined;
    this.onChange();
  }
}
