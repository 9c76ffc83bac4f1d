// What is known of one request, filled in by the filters from top to bottom; handlers, admission and strategies read it.
import type { IncomingMessage } from 'node:http';
import type { AuditTrail } from './audit/trail.ts';

export interface UserInfo {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

/** Upstream: apiserver/pkg/endpoints/request/requestinfo.go. */
export interface RequestInfo {
  isResourceRequest: boolean;
  /** Without the query. */
  path: string;
  /** get list watch create update patch delete deletecollection; for non-resource requests the HTTP method in lower case. */
  verb: string;
  /** `api` or `apis`. */
  apiPrefix: string;
  group: string;
  version: string;
  namespace: string;
  resource: string;
  subresource: string;
  name: string;
  /** Path segments after the subresource (proxies). */
  parts: string[];
  /** The query's selectors on list, watch and deletecollection, unparsed; node authorization looks at them. */
  fieldSelector?: string;
  labelSelector?: string;
}

export interface RequestContext {
  readonly id: string;
  readonly request: IncomingMessage;
  readonly url: URL;
  readonly info: RequestInfo;
  user: UserInfo | undefined;
  /** The caller as authenticated when it impersonates someone else. */
  impersonator?: UserInfo;
  /** Aborted when the client goes away, the request's time is up or the server stops. */
  readonly signal: AbortSignal;
  /** Texts for `Warning: 299 - "…"` headers. */
  readonly warnings: string[];
  readonly receivedAt: number;
  /** When it has to be answered (milliseconds since the epoch); absent where nothing bounds it. */
  deadline?: number;
  /** Where the audit policy asks for one; absent without auditing, so that nothing is gathered for nobody. */
  audit?: AuditTrail | undefined;
  /** Audit annotations; only looked at when there is a trail. */
  readonly annotations: Map<string, string>;
}
