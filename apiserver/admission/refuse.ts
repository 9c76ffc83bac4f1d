// The 403 of an admission plugin; upstream: apiserver/pkg/admission/errors.go.
import { forbidden, type StatusCause, type StatusError } from '#machinery/api/status.ts';
import type { AdmissionAttributes } from './admission.ts';

/** `{resource} "{name}" is forbidden: {why}`; before a name is generated, generateName or "Unknown" stands in. */
export function refuse(attributes: AdmissionAttributes, why: string, causes?: StatusCause[]): StatusError {
  const metadata = attributes.object?.metadata;
  const name = attributes.name || metadata?.name || metadata?.generateName || (attributes.object === undefined ? '' : 'Unknown');
  return forbidden({ group: attributes.row.group, resource: attributes.row.resource }, name, why, causes);
}
