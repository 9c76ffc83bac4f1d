// The flags of a component's own port and what they say, the same for every component that serves health and metrics.
import { readFile } from 'node:fs/promises';
import type { ClientConfig } from '../client/types.ts';
import { UsageError, type FlagTable, type FlagValues } from '../base/flags.ts';

export interface ServingConfig {
  address: string;
  port: number;
  /** PEM; undefined: a certificate of its own making. */
  certificate: { cert: string; key: string } | undefined;
  /** Open to everybody; a last `*` stands for any rest. */
  openPaths: readonly string[];
  /** PEM; whoever has a certificate of it is its common name, in the groups of its organizations. */
  clientCa?: string;
  /** Who is asked about tokens, and about rights, in place of the component's own client. */
  authentication?: ClientConfig;
  authorization?: ClientConfig;
}

/** Upstream's flags. `port` is the component's own; `also` names its pages beyond health and metrics. */
export function servingFlags(port: number, also: readonly string[]) {
  const pages = ['/healthz', '/livez', '/readyz', '/metrics', ...also].join(', ');
  return {
    'bind-address': { kind: 'string', placeholder: 'IP', default: '127.0.0.1', help: 'Where health and metrics are served; upstream takes 0.0.0.0.' },
    'secure-port': { kind: 'number', default: port, min: 0, max: 65_535, help: `Port for ${pages} over HTTPS; 0: none.` },
    'tls-cert-file': { kind: 'string', placeholder: 'PATH', help: 'Certificate of that port; without it one is made up.' },
    'tls-private-key-file': { kind: 'string', placeholder: 'PATH', help: 'Its key.' },
    'client-ca-file': { kind: 'string', placeholder: 'PATH', help: 'CA of clients that show a certificate in place of a token.' },
    'authentication-kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'How to reach the API server that knows tokens; without it the one of --kubeconfig.' },
    'authorization-kubeconfig': { kind: 'string', placeholder: 'PATH', help: 'The same for the one that knows rights.' },
    'authorization-always-allow-paths': { kind: 'list', placeholder: 'PATH,…', default: ['/healthz', '/readyz', '/livez'], help: 'Paths that need no token.' },
  } as const satisfies FlagTable;
}

/** Undefined: nothing is served. Reads the files that flags name. */
export async function servingOf(values: FlagValues<ReturnType<typeof servingFlags>>): Promise<ServingConfig | undefined> {
  const { 'secure-port': port, 'tls-cert-file': cert, 'tls-private-key-file': key } = values;
  if ((cert === undefined) !== (key === undefined)) throw new UsageError('--tls-cert-file and --tls-private-key-file come together');
  if (port === 0) return undefined;
  const { 'client-ca-file': ca, 'authentication-kubeconfig': authentication, 'authorization-kubeconfig': authorization } = values;
  const { loadKubeconfig } = await import('../client/kubeconfig.ts');
  return {
    address: values['bind-address'], port, openPaths: values['authorization-always-allow-paths'],
    ...(ca === undefined ? {} : { clientCa: await readFile(ca, 'utf8') }),
    ...(authentication === undefined ? {} : { authentication: await loadKubeconfig(authentication) }),
    ...(authorization === undefined ? {} : { authorization: await loadKubeconfig(authorization) }),
    certificate: cert === undefined || key === undefined ? undefined : { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') },
  };
}
