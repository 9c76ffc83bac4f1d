// Query parameters and DeleteOptions bodies, read and checked as upstream's *Options types are.
import { parseFieldSelector } from '#machinery/api/fields.ts';
import type { ParsedFieldSelector } from '#machinery/api/fields.ts';
import { everything, parseLabelSelector, SelectorError } from '#machinery/api/labels.ts';
import type { ParsedLabelSelector } from '#machinery/api/labels.ts';
import { badRequest, invalid } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { isTrue } from '../filters/request-info.ts';

const metaGroup = 'meta.k8s.io';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';
export interface WriteOptions {
  dryRun: boolean;
  fieldManager: string;
  fieldValidation: FieldValidation;
  force: boolean | undefined;
  /** As admission sees them. */
  asObject: Record<string, unknown>;
}

/** `kind`: CreateOptions, UpdateOptions, PatchOptions. */
export function writeOptions(query: URLSearchParams, kind: string, apply = false): WriteOptions {
  if (query.size === 0 && !apply) return { dryRun: false, fieldManager: '', fieldValidation: 'Warn', force: undefined, asObject: { kind, apiVersion: 'meta.k8s.io/v1' } };
  const dryRun = query.getAll('dryRun').filter((value) => value !== '');
  const fieldManager = query.get('fieldManager') ?? '';
  const validation = query.get('fieldValidation') ?? '';
  const force = query.get('force');
  const errors: FieldError[] = [];
  if (apply && fieldManager === '') errors.push({ type: 'Required', field: 'fieldManager', detail: 'is required for apply patch' });
  if (kind === 'PatchOptions' && !apply && force !== null) errors.push({ type: 'Forbidden', field: 'force', detail: 'may not be specified for non-apply patch' });
  if (Buffer.byteLength(fieldManager) > 128) errors.push({ type: 'TooLong', field: 'fieldManager', detail: 'may not be more than 128 bytes' });
  Array.from(fieldManager).forEach((character, at) => {
    if (/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(character)) {
      errors.push({ type: 'Invalid', field: 'fieldManager', value: fieldManager, detail: `invalid character U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')} (at position ${at})` });
    }
  });
  errors.push(...dryRunErrors(dryRun));
  if (!['', 'Ignore', 'Warn', 'Strict'].includes(validation)) {
    errors.push({ type: 'NotSupported', field: 'fieldValidation', value: validation, detail: 'supported values: "", "Ignore", "Strict", "Warn"' });
  }
  if (errors.length > 0) throw invalid({ group: metaGroup, kind }, '', errors);
  return {
    dryRun: dryRun.length > 0, fieldManager, force: force === null ? undefined : isTrue(force),
    fieldValidation: validation === '' ? 'Warn' : validation as FieldValidation, // one of the list above
    asObject: { kind, apiVersion: 'meta.k8s.io/v1', ...(dryRun.length > 0 ? { dryRun } : {}), ...(fieldManager ? { fieldManager } : {}), ...(validation ? { fieldValidation: validation } : {}) },
  };
}

function dryRunErrors(dryRun: readonly string[]): FieldError[] {
  return dryRun.every((value) => value === 'All') ? [] : [{ type: 'NotSupported', field: 'dryRun', value: dryRun, detail: 'supported values: "All"' }];
}

export interface DeleteOptions {
  gracePeriodSeconds: number | undefined;
  propagationPolicy: 'Orphan' | 'Background' | 'Foreground' | undefined;
  orphanDependents: boolean | undefined;
  uid: string | undefined;
  resourceVersion: string | undefined;
  dryRun: boolean;
  asObject: Record<string, unknown>;
}

/** `body` is the decoded body when there was one; it wins over the query. */
export function deleteOptions(query: URLSearchParams, body: Record<string, unknown> | undefined): DeleteOptions {
  const given = body ?? fromQuery(query);
  const bad = (field: string, what: string): never => {
    throw badRequest(`json: cannot unmarshal ${typeof given[field]} into Go struct field DeleteOptions.${field} of type ${what}`);
  };
  const grace = given['gracePeriodSeconds'] ?? undefined;
  if (grace !== undefined && !Number.isSafeInteger(grace)) bad('gracePeriodSeconds', 'int64');
  const policy = given['propagationPolicy'] ?? undefined;
  if (policy !== undefined && typeof policy !== 'string') bad('propagationPolicy', 'v1.DeletionPropagation');
  const orphan = given['orphanDependents'] ?? undefined;
  if (orphan !== undefined && typeof orphan !== 'boolean') bad('orphanDependents', 'bool');
  const preconditions = (given['preconditions'] ?? {}) as Record<string, unknown>; // members are checked next
  if (typeof preconditions !== 'object' || Array.isArray(preconditions)) bad('preconditions', 'v1.Preconditions');
  for (const member of ['uid', 'resourceVersion']) {
    if (preconditions[member] !== undefined && preconditions[member] !== null && typeof preconditions[member] !== 'string') bad(`preconditions.${member}`, 'string');
  }
  const dryRun = given['dryRun'] ?? [];
  if (!Array.isArray(dryRun) || !dryRun.every((value) => typeof value === 'string')) return bad('dryRun', 'string');

  const errors: FieldError[] = [];
  if (orphan !== undefined && policy !== undefined) {
    errors.push({ type: 'Invalid', field: 'propagationPolicy', value: policy, detail: 'orphanDependents and deletionPropagation cannot be both set' });
  }
  if (policy !== undefined && policy !== 'Foreground' && policy !== 'Background' && policy !== 'Orphan') {
    errors.push({ type: 'NotSupported', field: 'propagationPolicy', value: policy, detail: 'supported values: "Foreground", "Background", "Orphan", "nil"' });
  }
  errors.push(...dryRunErrors(dryRun as string[]));
  if (errors.length > 0) throw invalid({ group: metaGroup, kind: 'DeleteOptions' }, '', errors);
  return {
    gracePeriodSeconds: grace as number | undefined, // these four were checked above
    propagationPolicy: policy as DeleteOptions['propagationPolicy'],
    orphanDependents: orphan as boolean | undefined,
    uid: (preconditions['uid'] ?? undefined) as string | undefined,
    resourceVersion: (preconditions['resourceVersion'] ?? undefined) as string | undefined,
    dryRun: dryRun.length > 0,
    asObject: { ...given, kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1' },
  };
}

function fromQuery(query: URLSearchParams): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  const grace = query.get('gracePeriodSeconds');
  if (grace !== null) given['gracePeriodSeconds'] = wholeNumber(grace);
  if (query.has('propagationPolicy')) given['propagationPolicy'] = query.get('propagationPolicy');
  if (query.has('orphanDependents')) given['orphanDependents'] = isTrue(query.get('orphanDependents'));
  const dryRun = query.getAll('dryRun').filter((value) => value !== '');
  if (dryRun.length > 0) given['dryRun'] = dryRun;
  return given;
}

