// What an API server needs to know. Flags bear upstream's names; `cluster/` fills the same type without files.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { UsageError, parseFlags } from '#machinery/base/flags.ts';
import type { FlagTable } from '#machinery/base/flags.ts';
import { checkAuthority } from './auth/request-headers.ts';
import type { RequestHeaderConfig } from './auth/request-headers.ts';
import { readTokenFile } from './auth/other-tokens.ts';
import { optionFlags, readOptions } from './options.ts';
import type { ApiserverOptions } from './options.ts';

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
  /** Proxies that say in headers who sends a request; nobody is one when absent. */
  requestHeader?: RequestHeaderConfig;
  /** Text of a file with tokens: `token,user,uid,"groups"`. */
  tokenFile?: string;
  /** Secrets of type bootstrap.kubernetes.io/token may be used to authenticate. */
  bootstrapTokenAuth?: boolean;
  serviceClusterIpRange: string;
  serviceNodePortRange: { from: number; to: number };
  /** `lease` (the default): the servers that live; `none`: somebody else keeps the endpoints of Service default/kubernetes. */
  endpointReconcilerType?: 'lease' | 'none';
  /** Anonymous requests beyond the health paths are let through to authorization. */
  anonymousAuth: boolean;
  eventTtlSeconds: number;
  /** Bound of the watch cache's history over all resources. */
  watchCacheBytes: number;
  /** Upstream's defaults for what is left out. */
  options?: Partial<ApiserverOptions>;
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

export const flags = {
  'bind-address': { kind: 'string', placeholder: 'IP', default: '127.0.0.1', help: 'Address to listen on.' },
  'secure-port': { kind: 'number', default: 6443, max: 65535, help: 'Port to listen on; 0 picks a free one.' },
  'advertise-address': { kind: 'string', placeholder: 'IP', default: '127.0.0.1', help: 'Published as the endpoint of Service default/kubernetes.' },
  'etcd-servers': { kind: 'list', placeholder: 'URL,…', help: 'The store; without it the embedded one at --sqlite-file.' },
  'etcd-prefix': { kind: 'string', default: '/registry', help: 'Prefix of all keys in etcd.' },
  'etcd-cafile': { kind: 'string', placeholder: 'FILE', help: "Checks etcd's certificate." },
  'etcd-certfile': { kind: 'string', placeholder: 'FILE', help: 'Client certificate for etcd.' },
  'etcd-keyfile': { kind: 'string', placeholder: 'FILE', help: 'Its key.' },
  'sqlite-file': { kind: 'string', placeholder: 'FILE', help: 'The embedded store.' },
  'tls-cert-file': { kind: 'string', placeholder: 'FILE', help: 'Serving certificate.' },
  'tls-private-key-file': { kind: 'string', placeholder: 'FILE', help: 'Its key.' },
  'client-ca-file': { kind: 'string', placeholder: 'FILE', help: 'Clients with a certificate of this CA are who it says they are.' },
  'service-account-issuer': { kind: 'string', placeholder: 'URL', default: 'https://kubernetes.default.svc.cluster.local', help: 'Issuer in the tokens of service accounts.' },
  'api-audiences': { kind: 'list', placeholder: 'NAME,…', default: [], help: 'Audiences that tokens may be for (default: the issuer).' },
  'service-account-signing-key-file': { kind: 'string', placeholder: 'FILE', help: 'Private key that signs tokens.' },
  'service-account-key-file': { kind: 'list', placeholder: 'FILE,…', default: [], help: 'Public keys that tokens are checked with (default: that of the signing key).' },
  'kubelet-client-certificate': { kind: 'string', placeholder: 'FILE', help: 'Client certificate for kubelets.' },
  'kubelet-client-key': { kind: 'string', placeholder: 'FILE', help: 'Its key.' },
  'kubelet-certificate-authority': { kind: 'string', placeholder: 'FILE', help: "Checks kubelets' certificates." },
  'requestheader-client-ca-file': { kind: 'string', placeholder: 'FILE', help: 'CA of the authenticating proxies; they say in headers who sends a request.' },
  'requestheader-allowed-names': { kind: 'list', placeholder: 'CN,…', default: [], help: 'Common names of those proxies (default: whoever that CA signed).' },
  'requestheader-username-headers': { kind: 'list', placeholder: 'HEADER,…', default: [], help: 'Where they say the user; X-Remote-User is usual.' },
  'requestheader-uid-headers': { kind: 'list', placeholder: 'HEADER,…', default: [], help: 'The uid; X-Remote-Uid is usual.' },
  'requestheader-group-headers': { kind: 'list', placeholder: 'HEADER,…', default: [], help: 'The groups; X-Remote-Group is usual.' },
  'requestheader-extra-headers-prefix': { kind: 'list', placeholder: 'PREFIX,…', default: [], help: 'Everything else; X-Remote-Extra- is usual.' },
  'token-auth-file': { kind: 'string', placeholder: 'FILE', help: 'Bearer tokens: token,user,uid,"group,group" a line.' },
  'enable-bootstrap-token-auth': { kind: 'boolean', default: false, help: 'Secrets of type bootstrap.kubernetes.io/token in kube-system are bearer tokens.' },
  'service-cluster-ip-range': { kind: 'string', placeholder: 'CIDR', default: '10.43.0.0/16', help: 'Addresses of Services.' },
  'service-node-port-range': { kind: 'string', placeholder: 'FROM-TO', default: '30000-32767', help: 'Ports for Services of type NodePort.' },
  'endpoint-reconciler-type': { kind: 'string', placeholder: 'lease|none', default: 'lease', help: 'Who keeps the endpoints of Service default/kubernetes: the living API servers, or nobody here.' },
  'anonymous-auth': { kind: 'boolean', default: false, help: 'Let anonymous requests through to authorization.' },
  'event-ttl-seconds': { kind: 'number', default: 3600, min: 1, help: 'How long Events are kept.' },
  ...optionFlags,
  'watch-cache-mb': { kind: 'number', default: 64, min: 1, help: 'Bound of the event history for watches that resume late.' },
} as const satisfies FlagTable;

