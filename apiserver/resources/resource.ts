// A row of the table of resources and the rules of a kind (its strategy). Handlers hold the order of steps; a strategy
// holds what is special. registry.ts lists all rows; custom resources add rows of the same shape at run time.
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import type { RequestContext } from '../request.ts';

export interface Column {
  name: string;
  type: string;
  format: string;
  description: string;
  /** 1: shown with -o wide only. */
  priority: number;
}

/** The moment's facts for a cell: ages are relative to `now` (milliseconds). */
export type Cells = (object: Readonly<KubeObject>, now: number) => unknown[];

export interface RowCondition { type: 'Completed'; status: 'True'; reason: string; message: string }

export interface WriteContext {
  readonly request: RequestContext;
  readonly now: number;
  readonly dryRun: boolean;
  /** Current objects of other kinds, from the watch cache; undefined when there is none. */
  lookup(resourceId: string, namespace: string, name: string): Readonly<KubeObject> | undefined;
  list(resourceId: string, namespace: string): readonly Readonly<KubeObject>[];
}

/** Takes back what an allocation took; called when the write did not happen. */
export interface Reservation {
  commit(): Promise<void>;
  release(): Promise<void>;
}

/** All members optional: without them a kind is stored as it comes. All change the object in place. */
export interface Strategy {
  /** Defaults of the type; runs on every decoding (requests, stored objects, after patches), so it must be idempotent. */
  default?(object: KubeObject): void;
  /** After admission: clears status, sets initial values. */
  prepareForCreate?(object: KubeObject, context: WriteContext): void;
  /** On the main resource: keeps status from `old`, and what else clients cannot change. Generation is raised by the handler; it holds the old one here, and kinds with a rule of their own may raise it. */
  prepareForUpdate?(object: KubeObject, old: Readonly<KubeObject>, context: WriteContext): void;
  /** Brings in what `validate` needs and most servers never do; awaited before it when there is something. */
  load?(object: Readonly<KubeObject>): Promise<void> | undefined;
  /** On creates and updates; `old` tells which, for rules that spare what is stored already. */
  validate?(object: KubeObject, context: WriteContext, old?: Readonly<KubeObject>): FieldError[];
  /** What updates have on top of `validate`. */
  validateUpdate?(object: KubeObject, old: Readonly<KubeObject>, context: WriteContext): FieldError[];
  /** Warnings as upstream sends them in `Warning` headers. */
  warnings?(object: KubeObject, old: Readonly<KubeObject> | undefined): string[];
  /** Takes what must be unique in the cluster (cluster IPs, node ports). `old` is undefined on create, `object` on delete. */
  allocate?(object: KubeObject | undefined, old: Readonly<KubeObject> | undefined, context: WriteContext): Promise<Reservation | undefined>;
  /** The status subresource; absent: everything but status is taken from old. */
  status?: {
    prepareForUpdate?(object: KubeObject, old: Readonly<KubeObject>, context: WriteContext): void;
    validateUpdate?(object: KubeObject, old: Readonly<KubeObject>, context: WriteContext): FieldError[];
    warnings?(object: KubeObject, old: Readonly<KubeObject>): string[];
  };
  /** Other subresources that take the whole object (`finalize`, `ephemeralcontainers`, `resize`): what such a write may change. */
  subresources?: Record<string, {
    prepareForUpdate(object: KubeObject, old: Readonly<KubeObject>, context: WriteContext): void;
    validateUpdate?(object: KubeObject, old: Readonly<KubeObject>, context: WriteContext): FieldError[];
  }>;
  /** Metadata.generation: 'spec' raises it when anything beside metadata and status changed; 'none' leaves it out. Default none. */
  generation?: 'spec' | 'none';
  /** PUT of a name that does not exist creates it (upstream's AllowCreateOnUpdate). */
  createOnUpdate?: boolean;
  /** PUT without resourceVersion is allowed (default true, as most kinds upstream). */
  unconditionalUpdate?: boolean;
  /**
   * Graceful deletion: seconds to keep the object around with a deletionTimestamp, or undefined to delete at once.
   * `asked` is the client's gracePeriodSeconds. Pods: facts on updates.
   */
  gracePeriodSeconds?(object: Readonly<KubeObject>, asked: number | undefined): number | undefined;
  /** Objects go away by themselves after this many seconds (Events). */
  ttlSeconds?: number;
  columns?: Column[];
  cells?: Cells;
  /** What a table says of a whole row: that a pod has ended, which clients may grey out. */
  rowConditions?: (object: Readonly<KubeObject>) => readonly RowCondition[];
  /** Field selectors beside metadata.name and metadata.namespace: label -> value of an object. */
  fieldLabels?: Record<string, (object: Readonly<KubeObject>) => string>;
  /** Upstream's text for a field selector that is not supported, `{label}` filled in. */
  fieldLabelError?: (label: string) => string;
  /** Name rule of metadata.name (default: DNS subdomain). Returns texts as upstream's NameIs… functions do. */
  validateName?(name: string, prefix: boolean): string[];
  /** For resources with a scale subresource: where its numbers live. */
  scale?: { specReplicas: string; statusReplicas: string; selector: (object: Readonly<KubeObject>) => string };
  /** Cache indexes, see storage/cache.ts. */
  indexes?: Record<string, (object: KubeObject) => string[]>;
}

export interface SubresourceRow {
  name: string;
  verbs: readonly string[];
  /** Kind of the body where it differs from the resource's (`Scale`, `Binding`). */
  kind?: string;
  /** `policy/v1` where it differs. */
  groupVersion?: string;
  connect?: boolean;
}

/** Between a version and the stored one. May work in place. */
export interface Convert {
  toStored(object: KubeObject): KubeObject;
  fromStored(object: KubeObject): KubeObject;
}

export interface ResourceRow {
  group: string;
  version: string;
  resource: string;
  singular: string;
  kind: string;
  listKind: string;
  /** Items of JSON lists bear kind and apiVersion, as those of custom resources do. */
  itemsNameKind?: boolean;
  namespaced: boolean;
  verbs: readonly string[];
  shortNames: readonly string[];
  categories: readonly string[];
  subresources: readonly SubresourceRow[];
  storageVersionHash?: string;
  /** Where objects are stored: `/registry/pods/`; undefined for kinds that are only ever answered (reviews, bindings). */
  storagePrefix?: string;
  /** Only stored: versions that are switched on share its store, it is not switched on itself. */
  unserved?: true;
  /** What every request for it is warned of. */
  deprecation?: string;
  /** Resource id whose store this one shares in another version or group (events.k8s.io, autoscaling/v1). */
  storedAs?: string;
  /** Objects between this version and the stored one; in place is allowed. Absent: only apiVersion and kind differ. */
  convert?: Convert;
  strategy: Strategy;
}

/** `pods`, `deployments.apps`: a resource without its version. */
export function resourceId(row: { group: string; resource: string }): string {
  return row.group === '' ? row.resource : `${row.resource}.${row.group}`;
}
