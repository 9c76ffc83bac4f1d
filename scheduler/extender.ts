// An extender: a web server that has a say in filtering, scoring, preempting or binding pods, as a configuration names it. Its messages
// are those of upstream's k8s.io/kube-scheduler/extender/v1: fields in capitals, and read without regard to that.
import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { Node } from '#machinery/api/object.ts';
import type { PodInfo } from './pod-info.ts';
import type { NodeInfo } from './snapshot.ts';
import type { Victims } from './preemption.ts';

export interface ExtenderConfig {
  urlPrefix: string;
  /** Paths below the prefix; '' for what the extender has no say in. */
  filterVerb: string;
  prioritizeVerb: string;
  preemptVerb: string;
  bindVerb: string;
  weight: number;
  enableHttps: boolean;
  tls: ExtenderTls;
  timeoutMs: number;
  /** It knows the nodes itself, so that names are enough. */
  nodeCacheCapable: boolean;
  /** Only pods that ask for one of these concern it; none: all do. */
  managedResources: readonly { name: string; ignoredByScheduler: boolean }[];
  /** Pods are scheduled without it when it fails. */
  ignorable: boolean;
}
/** Data is PEM and wins over files. */
export interface ExtenderTls { insecure: boolean; serverName: string; certFile: string; keyFile: string; caFile: string; certData: string; keyData: string; caData: string }

export interface FilterAnswer { passed: readonly NodeInfo[]; failed: ReadonlyMap<string, { message: string; resolvable: boolean }> }

/** Scores of an extender go to 10, those of plugins to 100. */
const scale = 10;

export class Extender {
  readonly config: ExtenderConfig;
  readonly #managed: ReadonlySet<string>;
  readonly #tls: RequestOptions;

  /** Reads the files that the configuration names; throws when it cannot. */
  constructor(config: ExtenderConfig) {
    this.config = config;
    this.#managed = new Set(config.managedResources.map(({ name }) => name));
    this.#tls = tlsOptions(config);
  }

