import { expect } from 'chai';
import fc from 'fast-check';
import { hasImplementation } from './registry.ts';
import { declaredFunctions } from './_declarations.ts';
import { compile, perCallLimit } from './compile.ts';
import { CelError } from './cel.ts';
import type { CelBudget, CelProgram, CelType, CelVariable } from './cel.ts';
import { createAuthorizer, createResourceCheck, evaluateAwaiting } from './functions/authorizer.ts';
import type { CelAuthorizationCheck } from './functions/authorizer.ts';
import { mutationTypes } from './mutation.ts';
import { toJson } from './values.ts';

const dyn: CelType = { kind: 'dyn' };
const object: CelVariable = { name: 'object', type: dyn };
const authorizer: CelVariable = { name: 'authorizer', type: { kind: 'opaque', name: 'kubernetes.authorization.Authorizer' } };

function program(source: string, ...variables: CelVariable[]): CelProgram {
  const compilation = compile(source, { variables, constructible: mutationTypes });
  if (compilation.program === undefined) throw new Error(compilation.issues.map(issue => issue.text).join('\n'));
  return compilation.program;
}

function evaluate(source: string, values: Record<string, unknown> = {}, budget: CelBudget = { remaining: 10_000_000 }): unknown {
  return program(source, ...Object.keys(values).map(name => ({ name, type: dyn }))).evaluate(values, budget);
}

