import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import type { UserInfo } from '../request.ts';
import { createFakeBackend, fakeInfo, type FakeBackend } from './fake-backend.ts';
import { createRbac, type Rbac } from './rbac.ts';
import { compactRules, describeRule, missingRules, ruleAllows, type PolicyRule } from './rbac-rules.ts';

describe('ruleAllows()', () => {
  const base: PolicyRule = { verbs: ['get', 'list'], apiGroups: ['', 'apps'], resources: ['pods', 'deployments/scale', '*/status'] };
  const cases: [string, Parameters<typeof fakeInfo>[0], PolicyRule, boolean][] = [
    ['the resource', { resource: 'pods' }, base, true],
    ['another verb', { resource: 'pods', verb: 'delete' }, base, false],
    ['another group', { resource: 'pods', group: 'metrics.k8s.io' }, base, false],
    ['a subresource that is not named', { resource: 'pods', subresource: 'log' }, base, false],
    ['a named subresource', { group: 'apps', resource: 'deployments', subresource: 'scale' }, base, true],
    ['the resource of a named subresource', { group: 'apps', resource: 'deployments' }, base, false],
    ['*/status of anything', { resource: 'nodes', subresource: 'status' }, base, true],
    ['*/status without a subresource', { resource: 'nodes' }, base, false],
    ['everything', { group: 'x', resource: 'y', subresource: 'z', verb: 'w' }, { verbs: ['*'], apiGroups: ['*'], resources: ['*'] }, true],
    ['a name', { resource: 'pods', name: 'a' }, { ...base, resourceNames: ['a'] }, true],
    ['another name', { resource: 'pods', name: 'b' }, { ...base, resourceNames: ['a'] }, false],
    ['no name where one is needed', { resource: 'pods', verb: 'list' }, { ...base, resourceNames: ['a'] }, false],
    ['a path', { isResourceRequest: false, path: '/metrics' }, { verbs: ['get'], nonResourceURLs: ['/metrics'] }, true],
    ['a path below another', { isResourceRequest: false, path: '/metrics/cadvisor' }, { verbs: ['get'], nonResourceURLs: ['/metrics'] }, false],
    ['a path by its beginning', { isResourceRequest: false, path: '/api/v1' }, { verbs: ['get'], nonResourceURLs: ['/api/*'] }, true],
    ['a path by resource rules', { isResourceRequest: false, path: '/api' }, { verbs: ['*'], apiGroups: ['*'], resources: ['*'] }, false],
    ['a resource by path rules', { resource: 'pods' }, { verbs: ['*'], nonResourceURLs: ['*'] }, false],
  ];
  for (const [what, info, rule, expected] of cases) {
    it(`${expected ? 'allows' : 'does not allow'} ${what}`, () => expect(ruleAllows(rule, fakeInfo(info))).to.equal(expected));
  }
});

describe('missingRules()', () => {
  it('finds what is not covered, verb by verb', () => {
    const held: PolicyRule[] = [{ verbs: ['get'], apiGroups: [''], resources: ['pods', '*/log'] }, { verbs: ['*'], apiGroups: ['apps'], resources: ['*'], resourceNames: ['x'] }];
    const wanted: PolicyRule[] = [
      { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] },
      { verbs: ['get'], apiGroups: [''], resources: ['pods/log'] },
      { verbs: ['get'], apiGroups: ['apps'], resources: ['deployments'], resourceNames: ['x'] },
      { verbs: ['get'], apiGroups: ['apps'], resources: ['deployments'] },
      { verbs: ['get'], nonResourceURLs: ['/healthz'] },
    ];
    expect(missingRules(held, wanted)).to.deep.equal([
      { verbs: ['list'], apiGroups: [''], resources: ['pods'] },
      { verbs: ['get'], apiGroups: ['apps'], resources: ['deployments'] },
      { verbs: ['get'], nonResourceURLs: ['/healthz'] },
    ]);
  });
  it('wildcards cover, but are not covered by what they stand for', () => {
    const all: PolicyRule[] = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }];
    const some: PolicyRule[] = [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }];
    expect(missingRules(all, some)).to.deep.equal([]);
    expect(missingRules(some, all)).to.have.length(1);
  });
  it('compactRules() and describeRule() print as upstream', () => {
    const rules = missingRules([], [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['nodes'] }, { verbs: ['get'], nonResourceURLs: ['/x'] }]);
    expect(compactRules(rules).map(describeRule)).to.deep.equal([
      '{NonResourceURLs:["/x"], Verbs:["get"]}', '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}',
    ]);
  });
});

const group = 'rbac.authorization.k8s.io';
const role = (name: string, rules: PolicyRule[], namespace = ''): KubeObject => ({ metadata: { name, ...(namespace ? { namespace } : {}) }, rules });
const binding = (name: string, roleRef: string, subjects: Record<string, string>[], namespace = ''): KubeObject => {
  const [kind = '', target = ''] = roleRef.split('/');
  return { metadata: { name, ...(namespace ? { namespace } : {}) }, roleRef: { apiGroup: group, kind, name: target }, subjects };
};

