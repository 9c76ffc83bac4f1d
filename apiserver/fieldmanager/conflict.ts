// What an applier is told whose fields it would have changed. Upstream: apimachinery's managedfields/internal/conflict.go.
import { StatusError } from '#machinery/api/status.ts';
import { printPaths } from './fields.ts';
import type { Fields } from './fields.ts';
import { compareText } from './path-element.ts';

/** Fields by the identifier of the manager who has them. */
export type Conflicts = Map<string, Fields>;

export function conflictError(conflicts: Conflicts): StatusError {
  const found = [...conflicts].sort(([a], [b]) => compareText(a, b)).map(([id, fields]) => ({ manager: printManager(id), paths: printPaths(fields) }));
  const causes = found.flatMap(({ manager, paths }) => paths.map((field) => ({ reason: 'FieldManagerConflict', message: `conflict with ${manager}`, field })));
  const [first] = found;
  const message = causes.length === 1 && first ? `Apply failed with 1 conflict: conflict with ${first.manager}: ${first.paths[0] ?? ''}`
    : `Apply failed with ${causes.length} conflicts: ${found.map(({ manager, paths }) => [`conflicts with ${manager}:`, ...paths.map((path) => `- ${path}`)].join('\n')).join('\n')}`;
  return new StatusError(409, 'Conflict', message, { causes });
}

function printManager(id: string): string {
  const { manager = '', operation, apiVersion = '', subresource = '' } = JSON.parse(id) as Record<string, string | undefined>; // made by identifierOf()
  const name = subresource === '' ? JSON.stringify(manager) : `${JSON.stringify(manager)} with subresource ${JSON.stringify(subresource)}`;
  return operation === 'Update' ? `${name} using ${apiVersion}` : name;
}
