// Annotations that admission leaves on audit events. Upstream: apiserver/pkg/admission/attributes.go.
import { createLogger } from '#machinery/base/log.ts';
import { qualifiedNameErrors } from '#machinery/api/names.ts';
import type { RequestContext } from '../request.ts';

const log = createLogger('admission');

/** The first value of a key stays. A key that is no qualified name with a prefix is refused, which is logged and harms nobody. */
export function annotate({ audit, annotations }: RequestContext, key: string, value: string): void {
  if (!audit) return;
  const problem = key.split('/').length !== 2 ? 'it has no prefix' : qualifiedNameErrors(key).join(',');
  const before = annotations.get(key);
  if (problem !== '') log.warn('an audit annotation cannot be set', { key, problem });
  else if (before !== undefined && before !== value) log.warn('an audit annotation is there already', { key });
  else annotations.set(key, value);
}

export function warn({ warnings }: RequestContext, text: string): void {
  if (text !== '' && !warnings.includes(text)) warnings.push(text);
}
