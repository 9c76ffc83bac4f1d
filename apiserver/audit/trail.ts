// What one request leaves in the audit log: the filter chain tells the stages it reaches, handlers the bodies they read and
// send. Kept on the request's context only when a rule of the policy asks for it. Upstream: apiserver/pkg/audit/{context,request}.go.
import { isIP } from 'node:net';
import type { IncomingMessage } from 'node:http';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Status } from '#machinery/api/status.ts';
import type { RequestContext, UserInfo } from '../request.ts';
import { auditUser, levels, microTime } from './event.ts';
import type { AuditEvent, ObjectRef, ResponseStatus, Stage } from './event.ts';
import type { Rule } from './policy.ts';
import { copyJson } from '../patch/json-value.ts';

const maxUserAgent = 1024;
const micros = (): number => performance.timeOrigin + performance.now();

export class AuditTrail {
  readonly #rule: Rule;
  readonly #context: RequestContext;
  readonly #emit: (event: AuditEvent) => boolean;
  readonly #user: UserInfo | undefined;
  readonly #received: number;
  readonly #rank: number;
  readonly #uri: string;
  readonly #ref: ObjectRef | undefined;
  #status: ResponseStatus | undefined;
  #requestObject: unknown;
  #responseObject: unknown;

  /** The user is the one who authenticated; whom it acts as shows when the context has it. */
  constructor(rule: Rule, context: RequestContext, emit: (event: AuditEvent) => boolean) {
    this.#rule = rule;
    this.#context = context;
    this.#emit = emit;
    this.#user = context.user;
    this.#received = context.receivedAt;
    this.#rank = levels.indexOf(rule.level);
    this.#uri = context.request.url ?? '';
    const { info } = context;
    if (info.isResourceRequest) {
      this.#ref = {
        ...only('resource', info.resource), ...only('namespace', info.namespace), ...only('name', info.name),
        ...only('apiGroup', info.group), ...only('apiVersion', info.version), ...only('subresource', info.subresource),
      };
    }
  }

  /** False: the event could not be stored, and the mode is to refuse the request then. */
  stage(stage: Stage): boolean {
    if (this.#rule.omitStages.includes(stage)) return true;
    return this.#emit(this.#event(stage));
  }
  /** The answer's code, where no Status says more. */
  answered(code: number): void {
    this.#status = { ...this.#status ?? { metadata: {} }, code };
  }
  /** The answer is a Status. */
  failed(status: Status): void {
    this.#setStatus(status);
    if (this.#rank >= 3) this.#responseObject = status;
  }
  /** The client left before there was an answer; upstream's words. */
  closedEarly(): void {
    this.#status = { metadata: {}, status: 'Success', message: 'Connection closed early', code: 200 };
  }

  /** The body as an object; called again with a better one, that counts. */
  requestObject(object: Readonly<KubeObject>): void {
    const ref = this.#ref;
    const metadata = object.metadata as Record<string, unknown> | undefined;
    if (ref && metadata) {
      for (const [field, value] of [['namespace', metadata['namespace']], ['name', metadata['name']], ['uid', metadata['uid']], ['resourceVersion', metadata['resourceVersion']]] as const) {
        if (typeof value === 'string' && value !== '') ref[field] ??= value;
      }
    }
    // Admission and strategies change the object later on.
    if (this.#rank >= 2) this.#requestObject = this.#shown(copyJson(object) as unknown);
  }
  requestPatch(patch: unknown): void {
    if (this.#rank >= 2) this.#requestObject = patch;
  }
  get wantsRequest(): boolean {
    return this.#rank >= 2;
  }
  get wantsResponse(): boolean {
    return this.#rank >= 3;
  }
  /** The JSON of the answer, before it takes the form that the client asked for. */
  responseObject(body: Buffer | string): void {
    const head = typeof body === 'string' ? body.slice(0, 40) : body.toString('latin1', 0, 40);
    const status = head.startsWith('{"kind":"Status"') || head.startsWith('{"apiVersion":"v1","kind":"Status"');
    if (!status && this.#rank < 3) return;
    const object: unknown = JSON.parse(body.toString());
    if (status) this.#setStatus(object as Status); // what was checked is that it begins like one
    if (this.#rank >= 3) this.#responseObject = this.#shown(object);
  }

  #setStatus({ status, message, reason, details, code }: Partial<Status>): void {
    this.#status = {
      metadata: {}, ...(status ? { status } : {}), ...(message ? { message } : {}), ...(reason ? { reason } : {}), ...(details ? { details } : {}), ...(code ? { code } : {}),
    };
  }
  #shown(object: unknown): unknown {
    if (this.#rule.omitManagedFields) dropManagedFields(object);
    return object;
  }

  #event(stage: Stage): AuditEvent {
    const { request, info, annotations, impersonator, user } = this.#context;
    const agent = request.headers['user-agent'] ?? '';
    const ips = sourceIPs(request);
    const at = stage === 'RequestReceived' ? this.#received : Math.max(this.#received, micros());
    return {
      kind: 'Event', apiVersion: 'audit.k8s.io/v1', level: this.#rule.level, auditID: this.#context.id, stage, requestURI: this.#uri, verb: info.verb,
      user: this.#user ? auditUser(this.#user) : {},
      ...(impersonator && user ? { impersonatedUser: auditUser(user) } : {}),
      ...(ips.length > 0 ? { sourceIPs: ips } : {}),
      ...(agent === '' ? {} : { userAgent: agent.length > maxUserAgent ? `${agent.slice(0, maxUserAgent)}...TRUNCATED` : agent }),
      ...(this.#ref ? { objectRef: { ...this.#ref } } : {}),
      ...(this.#status ? { responseStatus: this.#status } : {}),
      ...(this.#requestObject === undefined ? {} : { requestObject: this.#requestObject }),
      ...(this.#responseObject === undefined ? {} : { responseObject: this.#responseObject }),
      requestReceivedTimestamp: microTime(this.#received), stageTimestamp: microTime(at),
      ...(annotations.size > 0 ? { annotations: Object.fromEntries([...annotations].sort(([a], [b]) => (a < b ? -1 : 1))) } : {}),
    };
  }
}

function only(key: keyof ObjectRef, value: string): ObjectRef {
  return value === '' ? {} : { [key]: value };
}

/** X-Forwarded-For, X-Real-Ip, then who is really connected; all but the last are the client's word. */
export function sourceIPs({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>): string[] {
  const ips = String(headers['x-forwarded-for'] ?? '').split(',').map((part) => part.trim()).filter((part) => isIP(part) !== 0);
  const real = String(headers['x-real-ip'] ?? '').trim();
  if (isIP(real) !== 0 && !ips.includes(real)) ips.push(real);
  const remote = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');
  if (isIP(remote) !== 0 && ips.at(-1) !== remote) ips.push(remote);
  return ips;
}

/** Of an object, of a list's items, and of what the rows of a Table carry. */
function dropManagedFields(object: unknown): void {
  if (typeof object !== 'object' || object === null) return;
  const { metadata, items, rows } = object as { metadata?: unknown; items?: unknown; rows?: unknown };
  if (typeof metadata === 'object' && metadata !== null) delete (metadata as Record<string, unknown>)['managedFields'];
  if (Array.isArray(items)) for (const item of items) dropManagedFields(item);
  if (Array.isArray(rows)) for (const row of rows as { object?: unknown }[]) dropManagedFields(row.object);
}
