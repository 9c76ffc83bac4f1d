import { expect } from 'chai';
import type { ValidatingAdmissionPolicy } from '#machinery/api/object.ts';
import { loadSchema } from '#machinery/schema/schema.ts';
import type { Schema } from '#machinery/schema/schema.ts';
import type { DiscoveredResource } from '../discovery.ts';
import { checkPolicy } from './check.ts';

type Spec = NonNullable<ValidatingAdmissionPolicy['spec']>;
const resource = (group: string, name: string, kind: string): DiscoveredResource => ({ group, version: 'v1', resource: name, kind, namespaced: true, verbs: [], preferred: true, subresources: [] });
const resources = [resource('', 'pods', 'Pod'), resource('', 'configmaps', 'ConfigMap'), resource('apps', 'deployments', 'Deployment'), resource('example.com', 'things', 'Thing')];

describe('checkPolicy()', () => {
  let schema: Schema;
  before(async () => {
    schema = await loadSchema();
  });
  const rule = (group: string, ...names: string[]) => ({ apiGroups: [group], apiVersions: ['v1'], resources: names, operations: ['CREATE'] });
  function warnings(expression: string, change: Partial<Spec> = {}): string[] {
    const spec: Spec = { matchConstraints: { resourceRules: [rule('apps', 'deployments')] }, validations: [{ expression }], ...change };
    return checkPolicy(spec, resources, schema).map(({ fieldRef, warning }) => `${fieldRef} ${warning.split('\n')[0] ?? ''}`);
  }
  const at = 'spec.validations[0].expression apps/v1, Kind=Deployment: ERROR: <input>';

  for (const expression of [
    'object.spec.replicas > 1', "object.metadata.labels['a'] == 'b'", 'object.spec.template.spec.containers.all(c, c.image.startsWith("x"))', "object.metadata.creationTimestamp < timestamp('2026-01-01T00:00:00Z')",
    "object.apiVersion == 'apps/v1'", "type(object.spec.strategy.rollingUpdate.maxSurge) == int", "object.spec.template.spec.containers[0].resources.limits['cpu'] == '1'", "authorizer.path('/').check('get').allowed()",
    'has(object.spec.template.metadata.annotations) && oldObject == null',
  ]) it(`has nothing against ${expression}`, () => expect(warnings(expression)).to.deep.equal([]));
  it('finds types that do not go together', () => {
    expect(warnings("object.spec.replicas > '1'")).to.deep.equal([`${at}:1:22: found no matching overload for '_>_' applied to '(int, string)'`]);
  });
  it('finds fields that are not there', () => expect(warnings('object.spec.replica > 1')).to.deep.equal([`${at}:1:12: undefined field 'replica'`]));
  it('knows the types of variables', () => {
    expect(warnings('variables.n.startsWith("x")', { variables: [{ name: 'n', expression: 'object.spec.replicas' }] })[0]).to.match(/found no matching overload for 'startsWith' applied to 'int\.\(string\)'$/);
  });
  it('knows the type of parameters', () => {
    const paramKind = { apiVersion: 'v1', kind: 'ConfigMap' };
    expect(warnings("params.data['a'] == 'b'", { paramKind })).to.deep.equal([]);
    expect(warnings('params.spec.x == 1', { paramKind })).to.deep.equal([`${at}:1:7: undefined field 'spec'`]);
    expect(warnings('params.x')[0]).to.contain("undeclared reference to 'params'");
  });
  it('looks at messages too', () => {
    expect(warnings('true', { validations: [{ expression: 'true', messageExpression: "'got ' + object.spec.replicas" }] })[0]).to.match(/^spec\.validations\[0\]\.messageExpression .*'_\+_' applied to '\(string, int\)'$/);
  });
  it('tells of each type that a rule names, in their order', () => {
    const [warning] = checkPolicy({ matchConstraints: { resourceRules: [rule('', 'pods', 'configmaps')] }, validations: [{ expression: 'object.data.a == "b"' }] }, resources, schema);
    expect(warning?.warning).to.match(/^\/v1, Kind=Pod: ERROR: .*undefined field 'data'/);
    expect(warning?.warning).to.not.contain('ConfigMap');
  });
  it('gives up where anything could be meant, and on types without a schema', () => {
    for (const match of [rule('*', 'pods'), { ...rule('', 'pods'), apiVersions: ['*'] }, rule('', '*'), rule('', 'pods/status'), rule('', 'unknown'), rule('example.com', 'things')]) {
      expect(warnings('object.no.such.thing == 1', { matchConstraints: { resourceRules: [match] } })).to.deep.equal([]);
    }
  });
});