  concerns({ pod: { spec } }: PodInfo): boolean {
    if (this.#managed.size === 0) return true;
    return [...spec?.containers ?? [], ...spec?.initContainers ?? []].some(({ resources }) =>
      [...Object.keys(resources?.requests ?? {}), ...Object.keys(resources?.limits ?? {})].some((name) => this.#managed.has(name)));
  }

  async filter({ pod }: PodInfo, nodes: readonly NodeInfo[], signal: AbortSignal): Promise<FilterAnswer> {
    const { filterVerb, nodeCacheCapable, urlPrefix } = this.config;
    const answer = await this.#post(filterVerb, { Pod: pod, ...this.#nodesOf(nodes) }, signal);
    if (typeof answer.error === 'string' && answer.error !== '') throw new Error(answer.error);
    const known = new Map(nodes.map((node) => [node.name, node]));
    const listed = answer.nodes as { items?: Node[] } | null | undefined; // as the extender's own interface says
    const names = nodeCacheCapable && Array.isArray(answer.nodenames) ? answer.nodenames.map(String) : listed?.items?.map(({ metadata }) => metadata.name ?? '') ?? [];
    const passed = names.map((name) => {
      const node = known.get(name);
      if (!node) throw new Error(`extender "${urlPrefix}" claims a filtered node "${name}" which is not found in the input node list`);
      return node;
    });
    const failed = new Map<string, { message: string; resolvable: boolean }>();
    for (const [name, message] of Object.entries(mapping(answer.failednodes))) failed.set(name, { message: String(message), resolvable: true });
    for (const [name, message] of Object.entries(mapping(answer.failedandunresolvablenodes))) failed.set(name, { message: String(message), resolvable: false });
    return { passed, failed };
  }

  /** What it adds to the scores of nodes, weighed. */
  async prioritize({ pod }: PodInfo, nodes: readonly NodeInfo[], signal: AbortSignal): Promise<Map<string, number>> {
    const answer = await this.#post(this.config.prioritizeVerb, { Pod: pod, ...this.#nodesOf(nodes) }, signal);
    if (!Array.isArray(answer.list)) throw new Error(`extender "${this.config.urlPrefix}" answered without a list of scores`);
    return new Map(answer.list.map((entry) => {
      const { host, score } = lowerCased(entry);
      return [String(host), Number(score) * this.config.weight * scale];
    }));
  }

  /** Those of the candidates that it agrees to, perhaps with other victims. */
  async preempt({ pod }: PodInfo, candidates: readonly Victims[], node: (name: string) => NodeInfo | undefined, signal: AbortSignal): Promise<Victims[]> {
    const { preemptVerb, nodeCacheCapable, urlPrefix, ignorable } = this.config;
    const victims = Object.fromEntries(candidates.map(({ node: name, pods, violations }) =>
      [name, { Pods: pods.map((victim) => (nodeCacheCapable ? { UID: victim.uid } : victim.pod)), NumPDBViolations: violations }]));
    const answer = await this.#post(preemptVerb, { Pod: pod, NodeNameToVictims: nodeCacheCapable ? null : victims, NodeNameToMetaVictims: nodeCacheCapable ? victims : null }, signal);
    return Object.entries(mapping(answer.nodenametometavictims)).flatMap(([name, value]) => {
      const chosen = lowerCased(value);
      const on = node(name);
      if (!on) throw new Error(`nodeinfo not found for node name "${name}"`);
      const pods = (Array.isArray(chosen.pods) ? chosen.pods : []).map((entry) => {
        const uid = String(lowerCased(entry).uid);
        const found = on.pods.get(uid);
        if (!found) throw new Error(`extender: ${urlPrefix} claims to preempt pod (UID: ${uid}) on node: ${name}, but the pod is not found on that node`);
        return found;
      });
      if (pods.length > 0) return [{ node: name, pods, violations: Number(chosen.numpdbviolations ?? 0) }];
      if (ignorable) return [];
      throw new Error(`expected at least one victim pod on node "${name}"`);
    });
  }

  async bind({ name, namespace, uid }: PodInfo, node: string, signal: AbortSignal): Promise<void> {
    const { error } = await this.#post(this.config.bindVerb, { PodName: name, PodNamespace: namespace, PodUID: uid, Node: node }, signal);
    if (typeof error === 'string' && error !== '') throw new Error(error);
  }

  #nodesOf(nodes: readonly NodeInfo[]): { Nodes: object | null; NodeNames: string[] | null } {
    if (this.config.nodeCacheCapable) return { Nodes: null, NodeNames: nodes.map(({ name }) => name) };
    return { Nodes: { metadata: {}, items: nodes.map(({ node }) => node) }, NodeNames: null };
  }

  /** The answer's fields in lower case; a list is in `list`. */
  async #post(verb: string, message: object, signal: AbortSignal): Promise<Record<string, unknown>> {
    const url = `${this.config.urlPrefix.replace(/\/+$/, '')}/${verb}`;
    const { request } = url.startsWith('https:') ? await import('node:https') : await import('node:http');
    const body = JSON.stringify(message);
    const bound = AbortSignal.any([signal, AbortSignal.timeout(this.config.timeoutMs)]);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const call = request(url, { method: 'POST', headers, signal: bound, ...this.#tls }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
        else reject(new Error(`failed ${verb} with extender at URL ${url}, code ${response.statusCode}`));
      });
    });
    call.on('error', (cause) => reject(new Error(`Post "${url}": ${signal.aborted || !bound.aborted ? cause.message : 'no answer in time'}`, { cause })));
    call.end(body);
    const answer: unknown = JSON.parse(await promise);
    return Array.isArray(answer) ? { list: answer } : lowerCased(answer);
  }
}

/** In the order in which they are asked: those that may fail last. */
export function createExtenders(configs: readonly ExtenderConfig[]): readonly Extender[] {
  const all = configs.map((config) => new Extender(config));
  return [...all.filter(({ config }) => !config.ignorable), ...all.filter(({ config }) => config.ignorable)];
}

function tlsOptions({ tls, enableHttps }: ExtenderConfig): RequestOptions {
  const pem = (data: string, file: string): string | undefined => (data !== '' ? data : file === '' ? undefined : readFileSync(file, 'utf8'));
  const [ca, cert, key] = [pem(tls.caData, tls.caFile), pem(tls.certData, tls.certFile), pem(tls.keyData, tls.keyFile)];
  // As upstream: told to use HTTPS and given no authority, it trusts anybody.
  const trusting = tls.insecure || (enableHttps && ca === undefined);
  return { ca, cert, key, rejectUnauthorized: !trusting, ...(tls.serverName === '' ? {} : { servername: tls.serverName }) };
}

function mapping(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
function lowerCased(value: unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(mapping(value)).map(([name, field]) => [name.toLowerCase(), field]));
}
