// What can be done with each resource, from the table of resources: paths and operations in a form that both versions of OpenAPI are
// written from. Names of operations as upstream's, since client generators make method names of them.
import type { ResourceRow, SubresourceRow } from '../resources/resource.ts';

export interface GroupVersionKind { group: string; version: string; kind: string }
export type Method = 'get' | 'put' | 'post' | 'delete' | 'options' | 'head' | 'patch';

export interface Parameter {
  name: string;
  in: 'path' | 'query';
  type: 'string' | 'boolean' | 'integer';
  description: string;
}
/** What a body is: a kind, text of no kind, or what `/version` says. */
export type Body = GroupVersionKind | 'text' | 'version';

export interface Operation {
  method: Method;
  id: string;
  description: string;
  action: string;
  kind: GroupVersionKind;
  parameters: Parameter[];
  body?: { of: GroupVersionKind; required: boolean; contentTypes: readonly string[] };
  /** Types of a body that there is none of; upstream names some for the documents about the API itself. */
  consumes?: readonly string[];
  responses: { code: string; description: string; body?: Body }[];
  contentTypes: readonly string[];
}
export interface PathItem { path: string; parameters: Parameter[]; operations: Operation[] }

const objectTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'] as const;
const watchTypes = [...objectTypes, 'application/json;stream=watch', 'application/vnd.kubernetes.protobuf;stream=watch'] as const;
const patchTypes = ['application/json-patch+json', 'application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/apply-patch+yaml'] as const;
const anyTypes = ['*/*'] as const;

const meta = (kind: string): GroupVersionKind => ({ group: '', version: 'v1', kind });

const query = (name: string, type: Parameter['type'], description: string): Parameter => ({ name, in: 'query', type, description });
const pretty = query('pretty', 'string', 'Print the answer indented when "true".');
const dryRun = query('dryRun', 'string', '"All": go through every step, store nothing.');
const fieldManager = query('fieldManager', 'string', 'Name of the actor that makes the change, up to 128 printable characters. Required for apply patches.');
const fieldValidation = query('fieldValidation', 'string', 'What to do about unknown and duplicate fields: Ignore, Warn (the default) or Strict.');
const force = query('force', 'boolean', 'Take over fields that other managers own. Apply patches only.');
const deleteParameters = [
  dryRun,
  query('gracePeriodSeconds', 'integer', 'Seconds to go on before the object is removed; 0 removes it at once.'),
  query('ignoreStoreReadErrorWithClusterBreakingPotential', 'boolean', 'Remove an object that can no longer be read from the store. Dangerous.'),
  query('orphanDependents', 'boolean', 'Deprecated, see propagationPolicy.'),
  query('propagationPolicy', 'string', 'What happens to dependents: Orphan, Background or Foreground.'),
];
const listParameters = [
  query('allowWatchBookmarks', 'boolean', 'Ask for BOOKMARK events in a watch.'),
  query('continue', 'string', 'Token of the previous page.'),
  query('fieldSelector', 'string', 'Only objects whose fields match.'),
  query('labelSelector', 'string', 'Only objects whose labels match.'),
  query('limit', 'integer', 'Objects a page; 0 for all.'),
  query('resourceVersion', 'string', 'Which state to read, or where to watch from.'),
  query('resourceVersionMatch', 'string', 'How resourceVersion is meant: Exact or NotOlderThan.'),
  query('sendInitialEvents', 'boolean', 'Begin a watch with the current objects.'),
  query('shardSelector', 'string', 'Only a range of the objects. Alpha, without effect here.'),
  query('timeoutSeconds', 'integer', 'End the call after this long.'),
  query('watch', 'boolean', 'Watch instead of list.'),
];
const namespaceParameter: Parameter = { name: 'namespace', in: 'path', type: 'string', description: 'Namespace of the objects.' };
const nameParameter = (kind: string): Parameter => ({ name: 'name', in: 'path', type: 'string', description: `name of the ${kind}` });
const connectParameters: Readonly<Record<string, readonly Parameter[]>> = {
  exec: [query('command', 'string', 'The command and its arguments, one parameter each.'), ...streamParameters()],
  attach: streamParameters(),
  portforward: [query('ports', 'integer', 'Ports to forward, for WebSockets.')],
  proxy: [query('path', 'string', 'Path of the request behind the proxy.')],
  log: [
    query('container', 'string', 'Container to read; may be left out when there is one.'), query('follow', 'boolean', 'Go on with new lines.'),
    query('insecureSkipTLSVerifyBackend', 'boolean', 'Do not verify the kubelet\'s certificate.'), query('limitBytes', 'integer', 'End after this many bytes.'),
    query('previous', 'boolean', 'Read the container before the last restart.'), query('sinceSeconds', 'integer', 'Lines of the last seconds only.'),
    query('stream', 'string', 'All, Stdout or Stderr.'), query('tailLines', 'integer', 'Lines from the end.'), query('timestamps', 'boolean', 'Begin each line with its time.'),
  ],
};
function streamParameters(): Parameter[] {
  return [
    query('container', 'string', 'Container; may be left out when there is one.'), query('stderr', 'boolean', 'Pass standard error on.'),
    query('stdin', 'boolean', 'Pass standard input on.'), query('stdout', 'boolean', 'Pass standard output on.'), query('tty', 'boolean', 'Use a terminal.'),
  ];
}

