import { expect } from 'chai';
import { AdmissionCompiler, results } from '#machinery/cel/admission.ts';
import { createFakeBackend, fakeContext, fakeRow, fakeWrite } from '../../auth/fake-backend.ts';
import type { Authorizer } from '../../filters/seams.ts';
import type { UserInfo } from '../../request.ts';
import type { DynamicAdmissionMetrics } from '../../metrics/dynamic-admission.ts';
import type { AdmissionAttributes } from '../admission.ts';
import { AdmissionRequest } from '../matching/request.ts';
import { Activation, budgets, OutOfBudget } from './activation.ts';
import { aggregated, matchConditions } from './conditions.ts';

const backend = createFakeBackend();
const about = { name: 'x', kind: 'webhook', type: 'admit', operation: 'CREATE' } as const;
let errors = 0;
let measured = 0;
// What is not listed is not called here.
const metrics = { conditions: () => { measured += 1; }, conditionError: () => { errors += 1; } } as unknown as DynamicAdmissionMetrics;
const asked: string[] = [];
/** Allows what is about pods; answers about others only later. */
const authorizer: Authorizer = {
  authorize(user: UserInfo, { verb, resource, namespace, path }) {
    asked.push(`${user.name} ${verb} ${namespace}/${resource}${path}`);
    const decision = { allowed: resource === 'pods', reason: 'because' };
    return resource === 'pods' ? decision : Promise.resolve(decision);
  },
};

function input(change: Partial<AdmissionAttributes> = {}) {
  const request = new AdmissionRequest({
    operation: 'CREATE', row: fakeRow('', 'pods', 'Pod'), subresource: '', namespace: 'a', name: 'one', object: { metadata: { name: 'one' }, spec: { list: Array.from({ length: 300 }, (_, at) => at) } },
    oldObject: undefined, options: {}, dryRun: false, user: { name: 'ann', groups: ['dev'] }, context: fakeWrite(backend, fakeContext()), ...change,
  }, backend);
  return { request, versioned: request.in(request.form), params: undefined, authorizer };
}
async function outcome(expressions: string[], failOpen = false): Promise<string> {
  const compiler = new AdmissionCompiler({ composed: false });
  const compiled = expressions.map((source) => compiler.compile(source, { authorizer: true }, results.condition));
  const { matches, error } = await matchConditions(compiled, failOpen, input(), metrics, about);
  return error ?? String(matches);
}

describe('matchConditions()', () => {
  beforeEach(() => {
    errors = 0;
    measured = 0;
  });
  it('holds when all hold', async () => {
    expect(await outcome([])).to.equal('true');
    expect(await outcome(['true', "object.metadata.name == 'one'", "request.userInfo.username == 'ann' && 'dev' in request.userInfo.groups", 'oldObject == null', '!request.dryRun'])).to.equal('true');
    expect([errors, measured]).to.deep.equal([0, 2]);
  });
  it('does not when one does not, whatever fails beside it', async () => {
    expect(await outcome(['true', 'false'])).to.equal('false');
    expect(await outcome(["object.none == 'x'", 'false'])).to.equal('false');
    expect(errors).to.equal(1);
  });
  it('tells each error once, unless they may be ignored', async () => {
    const failing = ["object.none == 'x'", "object.none == 'x'", "object.other == 'x'"];
    const first = "expression 'object.none == 'x'' resulted in error: no such key: none";
    expect(await outcome(failing.slice(0, 2))).to.equal(first);
    expect(await outcome(failing)).to.equal(`[${first}, expression 'object.other == 'x'' resulted in error: no such key: other]`);
    expect(await outcome(failing, true)).to.equal('false');
  });
  it('tells what could not be compiled when it is needed', async () => {
    expect(await outcome(['nothing'])).to.match(/^compilation error: compilation failed: ERROR: <input>:1:1: undeclared reference to 'nothing'/);
    expect(await outcome(['1'])).to.equal('compilation error: must evaluate to bool but got int');
  });
  it('ends when all that they cost is too much, though each may be cheap enough', async () => {
    const costly = 'object.spec.list.all(a, object.spec.list.all(b, a + b >= 0))';
    expect(await outcome([costly])).to.equal('true');
    const out = 'validation failed due to running out of cost budget, no further validation rules will be run';
    expect(await outcome(Array.from({ length: 10 }, () => costly))).to.equal(out);
    expect(await outcome(Array.from({ length: 10 }, () => costly), true)).to.equal('false');
  });
  it('asks the authorizer, also one that answers later, each question once', async () => {
    asked.length = 0;
    expect(await outcome(["authorizer.requestResource.check('create').allowed() && !authorizer.group('').resource('secrets').namespace('b').check('get').allowed()"])).to.equal('true');
    expect(await outcome(["authorizer.serviceAccount('a', 'robot').path('/x').check('get').reason() == 'because'"])).to.equal('true');
    expect(asked).to.deep.equal(['ann create a/pods', 'ann get b/secrets', 'system:serviceaccount:a:robot get //x']);
  });
});

describe('Activation', () => {
  it('lets others have their turn after an expression that took long', async () => {
    const compiler = new AdmissionCompiler({ composed: false });
    let turns = 0;
    const turnsOf = async (source: string): Promise<number> => {
      turns = 0;
      const counting = setInterval(() => {
        turns += 1;
      }, 0);
      const expression = compiler.compile(source, {}, results.condition);
      const activation = new Activation(input());
      for (let at = 0; at < 3; at += 1) await activation.evaluate(expression, { remaining: budgets.policy });
      clearInterval(counting);
      return turns;
    };
    expect(await turnsOf('true')).to.equal(0);
    expect(await turnsOf('object.spec.list.all(a, object.spec.list.all(b, a + b >= 0))')).to.be.above(0);
  });
  it('charges variables to the expression that reads them first, and evaluates them once', async () => {
    const compiler = new AdmissionCompiler({ composed: true });
    compiler.compileVariable('sum', 'object.spec.list.map(x, x + 1).size()', {});
    const expression = compiler.compile('variables.sum + variables.sum == 600', {}, results.condition);
    const activation = new Activation({ ...input(), variables: compiler.variables });
    const budget = { remaining: budgets.policy };
    expect((await activation.evaluate(expression, budget)).value).to.equal(true);
    const first = budgets.policy - budget.remaining;
    expect((await activation.evaluate(expression, budget)).value).to.equal(true);
    expect(budgets.policy - budget.remaining - first).to.be.below(first / 10);
  });
  it('throws once the budget is spent', async () => {
    const expression = new AdmissionCompiler({ composed: false }).compile('object.spec.list.all(x, x >= 0)', {}, results.condition);
    try {
      await new Activation(input()).evaluate(expression, { remaining: 10 });
      expect.fail('evaluated');
    } catch (error) {
      expect(error).to.be.instanceOf(OutOfBudget);
    }
  });
});

describe('aggregated()', () => {
  it('joins as upstream does', () => expect([aggregated(['a']), aggregated(['a', 'a']), aggregated(['a', 'b'])]).to.deep.equal(['a', 'a', '[a, b]']));
});
