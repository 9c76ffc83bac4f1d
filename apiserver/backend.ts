// What parts inside the API server (bootstrap, admission, token and review handlers, allocators) may use in process.
// Writes take the same path as requests of an internal superuser; no HTTP is involved.
import type { KubeObject, Stored } from '#machinery/api/object.ts';
import type { ApiserverConfig } from './config.ts';
import type { RequestContext } from './request.ts';
import type { ResourceRow } from './resources/resource.ts';
import type { WatchCache } from './storage/cache.ts';
import type { Storage } from './storage/storage.ts';
import type { AdmissionPlugin } from './admission/admission.ts';
import type { Authenticator, Authorizer } from './filters/seams.ts';

/** `namespace` is '' for cluster-scoped resources. All throw StatusError, as requests would. */
export interface BackendStore {
  /** From storage: sees every write that was acknowledged. */
  get(namespace: string, name: string): Promise<Stored<KubeObject>>;
  /** From the cache, brought up to date first. */
  list(namespace?: string): Promise<Stored<KubeObject>[]>;
  create(namespace: string, object: KubeObject, options?: { dryRun?: boolean }): Promise<Stored<KubeObject>>;
  update(namespace: string, name: string, object: KubeObject, options?: { subresource?: string; dryRun?: boolean }): Promise<Stored<KubeObject>>;
  /** Reads, changes, writes; again from the start on a conflict. `change` works in place on its own copy; false means leave it. */
  modify(namespace: string, name: string, change: (object: Stored<KubeObject>) => void | false, options?: { subresource?: string }): Promise<Stored<KubeObject>>;
  delete(namespace: string, name: string, options?: { uid?: string; resourceVersion?: string; gracePeriodSeconds?: number }): Promise<void>;
}

export interface Backend {
  /** The row of a resource id (`pods`, `deployments.apps`) in its preferred version. */
  row(resourceId: string): ResourceRow | undefined;
  rows(): readonly ResourceRow[];
  store(resourceId: string): BackendStore;
  /** The cache's current object; shared, never change it. Undefined also for unknown resources. */
  lookup(resourceId: string, namespace: string, name: string): Readonly<KubeObject> | undefined;
  /** The cache's current objects; `index` narrows by a secondary index of the row. */
  cached(resourceId: string, namespace?: string, index?: { name: string; value: string }): readonly Readonly<KubeObject>[];
  /** Resolves when the cache holds everything committed before the call. */
  refresh(signal: AbortSignal): Promise<void>;
  readonly cache: WatchCache;
  readonly storage: Storage;
}

/** What every factory of server parts is handed: createAuthenticator(deps), createAuthorizer(deps), admissionPlugins(deps), … */
export interface ServerDeps {
  readonly config: ApiserverConfig;
  readonly backend: Backend;
  /** Aborted when the server stops. */
  readonly signal: AbortSignal;
}

/** One call of a subresource or create-only kind that bypasses the store. */
export interface CustomRequest {
  readonly context: RequestContext;
  readonly row: ResourceRow;
  readonly namespace: string;
  /** Of the parent object; '' for create-only kinds. */
  readonly name: string;
  /** The decoded body (apiVersion and kind checked and filled in); undefined on GET. */
  readonly body: KubeObject | undefined;
  readonly dryRun: boolean;
}
/** Returns the object to answer with (201 on POST, 200 otherwise). */
export type CustomHandler = (request: CustomRequest) => Promise<KubeObject>;

/** Runs once before /readyz turns 200; /readyz shows it as `poststarthook/<name>`. Must be idempotent. */
export interface BootstrapStep {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
  /** Undone when the server begins to stop, while it still answers. */
  stop?(): Promise<void>;
}

/** Everything that server.ts is put together from; main.ts lists it. */
export interface ServerParts {
  authenticator: Authenticator;
  authorizer: Authorizer;
  /** In the order they run. */
  admission: readonly AdmissionPlugin[];
  /** Keys: `serviceaccounts/token` (a subresource), or the resource id of a create-only kind: `tokenreviews.authentication.k8s.io`. */
  customHandlers: ReadonlyMap<string, CustomHandler>;
  bootstrap: readonly BootstrapStep[];
}