const done = (body: Body): Operation['responses'] => [{ code: '200', description: 'OK', body }];
const created = (body: Body): Operation['responses'] => [...done(body), { code: '201', description: 'Created', body }];
const accepted = (body: Body): Operation['responses'] => [...created(body), { code: '202', description: 'Accepted', body }];
const deleted = (body: Body): Operation['responses'] => [...done(body), { code: '202', description: 'Accepted', body }];

/** Every path of a resource; `custom` resources take no strategic merge patch and no protobuf. */
export function pathsOf(row: ResourceRow, custom: boolean): PathItem[] {
  const root = row.group === '' ? `/api/${row.version}` : `/apis/${row.group}/${row.version}`;
  const kind: GroupVersionKind = { group: row.group, version: row.version, kind: row.kind };
  const place = row.namespaced ? 'Namespaced' : '';
  const name = (verb: string, tail: string): string => `${verb}${groupLabel(row)}${tail}`;
  const scoped = row.namespaced ? `${root}/namespaces/{namespace}` : root;
  const scope = row.namespaced ? [namespaceParameter] : [];
  const collection = `${scoped}/${row.resource}`;
  const types = custom ? objectTypes.slice(0, 2) : objectTypes;
  const watches = custom ? [...objectTypes.slice(0, 2), 'application/json;stream=watch'] : watchTypes;
  const patches = custom ? patchTypes.filter((type) => !type.includes('strategic')) : patchTypes;
  const has = (verb: string): boolean => row.verbs.includes(verb);
  const base = (method: Method, action: string, id: string, description: string): Omit<Operation, 'responses'> =>
    ({ method, action, id, description, kind, parameters: [], contentTypes: types });
  const create = { parameters: [dryRun, fieldManager, fieldValidation], body: { of: kind, required: true, contentTypes: anyTypes } };
  const listOf: GroupVersionKind = { ...kind, kind: row.listKind };
  const list = (id: string): Operation => ({ ...base('get', 'list', id, `list or watch objects of kind ${row.kind}`), parameters: listParameters, contentTypes: watches, responses: done(listOf) });
  const watch = (id: string, action: string, what: string): Operation =>
    ({ ...base('get', action, id, `watch ${what} of kind ${row.kind}. Deprecated: list with the watch parameter instead.`), contentTypes: watches, responses: done(meta('WatchEvent')) });

  const items: PathItem[] = [];
  const add = (path: string, parameters: Parameter[], operations: (Operation | false)[]): void => {
    const present = operations.filter((operation) => operation !== false);
    // What every operation of the path takes is said once, for the path.
    const common = present[0]?.parameters.filter((one) => present.every((operation) => operation.parameters.includes(one))) ?? [];
    if (present.length > 0) items.push({ path, parameters: [...common, ...parameters], operations: present.map((one) => ({ ...one, parameters: one.parameters.filter((each) => !common.includes(each)) })) });
  };
  add(collection, [...scope, pretty], [
    has('list') && list(name('list', `${place}${row.kind}`)),
    has('create') && { ...base('post', 'post', name('create', `${place}${row.kind}`), `create a ${row.kind}`), ...create, responses: accepted(kind) },
    has('deletecollection') && {
      ...base('delete', 'deletecollection', name('delete', `Collection${place}${row.kind}`), `delete collection of ${row.kind}`),
      parameters: [...deleteParameters, ...listParameters.filter((one) => one.name !== 'watch' && one.name !== 'allowWatchBookmarks')],
      body: { of: meta('DeleteOptions'), required: false, contentTypes: anyTypes }, responses: done(meta('Status')),
    },
  ]);
  add(`${collection}/{name}`, [nameParameter(row.kind), ...scope, pretty], [
    has('get') && { ...base('get', 'get', name('read', `${place}${row.kind}`), `read the specified ${row.kind}`), responses: done(kind) },
    has('update') && { ...base('put', 'put', name('replace', `${place}${row.kind}`), `replace the specified ${row.kind}`), ...create, responses: created(kind) },
    has('patch') && patch(kind, name('patch', `${place}${row.kind}`), `partially update the specified ${row.kind}`),
    has('delete') && {
      ...base('delete', 'delete', name('delete', `${place}${row.kind}`), `delete a ${row.kind}`), parameters: deleteParameters,
      body: { of: meta('DeleteOptions'), required: false, contentTypes: anyTypes }, responses: deleted(deletedKind(row, kind)),
    },
  ]);
  for (const sub of row.subresources) addSubresource(sub);
  if (row.namespaced && has('list')) add(`${root}/${row.resource}`, [pretty], [list(name('list', `${row.kind}ForAllNamespaces`))]);
  if (has('watch')) {
    const under = (path: string): string => path.replace(root, `${root}/watch`);
    add(under(collection), [...listParameters, ...scope, pretty], [watch(name('watch', `${place}${row.kind}List`), 'watchlist', 'individual changes to a list')]);
    add(under(`${collection}/{name}`), [...listParameters, nameParameter(row.kind), ...scope, pretty], [watch(name('watch', `${place}${row.kind}`), 'watch', 'changes to an object')]);
    if (row.namespaced) add(`${root}/watch/${row.resource}`, [...listParameters, pretty], [watch(name('watch', `${row.kind}ListForAllNamespaces`), 'watchlist', 'individual changes to a list')]);
  }
  return items;

  function patch(of: GroupVersionKind, id: string, description: string): Operation {
    return {
      ...base('patch', 'patch', id, description), kind: of, parameters: [dryRun, fieldManager, fieldValidation, force],
      body: { of: meta('Patch'), required: true, contentTypes: patches }, responses: created(of),
    };
  }

  function addSubresource(sub: SubresourceRow): void {
    const tail = `${place}${row.kind}${label(sub.name)}`;
    const [group, version] = sub.groupVersion === undefined ? [row.group, row.version] : splitGroupVersion(sub.groupVersion);
    const of: GroupVersionKind = { group, version, kind: sub.kind ?? row.kind };
    const path = `${collection}/{name}/${sub.name}`;
    const parameters = [nameParameter(of.kind), ...scope];
    if (sub.connect) {
      const methods = ([['get', 'get'], ['post', 'create'], ['put', 'update'], ['delete', 'delete'], ['patch', 'patch'], ['head', 'get'], ['options', 'get']] as const)
        .filter(([method, verb]) => sub.verbs.includes(verb) && (sub.name === 'proxy' || !['head', 'options'].includes(method)))
        .map(([method]) => method);
      const connect = (suffix: string): Operation[] => methods.map((method) => ({
        method, action: 'connect', kind: of, id: name('connect', `${label(method)}${tail}${suffix}`),
        description: `connect ${method.toUpperCase()} requests to ${sub.name} of ${row.kind}`, parameters: [], contentTypes: anyTypes, responses: done('text'),
      }));
      const queries = connectParameters[sub.name] ?? [];
      add(path, [...queries, ...parameters], connect(''));
      if (sub.name === 'proxy') add(`${path}/{path}`, [{ name: 'path', in: 'path', type: 'string', description: 'Path behind the proxy.' }, ...queries.map((one) => ({ ...one })), ...parameters], connect('WithPath'));
      return;
    }
    if (sub.name === 'log') {
      add(path, [...connectParameters['log'] ?? [], ...parameters, pretty],
        [{ ...base('get', 'get', name('read', tail), `read log of the specified ${row.kind}`), contentTypes: ['text/plain', ...types], responses: done('text') }]);
      return;
    }
    const write = { ...create, body: { of, required: true, contentTypes: anyTypes } };
    add(path, [...parameters, pretty], [
      sub.verbs.includes('get') && { ...base('get', 'get', name('read', tail), `read ${sub.name} of the specified ${row.kind}`), kind: of, responses: done(of) },
      sub.verbs.includes('create') && { ...base('post', 'post', name('create', tail), `create ${sub.name} of a ${row.kind}`), kind: of, ...write, responses: accepted(of) },
      sub.verbs.includes('update') && { ...base('put', 'put', name('replace', tail), `replace ${sub.name} of the specified ${row.kind}`), kind: of, ...write, responses: created(of) },
      sub.verbs.includes('patch') && patch(of, name('patch', tail), `partially update ${sub.name} of the specified ${row.kind}`),
    ]);
  }
}

