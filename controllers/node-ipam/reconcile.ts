// Parts of the cluster's pod addresses for nodes, without I/O.
import { isIPv4 } from 'node:net';

export interface CidrRange { base: number; prefix: number; nodePrefix: number }

/** Throws an Error that says what is wrong with the flags. */
export function parseRange(clusterCidr: string, nodePrefix: number): CidrRange {
  const [address = '', bits = ''] = clusterCidr.split('/');
  const prefix = Number(bits);
  if (!isIPv4(address) || !/^\d+$/.test(bits) || prefix > 32) throw new Error(`--cluster-cidr takes one IPv4 network such as 10.42.0.0/16, not "${clusterCidr}"`);
  if (nodePrefix < prefix || nodePrefix > 32 || nodePrefix - prefix > 16) throw new Error(`--node-cidr-mask-size ${nodePrefix} does not fit --cluster-cidr ${clusterCidr}`);
  const number = address.split('.').reduce((value, part) => value * 256 + Number(part), 0);
  const size = 2 ** (32 - prefix);
  return { base: Math.floor(number / size) * size, prefix, nodePrefix };
}

/** The first part after `last` that nobody has, round to the beginning; undefined when all are taken. */
export function nextFree({ base, prefix, nodePrefix }: CidrRange, taken: ReadonlySet<string>, last: number): { cidr: string; index: number } | undefined {
  const count = 2 ** (nodePrefix - prefix);
  for (let step = 1; step <= count; step += 1) {
    const index = (last + step) % count;
    const number = base + index * 2 ** (32 - nodePrefix);
    const cidr = `${[24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')}/${nodePrefix}`;
    if (!taken.has(cidr)) return { cidr, index };
  }
  return undefined;
}
