import { expect } from 'chai';
import { fieldErrorBody } from '#machinery/api/status.ts';
import { readSchema } from './json-schema.ts';
import { ruleBudget, RuleValidator } from './rules.ts';

describe('RuleValidator', () => {
  const rule = (text: string, more: object = {}): object => ({ 'x-kubernetes-validations': [{ rule: text, ...more }] });
  function errorsOf(schema: object, value: unknown, { old, spares = false, remaining = ruleBudget }: { old?: unknown; spares?: boolean; remaining?: number } = {}): string[] {
    const validator = RuleValidator.of(readSchema(schema) ?? {}, true);
    return (validator?.validate(value, old, '', { remaining }, spares) ?? []).map((error) => `${error.field}: ${fieldErrorBody(error)}`);
  }
  const spec = (properties: object, rules: object = {}): object => ({ type: 'object', properties: { spec: { type: 'object', properties, ...rules } } });

  it('is none where there are no rules', () => expect(RuleValidator.of(readSchema(spec({ a: { type: 'string' } })) ?? {}, true)).to.equal(undefined));
  it('names the field and the rule', () =>
    expect(errorsOf(spec({ a: { type: 'integer', ...rule('self > 1') } }), { spec: { a: 1 } })).to.deep.equal(['spec.a: Invalid value: 1: failed rule: self > 1']));
  it('names the path of a rule, and its message', () =>
    expect(errorsOf(spec({ a: { type: 'integer' } }, rule('self.a > 1', { fieldPath: '.a', messageExpression: '"it is " + string(self.a)', reason: 'FieldValueForbidden' })), { spec: { a: 1 } }))
      .to.deep.equal(['spec.a: Forbidden: it is 1']));
  it('rules of what is not there do not run', () => expect(errorsOf(spec({ a: { type: 'integer', ...rule('false') } }), { spec: {} })).to.deep.equal([]));
  it('rules on what was before run on updates only', () => {
    const schema = spec({ a: { type: 'string', ...rule('self == oldSelf', { message: 'may not change' }) } });
    expect(errorsOf(schema, { spec: { a: 'x' } })).to.deep.equal([]);
    expect(errorsOf(schema, { spec: { a: 'x' } }, { old: { spec: {} } })).to.deep.equal([]);
    expect(errorsOf(schema, { spec: { a: 'x' } }, { old: { spec: { a: 'x' } } })).to.deep.equal([]);
    expect(errorsOf(schema, { spec: { a: 'y' } }, { old: { spec: { a: 'x' } } })).to.deep.equal(['spec.a: Invalid value: "y": may not change']);
  });
  it('an optional old value is there on creates, too', () => {
    const schema = spec({ a: { type: 'string', ...rule('oldSelf.hasValue() || self == "first"', { optionalOldSelf: true }) } });
    expect(errorsOf(schema, { spec: { a: 'first' } })).to.deep.equal([]);
    expect(errorsOf(schema, { spec: { a: 'x' } })).to.have.length(1);
    expect(errorsOf(schema, { spec: { a: 'x' } }, { old: { spec: { a: 'y' } } })).to.deep.equal([]);
  });
  it('items of a map are followed by their keys', () => {
    const list = { 'type': 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'], 'items': { type: 'object', properties: { k: { type: 'string' }, v: { type: 'integer', ...rule('self >= oldSelf') } } } };
    expect(errorsOf(spec({ list }), { spec: { list: [{ k: 'b', v: 1 }, { k: 'a', v: 1 }] } }, { old: { spec: { list: [{ k: 'a', v: 2 }] } } })).to.deep.equal(['spec.list[1].v: Invalid value: 1: failed rule: self >= oldSelf']);
  });
  it('spares what did not change, where asked to', () => {
    const schema = spec({ a: { type: 'integer', ...rule('self > 1') }, b: { type: 'integer' } });
    const old = { spec: { a: 1, b: 1 } };
    expect(errorsOf(schema, { spec: { a: 1, b: 2 } }, { old, spares: true })).to.deep.equal([]);
    expect(errorsOf(schema, { spec: { a: 1, b: 2 } }, { old })).to.have.length(1);
    expect(errorsOf(schema, { spec: { a: 0, b: 1 } }, { old, spares: true })).to.have.length(1);
  });
  it('what fails while it runs is told', () => {
    expect(errorsOf(spec({ a: { type: 'integer', ...rule('1 / self > 0') } }), { spec: { a: 0 } })).to.deep.equal(['spec.a: Invalid value: "integer": division by zero evaluating rule: 1 / self > 0']);
    expect(errorsOf(spec({ a: { type: 'integer', ...rule('self.x') } }), { spec: { a: 0 } })[0]).to.include('rule compile error: compilation failed: ERROR: <input>:1:5');
  });
  it('stops when the budget is spent, and runs nothing after it', () => {
    const schema = spec({ a: { type: 'array', items: { type: 'integer' }, ...rule('self.all(x, self.all(y, x != y + 100))') }, b: { type: 'integer', ...rule('false') } });
    const value = { spec: { a: Array.from({ length: 20 }, (_, index) => index), b: 1 } };
    expect(errorsOf(schema, value, { remaining: 100 })).to.deep.equal(['spec.a: Invalid value: "array": validation failed due to running out of cost budget, no further validation rules will be run']);
    expect(errorsOf(schema, value)).to.deep.equal(['spec.b: Invalid value: 1: failed rule: false']);
  });
});
