// The audit step of the chain: when a request's stages are told. Upstream: endpoints/filters/{audit,authn_audit}.go.
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { internalError } from '#machinery/api/status.ts';
import type { Auditor } from '../audit/auditor.ts';
import type { RequestState } from './context.ts';
import { PlainError, statusOf } from './errors.ts';

/** After authentication. Throws 500 when the mode is to refuse what cannot be told. */
export function beginAudit(auditor: Auditor, context: RequestState): void {
  context.audit = auditor.begin(context);
  if (context.audit && !context.audit.stage('RequestReceived')) {
    auditor.counts.rejected += 1;
    throw internalError('failed to store audit event');
  }
}

/** A long-running request is told of when its answer begins: this is called with the code then. */
export function whenAnswerBegins(response: ServerResponse, told: (code: number) => void): void {
  const original = response.writeHead.bind(response);
  const writeHead = (code: number, ...rest: unknown[]): ServerResponse => {
    response.writeHead = original;
    told(code);
    return Reflect.apply(original, response, [code, ...rest]) as ServerResponse;
  };
  response.writeHead = writeHead;
}
/** The same for a connection that is upgraded: the first that is written to it is an answer's head. */
export function whenUpgradeAnswers(socket: Duplex, told: (code: number) => void): void {
  const original = socket.write.bind(socket);
  const write = (...args: unknown[]): boolean => {
    socket.write = original;
    const code = /^HTTP\/1\.\d (\d{3})/.exec(String(args[0]).slice(0, 12))?.[1];
    if (code !== undefined) told(Number(code));
    return Reflect.apply(original, socket, args) as boolean;
  };
  socket.write = write;
}

/** What the trail says of a refusal; to be called before the answer is written. */
export function auditRefusal(context: RequestState, error: unknown, told: ReturnType<typeof statusOf>): void {
  if (error instanceof PlainError) context.audit?.answered(error.code);
  else context.audit?.failed(told);
}

/** One that was refused before its caller was known: there is the one event, at the beginning of the answer. */
export function auditUnknownCaller(auditor: Auditor, context: RequestState, error: unknown): void {
  const trail = auditor.begin(context);
  if (!trail) return;
  trail.failed(statusOf(error));
  trail.stage('ResponseStarted');
}

/** At the end, whatever it was. */
export function endAudit(context: RequestState, response: ServerResponse, refused: boolean): void {
  const trail = context.audit;
  if (!trail) return;
  if (!refused) {
    if (response.headersSent) trail.answered(response.statusCode);
    else trail.closedEarly();
  }
  trail.stage('ResponseComplete');
}
