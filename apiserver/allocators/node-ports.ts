// Node ports: which are in use is a bitmap in the store, shared by all API servers (range-allocation.ts). What a process that died
// has left there is found by the repair (repair-node-ports.ts). Upstream: registry/core/service/portallocator.
import { randomInt } from 'node:crypto';
import type { Service } from '#machinery/api/object.ts';
import type { Backend } from '../backend.ts';
import { AllocationError, RangeFullError } from './cluster-ips.ts';
import { createRangeAllocation, type RangeAllocation } from './range-allocation.ts';

export interface PortRange { from: number; to: number }

export interface NodePorts {
  /** Takes this very port; a dry run only looks. */
  take(port: number, dryRun: boolean): Promise<void>;
  /** `mine`: what a dry run was told before. */
  takeAny(dryRun: boolean, mine: readonly number[]): Promise<number>;
  /** Idempotent; ports outside the range were never ours. */
  release(ports: readonly number[]): Promise<void>;
}

export const rangeText = ({ from, to }: PortRange): string => `${from}-${to}`;

export function portsOf(service: Readonly<Service>): number[] {
  const ports = (service.spec?.ports ?? []).flatMap((port) => (port.nodePort ? [port.nodePort] : []));
  if (service.spec?.healthCheckNodePort) ports.push(service.spec.healthCheckNodePort);
  return ports;
}

export function createNodePortAllocation(range: PortRange, backend: Pick<Backend, 'storage'>): RangeAllocation {
  return createRangeAllocation('servicenodeports', rangeText(range), () => backend.storage);
}

export function createNodePorts(range: PortRange, allocation: RangeAllocation): NodePorts {
  const { from, to } = range;
  const size = to - from + 1;
  // KEP 3668: the lowest ports are left to those who ask by number.
  const band = size <= 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128);

  function pick(start: number, count: number, taken: ReadonlySet<number>): number | undefined {
    if (count <= 0) return undefined;
    const first = randomInt(count);
    for (let step = 0; step < count; step++) {
      const offset = start + ((first + step) % count);
      if (!taken.has(offset)) return offset;
    }
    return undefined;
  }

  return {
    async take(port, dryRun) {
      if (port < from || port > to) throw new AllocationError(`provided port is not in the valid range. The range of valid ports is ${rangeText(range)}`);
      await allocation.change((taken) => {
        if (taken.has(port - from)) throw new AllocationError('provided port is already allocated');
        if (!dryRun) taken.add(port - from);
      });
    },
    takeAny: (dryRun, mine) => allocation.change((taken) => {
      const used = mine.length === 0 ? taken : new Set([...taken, ...mine.map((port) => port - from)]);
      const offset = pick(band, size - band, used) ?? pick(0, band, used);
      if (offset === undefined) throw new RangeFullError('range is full');
      if (!dryRun) taken.add(offset);
      return from + offset;
    }),
    async release(ports) {
      const own = ports.filter((port) => port >= from && port <= to);
      if (own.length === 0) return;
      await allocation.change((taken) => {
        for (const port of own) taken.delete(port - from);
      });
    },
  };
}
