// Metrics of requests under upstream's names, with its labels and buckets. Upstream: apiserver/pkg/endpoints/metrics/metrics.go.
import type { RequestState } from '../filters/context.ts';
import { isLongRunning, readsOnly } from '../filters/limits.ts';
import { isTrue } from '../filters/request-info.ts';
import type { RequestInfo } from '../request.ts';
import type { ResourceRow } from '../resources/resource.ts';
import { exponentialBounds } from '#machinery/base/metrics.ts';
import type { Cell, HistogramCell, Registry } from '#machinery/base/metrics.ts';

const component = 'apiserver';
const durationBounds = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const sliBounds = durationBounds.slice(2);
const watchListBounds = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60];
const streams: ReadonlySet<string> = new Set(['log', 'exec', 'portforward', 'attach', 'proxy']);
const verbs: ReadonlySet<string> = new Set(['APPLY', 'CONNECT', 'CREATE', 'DELETE', 'DELETECOLLECTION', 'GET', 'LIST', 'PATCH', 'POST', 'PROXY', 'PUT', 'UPDATE', 'WATCH', 'WATCHLIST']);
/** Clients that belong to a control plane, by the first part of their user agent. */
const systemClients: ReadonlySet<string> = new Set(['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'cluster-policy-controller']);

/** Everything that is counted of requests with the same labels: looked up once a request. */
export interface RequestSeries {
  readonly labels: readonly [verb: string, group: string, version: string, resource: string, subresource: string, scope: string, component: string];
  readonly byDryRun: Map<string, { totals: Map<string, Cell>; duration: HistogramCell }>;
  readonly longRunning: Cell | undefined;
  sli: HistogramCell | undefined;
  sizes: HistogramCell | undefined;
  watchEvents: Cell | undefined;
  watchSizes: HistogramCell | undefined;
}

/** The most at a time within the current second and the one before. */
class Peak {
  current = 0;
  #second = 0;
  #max = 0;
  #before = 0;
  enter(now: number): void {
    this.#turn(now);
    this.current += 1;
    if (this.current > this.#max) this.#max = this.current;
  }
  leave(now: number): void {
    this.#turn(now);
    this.current -= 1;
  }
  read(now: number): number {
    this.#turn(now);
    return Math.max(this.#before, this.#max);
  }
  #turn(now: number): void {
    const second = Math.floor(now / 1000);
    if (second === this.#second) return;
    this.#before = second === this.#second + 1 ? this.#max : this.current;
    this.#second = second;
    this.#max = this.current;
  }
}

export class RequestMetrics {
  readonly #registry: Registry;
  readonly #series = new WeakMap<ResourceRow, Map<string, RequestSeries>>();
  readonly #paths = new Map<string, RequestSeries>();
  readonly #reading = new Peak();
  readonly #changing = new Peak();
  readonly #total;
  readonly #durations;
  readonly #sli;
  readonly #sizes;
  readonly #longRunning;
  readonly #watchEvents;
  readonly #watchSizes;
  readonly #watchLists;
  readonly #slowWatches;
  readonly #terminations;
  readonly #aborts;
  readonly #postTimeouts;
  readonly tlsHandshakeErrors: Cell;

  /** How many wait for a place; the one who keeps the places says it. */
  waiting: () => { reading: number; changing: number } = () => ({ reading: 0, changing: 0 });

  constructor(registry: Registry) {
    this.#registry = registry;
    const labels = ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component'] as const;
    const withDryRun = ['verb', 'dry_run', ...labels.slice(1)];
    this.#total = registry.counter({ name: 'apiserver_request_total', help: 'Answered requests, by what was asked and the code of the answer.', stability: 'STABLE', labels: [...withDryRun, 'code', 'system_client'] });
    this.#durations = registry.histogram({ name: 'apiserver_request_duration_seconds', help: 'Time from the arrival of a request to the end of its answer.', stability: 'STABLE', labels: withDryRun }, durationBounds);
    this.#sli = registry.histogram({ name: 'apiserver_request_sli_duration_seconds', help: 'Time of a request without webhooks and without waiting for a place.', stability: 'ALPHA', labels }, sliBounds);
    this.#sizes = registry.histogram({ name: 'apiserver_response_sizes', help: 'Bytes of answers to reading requests.', stability: 'STABLE', labels }, exponentialBounds(1000, 10, 7));
    this.#longRunning = registry.gauge({ name: 'apiserver_longrunning_requests', help: 'Watches, streams and proxied connections that are open.', stability: 'STABLE', labels });
    this.#watchEvents = registry.counter({ name: 'apiserver_watch_events_total', help: 'Events sent to watches.', stability: 'ALPHA', labels: ['group', 'version', 'resource'] });
    this.#watchSizes = registry.histogram({ name: 'apiserver_watch_events_sizes', help: 'Bytes of events sent to watches.', stability: 'ALPHA', labels: ['group', 'version', 'resource'] }, exponentialBounds(1024, 2, 8));
    this.#watchLists = registry.histogram({ name: 'apiserver_watch_list_duration_seconds', help: 'Time until a watch with initial events has sent them.', stability: 'BETA', labels: ['group', 'version', 'resource', 'scope'] }, watchListBounds);
    this.#slowWatches = registry.counter({ name: 'apiserver_terminated_watchers_total', help: 'Watches that were ended because their client did not keep up.', stability: 'ALPHA', labels: ['group', 'resource'] });
    this.#terminations = registry.counter({ name: 'apiserver_request_terminations_total', help: 'Requests that the server ended to protect itself.', stability: 'ALPHA', labels: [...labels, 'code'] });
    this.#aborts = registry.counter({ name: 'apiserver_request_aborts_total', help: 'Answers that were cut off, as when their time was over.', stability: 'ALPHA', labels: labels.slice(0, -1) });
    this.#postTimeouts = registry.counter({ name: 'apiserver_request_post_timeout_total', help: 'How handlers ended whose request had been answered without them.', stability: 'ALPHA', labels: ['source', 'status'] });
    this.tlsHandshakeErrors = registry.counter({ name: 'apiserver_tls_handshake_errors_total', help: 'Connections that ended before TLS was agreed on.', stability: 'ALPHA' }).with();
    registry.read({ name: 'apiserver_current_inflight_requests', help: 'The most requests at a time within the last second.', stability: 'STABLE', labels: ['request_kind'] }, 'gauge',
      () => [[['mutating'], this.#changing.read(Date.now())], [['readOnly'], this.#reading.read(Date.now())]]);
    registry.read({ name: 'apiserver_current_inqueue_requests', help: 'Requests that wait for a place.', stability: 'ALPHA', labels: ['request_kind'] }, 'gauge',
      () => [[['mutating'], this.waiting().changing], [['readOnly'], this.waiting().reading]]);
  }

  render(): Promise<string> {
    return this.#registry.render();
  }

  /** From here on the request is in flight; the result is called at its end. */
  enter(info: RequestInfo, now: number): (now: number) => void {
    const peak = readsOnly(info) ? this.#reading : this.#changing;
    peak.enter(now);
    return (until) => peak.leave(until);
  }

  /** The series of a request for a resource; undefined when the row serves no such thing, as upstream has no route for it. */
  ofResource({ info, request, query }: RequestState, row: ResourceRow): RequestSeries | undefined {
    let known = this.#series.get(row);
    if (!known) this.#series.set(row, known = new Map());
    const applies = info.verb === 'patch' && request.headers['content-type']?.startsWith('application/apply-patch') === true;
    const key = `${info.verb} ${info.subresource} ${scopeOf(info)}${applies ? ' apply' : ''}${request.method === 'HEAD' ? ' head' : ''}`;
    let series = known.get(key);
    if (!series) {
      const served = info.subresource === '' ? row.verbs : row.subresources.find(({ name }) => name === info.subresource)?.verbs;
      const connect = row.subresources.find(({ name }) => name === info.subresource)?.connect === true || info.subresource === 'log';
      if (!served || !(connect || served.includes(info.verb))) return undefined;
      series = this.#make(reportedVerb(info, request.method ?? 'GET', query, applies), info, scopeOf(info), info.subresource);
      known.set(key, series);
    }
    return series;
  }
  /** The series of a path that upstream counts: the health checks. */
  ofPath(path: string): RequestSeries {
    let series = this.#paths.get(path);
    if (!series) this.#paths.set(path, series = this.#make('GET', undefined, '', path));
    return series;
  }

  answered(series: RequestSeries, { request, query }: RequestState, code: number, seconds: number, waitedSeconds: number, bytes: number): void {
    const dryRun = request.url?.includes('dryRun') ? dryRunOf(query) : '';
    let measured = series.byDryRun.get(dryRun);
    const [verb, ...rest] = series.labels;
    if (!measured) series.byDryRun.set(dryRun, measured = { totals: new Map(), duration: this.#durations.with(verb, dryRun, ...rest) });
    const client = systemClientOf(request.headers['user-agent']);
    const codeText = client === '' ? codeTexts[code] ??= String(code) : `${code} ${client}`;
    let total = measured.totals.get(codeText);
    if (!total) measured.totals.set(codeText, total = this.#total.with(verb, dryRun, ...rest, String(code), client));
    total.value += 1;
    measured.duration.observe(seconds);
    if (dryRun === '') (series.sli ??= this.#sli.with(...series.labels)).observe(seconds - waitedSeconds);
    if (verb === 'GET' || verb === 'LIST') (series.sizes ??= this.#sizes.with(...series.labels)).observe(bytes);
  }

  /** Events that go out together are counted with their average size. */
  watchEvents(series: RequestSeries, events: number, bytes: number): void {
    const [, group, version, resource] = series.labels;
    series.watchEvents ??= this.#watchEvents.with(group, version, resource);
    series.watchSizes ??= this.#watchSizes.with(group, version, resource);
    series.watchEvents.value += events;
    for (let i = 0; i < events; i += 1) series.watchSizes.observe(bytes / events);
  }
  watchList({ labels: [, group, version, resource, , scope] }: RequestSeries, seconds: number): void {
    this.#watchLists.with(group, version, resource, scope).observe(seconds);
  }
  watchTooSlow({ labels: [, group, , resource] }: RequestSeries): void {
    this.#slowWatches.with(group, resource).add();
  }
  /** 429: upstream counts it as an answer too. */
  refused(context: RequestState, series: RequestSeries | undefined): void {
    const labels = series?.labels ?? otherLabels(context);
    const [verb, ...rest] = labels;
    this.#total.with(verb, '', ...rest, '429', '').add();
    this.#terminations.with(...labels, '429').add();
  }
  timedOut(context: RequestState, series: RequestSeries | undefined, cut: boolean): void {
    const labels = series?.labels ?? otherLabels(context);
    this.#terminations.with(...labels, '504').add();
    if (cut) this.#aborts.with(...labels.slice(0, -1)).add();
  }
  afterTimeout(status: 'ok' | 'error'): void {
    this.#postTimeouts.with('timeout-handler', status).add();
  }

  #make(verb: string, info: RequestInfo | undefined, scope: string, subresource: string): RequestSeries {
    const labels = [verb, info?.group ?? '', info?.version ?? '', info?.resource ?? '', subresource, scope, info ? component : ''] as const;
    return {
      labels, byDryRun: new Map(), longRunning: info && isLongRunning(info) ? this.#longRunning.with(...labels) : undefined,
      sli: undefined, sizes: undefined, watchEvents: undefined, watchSizes: undefined,
    };
  }
}

const codeTexts: Record<number, string> = {};

/** What was refused before anybody looked for its resource: the client's words do not become labels. */
function otherLabels({ info, request, query }: RequestState): RequestSeries['labels'] {
  return [reportedVerb(info, request.method ?? 'GET', query, false), '', '', '', '', scopeOf(info), component];
}
function scopeOf(info: RequestInfo): string {
  if (info.name !== '' || info.verb === 'create') return 'resource';
  return info.namespace !== '' ? 'namespace' : info.isResourceRequest ? 'cluster' : '';
}
function reportedVerb(info: RequestInfo, method: string, query: URLSearchParams, applies: boolean): string {
  if (info.isResourceRequest && streams.has(info.subresource)) return 'CONNECT';
  if (info.verb === 'watch' || (method === 'GET' && isTrue(query.get('watch')))) return 'WATCH';
  if (applies) return 'APPLY';
  const scope = scopeOf(info);
  const verb = method === 'GET' || method === 'HEAD' ? scope !== 'resource' && scope !== '' ? 'LIST' : 'GET' : method;
  return verbs.has(verb) ? verb : 'other';
}
function dryRunOf(query: URLSearchParams): string {
  const asked = query.getAll('dryRun');
  return asked.length === 0 ? '' : asked.every((one) => one === 'All') ? 'All' : 'invalid';
}
function systemClientOf(agent: string | undefined): string {
  if (agent === undefined || !(agent.startsWith('kube-') || agent.startsWith('cluster-'))) return '';
  const slash = agent.indexOf('/');
  const name = slash < 0 ? '' : agent.slice(0, slash);
  return systemClients.has(name) ? name : '';
}
