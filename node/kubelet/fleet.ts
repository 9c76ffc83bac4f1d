// Many hollow nodes in one process: each is a kubelet of its own that acts as its own node, but they share connections, one copy of
// the pods, Nodes and Services, and one API. A thousand of them cost what a few would with a watch and a server each.
import { createTaskGroup } from '#machinery/base/group.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Node, Pod, Service } from '#machinery/api/object.ts';
import { createClient, createConnections } from '#machinery/client/client.ts';
import { createInformer } from '#machinery/client/informer.ts';
import { partition } from '#machinery/client/partition.ts';
import { nodes, pods, services } from '#machinery/client/resources.ts';
import type { ClientConfig } from '#machinery/client/types.ts';
import type { KubeletConfig } from './config.ts';
import { run } from './main.ts';
import type { Shared } from './main.ts';
import { startServer } from './server/server.ts';
import type { ServedNode } from './server/server.ts';
import { streamHandlers } from './server/stream-handlers.ts';

const log = createLogger('kubelet');

export interface FleetOptions {
  /** May read all pods and impersonate nodes. */
  client: ClientConfig;
  nodes: readonly KubeletConfig[];
  /** Of the API that they share, at the first one's address. */
  serving: { cert: string; key: string };
  clientCa: string;
}

/** `onReady` fires once every Node is registered. */
export async function runFleet(options: FleetOptions, signal: AbortSignal, onReady?: () => void): Promise<void> {
  const [first] = options.nodes;
  if (!first) return;
  const group = createTaskGroup(signal);
  const connections = createConnections(options.client);
  const own = createClient(options.client, connections);
  const informers = { pods: createInformer<Pod>(own, pods), nodes: createInformer<Node>(own, nodes), services: createInformer<Service>(own, services) };
  const members = new Set<ServedNode>();
  try {
    const server = await startServer({ address: first.nodeIp, port: 0, serving: options.serving, clientCa: options.clientCa, nodes: members, upgrade: streamHandlers(group.signal), log });
    const shared: Shared = {
      client: (name) => createClient({ ...options.client, impersonate: { user: `system:node:${name}`, groups: ['system:nodes'] } }, connections),
      pods: partition(informers.pods, 'node', (pod) => pod.spec?.nodeName ?? ''),
      node: partition(informers.nodes, 'name', (node) => node.metadata.name ?? ''),
      services: informers.services,
      serve(node) {
        members.add(node);
        return { port: server.port, close: async () => void members.delete(node) };
      },
    };
    for (const informer of Object.values(informers)) group.start(`informer of ${informer.resource.resource}`, (inner) => informer.run(inner));
    let registered = 0;
    for (const config of options.nodes) {
      group.start(`node ${config.nodeName}`, (inner) => run(config, inner, () => {
        registered += 1;
        if (registered === options.nodes.length) onReady?.();
      }, shared));
    }
    await group.wait().finally(() => server.close());
  } finally {
    own.close();
  }
}
