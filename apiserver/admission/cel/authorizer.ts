// `authorizer` and `authorizer.requestResource` of expressions, answered by the server's own authorizer.
// Upstream: apiserver/pkg/cel/library/authz.go.
import { createAuthorizer, createResourceCheck } from '#machinery/cel/functions/authorizer.ts';
import type { CelAuthorizationCheck, CelDecision } from '#machinery/cel/functions/authorizer.ts';
import type { Authorizer, Decision } from '../../filters/seams.ts';
import type { RequestInfo, UserInfo } from '../../request.ts';
import type { AdmissionRequest } from '../matching/request.ts';

export function authorizerValues(authorizer: Authorizer, request: AdmissionRequest): Record<string, unknown> {
  const { user, subresource, name } = request.attributes;
  const { group, resource } = request.form.resource;
  const value = createAuthorizer(user, (check) => {
    const decision = authorizer.authorize(userOf(check), infoOf(check));
    return decision instanceof Promise ? decision.then(answer) : answer(decision);
  });
  return { 'authorizer': value, 'authorizer.requestResource': createResourceCheck(value, { group, resource, subresource, namespace: request.namespace, name }) };
}

const answer = ({ allowed, reason }: Decision): CelDecision => ({ allowed, reason });

function userOf({ user: { name, uid, groups = [], extra } }: CelAuthorizationCheck): UserInfo {
  return {
    name, groups: [...groups], ...(uid === undefined ? {} : { uid }),
    ...(extra ? { extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])) } : {}),
  };
}

function infoOf({ verb, path, group, resource, subresource, namespace, name, fieldSelector, labelSelector }: CelAuthorizationCheck): RequestInfo {
  return {
    isResourceRequest: path === undefined, path: path ?? '', verb, apiPrefix: group === '' ? 'api' : 'apis', group, version: '*', namespace, resource, subresource, name, parts: [],
    ...(fieldSelector === '' ? {} : { fieldSelector }), ...(labelSelector === '' ? {} : { labelSelector }),
  };
}
