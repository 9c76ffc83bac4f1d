// For tests: takes an object through a kind's steps in the order of the handlers, without server or storage.
import type { KubeObject } from '#machinery/api/object.ts';
import { fieldErrorBody } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import * as expressions from '#machinery/cel/admission.ts';
import { provideExpressions } from './admissionregistration/expressions.ts';
import { validateObjectMeta, validateObjectMetaUpdate } from './meta.ts';
import { builtinRows } from './registry.ts';
import { resourceId } from './resource.ts';
import type { ResourceRow, WriteContext } from './resource.ts';
import { loadSelectors } from './resource/selectors.ts';

await loadSelectors();
export const now = Date.parse('2026-01-02T03:04:05Z');
const rows = [...builtinRows(), ...builtinRows({ runtimeConfig: { 'api/all': 'true' } })]; // what is usual comes first
provideExpressions(expressions);

/** `pods`, `deployments.apps`; the preferred version. */
export function rowOf(id: string): ResourceRow {
  const row = rows.find((one) => resourceId(one) === id);
  if (!row) throw new Error(`no row ${id}`);
  return row;
}

function contextOf(verb: string): WriteContext {
  // Strategies look at the verb and the user only.
  const request = { info: { verb }, user: { name: 'jane', groups: ['dev'] }, warnings: [] } as unknown as WriteContext['request'];
  return { request, now, dryRun: false, lookup: () => undefined, list: () => [] };
}
const show = (errors: readonly FieldError[]): string[] => errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);

export interface Outcome { object: KubeObject; errors: string[] }

/** What POST makes of an object, and what it says against it. */
export function create(id: string, given: unknown): Outcome {
  const row = rowOf(id);
  const { strategy } = row;
  const object = structuredClone(given) as KubeObject;
  object.apiVersion ??= row.group === '' ? row.version : `${row.group}/${row.version}`;
  object.kind ??= row.kind;
  strategy.default?.(object);
  const context = contextOf('create');
  strategy.prepareForCreate?.(object, context);
  const meta = { namespaced: row.namespaced, ...(strategy.validateName ? { nameFn: strategy.validateName.bind(strategy) } : {}) };
  return { object, errors: show([...validateObjectMeta(object.metadata, meta), ...(strategy.validate?.(object, context) ?? [])]) };
}

/** What PUT makes of a changed copy of `old`, which has to come from `create`. */
export function update(id: string, old: KubeObject, change: (object: KubeObject) => void, subresource = ''): Outcome {
  const { strategy } = rowOf(id);
  const stored: KubeObject = structuredClone({ ...old, metadata: { uid: 'u', resourceVersion: '1', ...old.metadata } });
  const object = structuredClone(stored);
  strategy.default?.(stored);
  change(object);
  strategy.default?.(object);
  const context = contextOf('update');
  let errors = validateObjectMetaUpdate(object.metadata ?? {}, stored.metadata ?? {});
  if (subresource === 'status') {
    strategy.status?.prepareForUpdate?.(object, stored, context);
    errors = [...errors, ...(strategy.status?.validateUpdate?.(object, stored, context) ?? [])];
  } else if (subresource !== '') {
    const rules = strategy.subresources?.[subresource];
    rules?.prepareForUpdate(object, stored, context);
    errors = [...errors, ...(rules?.validateUpdate?.(object, stored, context) ?? [])];
  } else {
    strategy.prepareForUpdate?.(object, stored, context);
    errors = [...errors, ...(strategy.validate?.(object, context, stored) ?? []), ...(strategy.validateUpdate?.(object, stored, context) ?? [])];
  }
  return { object, errors: show(errors) };
}