describe('CelProgram', () => {
  it('names what it reads, and nothing that a comprehension names', () => {
    const { reads } = program('object.a == 1 && [1].all(x, x > oldObject.b)', object, { name: 'oldObject', type: dyn }, { name: 'params', type: dyn });
    expect([...reads]).to.deep.equal(['object', 'oldObject']);
  });

  it('takes what it costs from the budget, also when it fails', () => {
    const budget = { remaining: 100 };
    expect(evaluate('object.a == 1', { object: { a: 1 } }, budget)).to.equal(true);
    expect(budget.remaining).to.equal(97);
    expect(() => evaluate('object.b', { object: {} }, budget)).to.throw(CelError, 'no such key: b');
    expect(budget.remaining).to.equal(95);
  });

  it('ends where the budget does', () => {
    const budget = { remaining: 50 };
    const error = thrown(() => evaluate('object.all(x, object.all(y, x == y || true))', { object: Array.from({ length: 100 }, (_, i) => i) }, budget));
    expect(error).to.be.instanceOf(CelError).with.property('reason', 'budget');
    expect(error).to.have.property('message', 'operation cancelled: actual cost limit exceeded');
    expect(budget.remaining).to.be.below(0);
  });

  it('costs no more than one evaluation may, whatever is left', () => {
    const list = Array.from({ length: 2000 }, (_, i) => i);
    const budget = { remaining: 100_000_000 };
    expect(thrown(() => evaluate('object.all(x, object.all(y, x == y || true))', { object: list }, budget))).to.have.property('reason', 'budget');
    expect(100_000_000 - budget.remaining).to.be.within(perCallLimit, perCallLimit + 100);
  });

  it('refuses a range that costs too much before it is built', () => {
    expect(thrown(() => evaluate('lists.range(9000000000000000000).size() > 0'))).to.have.property('reason', 'budget');
  });

  it('refuses to compare everything with everything before it does', () => {
    const started = performance.now();
    expect(thrown(() => evaluate('object.distinct().size()', { object: Array.from({ length: 100_000 }, (_, i) => i) }))).to.have.property('reason', 'budget');
    expect(performance.now() - started).to.be.below(1000);
  });

  it('fails where texts and lists grow beyond all measure for a small price', () => {
    const text = 'x'.repeat(200_000);
    for (const source of ["object.replace('', object)", "object.replace('x', object)", '[object].map(x, [x, x].join(x))[0].split(\'\').join(object)', `'${'%s'.repeat(200)}'.format([${'object, '.repeat(200)}])`]) {
      expect(() => evaluate(`${source}.size()`, { object: text }), source.slice(0, 60)).to.throw(CelError, /text of \d+ characters is too long/);
    }
    const list = Array.from({ length: 5000 }, (_, i) => i);
    expect(() => evaluate('object.map(x, object).flatten().size()', { object: list })).to.throw(CelError, /list of \d+ elements is too long/);
    const doubled = `optional.of(object)${'.optMap(x, x + x)'.repeat(3)}`;
    expect(evaluate(`${doubled}.value().size()`, { object: list })).to.equal(40_000n);
    expect(evaluate(`${doubled}.value()[39999]`, { object: list })).to.equal(4999n);
    let nested = 'object';
    for (let i = 0; i < 12; i++) nested = `[${nested}].map(x, x + x)[0]`;
    expect(() => evaluate(nested, { object: list })).to.throw(CelError, /list of \d+ elements is too long/);
  });

  it('adds lists without copying them', () => {
    const list = Array.from({ length: 30_000 }, (_, i) => i);
    const started = performance.now();
    expect(evaluate('object.map(x, object + [x]).size()', { object: list })).to.equal(30_000n);
    expect(performance.now() - started).to.be.below(2000);
  });

  it('sees own members only', () => {
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      expect(evaluate(`has(object.${name})`, { object: {} }), name).to.equal(false);
      expect(() => evaluate(`object['${name}']`, { object: {} }), name).to.throw(CelError, `no such key: ${name}`);
      expect(evaluate(`'${name}' in object`, { object: {} }), name).to.equal(false);
      expect(evaluate(`{'${name}': 1}.${name}`)).to.equal(1n);
    }
    expect(compile('constructor', { variables: [] }).issues[0]?.message).to.equal('undeclared reference to \'constructor\' (in container \'\')');
    expect(compile('constructor()', { variables: [] }).program).to.equal(undefined);
    expect(() => evaluate('object', Object.create({ object: 1 }) as Record<string, unknown>)).to.throw(/undeclared/);
  });

  it('matches patterns in linear time', () => {
    const started = performance.now();
    expect(evaluate("object.matches('^(a+)+$')", { object: `${'a'.repeat(5000)}!` })).to.equal(false);
    expect(performance.now() - started).to.be.below(2000);
  });

  it('answers values that toJson() makes JSON of', () => {
    expect(toJson(evaluate("{'a': dyn(1), 'b': dyn([dyn(1.5), dyn('x'), dyn(null)]), 'c': dyn(timestamp('2020-01-01T00:00:00Z')), 'd': dyn(duration('90s')), 'e': dyn(b'x')}"))).to.deep.equal({ a: 1, b: [1.5, 'x', null], c: '2020-01-01T00:00:00Z', d: '90s', e: 'eA==' });
    expect(toJson(evaluate('Object{spec: Object.spec{replicas: 3, ?none: optional.none()}}'))).to.deep.equal({ spec: { replicas: 3 } });
    expect(() => toJson(evaluate('{1: 2}'))).to.throw(RangeError, 'not string');
    expect(() => toJson(evaluate("ip('1.2.3.4')"))).to.throw(RangeError, 'net.IP');
  });

  it('takes its own values back', () => {
    const variables = evaluate("{'a': dyn([1, 2]), 'b': dyn(timestamp('2020-01-01T00:00:00Z'))}");
    expect(evaluate('variables.a.size() == 2 && variables.b.getFullYear() == 2020', { variables })).to.equal(true);
  });
});

describe('every declared function', () => {
  it('is implemented', () => {
    const operators = new Set(['_&&_', '_||_', '_?_:_', '_==_', '_!=_', '_[_]', '_[?_]', 'or', 'orValue']);
    const missing = declaredFunctions().filter(({ name, id }) => !operators.has(name) && !hasImplementation(name, id));
    expect(missing).to.deep.equal([]);
  });
});

