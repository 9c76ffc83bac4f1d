// Metrics in the Prometheus text format. Whoever counts keeps the cell of his labels, so that counting is one addition; all text is
// made when somebody scrapes.
import { createLogger } from './log.ts';

const log = createLogger('metrics');
/** Labels may come from clients; beyond this many series of one name further ones are counted in none. */
const maxSeries = 20_000;

export interface MetricInfo {
  name: string;
  help: string;
  /** As upstream promises it. */
  stability: 'ALPHA' | 'BETA' | 'STABLE';
  labels?: readonly string[];
}

export class Cell {
  value = 0;
  add(by = 1): void {
    this.value += by;
  }
}
export class HistogramCell {
  readonly bounds: readonly number[];
  /** One more than bounds: what lies above the last. */
  readonly counts: number[];
  sum = 0;
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }
  observe(value: number): void {
    const { bounds, counts } = this;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at += 1;
    counts[at] = (counts[at] ?? 0) + 1;
    this.sum += value;
  }
  get count(): number {
    return this.counts.reduce((sum, one) => sum + one, 0);
  }
  merge(other: HistogramCell): void {
    other.counts.forEach((one, index) => {
      this.counts[index] = (this.counts[index] ?? 0) + one;
    });
    this.sum += other.sum;
  }
}

/** All series of one name. */
class Family<T> {
  readonly info: MetricInfo;
  readonly #make: () => T;
  readonly #cells = new Map<string, { values: readonly string[]; cell: T }>();
  #lost: T | undefined;
  constructor(info: MetricInfo, make: () => T) {
    this.info = info;
    this.#make = make;
  }
  /** The cell of these label values, in the order of the names; always the same one. */
  with(...values: string[]): T {
    const key = values.join('\u0000');
    const known = this.#cells.get(key);
    if (known) return known.cell;
    if (this.#cells.size >= maxSeries) {
      if (!this.#lost) log.warn('a metric has too many series, further ones are not counted', { name: this.info.name });
      return this.#lost ??= this.#make();
    }
    const cell = this.#make();
    this.#cells.set(key, { values, cell });
    return cell;
  }
  series(): Iterable<{ values: readonly string[]; cell: T }> {
    return this.#cells.values();
  }
}
export type Counter = Family<Cell>;
export type Histogram = Family<HistogramCell>;

export class Registry {
  readonly #metrics: { info: MetricInfo; render: () => Promise<string[]> | string[]; type: 'counter' | 'gauge' | 'histogram' }[] = [];

  counter(info: MetricInfo): Counter {
    return this.#cells(info, 'counter');
  }
  /** A gauge that is set where things happen; see `read` for those that are looked up. */
  gauge(info: MetricInfo): Counter {
    return this.#cells(info, 'gauge');
  }
  histogram(info: MetricInfo, bounds: readonly number[]): Histogram {
    const family = new Family(info, () => new HistogramCell(bounds));
    this.#add(info, 'histogram', () => [...family.series()].flatMap(({ values, cell }) => histogramLines(info, values, cell)));
    return family;
  }
  /** Values that are looked up when somebody scrapes. */
  read(info: MetricInfo, type: 'counter' | 'gauge', values: () => Promise<Iterable<readonly [labels: readonly string[], value: number]>> | Iterable<readonly [labels: readonly string[], value: number]>): void {
    this.#add(info, type, async () => [...await values()].map(([labels, value]) => line(info.name, info.labels, labels, value)));
  }
  /** Histograms that are kept elsewhere. */
  readHistograms(info: MetricInfo, cells: () => Iterable<readonly [labels: readonly string[], cell: HistogramCell]>): void {
    this.#add(info, 'histogram', () => [...cells()].flatMap(([labels, cell]) => histogramLines(info, labels, cell)));
  }
  async render(): Promise<string> {
    const lines: string[] = [];
    for (const { info, type, render } of [...this.#metrics].sort((a, b) => (a.info.name < b.info.name ? -1 : 1))) {
      const series = await render();
      if (series.length > 0) lines.push(`# HELP ${info.name} [${info.stability}] ${info.help}`, `# TYPE ${info.name} ${type}`, ...series);
    }
    return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
  }

  #cells(info: MetricInfo, type: 'counter' | 'gauge'): Counter {
    const family = new Family(info, () => new Cell());
    if (!info.labels) family.with(); // without labels it is there from the beginning
    this.#add(info, type, () => [...family.series()].map(({ values, cell }) => line(info.name, info.labels, values, cell.value)));
    return family;
  }
  #add(info: MetricInfo, type: 'counter' | 'gauge' | 'histogram', render: () => Promise<string[]> | string[]): void {
    if (this.#metrics.some((one) => one.info.name === info.name)) throw new Error(`metric ${info.name} is there already`);
    this.#metrics.push({ info, type, render });
  }
}

function histogramLines({ name, labels = [] }: MetricInfo, values: readonly string[], { bounds, counts, sum }: HistogramCell): string[] {
  let below = 0;
  const names = [...labels, 'le'];
  const lines = counts.map((count, index) => line(`${name}_bucket`, names, [...values, index < bounds.length ? String(bounds[index]) : '+Inf'], below += count));
  return [...lines, line(`${name}_sum`, labels, values, sum), line(`${name}_count`, labels, values, below)];
}

function line(name: string, labels: readonly string[] | undefined, values: readonly string[], value: number): string {
  if (!labels || labels.length === 0) return `${name} ${number(value)}`;
  return `${name}{${labels.map((label, index) => `${label}="${escaped(values[index] ?? '')}"`).join(',')}} ${number(value)}`;
}
function number(value: number): string {
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value);
}
function escaped(text: string): string {
  return /[\\"\n]/.test(text) ? text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : text;
}

/** `count` bounds, each `factor` times the one before. */
export function exponentialBounds(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => start * factor ** index);
}