describe('createRbac()', () => {
  let backend: FakeBackend;
  let rbac: Rbac;
  let stop: AbortController;
  const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups });
  const reader: PolicyRule[] = [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] }];
  beforeEach(() => {
    stop = new AbortController();
    backend = createFakeBackend({
      [`clusterroles.${group}`]: [role('reader', reader), role('named', [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['one', 'two'] }])],
      [`clusterrolebindings.${group}`]: [binding('devs', 'ClusterRole/reader', [{ kind: 'Group', name: 'devs' }])],
      [`roles.${group}`]: [role('own', [{ verbs: ['delete'], apiGroups: [''], resources: ['pods'] }], 'a')],
      [`rolebindings.${group}`]: [
        binding('own', 'Role/own', [{ kind: 'User', name: 'ann' }, { kind: 'ServiceAccount', name: 'robot' }], 'a'),
        binding('named', 'ClusterRole/named', [{ kind: 'User', name: 'ann' }], 'a'),
        binding('lost', 'Role/missing', [{ kind: 'User', name: 'ann' }], 'b'),
        binding('across', 'ClusterRole/reader', [{ kind: 'ServiceAccount', name: 'robot', namespace: 'a' }], 'b'),
      ],
    });
    rbac = createRbac(backend, stop.signal);
  });
  afterEach(() => stop.abort());
  const ask = (who: UserInfo, info: Parameters<typeof fakeInfo>[0]): boolean => {
    const decision = rbac.authorize(who, fakeInfo(info));
    if (decision instanceof Promise) throw new Error('expected an answer without a promise');
    return decision.allowed;
  };

  it('a cluster binding counts in every namespace and at the cluster scope', () => {
    const dev = user('dan', 'devs');
    expect(ask(dev, { resource: 'pods', namespace: 'x' })).to.equal(true);
    expect(ask(dev, { resource: 'pods' })).to.equal(true);
    expect(ask(dev, { resource: 'pods', verb: 'delete', namespace: 'a' })).to.equal(false);
    expect(ask(user('dan'), { resource: 'pods' })).to.equal(false);
  });
  it('a binding counts in its own namespace only', () => {
    expect(ask(user('ann'), { resource: 'pods', verb: 'delete', namespace: 'a' })).to.equal(true);
    expect(ask(user('ann'), { resource: 'pods', verb: 'delete', namespace: 'b' })).to.equal(false);
    expect(ask(user('ann'), { resource: 'pods', verb: 'delete' })).to.equal(false);
  });
  it('names decide where a rule has some', () => {
    const ann = user('ann');
    for (const [name, expected] of [['one', true], ['three', false], ['two', true], ['', false]] as const) {
      expect(ask(ann, { resource: 'secrets', namespace: 'a', name }), name).to.equal(expected);
    }
  });
  it('service accounts are known by namespace and name', () => {
    const robot = user('system:serviceaccount:a:robot');
    expect(ask(robot, { resource: 'pods', verb: 'delete', namespace: 'a' })).to.equal(true);
    expect(ask(robot, { resource: 'pods', namespace: 'b' })).to.equal(true);
    expect(ask(user('system:serviceaccount:b:robot'), { resource: 'pods', namespace: 'b' })).to.equal(false);
  });
  it('says by what it was allowed, and what is missing', () => {
    expect(rbac.authorize(user('dan', 'devs'), fakeInfo({ resource: 'pods' })))
      .to.deep.equal({ allowed: true, reason: 'RBAC: allowed by ClusterRoleBinding "devs" of ClusterRole "reader" to Group "devs"' });
    expect(rbac.authorize(user('system:serviceaccount:a:robot'), fakeInfo({ resource: 'pods', verb: 'delete', namespace: 'a' })))
      .to.deep.equal({ allowed: true, reason: 'RBAC: allowed by RoleBinding "own/a" of Role "own" to ServiceAccount "robot/a"' });
    expect(rbac.authorize(user('ann'), fakeInfo({ resource: 'pods', namespace: 'b' })))
      .to.deep.equal({ allowed: false, reason: `RBAC: role.${group} "missing" not found` });
  });
  it('hears of changed roles and bindings', async () => {
    const ann = user('ann');
    const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    expect(ask(ann, { resource: 'nodes' })).to.equal(false);
    backend.put(`clusterrolebindings.${group}`, binding('late', 'ClusterRole/late', [{ kind: 'User', name: 'ann' }]));
    await tick();
    expect(ask(ann, { resource: 'nodes' })).to.equal(false);
    backend.put(`clusterroles.${group}`, role('late', [{ verbs: ['get'], apiGroups: [''], resources: ['nodes'] }]));
    await tick();
    expect(ask(ann, { resource: 'nodes' })).to.equal(true);
    backend.put(`clusterrolebindings.${group}`, binding('late', 'ClusterRole/late', [{ kind: 'User', name: 'bob' }]));
    await tick();
    expect(ask(ann, { resource: 'nodes' })).to.equal(false);
    expect(ask(user('bob'), { resource: 'nodes' })).to.equal(true);
    backend.remove(`clusterrolebindings.${group}`, '', 'late');
    await tick();
    expect(ask(user('bob'), { resource: 'nodes' })).to.equal(false);
  });
  it('stays well below 0.05 ms for a known user', () => {
    for (let n = 0; n < 200; n++) backend.put(`clusterrolebindings.${group}`, binding(`b${n}`, 'ClusterRole/reader', [{ kind: 'Group', name: `g${n}` }]));
    const dev = user('dan', ...Array.from({ length: 20 }, (_, n) => `g${n}`));
    const info = fakeInfo({ resource: 'pods', namespace: 'a', name: 'x' });
    let allowed = ask(dev, { resource: 'pods', namespace: 'a', name: 'x' });
    const began = performance.now();
    for (let n = 0; n < 10_000; n++) allowed &&= (rbac.authorize(dev, info) as { allowed: boolean }).allowed;
    expect(allowed).to.equal(true);
    expect((performance.now() - began) / 10_000).to.be.below(0.02);
  });
  it('rulesFor() lists resource and path rules apart', () => {
    const rules = rbac.rulesFor?.(user('ann'), 'a');
    expect(rules?.incomplete).to.equal(false);
    expect(rules?.resourceRules).to.have.length(2);
    expect(rules?.nonResourceRules).to.deep.equal([]);
  });
});