/** Throws UsageError on flags that cannot be taken and on files that cannot be read. */
export function readConfig(args: readonly string[]): ApiserverConfig {
  const values = parseFlags(flags, args);
  const read = (flag: keyof typeof flags, file: string): string => {
    try {
      return readFileSync(file, 'utf8');
    } catch (cause) {
      throw new UsageError(`--${flag}: cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  };
  const needed = (flag: 'tls-cert-file' | 'tls-private-key-file' | 'client-ca-file' | 'service-account-signing-key-file'): string => {
    const file = values[flag];
    if (!file) throw new UsageError(`--${flag} is needed`);
    return read(flag, file);
  };
  const checked = (flag: keyof typeof flags, file: string, check: (text: string) => unknown): string => {
    const text = read(flag, file);
    try {
      check(text);
    } catch (cause) {
      throw new UsageError(`--${flag}: ${file} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    return text;
  };
  const [proxyCa, tokenFile] = [values['requestheader-client-ca-file'], values['token-auth-file']];
  const servers = values['etcd-servers'];
  const sqlite = values['sqlite-file'];
  if ((servers === undefined) === (sqlite === undefined)) throw new UsageError('name one store: --etcd-servers URL,… or --sqlite-file FILE');
  const ports = /^(\d+)-(\d+)$/.exec(values['service-node-port-range']);
  if (!ports || Number(ports[1]) > Number(ports[2]) || Number(ports[2]) > 65535) throw new UsageError(`--service-node-port-range takes FROM-TO, not "${values['service-node-port-range']}"`);
  const reconciler = values['endpoint-reconciler-type'];
  if (reconciler !== 'lease' && reconciler !== 'none') throw new UsageError(`--endpoint-reconciler-type takes lease or none, not "${reconciler}"`);
  const signingKey = needed('service-account-signing-key-file');
  const keyFiles = values['service-account-key-file'];
  const kubeletCert = values['kubelet-client-certificate'];
  const kubeletKey = values['kubelet-client-key'];
  if ((kubeletCert === undefined) !== (kubeletKey === undefined)) throw new UsageError('--kubelet-client-certificate and --kubelet-client-key belong together');
  const kubeletCa = values['kubelet-certificate-authority'];
  const [caFile, certFile, keyFile] = [values['etcd-cafile'], values['etcd-certfile'], values['etcd-keyfile']];
  const issuer = values['service-account-issuer'];
  return {
    bindAddresses: [values['bind-address']],
    httpsPort: values['secure-port'],
    advertiseAddress: values['advertise-address'],
    storage: servers ? {
      engine: 'etcd', servers, prefix: values['etcd-prefix'], ...(caFile ? { caFile } : {}), ...(certFile ? { certFile } : {}), ...(keyFile ? { keyFile } : {}),
    } : { engine: 'sqlite', path: sqlite ?? '' },
    serving: { cert: needed('tls-cert-file'), key: needed('tls-private-key-file') },
    clientCa: needed('client-ca-file'),
    serviceAccount: {
      issuer, audiences: values['api-audiences'].length > 0 ? values['api-audiences'] : [issuer], signingKey,
      publicKeys: keyFiles.length > 0 ? keyFiles.map((file) => read('service-account-key-file', file))
        : [createPublicKey(signingKey).export({ type: 'spki', format: 'pem' }).toString()],
    },
    ...(kubeletCert && kubeletKey ? {
      kubeletClient: { cert: read('kubelet-client-certificate', kubeletCert), key: read('kubelet-client-key', kubeletKey), ...(kubeletCa ? { ca: read('kubelet-certificate-authority', kubeletCa) } : {}) },
    } : {}),
    ...(proxyCa === undefined ? {} : { requestHeader: {
      ca: checked('requestheader-client-ca-file', proxyCa, checkAuthority), allowedNames: values['requestheader-allowed-names'], usernameHeaders: values['requestheader-username-headers'],
      uidHeaders: values['requestheader-uid-headers'], groupHeaders: values['requestheader-group-headers'], extraHeaderPrefixes: values['requestheader-extra-headers-prefix'],
    } }),
    ...(tokenFile === undefined ? {} : { tokenFile: checked('token-auth-file', tokenFile, readTokenFile) }),
    bootstrapTokenAuth: values['enable-bootstrap-token-auth'],
    serviceClusterIpRange: values['service-cluster-ip-range'],
    serviceNodePortRange: { from: Number(ports[1]), to: Number(ports[2]) },
    endpointReconcilerType: reconciler,
    anonymousAuth: values['anonymous-auth'],
    eventTtlSeconds: values['event-ttl-seconds'],
    watchCacheBytes: values['watch-cache-mb'] << 20,
    options: readOptions(values),
  };
}
