// Impersonate-User, -Group, -Uid, -Extra-*: the caller acts as somebody else, if each part may be impersonated (verb
// `impersonate`). Upstream: endpoints/filters/impersonation/impersonation.go. Constrained impersonation (KEP 5284) is left out.
import type { IncomingHttpHeaders } from 'node:http';
import { badRequest, internalError } from '#machinery/api/status.ts';
import {
  anonymousUser, authenticatedGroup, serviceAccountGroups, splitServiceAccountUsername, unauthenticatedGroup,
} from '../auth/identity.ts';
import type { RequestContext, RequestInfo, UserInfo } from '../request.ts';
import { forbiddenFor } from './forbidden.ts';
import type { Authorizer } from './seams.ts';

const extraPrefix = 'impersonate-extra-';
const authenticationGroup = 'authentication.k8s.io';

interface Asked { resource: string; group: string; namespace: string; name: string; subresource: string }

/** The step of the chain between authentication and authorization; changes nothing without the headers. */
export function impersonate(context: RequestContext, authorizer: Authorizer): Promise<void> | void {
  const { headers } = context.request;
  if (!isAsked(headers)) return;
  return become(context, authorizer);
}

function isAsked(headers: IncomingHttpHeaders): boolean {
  for (const name in headers) if (name.startsWith('impersonate-')) return true;
  return false;
}

async function become(context: RequestContext, authorizer: Authorizer): Promise<void> {
  const caller = context.user;
  if (caller === undefined) throw internalError('impersonation before authentication');
  const headers = context.request.headersDistinct; // repeated headers stay apart: group names may hold commas
  const name = headers['impersonate-user']?.[0] ?? '';
  const groups = [...(headers['impersonate-group'] ?? [])];
  const groupsGiven = groups.length > 0;
  const uid = headers['impersonate-uid']?.[0] ?? '';
  const extra: Record<string, string[]> = {};
  for (const [header, values] of Object.entries(headers)) {
    if (header.startsWith(extraPrefix) && values) extra[unescapeKey(header.slice(extraPrefix.length))] = values;
  }
  if (name === '') {
    if (groupsGiven || uid !== '' || Object.keys(extra).length > 0) throw badRequest('requested groups, a UID or extra without impersonating a user');
    return;
  }

  const account = splitServiceAccountUsername(name);
  const asked: Asked[] = [
    account === undefined
      ? { resource: 'users', group: '', namespace: '', name, subresource: '' }
      : { resource: 'serviceaccounts', group: '', namespace: account.namespace, name: account.name, subresource: '' },
    ...groups.map((group) => ({ resource: 'groups', group: '', namespace: '', name: group, subresource: '' })),
    ...Object.entries(extra).flatMap(([key, values]) =>
      values.map((value) => ({ resource: 'userextras', group: authenticationGroup, namespace: '', name: value, subresource: key }))),
    ...(uid === '' ? [] : [{ resource: 'uids', group: authenticationGroup, namespace: '', name: uid, subresource: '' }]),
  ];
  for (const one of asked) {
    const info: RequestInfo = {
      ...one, isResourceRequest: true, path: '', verb: 'impersonate', apiPrefix: one.group === '' ? 'api' : 'apis', version: 'v1', parts: [],
    };
    const decision = await authorizer.authorize(caller, info);
    if (!decision.allowed) throw forbiddenFor(caller, info, decision.reason);
  }

  if (account !== undefined && !groupsGiven) groups.push(...serviceAccountGroups(account.namespace));
  if (name === anonymousUser) {
    if (!groups.includes(unauthenticatedGroup)) groups.push(unauthenticatedGroup);
  } else if (!groups.includes(authenticatedGroup) && !groups.includes(unauthenticatedGroup)) groups.push(authenticatedGroup);
  const user: UserInfo = {
    name, groups, ...(uid === '' ? {} : { uid }), ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
  context.impersonator = caller;
  context.user = user;
  for (const header of Object.keys(context.request.headers)) if (header.startsWith('impersonate-')) delete context.request.headers[header];
}

function unescapeKey(text: string): string {
  try {
    return decodeURIComponent(text).toLowerCase();
  } catch {
    return text.toLowerCase(); // kept as it came, as upstream
  }
}
