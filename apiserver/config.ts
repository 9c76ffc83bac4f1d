// What an API server needs to know. Flags bear upstream's names; `cluster/` fills the same type without files.
export type StorageConfig =
  | { engine: 'sqlite'; path: string }
  | { engine: 'etcd'; servers: string[]; prefix?: string; caFile?: string; certFile?: string; keyFile?: string };

/** PEM texts throughout. */
export interface ApiserverConfig {
  /** Addresses to listen on; the first is the loopback one that components use. */
  bindAddresses: string[];
  /** 0 picks a free one (the same on all addresses). */
  httpsPort: number;
  /** Published as the endpoint of Service default/kubernetes. */
  advertiseAddress: string;
  storage: StorageConfig;
  serving: { cert: string; key: string };
  clientCa: string;
  serviceAccount: { issuer: string; audiences: string[]; signingKey: string; publicKeys: string[] };
  /** The API server as a client of kubelets; `ca` checks their serving certificates. */
  kubeletClient?: { cert: string; key: string; ca?: string };
  serviceClusterIpRange: string;
  serviceNodePortRange: { from: number; to: number };
  /** Anonymous requests beyond the health paths are let through to authorization. */
  anonymousAuth: boolean;
  eventTtlSeconds: number;
  /** Bound of the watch cache's history over all resources. */
  watchCacheBytes: number;
}

export interface RunningApiserver {
  port: number;
  /** `https://127.0.0.1:6443` */
  url: string;
  /** Resolves when /readyz is 200: bootstrap objects are stored, caches are filled. */
  ready: Promise<void>;
  /** Settles when everything has stopped after the signal's abort; rejects when the server dies by itself. */
  stopped: Promise<void>;
}
