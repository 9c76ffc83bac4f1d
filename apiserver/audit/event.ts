// The shape of an audit event (audit.k8s.io/v1), its members in the order of upstream's output, and its one-line text form.
import type { Status } from '#machinery/api/status.ts';
import type { UserInfo } from '../request.ts';

export const levels = ['None', 'Metadata', 'Request', 'RequestResponse'] as const;
export type Level = (typeof levels)[number];
export const stages = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const;
export type Stage = (typeof stages)[number];

export interface AuditUser { username?: string; uid?: string; groups?: readonly string[]; extra?: Readonly<Record<string, readonly string[]>> }
export interface ObjectRef {
  resource?: string; namespace?: string; name?: string; uid?: string; apiGroup?: string; apiVersion?: string; resourceVersion?: string; subresource?: string;
}
export interface ResponseStatus extends Partial<Pick<Status, 'status' | 'message' | 'reason' | 'details'>> { metadata: Record<string, never>; code?: number }

export interface AuditEvent {
  kind: 'Event';
  apiVersion: 'audit.k8s.io/v1';
  level: Level;
  auditID: string;
  stage: Stage;
  requestURI: string;
  verb: string;
  user: AuditUser;
  impersonatedUser?: AuditUser;
  sourceIPs?: readonly string[];
  userAgent?: string;
  objectRef?: ObjectRef;
  responseStatus?: ResponseStatus;
  requestObject?: unknown;
  responseObject?: unknown;
  requestReceivedTimestamp: string;
  stageTimestamp: string;
  annotations?: Record<string, string>;
}

export function auditUser({ name, uid, groups, extra }: UserInfo): AuditUser {
  return {
    ...(name === '' ? {} : { username: name }), ...(uid ? { uid } : {}), ...(groups.length > 0 ? { groups } : {}),
    ...(extra && Object.keys(extra).length > 0 ? { extra } : {}),
  };
}

/** `2026-01-02T15:04:05.123456Z` */
export function microTime(ms: number): string {
  const whole = Math.floor(ms);
  const micros = Math.floor((ms - whole) * 1000);
  return `${new Date(whole).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}

/** `--audit-log-format=legacy`. */
export function legacyLine(event: AuditEvent): string {
  const list = (items: readonly string[] | undefined): string => (items ?? []).map((item) => JSON.stringify(item)).join(',');
  const { user, impersonatedUser: as } = event;
  const quoted: [key: string, value: string][] = [
    ['id', event.auditID], ['stage', event.stage], ['ip', event.sourceIPs?.[0] ?? '<unknown>'], ['method', event.verb],
    ['user', user.username ?? '<none>'], ['groups', user.username && user.groups ? list(user.groups) : '<none>'],
    ['as', as ? as.username ?? '' : '<self>'], ['asgroups', as?.groups ? list(as.groups) : '<lookup>'],
    ['user-agent', event.userAgent ?? ''], ['namespace', event.objectRef?.namespace ?? '<none>'], ['uri', event.requestURI],
  ];
  const time = event.requestReceivedTimestamp.replace(/\.?0+Z$/, 'Z');
  return `${time} AUDIT: ${quoted.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(' ')} response="${event.responseStatus?.code ?? '<deferred>'}"`;
}
