// Two pods on a node cannot hold the same host port.
import type { Plugin, Rejection } from '../plugin.ts';
import type { HostPort } from '../pod-info.ts';

const rejection: Rejection = { reasons: ["node(s) didn't have free ports for the requested pod ports"], resolvable: true };

function clash(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0');
}

export const nodePorts: Plugin = {
  name: 'NodePorts',
  wakes: ['NodeAdd', 'PodDelete'],
  perNode: true,
  prepareFilter({ hostPorts }) {
    if (hostPorts.length === 0) return undefined;
    return { filter: (node) => (node.hostPorts.some((used) => hostPorts.some((wanted) => clash(used, wanted))) ? rejection : undefined) };
  },
};
