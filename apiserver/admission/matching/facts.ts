// What a webhook is told of a write beside its objects, and what expressions read as `request`.
import type { AdmissionAttributes } from '../admission.ts';
import type { AdmissionRequest, Form } from './request.ts';

const kinds = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' } as const;

/** Connections have none; a write from inside the server has those that nothing is said in. */
function optionsOf({ operation, options }: AdmissionAttributes): unknown {
  if (operation === 'CONNECT') return null;
  return 'kind' in options ? options : { kind: kinds[operation], apiVersion: 'meta.k8s.io/v1' };
}

export function requestFacts(request: AdmissionRequest, form: Form): Record<string, unknown> {
  const { operation, subresource, name, user, dryRun } = request.attributes;
  const { namespace, form: sent } = request;
  const { uid, groups, extra } = user;
  return {
    kind: form.kind, resource: form.resource, ...only('subResource', subresource),
    requestKind: sent.kind, requestResource: sent.resource, ...only('requestSubResource', subresource),
    ...only('name', name), ...only('namespace', namespace), operation,
    userInfo: { username: user.name, ...(uid === undefined ? {} : { uid }), ...(groups.length > 0 ? { groups } : {}), ...(extra && Object.keys(extra).length > 0 ? { extra } : {}) },
    dryRun, options: optionsOf(request.attributes),
  };
}

const only = (field: string, value: string): Record<string, string> => (value === '' ? {} : { [field]: value });
