// The parts that tables are made of: a column with the way to its cell, and the cells that many kinds have.
import { formatLabelSelector, labelSelectorFromObject, SelectorError } from '#machinery/api/labels.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { humanDuration } from '#machinery/api/duration.ts';
import type { Cells, Column, Strategy } from '../resource.ts';
import { at, entries, objects, text } from '../values.ts';

export type Cell = (object: Readonly<KubeObject>, now: number) => unknown;
export interface Part { column: Column; cell: Cell }
export interface Table { columns: Column[]; cells: Cells; rowConditions?: NonNullable<Strategy['rowConditions']> }

export function table(...parts: Part[]): Table {
  const cells = parts.map((part) => part.cell);
  return { columns: parts.map((part) => part.column), cells: (object, now) => cells.map((cell) => cell(object, now)) };
}

interface Look { type?: 'string' | 'integer' | 'boolean' | 'date'; format?: string; wide?: boolean }
/** `description` is one sentence of our own. */
export function part(name: string, description: string, cell: Cell, { type = 'string', format = '', wide = false }: Look = {}): Part {
  return { column: { name, type, format, description, priority: wide ? 1 : 0 }, cell };
}

/** The field at a path of names, `or` when it is missing or empty. */
export function field(path: string, or: unknown = ''): Cell {
  const names = path.split('.');
  return (object) => {
    const value = at(object, ...names);
    return value === undefined || value === null || value === '' ? or : value;
  };
}
export function count(path: string): Cell {
  const names = path.split('.');
  return (object) => {
    const value = at(object, ...names);
    return Array.isArray(value) ? value.length : 0;
  };
}

export const name = part('Name', 'The name, unique among objects of this kind (and namespace).', (object) => object.metadata?.name ?? '', { format: 'name' });
export const age = part('Age', 'Time since the object was created.', (object, now) => since(object.metadata?.creationTimestamp, now));

export function since(timestamp: unknown, now: number, or = '<unknown>'): string {
  const time = typeof timestamp === 'string' ? Date.parse(timestamp) : NaN;
  return Number.isNaN(time) ? or : humanDuration(now - time);
}

/** A map as sorted `k=v` terms. */
export function mapCell(path: string): Cell {
  const names = path.split('.');
  return (object) => entries(at(object, ...names)).map(([key, value]) => `${key}=${text(value)}`).sort().join(',') || '<none>';
}
/** A label selector as text. */
export function selectorCell(path: string, empty = '<none>', unreadable = '<error>'): Cell {
  const names = path.split('.');
  return (object) => {
    const selector = at(object, ...names);
    if (selector === undefined || selector === null) return empty;
    try {
      return formatLabelSelector(labelSelectorFromObject(selector as Parameters<typeof labelSelectorFromObject>[0])) || empty; // the function checks what matters
    } catch (error) {
      if (error instanceof SelectorError || error instanceof TypeError) return unreadable;
      throw error;
    }
  };
}

/** Names and images of a template's containers; `path` leads to its spec. */
export function containerParts(path: string, wide = true): Part[] {
  const names = path.split('.');
  const list = (key: string): Cell => (object) => objects(at(object, ...names, 'containers')).map((container) => text(container[key])).join(',');
  return [
    part('Containers', 'Names of the containers.', list('name'), { wide }),
    part('Images', 'Images of the containers.', list('image'), { wide }),
  ];
}

/** The first ones joined, and how many more there are. */
export function withMore(list: readonly string[], most: number, total: number, empty: string, separator = ','): string {
  const shown = list.slice(0, most).join(separator);
  if (total > most) return `${shown} + ${total - most} more...`;
  return shown === '' ? empty : shown;
}
