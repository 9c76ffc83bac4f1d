// Parts of the cluster's pod addresses for nodes, without I/O.
import { numberToAddress, parseRange, type Family } from '#machinery/base/address-range.ts';

export interface NodeRange { family: Family; network: bigint; prefix: number; nodePrefix: number }
/** Prefix lengths of a node's part. */
export interface MaskSizes { ipv4: number; ipv6: number }

/** One range, or one of each family. Throws an Error that says what is wrong with the flags. */
export function parseRanges(clusterCidr: string, sizes: MaskSizes): NodeRange[] {
  const ranges = clusterCidr.split(',').map((text): NodeRange => {
    const range = parseRange(text.trim());
    if (!range) throw new Error(`--cluster-cidr takes a network such as 10.42.0.0/16, or one of each family, not "${clusterCidr}"`);
    const { family, network, bits: prefix } = range;
    const nodePrefix = family === 'IPv4' ? sizes.ipv4 : sizes.ipv6;
    if (nodePrefix < prefix || nodePrefix > (family === 'IPv4' ? 32 : 128) || nodePrefix - prefix > 16) throw new Error(`--node-cidr-mask-size ${nodePrefix} does not fit --cluster-cidr ${text.trim()}`);
    return { family, network, prefix, nodePrefix };
  });
  if (ranges.length > 2 || (ranges.length === 2 && ranges[0]?.family === ranges[1]?.family)) throw new Error(`--cluster-cidr takes one network, or one of each family, not "${clusterCidr}"`);
  return ranges;
}

/** The first part after `last` that nobody has, round to the beginning; undefined when all are taken. */
export function nextFree({ family, network, prefix, nodePrefix }: NodeRange, taken: ReadonlySet<string>, last: number): { cidr: string; index: number } | undefined {
  const count = 2 ** (nodePrefix - prefix);
  const size = 1n << BigInt((family === 'IPv4' ? 32 : 128) - nodePrefix);
  for (let step = 1; step <= count; step += 1) {
    const index = (last + step) % count;
    const cidr = `${numberToAddress(network + BigInt(index) * size, family)}/${nodePrefix}`;
    if (!taken.has(cidr)) return { cidr, index };
  }
  return undefined;
}
