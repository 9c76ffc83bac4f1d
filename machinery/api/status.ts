// The one error that travels: a Status, with a constructor by reason. Shapes and texts: apimachinery's api/errors.

export interface StatusCause { reason?: string; message?: string; field?: string }
export interface StatusDetails { name?: string; group?: string; kind?: string; uid?: string; causes?: StatusCause[]; retryAfterSeconds?: number }
export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: Record<string, unknown>;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: StatusDetails;
  code: number;
}

/** A refusal with its HTTP code; `status` is the body as sent. */
export class StatusError extends Error {
  override name = 'StatusError';
  readonly status: Status;
  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.status = {
      kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message,
      ...(reason === '' ? {} : { reason }), ...(details ? { details } : {}), code,
    };
  }
  /** A Status that came from elsewhere (a client's answer, an ERROR event). */
  static from(status: Partial<Status>): StatusError {
    return new StatusError(status.code ?? 500, status.reason ?? '', status.message ?? 'unknown error', status.details);
  }
}

/** The resource an error speaks of: `pods`, or `deployments.apps` with a group. */
export interface ResourceName { group: string; resource: string }
export function qualifiedResource({ group, resource }: ResourceName): string {
  return group === '' ? resource : `${resource}.${group}`;
}
function about(r: ResourceName, name: string): StatusDetails {
  return { ...(name === '' ? {} : { name }), ...(r.group === '' ? {} : { group: r.group }), kind: r.resource };
}

export const notFound = (r: ResourceName, name: string): StatusError =>
  new StatusError(404, 'NotFound', `${qualifiedResource(r)} "${name}" not found`, about(r, name));
export const alreadyExists = (r: ResourceName, name: string): StatusError =>
  new StatusError(409, 'AlreadyExists', `${qualifiedResource(r)} "${name}" already exists`, about(r, name));
export const conflict = (r: ResourceName, name: string, why: string): StatusError =>
  new StatusError(409, 'Conflict', `Operation cannot be fulfilled on ${qualifiedResource(r)} "${name}": ${why}`, about(r, name));
/** The conflict of a stale resourceVersion. */
export const staleConflict = (r: ResourceName, name: string): StatusError =>
  conflict(r, name, 'the object has been modified; please apply your changes to the latest version and try again');
export const forbidden = (r: ResourceName, name: string, why: string, causes?: StatusCause[]): StatusError =>
  new StatusError(403, 'Forbidden', r.resource === '' ? `forbidden: ${why}` : `${qualifiedResource(r)}${name === '' ? '' : ` "${name}"`} is forbidden: ${why}`,
    { ...about(r, name), ...(causes ? { causes } : {}) });
export const unauthorized = (message = 'Unauthorized'): StatusError => new StatusError(401, 'Unauthorized', message);
export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message);
export const methodNotSupported = (r: ResourceName, verb: string): StatusError =>
  new StatusError(405, 'MethodNotAllowed', `${verb} is not supported on resources of kind "${qualifiedResource(r)}"`, about(r, ''));
export const gone = (message: string): StatusError => new StatusError(410, 'Expired', message);
export const internalError = (message: string): StatusError =>
  new StatusError(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] });
export const serviceUnavailable = (message: string): StatusError => new StatusError(503, 'ServiceUnavailable', message);
export const timeoutError = (message: string, retryAfterSeconds?: number): StatusError =>
  new StatusError(504, 'Timeout', `Timeout: ${message}`, retryAfterSeconds === undefined ? undefined : { retryAfterSeconds });
export const tooManyRequests = (message: string, retryAfterSeconds: number): StatusError =>
  new StatusError(429, 'TooManyRequests', message, { retryAfterSeconds });
export const requestTooLarge = (message: string): StatusError => new StatusError(413, 'RequestEntityTooLarge', `Request entity is too large: ${message}`);
export const unsupportedMediaType = (message: string): StatusError => new StatusError(415, 'UnsupportedMediaType', message);
export const notAcceptable = (message: string): StatusError => new StatusError(406, 'NotAcceptable', message);

/** One thing wrong with one field. Texts by type: facts on validation ("wire"). */
export type FieldErrorType = 'Required' | 'Invalid' | 'TypeInvalid' | 'NotSupported' | 'Duplicate' | 'NotFound' | 'Forbidden' | 'TooLong' | 'TooMany' | 'Internal';
/** `omitValue`: the text says nothing of the value. */
export interface FieldError { type: FieldErrorType; field: string; value?: unknown; detail?: string; omitValue?: true }

const texts: Record<FieldErrorType, readonly [cause: string, text: string, showsValue: boolean]> = {
  Required: ['FieldValueRequired', 'Required value', false],
  Invalid: ['FieldValueInvalid', 'Invalid value', true],
  TypeInvalid: ['FieldValueTypeInvalid', 'Invalid value', true],
  NotSupported: ['FieldValueNotSupported', 'Unsupported value', true],
  Duplicate: ['FieldValueDuplicate', 'Duplicate value', true],
  NotFound: ['FieldValueNotFound', 'Not found', true],
  Forbidden: ['FieldValueForbidden', 'Forbidden', false],
  TooLong: ['FieldValueTooLong', 'Too long', false],
  TooMany: ['FieldValueTooMany', 'Too many', true],
  Internal: ['InternalError', 'Internal error', false],
};

/** The error without its field: `Invalid value: "x": must …`. */
export function fieldErrorBody(error: FieldError): string {
  const [, text, showsValue] = texts[error.type];
  const value = showsValue && !error.omitValue ? `: ${showValue(error.value)}` : '';
  return `${text}${value}${error.detail ? `: ${error.detail}` : ''}`;
}
function showValue(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  const json = JSON.stringify(value);
  // Go's JSON of lists and objects leaves no HTML.
  return typeof value === 'object' ? json.replaceAll(/[<>&]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`) : json;
}

/** 422 with every field error; `kind` is the kind's name, `name` may be empty. Duplicated messages are listed once. */
export function invalid(gk: { group: string; kind: string }, name: string, errors: readonly FieldError[]): StatusError {
  const messages = [...new Set(errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`))];
  const joined = messages.length === 1 ? messages[0] : `[${messages.join(', ')}]`;
  const qualified = gk.group === '' ? gk.kind : `${gk.kind}.${gk.group}`;
  return new StatusError(422, 'Invalid', `${qualified} "${name}" is invalid: ${joined}`, {
    ...(name === '' ? {} : { name }), ...(gk.group === '' ? {} : { group: gk.group }), kind: gk.kind,
    causes: errors.map((error) => ({ reason: texts[error.type][0], message: fieldErrorBody(error), field: error.field })),
  });
}

const has = (reason: string) => (error: unknown): error is StatusError => error instanceof StatusError && error.status.reason === reason;
export const isNotFound = has('NotFound');
export const isConflict = has('Conflict');
export const isAlreadyExists = has('AlreadyExists');
export const isForbidden = has('Forbidden');
export const isInvalid = has('Invalid');
export const isExpired = (error: unknown): boolean =>
  error instanceof StatusError && (error.status.reason === 'Expired' || error.status.reason === 'Gone' || error.status.code === 410);
