// From method and path to what is asked of which resource. Rules: apiserver's endpoints/request/requestinfo.go.
import { parseFieldSelector } from '#machinery/api/fields.ts';
import { pathSegmentErrors } from '#machinery/api/names.ts';
import type { RequestInfo } from '../request.ts';

const verbs: Readonly<Record<string, string>> = { POST: 'create', GET: 'get', HEAD: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };
const namespaceSubresources = new Set(['status', 'finalize']);

/** `path` is decoded and without the query; `query` is only looked at for lists, which may be watches. */
export function requestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const info: RequestInfo = {
    isResourceRequest: false, path, verb: method.toLowerCase(), apiPrefix: '', group: '', version: '', namespace: '', resource: '', subresource: '', name: '', parts: [],
  };
  let parts = splitPath(path);
  const prefix = parts[0] ?? '';
  if (parts.length < 3 || (prefix !== 'api' && prefix !== 'apis')) return info;
  if (prefix === 'apis') {
    if (parts.length < 4) return info;
    info.group = parts[1] ?? '';
    parts = parts.slice(2);
  } else parts = parts.slice(1);
  info.apiPrefix = prefix;
  info.isResourceRequest = true;
  info.version = parts[0] ?? '';
  parts = parts.slice(1);

  const byPath = parts[0] === 'watch' || parts[0] === 'proxy';
  if (byPath) {
    if (parts.length < 2) return info;
    info.verb = parts[0] ?? '';
    parts = parts.slice(1);
  } else info.verb = verbs[method] ?? '';

  if (parts[0] === 'namespaces' && parts.length > 1) {
    info.namespace = parts[1] ?? '';
    if (parts.length > 2 && !namespaceSubresources.has(parts[2] ?? '')) parts = parts.slice(2);
  }
  info.resource = parts[0] ?? '';
  info.name = parts[1] ?? '';
  if (info.verb !== 'proxy') info.subresource = parts[2] ?? '';
  info.parts = parts.slice(info.verb === 'proxy' ? 2 : 3);

  if (info.name === '' && info.verb === 'get') {
    info.verb = isTrue(query.get('watch')) ? 'watch' : 'list';
    info.name = selectedName(query) ?? '';
  }
  if (info.name === '' && info.verb === 'delete') info.verb = 'deletecollection';
  return info;
}

/** As Go reads a boolean parameter: anything but false, 0 and nothing. */
export function isTrue(text: string | null): boolean {
  return text !== null && text.toLowerCase() !== 'false' && text !== '0';
}

function selectedName(query: URLSearchParams): string | undefined {
  const text = query.get('fieldSelector');
  if (text === null) return undefined;
  try {
    const name = parseFieldSelector(text).exact('metadata.name');
    return name !== undefined && pathSegmentErrors(name, false).length === 0 ? name : undefined;
  } catch {
    return undefined; // the list handler parses it again and answers 400
  }
}

function splitPath(path: string): string[] {
  let start = 0;
  let end = path.length;
  while (start < end && path[start] === '/') start += 1;
  while (end > start && path[end - 1] === '/') end -= 1;
  return start === end ? [] : path.slice(start, end).split('/');
}