/** Kinds that end at once answer with themselves; those of a plain store with a Status. */
function deletedKind(row: ResourceRow, kind: GroupVersionKind): GroupVersionKind {
  return returnsObject.has(`${row.resource}.${row.group}`) ? kind : meta('Status');
}
const returnsObject: ReadonlySet<string> = new Set([
  'pods.', 'persistentvolumes.', 'persistentvolumeclaims.', 'podtemplates.', 'resourcequotas.', 'serviceaccounts.', 'services.',
  'csidrivers.storage.k8s.io', 'csinodes.storage.k8s.io', 'storageclasses.storage.k8s.io', 'volumeattachments.storage.k8s.io', 'volumeattributesclasses.storage.k8s.io',
  'deviceclasses.resource.k8s.io', 'resourceclaims.resource.k8s.io', 'resourceclaimtemplates.resource.k8s.io', 'resourceslices.resource.k8s.io',
  'devicetaintrules.resource.k8s.io', 'resourcepoolstatusrequests.resource.k8s.io',
]);

/** Paths that list the resources of a group version. */
export function groupVersionPath(group: string, version: string): PathItem {
  const kind = meta('APIResourceList');
  return {
    path: `${group === '' ? '/api' : `/apis/${group}`}/${version}/`, parameters: [],
    operations: [{
      method: 'get', action: '', kind, id: `get${groupLabel({ group, version })}APIResources`, description: 'get available resources', parameters: [],
      contentTypes: objectTypes, consumes: objectTypes, responses: done(kind),
    }],
  };
}

