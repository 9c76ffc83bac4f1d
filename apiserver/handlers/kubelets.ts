// The API server as a client of kubelets: where a node's kubelet listens, and how it is spoken to.
import type { SecureContextOptions } from 'node:tls';
import type { Node } from '#machinery/api/object.ts';
import { internalError } from '#machinery/api/status.ts';
import type { ApiserverConfig } from '../config.ts';

export interface KubeletAddress { host: string; port: number }
export interface Kubelets {
  /** Throws when the node does not say where its kubelet is. */
  addressOf(node: Readonly<Node>): KubeletAddress;
  /** TLS options: our certificate, and what the kubelet's is checked against. `insecure`: not checked. */
  tls(insecure?: boolean): SecureContextOptions & { rejectUnauthorized: boolean; checkServerIdentity?: () => undefined };
}

/** Names of nodes need not resolve where the API server runs, so addresses come first (upstream's order puts Hostname there). */
const preferred = ['InternalIP', 'ExternalIP', 'InternalDNS', 'ExternalDNS', 'Hostname'] as const;

export function createKubelets(client: ApiserverConfig['kubeletClient']): Kubelets {
  return {
    addressOf(node) {
      const addresses = node.status?.addresses ?? [];
      for (const type of preferred) {
        const found = addresses.find((one) => one.type === type);
        // The wire has Port with a capital letter; client-node's model calls it port.
        const endpoint = node.status?.daemonEndpoints?.kubeletEndpoint as { Port?: number; port?: number } | undefined;
        if (found) return { host: found.address, port: endpoint?.Port ?? endpoint?.port ?? 10250 };
      }
      throw internalError(`no preferred addresses found; known addresses: ${JSON.stringify(addresses.map(({ address }) => address))}`);
    },
    tls(insecure = false) {
      if (!client) throw internalError('this API server has no certificate for kubelets');
      return {
        cert: client.cert, key: client.key, ...(client.ca === undefined ? {} : { ca: client.ca }),
        // As upstream without --kubelet-certificate-authority: kubelets sign for themselves, the network is trusted.
        rejectUnauthorized: !insecure && client.ca !== undefined,
        // Upstream checks a kubelet's certificate against the address it asked; ours carry the node's addresses too.
      };
    },
  };
}
