// The request context: what the filters know so far. Costly members are made when somebody asks for them.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { AuditTrail } from '../audit/trail.ts';
import type { RequestContext, RequestInfo, UserInfo } from '../request.ts';
import { requestInfo } from './request-info.ts';
import { badRequest } from '#machinery/api/status.ts';

export interface Watching {
  sent(events: number, bytes: number): void;
  /** The initial events are out. */
  listed(): void;
  /** The client did not keep up and is cut off. */
  tooSlow(): void;
}

export class RequestState implements RequestContext {
  readonly request: IncomingMessage;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly warnings: string[] = [];
  readonly receivedAt = Date.now();
  deadline?: number;
  readonly started = performance.now();
  /** Time in the line for a place. */
  waitedMs = 0;
  /** Of the answer's body, before compression. */
  answerBytes = 0;
  /** Whom a watch tells what it sent. */
  watching: Watching | undefined;
  user: UserInfo | undefined;
  impersonator?: UserInfo;
  audit: AuditTrail | undefined;
  #id: string | undefined;
  #url: URL | undefined;
  #abort: AbortController | undefined;
  #reason: unknown;
  #ended = false;
  #annotations: Map<string, string> | undefined;

  /** Throws 400 for a path that cannot be decoded. */
  constructor(request: IncomingMessage) {
    this.request = request;
    const target = request.url ?? '/';
    const mark = target.indexOf('?');
    let path = mark < 0 ? target : target.slice(0, mark);
    this.query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1));
    if (path.includes('%')) {
      try {
        path = decodeURIComponent(path);
      } catch {
        throw badRequest('the path is not properly escaped');
      }
    }
    this.info = requestInfo(request.method ?? 'GET', path, this.query);
  }

  get id(): string {
    const given = this.request.headers['audit-id'];
    return this.#id ??= typeof given === 'string' && given !== '' ? given : randomUUID();
  }
  get url(): URL {
    return this.#url ??= new URL(this.request.url ?? '/', 'https://apiserver');
  }
  get annotations(): Map<string, string> {
    return this.#annotations ??= new Map();
  }
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#ended) this.#abort.abort(this.#reason);
    }
    return this.#abort.signal;
  }
  get ended(): boolean {
    return this.#ended;
  }
  get reason(): unknown {
    return this.#reason;
  }
  /** Ends the request's waiting: the client left, time is up, the server stops. */
  abort(reason: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reason = reason;
    this.#abort?.abort(reason);
  }
}

/** A context for writes that come from inside the server. */
export function internalContext(user: UserInfo, signal: AbortSignal): RequestContext {
  return {
    id: 'internal',
    request: undefined as unknown as IncomingMessage, // nothing below the filters reads headers of internal writes
    url: new URL('https://apiserver/'),
    info: { isResourceRequest: true, path: '', verb: '', apiPrefix: '', group: '', version: '', namespace: '', resource: '', subresource: '', name: '', parts: [] },
    user, signal, warnings: [], receivedAt: Date.now(), annotations: new Map(),
  };
}