describe('evaluateAwaiting()', () => {
  const source = "authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed() && authorizer.path('/healthz').check('get').allowed()";

  it('waits for answers that come later and asks each question once', async () => {
    const asked: CelAuthorizationCheck[] = [];
    const value = createAuthorizer({ name: 'alice' }, async check => {
      await Promise.resolve();
      asked.push(check);
      return { allowed: true };
    });
    const budget = { remaining: 1_000_000 };
    expect(await evaluateAwaiting(program(source, authorizer), { authorizer: value }, budget)).to.equal(true);
    expect(asked.map(check => [check.resource, check.namespace, check.verb, check.path])).to.deep.equal([['deployments', 'x', 'create', undefined], ['', '', 'get', '/healthz']]);
    expect(1_000_000 - budget.remaining).to.equal(700_008);
  });

  it('throws what the authorizer throws', async () => {
    const value = createAuthorizer({ name: 'alice' }, () => Promise.reject(new Error('no connection')));
    const failure: unknown = await evaluateAwaiting(program(source, authorizer), { authorizer: value }, { remaining: 1_000_000 }).catch((error: unknown) => error);
    expect(failure).to.have.property('message', 'no connection');
  });

  it('does without waiting where answers are at hand, and knows the request\'s resource', () => {
    const value = createAuthorizer({ name: 'alice' }, check => ({ allowed: false, reason: `${check.user.name} ${check.verb} ${check.resource}/${check.name}` }));
    const requestResource = createResourceCheck(value, { group: '', resource: 'pods', subresource: '', namespace: 'n', name: 'p' });
    const check: CelVariable = { name: 'authorizer.requestResource', type: { kind: 'opaque', name: 'kubernetes.authorization.ResourceCheck' } };
    const values = { authorizer: value, 'authorizer.requestResource': requestResource };
    expect(program("authorizer.requestResource.check('get').reason()", authorizer, check).evaluate(values, { remaining: 1_000_000 })).to.equal('alice get pods/p');
  });
});

describe('any source', () => {
  const fragment = fc.constantFrom('1', '2u', '0.5', "'a'", 'b"x"', 'true', 'null', 'object', 'object.a', 'object.l', 'x', '[1, 2]', "{'a': 1}", '[]', '{}', 'size', 'int',
    "duration('1s')", "timestamp('2020-01-01T00:00:00Z')", 'optional.none()', "ip('::1')", "quantity('1')", '(', ')', '[', ']', '{', '}', '.', ',', '?', ':', '.?',
    '+', '-', '*', '/', '%', '==', '!=', '<', '>=', 'in', '&&', '||', '!', '.size()', '.all(x, ', '.map(x, ', '.exists(x, ', '.transformMap(k, v, ', 'has(', 'dyn(',
    'string(', '.matches(', '.format(', '.orValue(', '@', '"', "'", '`', '\\', '\n', '//', '😀', '__proto__', '.constructor', '.sort()', '.split(', '.value()');
  const value = { a: 1, l: [1, 'a', null, 2.5, [true]], constructor: 'x' };

  it('is compiled or reported, and evaluated or fails, within the budget', () => {
    fc.assert(fc.property(fc.array(fragment, { maxLength: 14 }), parts => {
      const source = parts.join('');
      const compilation = compile(source, { variables: [object, { name: 'x', type: { kind: 'int' } }] });
      if (compilation.program === undefined) {
        expect(compilation.issues).to.not.have.length(0);
        return;
      }
      const { min, max } = compilation.program.estimate();
      expect(min).to.be.at.most(Math.max(max, min));
      const budget = { remaining: 20_000 };
      try {
        compilation.program.evaluate({ object: value, x: 7 }, budget);
      } catch (error) {
        expect(error).to.be.instanceOf(CelError);
      }
      // A step is paid after it is done.
      expect(budget.remaining).to.be.above(-20_000);
    }), { numRuns: 1000 });
  });

  it('is compiled or reported whatever characters it has', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 40 }), source => {
      const { program: made, issues } = compile(source, { variables: [] });
      expect(made === undefined).to.equal(issues.length > 0);
    }), { numRuns: 500 });
  });
});

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
