// Other shapes of objects: Table rows for `kubectl get`, PartialObjectMetadata for clients that want no more. Upstream: endpoints/handlers/response.go.
import type { KubeObject, ListMeta } from '#machinery/api/object.ts';
import { badRequest, notAcceptable } from '#machinery/api/status.ts';
import { goType } from '../decoding/go-names.ts';
import { metadataText } from '../storage/json-text.ts';
import type { Column, ResourceRow } from '../resources/resource.ts';
import type { Transform } from './negotiate.ts';

export type IncludeObject = 'Metadata' | 'Object' | 'None';

/** The query parameter of Tables; throws 400. */
export function includeObject(query: URLSearchParams): IncludeObject {
  const given = query.get('includeObject') ?? '';
  if (given === '') return 'Metadata';
  if (given === 'Metadata' || given === 'Object' || given === 'None') return given;
  throw badRequest(`Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(given)}: must be 'Metadata', 'Object', 'None', or empty`);
}

/** An object and, when at hand, its JSON. */
export interface Item { object: Readonly<KubeObject>; bytes?: Buffer }

const defaultColumns: Column[] = [
  { name: 'Name', type: 'string', format: 'name', description: 'Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names', priority: 0 },
  { name: 'Created At', type: 'date', format: '', description: 'CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata', priority: 0 },
];

/** The Table as JSON. Without `columns` only rows: events of a watch after the first. */
export function tableJson(row: ResourceRow, items: readonly Item[], version: Transform['version'], include: IncludeObject, list: ListMeta, now: number, columns = true): string {
  const { strategy } = row;
  const cells = strategy.cells ?? ((object: Readonly<KubeObject>) => [object.metadata?.name ?? '', object.metadata?.creationTimestamp ?? null]);
  const definitions = strategy.cells ? strategy.columns ?? [] : defaultColumns;
  const rows = items.map((item) => {
    const shown = include === 'None' ? 'null' : include === 'Object' ? item.bytes?.toString() ?? JSON.stringify(item.object) : partialJson(item, version);
    const conditions = strategy.rowConditions?.(item.object) ?? [];
    return `{"cells":${JSON.stringify(cells(item.object, now))},${conditions.length > 0 ? `"conditions":${JSON.stringify(conditions)},` : ''}"object":${shown}}`;
  });
  return `{"kind":"Table","apiVersion":"meta.k8s.io/${version}","metadata":${JSON.stringify(list)},"columnDefinitions":${columns ? JSON.stringify(definitions) : 'null'},"rows":[${rows.join(',')}]}`;
}

export function partialJson({ object, bytes }: Item, version: Transform['version']): string {
  const metadata = (bytes && metadataText(object, bytes)) ?? JSON.stringify(object.metadata ?? {});
  return `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/${version}","metadata":${metadata}}`;
}

/** One object in the form that was asked for. */
export function objectJson(row: ResourceRow, item: Item, transform: Transform | undefined, query: URLSearchParams, now: number): Buffer | string {
  if (!transform) return item.bytes ?? JSON.stringify(item.object);
  const { kind, version } = transform;
  if (kind === 'Table') return tableJson(row, [item], version, includeObject(query), listMetaOf(item), now);
  if (kind === 'PartialObjectMetadata') return partialJson(item, version);
  throw notAcceptable(`you requested PartialObjectMetadataList, but the requested object is not a list (${goType(row.group, row.kind)})`);
}

function listMetaOf({ object }: Item): ListMeta {
  const { resourceVersion } = object.metadata ?? {};
  return resourceVersion === undefined ? {} : { resourceVersion };
}
