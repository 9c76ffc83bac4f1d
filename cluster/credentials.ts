// The cluster's keys and certificates in <data-dir>/pki: made at the first start, read at every other one, issued anew when
// they near their end or when the names they must carry have changed.
import { X509Certificate, createPublicKey } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { CertificateRequest, KeyPair } from '#machinery/pki/pki.ts';

export interface Credentials {
  ca: KeyPair;
  serving: KeyPair;
  /** The API server as a client of kubelets. */
  kubeletClient: KeyPair;
  tokens: { privateKey: string; publicKey: string };
  /** Of the API server as a proxy in front of extension API servers: its CA signs nothing else, since whoever it signs can be anybody. */
  frontProxy: { ca: string; client: KeyPair };
  admin: KeyPair;
  controllers: KeyPair;
  scheduler: KeyPair;
  proxy: KeyPair;
  dns: KeyPair;
  /** By node name: client (system:node:NAME) and serving certificate. */
  nodes: Map<string, { client: KeyPair; serving: KeyPair }>;
}

export interface CredentialNeeds {
  servingNames: { dnsNames: string[]; ips: string[] };
  nodes: { name: string; address: string }[];
}

/** Nodes of an earlier start that are none of `names`: it was asked for more. Those that share credentials stand in a file of their own. */
export function formerNodes(dataDir: string, names: readonly string[]): string[] {
  const files = new Set(readdirSync(`${dataDir}/pki`));
  const withCredentials = [...files].flatMap((file) => /^node-(.+)-serving\.crt$/.exec(file)?.[1] ?? []).filter((name) => files.has(`node-${name}.crt`));
  const wanted = new Set(names);
  return [...new Set([...withCredentials, ...fleetOf(dataDir)])].filter((name) => !wanted.has(name));
}

const fleetFile = (dataDir: string): string => `${dataDir}/fleet`;
const fleetOf = (dataDir: string): string[] => (existsSync(fleetFile(dataDir)) ? readFileSync(fleetFile(dataDir), 'utf8').split('\n').filter(Boolean) : []);
function writeFleet(dataDir: string, names: readonly string[]): void {
  writeFileSync(`${fleetFile(dataDir)}.tmp`, names.join('\n'));
  renameSync(`${fleetFile(dataDir)}.tmp`, fleetFile(dataDir));
}

/** Notes nodes that have no credentials of their own, so that a later start with fewer of them knows which to remove. */
export function rememberFleet(dataDir: string, names: readonly string[]): void {
  writeFleet(dataDir, [...new Set([...fleetOf(dataDir), ...names])]);
}

/** Removes a node's credentials. Idempotent. */
export function forgetNode(dataDir: string, name: string): void {
  const fleet = fleetOf(dataDir);
  if (fleet.includes(name)) writeFleet(dataDir, fleet.filter((other) => other !== name));
  for (const file of [`node-${name}`, `node-${name}-serving`]) for (const ending of ['key', 'crt']) rmSync(`${dataDir}/pki/${file}.${ending}`, { force: true });
}

const renewBeforeMs = 30 * 86_400_000;

/** Idempotent; writes each file whole or not at all, keys readable by their owner only. */
export async function ensureCredentials(dataDir: string, needs: CredentialNeeds): Promise<Credentials> {
  const folder = `${dataDir}/pki`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = (name: string, ending: string): string => `${folder}/${name}.${ending}`;
  const readPair = (name: string): KeyPair | undefined =>
    existsSync(path(name, 'crt')) && existsSync(path(name, 'key'))
      ? { cert: readFileSync(path(name, 'crt'), 'utf8'), key: readFileSync(path(name, 'key'), 'utf8') } : undefined;
  const write = (file: string, text: string, mode: number): void => {
    writeFileSync(`${file}.tmp`, text, { mode });
    renameSync(`${file}.tmp`, file);
  };
  const writePair = (name: string, pair: KeyPair): KeyPair => {
    write(path(name, 'key'), pair.key, 0o600);
    write(path(name, 'crt'), pair.cert, 0o644);
    return pair;
  };
  const pki = () => import('#machinery/pki/pki.ts'); // only when something must be made

  const ca = readPair('ca') ?? writePair('ca', await (await pki()).createCa('proa-ca'));
  const fits = (pair: KeyPair, request: CertificateRequest, authority: KeyPair): boolean => {
    const cert = new X509Certificate(pair.cert);
    return cert.checkIssued(new X509Certificate(authority.cert)) && Date.parse(cert.validTo) - Date.now() > renewBeforeMs
      && (request.dnsNames ?? []).every((name) => cert.checkHost(name) !== undefined) && (request.ips ?? []).every((ip) => cert.checkIP(ip) !== undefined);
  };
  const ensure = async (name: string, request: CertificateRequest, authority = ca): Promise<KeyPair> => {
    const existing = readPair(name);
    if (existing && fits(existing, request, authority)) return existing;
    return writePair(name, await (await pki()).issueCertificate(authority, request));
  };
  const ensureFrontProxy = async (): Promise<Credentials['frontProxy']> => {
    const authority = readPair('front-proxy-ca') ?? writePair('front-proxy-ca', await (await pki()).createCa('front-proxy-ca'));
    return { ca: authority.cert, client: await ensure('front-proxy-client', { commonName: 'front-proxy-client', usages: ['client'] }, authority) };
  };
  const ensureTokens = async (): Promise<Credentials['tokens']> => {
    const file = path('service-account', 'key');
    if (existsSync(file)) {
      const privateKey = readFileSync(file, 'utf8');
      return { privateKey, publicKey: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString() };
    }
    const keys = await (await pki()).createTokenKeys();
    write(file, keys.privateKey, 0o600);
    return keys;
  };
  const client = (name: string, commonName: string, ...organizations: string[]): Promise<KeyPair> => ensure(name, { commonName, organizations, usages: ['client'] });

  const [serving, kubeletClient, tokens, frontProxy, admin, controllers, scheduler, proxy, dns, nodes] = await Promise.all([
    ensure('apiserver', { commonName: 'kube-apiserver', usages: ['server'], ...needs.servingNames }),
    client('apiserver-kubelet-client', 'kube-apiserver-kubelet-client', 'system:masters'),
    ensureTokens(),
    ensureFrontProxy(),
    client('admin', 'system:admin', 'system:masters'),
    client('controllers', 'system:kube-controller-manager'),
    client('scheduler', 'system:kube-scheduler'),
    client('proxy', 'system:kube-proxy'),
    client('dns', 'system:serviceaccount:kube-system:coredns', 'system:serviceaccounts', 'system:serviceaccounts:kube-system'),
    Promise.all(needs.nodes.map(async ({ name, address }) => [name, {
      client: await client(`node-${name}`, `system:node:${name}`, 'system:nodes'),
      serving: await ensure(`node-${name}-serving`, { commonName: `system:node:${name}`, organizations: ['system:nodes'], usages: ['server'], dnsNames: [name], ips: [address] }),
    }] as const)),
  ]);
  return { ca, serving, kubeletClient, tokens, frontProxy, admin, controllers, scheduler, proxy, dns, nodes: new Map(nodes) };
}
