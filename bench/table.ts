// The printed table: one line a row, two cells (measured, CPU of the server) for each server that was measured.

export interface Cell { measured: string; cpu?: string }

export class Table {
  readonly #labels: readonly string[];
  readonly #rows = new Map<string, { goal: string; cells: Cell[] }>();

  constructor(labels: readonly string[]) {
    this.#labels = labels;
  }

  /** Rows stand in the order in which they are first set. */
  set(name: string, goal: string, column: number, cell: Cell): void {
    let row = this.#rows.get(name);
    if (!row) this.#rows.set(name, row = { goal, cells: [] });
    row.cells[column] = cell;
  }

  toString(): string {
    const several = this.#labels.length > 1;
    const lines = [...several ? [['', ...this.#labels.flatMap((label) => [label, '']), '']] : [], ['', ...this.#labels.flatMap(() => ['measured', 'CPU each']), 'goal']];
    for (const [name, { goal, cells }] of this.#rows) lines.push([name, ...this.#labels.flatMap((_label, i) => [cells[i]?.measured ?? '', cells[i]?.cpu ?? '']), goal]);
    const widths = (lines.at(-1) ?? []).map((_cell, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
    return lines.map((line) => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ').trimEnd()).join('\n');
  }
}