export interface OtherDocument { name: string; tag: string; item: PathItem }

/** What is served beside resources, each in a version 3 document of its own: discovery, the version, what verifiers of tokens need. */
export function otherDocuments(groups: readonly string[]): OtherDocument[] {
  const one = (path: string, tag: string, id: string, description: string, body: Body, types: readonly string[], consumes: readonly string[] = []): OtherDocument => ({
    name: path.slice(1, -1), tag,
    item: { path, parameters: [], operations: [{ method: 'get', action: '', id, description, kind: meta(''), parameters: [], contentTypes: types, consumes, responses: done(body) }] },
  });
  const discovery = (path: string, tag: string, id: string, description: string, kind: string): OtherDocument => one(path, tag, id, description, meta(kind), objectTypes, objectTypes);
  return [
    discovery('/api/', 'core', 'getCoreAPIVersions', 'get available API versions', 'APIVersions'),
    discovery('/apis/', 'apis', 'getAPIVersions', 'get available API versions', 'APIGroupList'),
    ...groups.map((group) => discovery(`/apis/${group}/`, groupTag(group), `get${groupLabel({ group, version: '' })}APIGroup`, 'get information of a group', 'APIGroup')),
    one('/version/', 'version', 'getCodeVersion', 'get the version of this server', 'version', ['application/json'], ['application/json']),
    one('/openid/v1/jwks/', 'openid', 'getServiceAccountIssuerOpenIDKeyset', 'get the public keys that verify tokens of service accounts', 'text', ['application/jwk-set+json']),
    one('/.well-known/openid-configuration/', 'WellKnown', 'getServiceAccountIssuerOpenIDConfiguration', 'get the OpenID configuration of the issuer of service account tokens', 'text', ['application/json']),
  ];
}

/** `RbacAuthorizationV1` */
function groupLabel({ group, version }: { group: string; version: string }): string {
  return `${group === '' ? 'Core' : group.replace(/\.k8s\.io$/, '').split(/[.-]/).map(label).join('')}${label(version)}`;
}
/** `rbacAuthorization_v1` */
export function tagOf({ group, version }: { group: string; version: string }): string {
  return `${groupTag(group)}_${version}`;
}
function groupTag(group: string): string {
  const [first = 'core', ...rest] = group === '' ? [] : group.replace(/\.k8s\.io$/, '').split(/[.-]/);
  return `${first}${rest.map(label).join('')}`;
}
function label(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
function splitGroupVersion(text: string): [string, string] {
  const slash = text.indexOf('/');
  return slash < 0 ? ['', text] : [text.slice(0, slash), text.slice(slash + 1)];
}
