// Request metrics under upstream's names. Counting is plain arithmetic on the path of every request; the text, and the process
// metrics of prom-client, are made when somebody scrapes.
import type { RequestInfo } from './request.ts';

const buckets = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];

interface Series { labels: string; count: number; sum: number; buckets: number[] }

export class RequestMetrics {
  readonly #totals = new Map<string, number>();
  readonly #durations = new Map<string, Series>();
  readonly #gauges: { name: string; help: string; read: () => [labels: string, value: number][] }[] = [];
  #read = 0;
  #write = 0;
  #longRunning = 0;

  /** Called when a request begins; the result is called with the answer's code at its end. */
  begin(info: RequestInfo, longRunning: boolean): (code: number) => void {
    const started = performance.now();
    const reads = info.verb === 'get' || info.verb === 'list' || info.verb === 'watch' || info.verb === 'head';
    if (longRunning) this.#longRunning += 1;
    else if (reads) this.#read += 1;
    else this.#write += 1;
    return (code) => {
      if (longRunning) this.#longRunning -= 1;
      else if (reads) this.#read -= 1;
      else this.#write -= 1;
      const known = info.isResourceRequest ? info : undefined;
      const scope = !known ? '' : known.name !== '' || known.verb === 'create' ? 'resource' : known.namespace !== '' ? 'namespace' : 'cluster';
      const labels = `component="apiserver",group="${text(known?.group)}",resource="${text(known?.resource)}",scope="${scope}",subresource="${text(known?.subresource)}",verb="${verbName(info, longRunning)}",version="${text(known?.version)}"`;
      const total = `code="${code}",${labels}`;
      if (this.#totals.size < 5000 || this.#totals.has(total)) this.#totals.set(total, (this.#totals.get(total) ?? 0) + 1);
      if (longRunning) return;
      let series = this.#durations.get(labels);
      if (!series) {
        if (this.#durations.size >= 2000) return; // paths are the client's choice, our memory is not
        series = { labels, count: 0, sum: 0, buckets: new Array<number>(buckets.length).fill(0) };
        this.#durations.set(labels, series);
      }
      const seconds = (performance.now() - started) / 1000;
      series.count += 1;
      series.sum += seconds;
      const at = buckets.findIndex((bound) => seconds <= bound);
      if (at >= 0) series.buckets[at] = (series.buckets[at] ?? 0) + 1;
    };
  }

  gauge(name: string, help: string, read: () => [labels: string, value: number][]): void {
    this.#gauges.push({ name, help, read });
  }

  async render(): Promise<string> {
    const lines: string[] = [
      '# HELP apiserver_request_total Requests by verb, resource and code of the answer.', '# TYPE apiserver_request_total counter',
    ];
    for (const [labels, value] of this.#totals) lines.push(`apiserver_request_total{${labels}} ${value}`);
    lines.push('# HELP apiserver_request_duration_seconds Time to answer, long-running requests left out.', '# TYPE apiserver_request_duration_seconds histogram');
    for (const { labels, count, sum, buckets: counts } of this.#durations.values()) {
      let below = 0;
      buckets.forEach((bound, index) => {
        below += counts[index] ?? 0;
        lines.push(`apiserver_request_duration_seconds_bucket{${labels},le="${bound}"} ${below}`);
      });
      lines.push(`apiserver_request_duration_seconds_bucket{${labels},le="+Inf"} ${count}`, `apiserver_request_duration_seconds_sum{${labels}} ${sum}`, `apiserver_request_duration_seconds_count{${labels}} ${count}`);
    }
    lines.push('# HELP apiserver_current_inflight_requests Requests being served, by kind.', '# TYPE apiserver_current_inflight_requests gauge',
      `apiserver_current_inflight_requests{request_kind="mutating"} ${this.#write}`, `apiserver_current_inflight_requests{request_kind="readOnly"} ${this.#read}`,
      '# HELP apiserver_longrunning_requests Watches and streams being served.', '# TYPE apiserver_longrunning_requests gauge', `apiserver_longrunning_requests{component="apiserver"} ${this.#longRunning}`);
    for (const { name, help, read } of this.#gauges) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
      for (const [labels, value] of read()) lines.push(`${name}${labels === '' ? '' : `{${labels}}`} ${value}`);
    }
    const { Registry, collectDefaultMetrics } = await import('prom-client');
    const registry = new Registry();
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 1000 });
    return `${lines.join('\n')}\n${await registry.metrics()}`;
  }
}

function text(value = ''): string {
  return value.replace(/[\\"\n]/g, '_').slice(0, 100);
}
function verbName({ verb, subresource }: RequestInfo, longRunning: boolean): string {
  if (longRunning && verb !== 'watch' && subresource !== '') return 'CONNECT';
  const names: Record<string, string> = { create: 'POST', update: 'PUT' };
  return names[verb] ?? verb.toUpperCase().replace(/[^A-Z]/g, '');
}
