import { expect } from 'chai';
import { StatusError } from '#machinery/api/status.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { createFakeBackend, fakeContext, fakeRow, fakeWrite } from '../../auth/fake-backend.ts';
import type { ResourceRow } from '../../resources/resource.ts';
import type { AdmissionAttributes } from '../admission.ts';
import { criteriaOf, match } from './matcher.ts';
import type { MatchResources, Rule } from './matcher.ts';
import { AdmissionRequest } from './request.ts';

const pods: ResourceRow = { ...fakeRow('', 'pods', 'Pod'), subresources: [{ name: 'status', verbs: ['update'] }, { name: 'exec', verbs: ['create'], connect: true, kind: 'PodExecOptions' }] };
const namespaces = fakeRow('', 'namespaces', 'Namespace', false);
const nodes = fakeRow('', 'nodes', 'Node', false);
const autoscalersV2: ResourceRow = { ...fakeRow('autoscaling', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler'), version: 'v2' };
const autoscalersV1: ResourceRow = {
  ...fakeRow('autoscaling', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler'), storedAs: 'horizontalpodautoscalers.autoscaling',
  convert: { toStored: (object) => ({ ...object, from: 'v1' }), fromStored: (object) => ({ ...object, seen: 'v1' }) },
};
const hidden: ResourceRow = { ...autoscalersV1, version: 'v1alpha1', unserved: true };
const backend = { ...createFakeBackend({ namespaces: [{ metadata: { name: 'a', labels: { team: 'x' } } }] }), rows: () => [pods, namespaces, nodes, autoscalersV2, autoscalersV1, hidden] };

const rule = (change: Partial<Rule> = {}): Rule => ({ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'], ...change });
function request(change: Partial<AdmissionAttributes> = {}): AdmissionRequest {
  return new AdmissionRequest({
    operation: 'CREATE', row: pods, subresource: '', namespace: 'a', name: 'one', object: { metadata: { name: 'one' } }, oldObject: undefined, options: {}, dryRun: false,
    user: { name: 'ann', groups: [] }, context: fakeWrite(backend, fakeContext()), ...change,
  }, backend);
}
const of = async (resources: MatchResources, about: Partial<AdmissionAttributes> = {}): Promise<string> => {
  try {
    const form = await match(criteriaOf({ matchPolicy: 'Equivalent', ...resources }), request(about), backend);
    return form ? `${form.resource.resource}/${form.resource.version} ${form.kind.kind}` : 'no';
  } catch (error) {
    if (error instanceof StatusError) return `${error.status.code} ${error.message}`;
    throw error;
  }
};
const byRule = (change: Partial<Rule>, about: Partial<AdmissionAttributes> = {}): Promise<string> => of({ resourceRules: [rule(change)] }, about);
const yes = 'pods/v1 Pod';

describe('match()', () => {
  const cases: [title: string, rule: Partial<Rule>, about: Partial<AdmissionAttributes>, expected: string][] = [
    ['an operation that is listed', { operations: ['UPDATE', 'CREATE'] }, {}, yes],
    ['another operation', { operations: ['UPDATE', 'DELETE'] }, {}, 'no'],
    ['the core group by its empty name', { apiGroups: [''] }, {}, yes],
    ['another group', { apiGroups: ['apps'] }, {}, 'no'],
    ['another version', { apiVersions: ['v2'] }, {}, 'no'],
    ['no operation', { operations: [] }, {}, 'no'],
    ['a resource by name', { resources: ['services', 'pods'] }, {}, yes],
    ['a resource by star, which means no subresource', { resources: ['*'] }, { subresource: 'status' }, 'no'],
    ['a resource by name when its subresource is written', { resources: ['pods'] }, { subresource: 'status' }, 'no'],
    ['a subresource', { resources: ['pods/status'] }, { subresource: 'status' }, yes],
    ['all subresources of one, and the resource too', { resources: ['pods/*'] }, {}, yes],
    ['a subresource of all', { resources: ['*/status'] }, { subresource: 'status' }, yes],
    ['a subresource with a kind of its own', { resources: ['pods/exec'], operations: ['CONNECT'] }, { operation: 'CONNECT', subresource: 'exec' }, 'pods/v1 PodExecOptions'],
    ['scope Namespaced', { scope: 'Namespaced' }, {}, yes],
    ['scope Namespaced for what is in no namespace', { scope: 'Namespaced' }, { row: nodes, namespace: '' }, 'no'],
    ['scope Cluster for it', { scope: 'Cluster' }, { row: nodes, namespace: '' }, 'nodes/v1 Node'],
    ['scope Cluster for namespaces', { scope: 'Cluster' }, { row: namespaces, namespace: '' }, 'namespaces/v1 Namespace'],
    ['scope Namespaced for namespaces', { scope: 'Namespaced' }, { row: namespaces, namespace: '' }, 'no'],
    ['a scope that nobody knows', { scope: 'Galaxy' }, {}, 'no'],
    ['a name that is listed', { resourceNames: ['two', 'one'] }, {}, yes],
    ['another name', { resourceNames: ['two'] }, {}, 'no'],
    ['a name that is still to be generated', { resourceNames: ['one'] }, { name: '' }, 'no'],
  ];
  for (const [title, change, about, expected] of cases) it(`by rule: ${title}`, async () => expect(await byRule(change, about)).to.equal(expected));

  it('goes by what is excluded before what is included', async () => {
    expect(await of({ resourceRules: [rule()], excludeResourceRules: [rule({ resourceNames: ['one'] })] })).to.equal('no');
    expect(await of({ resourceRules: [rule()], excludeResourceRules: [rule({ resourceNames: ['two'] })] })).to.equal(yes);
  });
  it('takes any write where there are no rules', async () => expect(await of({})).to.equal(yes));

  describe('other versions', () => {
    const v1 = [rule({ apiGroups: ['autoscaling'], apiVersions: ['v1'], resources: ['horizontalpodautoscalers'] })];
    const written = { row: autoscalersV2, object: { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name: 'one' } } };
    it('count as the same', async () => expect(await of({ resourceRules: v1 }, written)).to.equal('horizontalpodautoscalers/v1 HorizontalPodAutoscaler'));
    it('do not where they must be exact', async () => expect(await of({ resourceRules: v1, matchPolicy: 'Exact' }, written)).to.equal('no'));
    it('exclude too', async () => expect(await of({ resourceRules: [rule()], excludeResourceRules: v1 }, written)).to.equal('no'));
    it('that are not served do not count', async () => expect(await byRule({ apiVersions: ['v1alpha1'] }, written)).to.equal('no'));
    it('come second: a rule for the version that was sent wins', async () => {
      expect(await of({ resourceRules: [...v1, rule({ apiVersions: ['v2'] })] }, written)).to.equal('horizontalpodautoscalers/v2 HorizontalPodAutoscaler');
    });
    it('are what the object is shown in, and taken back from', () => {
      const asked = request(written);
      const [form] = asked.equivalents;
      if (!form) throw new Error('no other version');
      const { object } = asked.in(form);
      expect(object).to.deep.equal({ kind: 'HorizontalPodAutoscaler', apiVersion: 'autoscaling/v1', metadata: { name: 'one' }, seen: 'v1' });
      const { metadata } = asked.attributes.object as KubeObject;
      asked.replace(form, { ...object, metadata: { name: 'one', labels: { a: 'b' } } });
      expect(asked.attributes.object).to.deep.equal({ kind: 'HorizontalPodAutoscaler', apiVersion: 'autoscaling/v2', metadata: { name: 'one', labels: { a: 'b' } }, seen: 'v1', from: 'v1' });
      expect(asked.attributes.object?.metadata, 'handlers hold on to it').to.equal(metadata);
    });
  });

  describe('selectors', () => {
    const team = (value: string) => ({ matchLabels: { team: value } });
    it('of namespaces go by the labels of the object\'s own', async () => {
      expect(await of({ namespaceSelector: team('x') })).to.equal(yes);
      expect(await of({ namespaceSelector: team('y') })).to.equal('no');
    });
    it('of namespaces leave out nothing that is in none', async () => expect(await of({ namespaceSelector: team('y') }, { row: nodes, namespace: '' })).to.equal('nodes/v1 Node'));
    it('of namespaces go by a namespace itself as it is to be', async () => {
      const object = { metadata: { name: 'a', labels: { team: 'y' } } };
      expect(await of({ namespaceSelector: team('y') }, { row: namespaces, namespace: '', name: 'a', object, operation: 'UPDATE' })).to.equal('namespaces/v1 Namespace');
      expect(await of({ namespaceSelector: team('x') }, { row: namespaces, namespace: '', name: 'a', object: undefined, operation: 'DELETE' })).to.equal('namespaces/v1 Namespace');
    });
    it('of namespaces fail for one that is not there, unless no rule matches', async () => {
      expect(await of({ namespaceSelector: team('x') }, { namespace: 'gone' })).to.equal('404 namespaces "gone" not found');
      expect(await of({ namespaceSelector: team('x'), resourceRules: [rule({ apiGroups: ['apps'] })] }, { namespace: 'gone' })).to.equal('no');
    });
    it('of objects go by what is and by what was', async () => {
      const labelled = { metadata: { labels: { team: 'x' } } };
      expect(await of({ objectSelector: team('x') })).to.equal('no');
      expect(await of({ objectSelector: team('x') }, { object: labelled })).to.equal(yes);
      expect(await of({ objectSelector: team('x') }, { oldObject: labelled })).to.equal(yes);
      expect(await of({ objectSelector: team('x') }, { object: { kind: 'PodExecOptions' } })).to.equal('no');
      expect(await of({ objectSelector: { matchExpressions: [{ key: 'team', operator: 'DoesNotExist' }] } })).to.equal(yes);
    });
    it('that cannot be read are an internal error, where it comes to them', async () => {
      const broken = { matchExpressions: [{ key: 'team', operator: 'Near' }] };
      expect(await of({ objectSelector: broken })).to.equal('500 Internal error occurred: "Near" is not a valid label selector operator');
      expect(await of({ objectSelector: broken, namespaceSelector: team('y') })).to.equal('no');
    });
  });
});
