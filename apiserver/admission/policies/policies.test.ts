// From a client's seat: a real server with policies of all sorts.
import { expect } from 'chai';
import { startTestServer } from '../../testing.ts';
import type { Answer, TestServer } from '../../testing.ts';

const group = '/apis/admissionregistration.k8s.io/v1';
const configMaps = '/api/v1/namespaces/default/configmaps';

describe('admission policies', function () {
  this.timeout(30_000);
  let server: TestServer;
  const made: string[] = [];
  let count = 0;
  before(async () => {
    server = await startTestServer();
    await server.call('POST', '/api/v1/namespaces/default/serviceaccounts', { body: { metadata: { name: 'default' } } });
    await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'labelled', labels: { env: 'prod' } } } });
  });
  after(() => server.stop());
  afterEach(async () => {
    for (const path of made.splice(0)) expect((await server.call('DELETE', path)).status).to.equal(200);
  });

  const rule = { operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] };
  async function apply(path: string, body: Record<string, unknown>): Promise<void> {
    const answer = await server.call('POST', path, { body });
    expect(answer.status, answer.text).to.equal(201);
    made.push(`${path}/${(body['metadata'] as { name: string }).name}`);
  }
  async function policy(type: 'validating' | 'mutating', spec: Record<string, unknown>, binding: Record<string, unknown> = {}, name = `p${count += 1}`): Promise<string> {
    const own = type === 'mutating' ? { reinvocationPolicy: 'Never' } : {};
    await apply(`${group}/${type}admissionpolicies`, { metadata: { name }, spec: { matchConstraints: { resourceRules: [rule] }, ...own, ...spec } });
    await apply(`${group}/${type}admissionpolicybindings`, { metadata: { name: `${name}-b` }, spec: { policyName: name, ...(type === 'validating' ? { validationActions: ['Deny'] } : {}), ...binding } });
    return name;
  }
  const create = (object: Record<string, unknown> = {}, path = configMaps, as?: 'guest' | 'admin'): Promise<Answer> =>
    server.call('POST', path, { body: { ...object, metadata: { name: `m${count += 1}`, ...object['metadata'] as object | undefined } }, ...(as ? { as } : {}) });
  const message = ({ status, body }: Answer): string => `${status} ${body['message'] as string | undefined ?? 'ok'}`;

  describe('that validate', () => {
    it('refuse with their message, reason and code', async () => {
      const name = await policy('validating', { validations: [{ expression: "!has(object.data) || object.data.a != 'bad'", message: 'not a', reason: 'Forbidden' }] });
      expect(message(await create({ data: { a: 'good' } }))).to.equal('201 ok');
      const refused = await create({ metadata: { name: 'refused' }, data: { a: 'bad' } });
      const text = `ValidatingAdmissionPolicy '${name}' with binding '${name}-b' denied request: not a`;
      expect(refused.body).to.deep.include({ code: 403, reason: 'Forbidden', message: `configmaps "refused" is forbidden: ${text}` });
      expect(refused.body['details']).to.deep.equal({ name: 'refused', kind: 'configmaps', causes: [{ message: text }] });
    });
    it('refuse as invalid with the expression where there is no message', async () => {
      const name = await policy('validating', { validations: [{ expression: ' has(object.data) ' }] });
      expect(message(await create())).to.match(new RegExp(`^422 configmaps "m\\d+" is forbidden: ValidatingAdmissionPolicy '${name}' with binding '${name}-b' denied request: failed expression: has\\(object\\.data\\)$`));
    });
    it('refuse before the store finds fault with the rest', async () => {
      await policy('validating', { validations: [{ expression: 'false', message: 'first' }] });
      expect(message(await create({ metadata: { resourceVersion: '5' } }))).to.match(/denied request: first$/);
    });
    it('make their messages themselves, unless that fails or gives lines', async () => {
      await policy('validating', { validations: [{ expression: 'has(object.data)', message: 'plain', messageExpression: "object.metadata.name == 'lines' ? 'a\\nb' : object.metadata.name == 'fails' ? string(object.nothing) : 'made for ' + string(object.metadata.name)" }] });
      expect(message(await create({ metadata: { name: 'me' } }))).to.match(/denied request: made for me$/);
      expect(message(await create({ metadata: { name: 'lines' } }))).to.match(/denied request: plain$/);
      expect(message(await create({ metadata: { name: 'fails' } }))).to.match(/denied request: plain$/);
    });
    it('see old objects, the request and the namespace', async () => {
      await policy('validating', { validations: [
        { expression: "request.operation != 'UPDATE' || !has(oldObject.data) || object.data == oldObject.data", message: 'data stays' },
        { expression: "namespaceObject.metadata.name == request.namespace && request.userInfo.username == 'admin' && request.resource.resource == 'configmaps'", message: 'who?' },
        { expression: "!('env' in namespaceObject.metadata.?labels.orValue({}))", message: 'not in there' },
      ] });
      expect(message(await create({ metadata: { name: 'kept' }, data: { a: '1' } }))).to.equal('201 ok');
      const merge = { 'Content-Type': 'application/merge-patch+json' };
      expect(message(await server.call('PATCH', `${configMaps}/kept`, { body: { metadata: { labels: { x: 'y' } } }, headers: merge }))).to.equal('200 ok');
      expect(message(await server.call('PATCH', `${configMaps}/kept`, { body: { data: { a: '2' } }, headers: merge }))).to.match(/^422 .*: data stays$/);
      expect(message(await create({}, '/api/v1/namespaces/labelled/configmaps'))).to.match(/: not in there$/);
    });
    it('fail the write when they fail, unless they may be ignored', async () => {
      await policy('validating', { validations: [{ expression: 'object.data.a == "1"' }] });
      expect(message(await create())).to.match(/denied request: expression 'object\.data\.a == "1"' resulted in error: no such key: data$/);
      for (const path of made.splice(0)) await server.call('DELETE', path);
      await policy('validating', { failurePolicy: 'Ignore', validations: [{ expression: 'object.data.a == "1"' }] });
      expect(message(await create())).to.equal('201 ok');
      expect(message(await create({ data: { a: '2' } }))).to.match(/^422 /);
    });
    it('warn, or tell the audit log, instead', async () => {
      const name = await policy('validating', { validations: [{ expression: 'has(object.data)', message: 'better with data' }] }, { validationActions: ['Warn', 'Audit'] });
      const answer = await create();
      expect([answer.status, answer.headers['warning']]).to.deep.equal([201, `299 - "Validation failed for ValidatingAdmissionPolicy '${name}' with binding '${name}-b': better with data"`]);
    });
    it('evaluate variables once they are read, and only then', async () => {
      await policy('validating', {
        variables: [{ name: 'size', expression: 'size(object.data)' }, { name: 'big', expression: 'variables.size > 1' }, { name: 'broken', expression: 'object.none.none' }],
        validations: [{ expression: '!has(object.data) || !variables.big', messageExpression: "'size ' + string(variables.size)" }, { expression: "object.metadata.name != 'break' || variables.broken == 1" }],
      });
      expect(message(await create())).to.equal('201 ok');
      expect(message(await create({ data: { a: '1', b: '2' } }))).to.match(/: size 2$/);
      expect(message(await create({ metadata: { name: 'break' } }))).to.match(/composited variable "broken" fails to evaluate: no such key: none$/);
    });
    it('stop where their conditions say so', async () => {
      await policy('validating', { matchConditions: [{ name: 'not-exempt', expression: "!request.name.startsWith('exempt')" }], validations: [{ expression: 'false', message: 'never' }] });
      expect(message(await create({ metadata: { name: 'exempt-one' } }))).to.equal('201 ok');
      expect(message(await create())).to.match(/: never$/);
    });
    it('may ask what the user is allowed to do', async () => {
      await server.call('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles', { body: { metadata: { name: 'maker' }, rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['create'] }] } });
      await server.call('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings', { body: { metadata: { name: 'maker' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'maker' }, subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'guest' }] } });
      await policy('validating', { validations: [
        { expression: "authorizer.requestResource.check('create').allowed()", message: 'how did you get here?' },
        { expression: "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()", message: 'only for who may read secrets' },
      ] });
      expect(message(await create())).to.equal('201 ok');
      expect(message(await create({}, configMaps, 'guest'))).to.match(/: only for who may read secrets$/);
    });
    it('stop when they compute too much', async () => {
      await policy('validating', { validations: [{ expression: "!has(object.data) || object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != 'x')))" }] });
      const data = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`k${at}`, '']));
      const began = performance.now();
      expect(message(await create({ data }))).to.match(/^422 .*resulted in error: operation cancelled: actual cost limit exceeded$/);
      expect(performance.now() - began).to.be.below(5000);
    });
  });

  describe('with parameters', () => {
    const paramKind = { apiVersion: 'v1', kind: 'ConfigMap' };
    const validations = [{ expression: "request.namespace != 'labelled' || (params == null || object.metadata.name != params.data.name)", messageExpression: "'not ' + params.data.name" }];
    const inLabelled = (name: string): Promise<Answer> => create({ metadata: { name } }, '/api/v1/namespaces/labelled/configmaps');
    before(async () => {
      for (const [name, labels] of [['one', { set: 'a' }], ['two', { set: 'a' }], ['three', {}]] as const) {
        await server.call('POST', configMaps, { body: { metadata: { name: `param-${name}`, labels }, data: { name: `no-${name}` } } });
      }
    });
    it('are applied with the one that is named', async () => {
      await policy('validating', { paramKind, validations }, { paramRef: { name: 'param-one', namespace: 'default', parameterNotFoundAction: 'Deny' } });
      expect(message(await inLabelled('no-one'))).to.match(/: not no-one$/);
      expect(message(await inLabelled('no-two'))).to.equal('201 ok');
    });
    it('are applied with each that is selected', async () => {
      await policy('validating', { paramKind, validations }, { paramRef: { selector: { matchLabels: { set: 'a' } }, namespace: 'default', parameterNotFoundAction: 'Deny' } });
      expect(message(await inLabelled('no-one'))).to.match(/: not no-one$/);
      expect(message(await inLabelled('no-two'))).to.match(/: not no-two$/);
      expect(message(await inLabelled('no-three'))).to.equal('201 ok');
    });
    it('that are missing refuse, or let pass, as the binding says', async () => {
      const name = await policy('validating', { paramKind, validations }, { paramRef: { name: 'missing', parameterNotFoundAction: 'Deny' } });
      expect(message(await create())).to.match(new RegExp(`denied request: failed to configure binding: no params found for policy binding with \`Deny\` parameterNotFoundAction$`)).and.contain(`'${name}-b'`);
      for (const path of made.splice(0)) await server.call('DELETE', path);
      await policy('validating', { paramKind, validations }, { paramRef: { name: 'missing', parameterNotFoundAction: 'Allow' } });
      expect(message(await create())).to.equal('201 ok');
    });
    it('of a kind that is not there refuse', async () => {
      const name = await policy('validating', { paramKind: { apiVersion: 'example.com/v1', kind: 'Nothing' }, validations: [{ expression: 'true' }] }, { paramRef: { name: 'x', parameterNotFoundAction: 'Allow' } });
      expect(message(await create())).to.contain(`ValidatingAdmissionPolicy '${name}' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Nothing'`);
    });
  });

  describe('that mutate', () => {
    const configuration = (expression: string) => ({ patchType: 'ApplyConfiguration', applyConfiguration: { expression } });
    const patch = (expression: string) => ({ patchType: 'JSONPatch', jsonPatch: { expression } });
    it('merge configurations', async () => {
      await policy('mutating', { mutations: [configuration('Object{metadata: Object.metadata{labels: {"added": "by-policy", "name": string(object.metadata.name)}}}')] });
      const { body } = await create({ metadata: { name: 'merged', labels: { own: 'yes' } } });
      expect((body['metadata'] as { labels: unknown }).labels).to.deep.equal({ own: 'yes', added: 'by-policy', name: 'merged' });
    });
    it('merge lists by their keys, and defaults follow', async () => {
      await policy('mutating', {
        matchConstraints: { resourceRules: [{ ...rule, resources: ['pods'] }] },
        mutations: [configuration('Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: "sidecar", image: "side", restartPolicy: "Always"}]}}')],
      });
      const { body } = await create({ spec: { initContainers: [{ name: 'own', image: 'i' }], containers: [{ name: 'c', image: 'i' }] } }, '/api/v1/namespaces/default/pods');
      const { initContainers } = body['spec'] as { initContainers: { name: string; imagePullPolicy: string }[] };
      expect(initContainers.map(({ name, imagePullPolicy }) => [name, imagePullPolicy])).to.deep.equal([['own', 'Always'], ['sidecar', 'Always']]);
    });
    it('patch', async () => {
      await policy('mutating', { mutations: [patch(`[
        JSONPatch{op: "test", path: "/data/a", value: "1"}, JSONPatch{op: "replace", path: "/data/a", value: "2"},
        JSONPatch{op: "add", path: "/metadata/annotations", value: {}},
        JSONPatch{op: "add", path: "/metadata/annotations/" + jsonpatch.escapeKey("example.com/x"), value: "y"}]`)] });
      const patched = (await create({ data: { a: '1' } })).body;
      expect([patched['data'], (patched['metadata'] as { annotations?: unknown }).annotations]).to.deep.equal([{ a: '2' }, { 'example.com/x': 'y' }]);
      expect((await create({ data: { a: '3' } })).body['data'], 'a test that fails is no error').to.deep.equal({ a: '3' });
    });
    it('are applied again when later ones changed something and they want that', async () => {
      const data = (expression: string) => configuration(`Object{data: {"seen": ${expression}}}`);
      await policy('mutating', { reinvocationPolicy: 'IfNeeded', mutations: [data("has(object.data) && 'late' in object.data ? 'late' : 'nothing'")] }, {}, 'a-first');
      await policy('mutating', { mutations: [configuration('Object{data: {"late": "yes"}}')] }, {}, 'b-late');
      expect((await create()).body['data']).to.deep.equal({ seen: 'late', late: 'yes' });
    });
    it('fail the write when they cannot be applied', async () => {
      const why = async (mutation: Record<string, unknown>, object: Record<string, unknown> = {}): Promise<string> => {
        await policy('mutating', { mutations: [mutation] }, {}, 'wrong');
        const answer = message(await create(object));
        for (const path of made.splice(0)) await server.call('DELETE', path);
        return answer;
      };
      const denied = "403 policy 'wrong' with binding 'wrong-b' denied request: ";
      expect(await why(configuration('Object{data: {"a": object.none}}'))).to.equal(`${denied}expression 'Object{data: {"a": object.none}}' resulted in error: no such key: none`);
      expect(await why(configuration('Object{unknown: "x"}'))).to.equal(`${denied}error applying patch: failed to convert patch object to typed object: .unknown: field not declared in schema`);
      expect(await why(configuration('Object{metadata: Object.spec{}}'))).to.equal(`${denied}type mismatch: unexpected type name "Object.spec", expected "Object.metadata", which matches field name path from root Object type`);
      expect(await why(patch('[JSONPatch{op: "remove", path: "/data/none"}]'))).to.match(/^403 .*JSON Patch: /);
      expect(await why(patch('[JSONPatch{op: "add", path: "/unheard", value: 1}]'))).to.equal('500 Internal error occurred: strict decoding error: unknown field "unheard"');
    });
    it('may not lay parts over values that are one whole', async () => {
      await policy('mutating', { matchConstraints: { resourceRules: [{ ...rule, resources: ['services'] }] }, mutations: [configuration('Object{spec: Object.spec{selector: {"a": "b"}}}')] });
      expect(message(await create({ spec: { selector: { c: 'd' }, ports: [{ port: 80 }] } }, '/api/v1/namespaces/default/services')))
        .to.match(/error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: \.spec\.selector$/);
    });
    it('are ignored when they fail and may be', async () => {
      await policy('mutating', { failurePolicy: 'Ignore', mutations: [configuration('Object{data: {"a": object.none}}'), configuration('Object{data: {"b": "c"}}')] });
      expect((await create()).body['data']).to.deep.equal({ b: 'c' });
    });
  });

  it('are not about policies, nor about what is asked of authorization', async () => {
    await policy('validating', { matchConstraints: { resourceRules: [{ ...rule, operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }] }, validations: [{ expression: 'false', message: 'nothing goes' }] });
    expect(message(await create())).to.match(/: nothing goes$/);
    expect((await server.call('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { body: { spec: { nonResourceAttributes: { path: '/', verb: 'get' } } } })).status).to.equal(201);
    const other = await server.call('POST', `${group}/validatingadmissionpolicybindings`, { body: { metadata: { name: 'other' }, spec: { policyName: 'none', validationActions: ['Deny'] } } });
    expect(other.status).to.equal(201);
    made.push(`${group}/validatingadmissionpolicybindings/other`);
  });

  it('show in the metrics', async () => {
    const name = await policy('validating', { validations: [{ expression: 'false' }] });
    await create();
    expect((await server.call('GET', '/metrics')).text).to.contain(`apiserver_validating_admission_policy_check_total{policy="${name}",policy_binding="${name}-b",error_type="no_error",enforcement_action="deny"} 1`);
  });

  describe('are refused', () => {
    it('to those who may not read the parameters', async () => {
      const rbac = '/apis/rbac.authorization.k8s.io/v1';
      await server.call('POST', `${rbac}/clusterroles`, { body: { metadata: { name: 'policies' }, rules: [{ apiGroups: ['admissionregistration.k8s.io'], resources: ['*'], verbs: ['*'] }] } });
      await server.call('POST', `${rbac}/clusterrolebindings`, { body: { metadata: { name: 'policies' }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'policies' }, subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'guest' }] } });
      const write = async (resource: string, name: string, spec: Record<string, unknown>, as: 'guest' | 'admin' = 'guest'): Promise<string> => {
        const answer = await server.call('POST', `${group}/${resource}`, { body: { metadata: { name }, spec }, as });
        if (answer.status === 201) made.push(`${group}/${resource}/${name}`);
        return message(answer);
      };
      const withParams = (kind: string): Record<string, unknown> => ({ paramKind: { apiVersion: 'v1', kind }, matchConstraints: { resourceRules: [rule] }, validations: [{ expression: 'true' }] });
      expect(await write('validatingadmissionpolicies', 'guests', withParams('Secret')))
        .to.match(/^422 ValidatingAdmissionPolicy\.admissionregistration\.k8s\.io "guests" is invalid: spec\.paramKind: Forbidden: user &\{guest .*\} must have "get" permission on all objects of the referenced paramKind \(kind=Secret, apiVersion=v1\)$/);
      expect(await write('validatingadmissionpolicies', 'admins', withParams('Secret'), 'admin')).to.equal('201 ok');
      const binding = (policyName: string, paramRef: object): Record<string, unknown> => ({ policyName, validationActions: ['Deny'], paramRef: { parameterNotFoundAction: 'Allow', ...paramRef } });
      expect(await write('validatingadmissionpolicybindings', 'b1', binding('admins', { name: 'x', namespace: 'default' }))).to.match(/spec\.paramRef: Forbidden: user .* does not have "get" permission on the object referenced by paramRef$/);
      expect(await write('validatingadmissionpolicybindings', 'b2', binding('nothing', { selector: {} }))).to.match(/spec\.paramRef: Forbidden: unable to get policy nothing to determine minimum required permissions and user .* does not have "list" permission/);
      expect(await write('validatingadmissionpolicybindings', 'b3', binding('admins', { name: 'x', namespace: 'default' }), 'admin')).to.equal('201 ok');
    });
    const problems = async (type: 'validating' | 'mutating', spec: Record<string, unknown>): Promise<string> => message(await server.call('POST', `${group}/${type}admissionpolicies`, { body: { metadata: { name: 'refused' }, spec: { matchConstraints: { resourceRules: [rule] }, ...(type === 'mutating' ? { reinvocationPolicy: 'Never' } : {}), ...spec } } }));
    it('with expressions that cannot be compiled', async () => {
      expect(await problems('validating', { validations: [{ expression: 'object.' }] })).to.match(/^422 ValidatingAdmissionPolicy\.admissionregistration\.k8s\.io "refused" is invalid: spec\.validations\[0\]\.expression: Invalid value: "object\.": compilation failed: ERROR: <input>:1:8: Syntax error: /);
      expect(await problems('validating', { validations: [{ expression: 'nothing == 1' }] })).to.contain("compilation failed: ERROR: <input>:1:1: undeclared reference to 'nothing' (in container '')");
      expect(await problems('validating', { variables: [{ name: 'a', expression: 'variables.b' }, { name: 'b', expression: '1' }], validations: [{ expression: 'true' }] })).to.contain('spec.variables[0].expression: Invalid value: "variables.b": compilation failed:');
    });
    it('with expressions of the wrong type', async () => {
      expect(await problems('validating', { validations: [{ expression: '1' }] })).to.match(/spec\.validations\[0\]\.expression: Invalid value: "1": must evaluate to bool but got int$/);
      expect(await problems('validating', { validations: [{ expression: 'true', messageExpression: '1' }] })).to.match(/messageExpression: Invalid value: "1": must evaluate to string but got int$/);
      expect(await problems('validating', { auditAnnotations: [{ key: 'k', valueExpression: '1' }] })).to.match(/valueExpression: Invalid value: "1": must evaluate to one of \[string null_type\] but got int$/);
      expect(await problems('mutating', { mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: '[]' } }] })).to.match(/must evaluate to list\(JSONPatch\) but got list\(dyn\)$/);
    });
    it('with parameters that are not declared, and with the authorizer in a message', async () => {
      expect(await problems('validating', { validations: [{ expression: 'params.x' }] })).to.contain("undeclared reference to 'params'");
      expect(await problems('validating', { validations: [{ expression: 'true', messageExpression: "authorizer.path('/').check('get').reason()" }] })).to.contain("undeclared reference to 'authorizer'");
    });
    it('as webhooks are for their conditions', async () => {
      const webhook = { name: 'a.example.com', clientConfig: { url: 'https://127.0.0.1:1/' }, sideEffects: 'None', admissionReviewVersions: ['v1'], matchConditions: [{ name: 'c', expression: "object.name == 'x' &&" }] };
      expect(message(await server.call('POST', `${group}/validatingwebhookconfigurations`, { body: { metadata: { name: 'x' }, webhooks: [webhook] } }))).to.contain('webhooks[0].matchConditions[0].expression: Invalid value: "object.name == \'x\' &&": compilation failed: ERROR:');
    });
  });
});
