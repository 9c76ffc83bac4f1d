// Where a kind keeps the numbers of its scale subresource.
import { formatLabelSelector, labelSelectorFromObject } from '#machinery/api/labels.ts';
import type { Strategy } from './resource.ts';
import { at, entries, isObject, text } from './values.ts';

/** `selectorPath` leads to a label selector, or to the plain map of a ReplicationController. */
export function scaleOf(selectorPath: string): NonNullable<Strategy['scale']> {
  const path = selectorPath.split('.');
  return { specReplicas: 'spec.replicas', statusReplicas: 'status.replicas', selector: (object) => selectorText(at(object, ...path)) };
}

/** The selector in the syntax of requests, '' when it selects by nothing. Throws SelectorError when it cannot be read. */
export function selectorText(selector: unknown): string {
  if (!isObject(selector)) return '';
  if (!('matchLabels' in selector || 'matchExpressions' in selector)) return mapText(selector);
  return formatLabelSelector(labelSelectorFromObject(selector));
}
/** `k=v` pairs by key. */
export function mapText(map: unknown): string {
  return entries(map).map(([key, value]) => `${key}=${text(value)}`).sort().join(',');
}
