// Node ports. Which are in use is read from the cached Services, plus those that writes under way have taken; so there is
// no second record that could go stale. Two API servers could still give out the same port at the same moment.
import { randomInt } from 'node:crypto';
import type { Service } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import { AllocationError, RangeFullError } from './cluster-ips.ts';

export interface NodePorts {
  /** Takes this very port for the write under way. */
  take(port: number): Promise<void>;
  takeAny(): Promise<number>;
  /** The write did not happen. */
  release(ports: readonly number[]): void;
  /** The write happened: the ports are ours until the cache shows it. */
  keepUntilCached(ports: readonly number[]): Promise<void>;
  isFree(port: number): boolean;
}

export function portsOf(service: Readonly<Service>): number[] {
  const ports = (service.spec?.ports ?? []).flatMap((port) => (port.nodePort ? [port.nodePort] : []));
  if (service.spec?.healthCheckNodePort) ports.push(service.spec.healthCheckNodePort);
  return ports;
}

export function createNodePorts({ from, to }: { from: number; to: number }, backend: Pick<Backend, 'cached' | 'refresh'>, signal: AbortSignal): NodePorts {
  const underWay = new Set<number>();
  const size = to - from + 1;
  // KEP 3668: the lowest ports are left to those who ask by number.
  const band = size <= 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128);

  function used(): Set<number> {
    const services = backend.cached('services') as readonly unknown[] as readonly Readonly<Service>[]; // the rows of services
    return new Set(services.flatMap(portsOf).concat(...underWay));
  }
  function pick(start: number, count: number, taken: ReadonlySet<number>): number | undefined {
    if (count <= 0) return undefined;
    const offset = randomInt(count);
    for (let step = 0; step < count; step++) {
      const port = start + ((offset + step) % count);
      if (!taken.has(port)) return port;
    }
    return undefined;
  }
  const find = (taken: ReadonlySet<number>): number | undefined => pick(from + band, size - band, taken) ?? pick(from, band, taken);

  return {
    async take(port) {
      if (port < from || port > to) throw new AllocationError(`provided port is not in the valid range. The range of valid ports is ${from}-${to}`);
      if (used().has(port)) {
        // The Service that had it may be gone already, only not from the cache.
        await backend.refresh(signal);
        if (used().has(port)) throw new AllocationError('provided port is already allocated');
      }
      underWay.add(port);
    },
    async takeAny() {
      let port = find(used());
      if (port === undefined) {
        await backend.refresh(signal);
        port = find(used());
      }
      if (port === undefined) throw new RangeFullError('range is full');
      underWay.add(port);
      return port;
    },
    release(ports) {
      for (const port of ports) underWay.delete(port);
    },
    async keepUntilCached(ports) {
      if (ports.length === 0) return;
      await backend.refresh(signal);
      for (const port of ports) underWay.delete(port);
    },
    isFree: (port) => !used().has(port),
  };
}
