import { expect } from 'chai';
import type { Deployment, ReplicaSet } from '#machinery/api/object.ts';
import { rollback, rollbackKey, rollbackTo } from './rollback.ts';

const template = (image: string, hash?: string): object => ({ metadata: { labels: { app: 'd', ...(hash ? { 'pod-template-hash': hash } : {}) } }, spec: { containers: [{ name: 'c', image }] } });
const deployment = (image: string, to: string): Deployment => ({
  metadata: { name: 'd', annotations: { [rollbackKey]: to, 'deployment.kubernetes.io/revision': '3', 'cause': 'newest' } },
  spec: { replicas: 2, selector: {}, template: template(image) },
});
const set = (image: string, revision?: string): ReplicaSet => ({
  metadata: { name: image, annotations: { 'cause': image, ...(revision === undefined ? {} : { 'deployment.kubernetes.io/revision': revision }) } },
  spec: { selector: {}, template: template(image, image) },
});
const sets = [set('one', '1'), set('two', '2'), set('three', '3')];
const large = '3546343826724305833';

describe('rollbackTo()', () => {
  for (const [text, wanted] of [['', undefined], ['0', 0n], ['7', 7n], ['-1', -1n], [large, 3546343826724305833n], ['9223372036854775808', undefined], ['two', undefined], ['1.5', undefined]] as const) {
    it(`${JSON.stringify(text)} asks for ${wanted}`, () => expect(rollbackTo(deployment('x', text))).to.equal(wanted));
  }
  it('nothing is asked for without the annotation', () => expect(rollbackTo({ metadata: {} })).to.equal(undefined));
});

describe('rollback()', () => {
  it('takes template and annotations of the revision, its own bookkeeping stays', () => {
    const { deployment: written, event } = rollback(deployment('three', '1'), sets, 1n);
    expect(written.spec).to.deep.equal({ replicas: 2, selector: {}, template: template('one') });
    expect(written.metadata.annotations).to.deep.equal({ 'deployment.kubernetes.io/revision': '3', 'cause': 'one' });
    expect(event).to.deep.equal(['Normal', 'DeploymentRollback', 'Rolled back deployment "d" to revision 1']);
  });
  it('0 is the one before the newest, also beyond what a number holds', () => {
    expect(rollback(deployment('three', '0'), sets, 0n).event[2]).to.equal('Rolled back deployment "d" to revision 2');
    const { event } = rollback(deployment('three', '0'), [set('three', '3546343826724305834'), set('one', large), set('two', '3546343826724305832')], 0n);
    expect(event[2]).to.equal(`Rolled back deployment "d" to revision ${large}`);
  });
  for (const [title, to, from, reason, message] of [
    ['a revision that is gone', 9n, sets, 'DeploymentRollbackRevisionNotFound', 'Unable to find the revision to rollback to.'],
    ['a negative one', -1n, sets, 'DeploymentRollbackRevisionNotFound', 'Unable to find the revision to rollback to.'],
    ['no older one', 0n, [set('three', '3')], 'DeploymentRollbackRevisionNotFound', 'Unable to find last revision.'],
    ['older ones without a number', 0n, [set('three', '3'), set('two'), set('one', 'x')], 'DeploymentRollbackRevisionNotFound', 'Unable to find last revision.'],
    ['the template that it has', 3n, sets, 'DeploymentRollbackTemplateUnchanged', 'The rollback revision contains the same template as current deployment "d"'],
  ] as const) {
    it(`${title}: the request is taken off, nothing else changes`, () => {
      const asking = deployment('three', String(to));
      const { deployment: written, event } = rollback(asking, from, to);
      expect(event).to.deep.equal(['Warning', reason, message]);
      expect(written).to.deep.equal({ ...asking, metadata: { ...asking.metadata, annotations: { 'deployment.kubernetes.io/revision': '3', 'cause': 'newest' } } });
    });
  }
});
