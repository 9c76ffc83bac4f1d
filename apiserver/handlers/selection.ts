// Which objects a list or watch is about: its namespace, name and selectors, checked against what the kind can select by.
import type { KubeObject } from '#machinery/api/object.ts';
import { fieldSelectorOf } from '#machinery/api/fields.ts';
import { badRequest } from '#machinery/api/status.ts';
import type { CachedObject } from '../storage/cache.ts';
import type { ListOptions } from './options.ts';
import type { Served } from './served.ts';

export interface Selection {
  namespace: string;
  /** Only this one, when the request or its field selector says so. */
  name: string | undefined;
  /** No selector at all: every object of the namespace. */
  all: boolean;
  /** Has a selector beside the name; then the number of remaining items is not told. */
  selective: boolean;
  index: { name: string; value: string } | undefined;
  /** A label that all of them carry. */
  label: { key: string; value: string } | undefined;
  matches(object: Readonly<KubeObject>): boolean;
}

/** `name`: of a watch by path. Throws 400 for a field that the kind does not know. */
export function selectionOf(served: Served, namespace: string, name: string, options: ListOptions): Selection {
  const { strategy, namespaced } = served.row;
  const { labels } = options;
  let fields = options.fields;
  for (const { field } of fields?.requirements ?? []) {
    const known = field === 'metadata.name' || (field === 'metadata.namespace' && (namespaced || !strategy.fieldLabels)) || (strategy.fieldLabels !== undefined && Object.hasOwn(strategy.fieldLabels, field));
    if (!known) throw badRequest(strategy.fieldLabelError?.(field) ?? `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`);
  }
  const selected = fields?.exact('metadata.name');
  if (name !== '' && fields && selected !== name) throw badRequest("fieldSelector metadata.name doesn't match requested name");
  const single = name !== '' ? name : selected;
  const wantedNamespace = fields?.exact('metadata.namespace');
  if (namespace === '' && namespaced && wantedNamespace !== undefined && wantedNamespace !== '') namespace = wantedNamespace;

  let index: Selection['index'];
  for (const indexName of Object.keys(strategy.indexes ?? {})) {
    const value = fields?.exact(indexName);
    if (value !== undefined && value !== '') index = { name: indexName, value };
  }
  const byLabel = labels.requirements.length > 0;
  if (fields && single !== undefined && fields.requirements.length === 1) fields = fieldSelectorOf([]);
  const terms = fields && fields.requirements.length > 0 ? fields : undefined;
  return {
    namespace: namespaced ? namespace : '', name: single, index, label: index ? undefined : labelOf(labels),
    all: !byLabel && !terms && single === undefined,
    selective: byLabel || (options.fields?.requirements.length ?? 0) > 0,
    matches(object) {
      if (single !== undefined && object.metadata?.name !== single) return false;
      if (byLabel && !labels.matches(object.metadata?.labels)) return false;
      return !terms || terms.matches((field) => {
        if (field === 'metadata.name') return object.metadata?.name ?? '';
        if (field === 'metadata.namespace') return object.metadata?.namespace ?? '';
        return strategy.fieldLabels?.[field]?.(object) ?? '';
      });
    },
  };
}

/** What the cache holds now of what may be selected, in key order; `matches` decides. */
export function selected(served: Served, { namespace, name, index, label }: Selection): CachedObject[] {
  if (!served.stored) throw new Error(`${served.id} is not stored`);
  const { cache } = served.stored;
  if (name !== undefined && (namespace !== '' || !served.row.namespaced)) {
    const one = cache.get(namespace, name);
    return one ? [one] : [];
  }
  return cache.list({ ...(namespace === '' ? {} : { namespace }), ...(index ? { index } : {}), ...(label ? { label } : {}) });
}

function labelOf({ requirements }: ListOptions['labels']): Selection['label'] {
  for (const { key, operator, values } of requirements) {
    const [value] = values;
    if ((operator === '=' || operator === '==' || operator === 'in') && value !== undefined && values.length === 1) return { key, value };
  }
  return undefined;
}