/** As Go's ParseInt reads 64 bits. */
function wholeNumber(text: string): number {
  const refuse = (why: string): Error => badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: ${why}`);
  if (!/^[+-]?\d+$/.test(text)) throw refuse('invalid syntax');
  if (BigInt.asIntN(64, BigInt(text)) !== BigInt(text)) throw refuse('value out of range');
  return Number(text);
}

export interface ListOptions {
  /** As the parameter says: the old `/watch/` paths are checked as lists are. */
  watch: boolean;
  labels: ParsedLabelSelector;
  fields: ParsedFieldSelector | undefined;
  limit: number;
  continue: string;
  resourceVersion: string;
  resourceVersionMatch: '' | 'Exact' | 'NotOlderThan';
  timeoutSeconds: number | undefined;
  allowWatchBookmarks: boolean;
  sendInitialEvents: boolean | undefined;
}

/** Field labels and resourceVersion are checked by the caller, who knows the kind and how its verb answers. */
export function listOptions(query: URLSearchParams): ListOptions {
  const options: ListOptions = {
    watch: isTrue(query.get('watch')), labels: everything, fields: undefined, limit: 0, continue: query.get('continue') ?? '',
    resourceVersion: query.get('resourceVersion') ?? '', resourceVersionMatch: '', timeoutSeconds: undefined,
    allowWatchBookmarks: isTrue(query.get('allowWatchBookmarks')),
    sendInitialEvents: query.has('sendInitialEvents') ? isTrue(query.get('sendInitialEvents')) : undefined,
  };
  if (query.size === 0) return options;
  try {
    options.labels = parseLabelSelector(query.get('labelSelector') ?? '');
    const fields = parseFieldSelector(query.get('fieldSelector') ?? '');
    if (fields.requirements.length > 0) options.fields = fields;
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
  const limit = query.get('limit');
  if (limit !== null) options.limit = Math.max(0, wholeNumber(limit)); // below 0 is no limit
  const timeout = query.get('timeoutSeconds');
  if (timeout !== null) options.timeoutSeconds = wholeNumber(timeout);
  const match = query.get('resourceVersionMatch') ?? '';
  const errors = options.watch ? watchErrors(options, match) : listErrors(options, match);
  if (errors.length > 0) throw invalid({ group: metaGroup, kind: 'ListOptions' }, '', errors);
  options.resourceVersionMatch = match as ListOptions['resourceVersionMatch']; // checked just now
  // A watch that names no version begins with what exists, which is what sendInitialEvents asks for (SetListOptionsDefaults).
  if (options.watch && options.sendInitialEvents === undefined && (options.resourceVersion === '' || options.resourceVersion === '0')) {
    options.sendInitialEvents = true;
    options.resourceVersionMatch = 'NotOlderThan';
  }
  return options;
}

function listErrors(options: ListOptions, match: string): FieldError[] {
  const errors: FieldError[] = [];
  const forbid = (detail: string, field = 'resourceVersionMatch') => errors.push({ type: 'Forbidden', field, detail });
  if (match !== '') {
    if (options.resourceVersion === '') forbid('resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (options.continue !== '') forbid('resourceVersionMatch is forbidden when continue is provided');
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      errors.push({ type: 'NotSupported', field: 'resourceVersionMatch', value: match, detail: 'supported values: "Exact", "NotOlderThan", ""' });
    }
    if (match === 'Exact' && options.resourceVersion === '0') forbid('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
  if (options.sendInitialEvents !== undefined) forbid('sendInitialEvents is forbidden for list', 'sendInitialEvents');
  return errors;
}

function watchErrors(options: ListOptions, match: string): FieldError[] {
  const errors: FieldError[] = [];
  const forbid = (detail: string) => errors.push({ type: 'Forbidden', field: 'resourceVersionMatch', detail });
  if (options.sendInitialEvents !== undefined && match !== 'NotOlderThan') forbid('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  if (match !== '') {
    if (options.sendInitialEvents === undefined) forbid('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
    if (match !== 'NotOlderThan') errors.push({ type: 'NotSupported', field: 'resourceVersionMatch', value: match, detail: 'supported values: "NotOlderThan"' });
    if (options.continue !== '') forbid('resourceVersionMatch is forbidden when continue is provided');
  }
  return errors;
}
