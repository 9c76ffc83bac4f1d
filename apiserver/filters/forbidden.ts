// The text of a 403, as upstream words it.
import { forbidden } from '#machinery/api/status.ts';
import type { StatusError } from '#machinery/api/status.ts';
import type { RequestInfo, UserInfo } from '../request.ts';

export function forbiddenFor(user: UserInfo, info: RequestInfo, reason: string): StatusError {
  const text = escape(describe(user, info));
  return forbidden({ group: info.group, resource: info.resource }, info.name, reason === '' ? text : `${text}: ${reason}`);
}

function describe(user: UserInfo, info: RequestInfo): string {
  const who = JSON.stringify(user.name);
  if (!info.isResourceRequest) return `User ${who} cannot ${info.verb} path ${JSON.stringify(info.path)}`;
  const resource = JSON.stringify(info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`);
  const where = info.namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(info.namespace)}`;
  return `User ${who} cannot ${info.verb} resource ${resource} in API group ${JSON.stringify(info.group)} ${where}`;
}

/** Answers must not look like HTML. */
function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
