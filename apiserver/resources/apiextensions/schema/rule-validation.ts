// The expressions of rules in CustomResourceDefinitions: they compile, and cannot cost too much. Upstream:
// apis/apiextensions/validation/{validation,cel_validation}.go.
import type { FieldError } from '#machinery/api/status.ts';
import { forbiddenField, invalidField } from '../../values.ts';
import { goRule } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';
import { ruleType } from './rule-types.ts';
import { compileRules } from './rules.ts';
import type { CompiledRule } from './rules.ts';

const ruleLimit = 10_000_000;
const definitionLimit = 100_000_000;

/** One for each schema of a definition. */
export class RuleCosts {
  #total = 0;
  #dearest: { path: string; cost: number }[] = [];

  add(path: string, cost: number): void {
    this.#total += cost;
    if (cost < definitionLimit / 100) return;
    this.#dearest = [...this.#dearest, { path, cost }].toSorted((a, b) => b.cost - a.cost).slice(0, 4);
  }
  validate(path: string): FieldError[] {
    if (this.#total <= definitionLimit) return [];
    return [
      ...this.#dearest.map((one) => forbiddenField(one.path, 'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema')),
      forbiddenField(path, tooDear('x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema', this.#total, definitionLimit)),
    ];
  }
}

/** Where a schema stands, as far as its rules are concerned. */
export interface RuleScope {
  readonly costs: RuleCosts;
  /** How many values of the schema one object has, at most; undefined when nothing says. */
  readonly cardinality: number | undefined;
  readonly root: boolean;
}
export function rootScope(): RuleScope {
  return { costs: new RuleCosts(), cardinality: 1, root: true };
}
/** The scope of what is in values of `schema`. */
export function innerScope({ costs, cardinality }: RuleScope, schema: JsonSchema): RuleScope {
  const most = maxElements(schema);
  return { costs, cardinality: cardinality === undefined || most === undefined ? undefined : cardinality * most, root: false };
}
function maxElements({ type, additionalProperties, maxProperties, maxItems }: JsonSchema): number | undefined {
  if (type === 'array') return maxItems === undefined ? undefined : Math.max(0, maxItems);
  if (type !== 'object' || additionalProperties === undefined) return 1;
  return maxProperties === undefined ? undefined : Math.max(0, maxProperties);
}

/** `unfollowed`: the outermost schema whose values cannot be told apart in an old and a new object; `limited`: one rule may not cost too much. */
export function validateRules(schema: JsonSchema, path: string, scope: RuleScope, unfollowed: string | undefined, limited: boolean): FieldError[] {
  const rules = schema['x-kubernetes-validations'];
  if (!rules) return [];
  const here = `${path}.x-kubernetes-validations`;
  const type = ruleType(schema, scope.root || schema['x-kubernetes-embedded-resource'] === true);
  if (!type) {
    return [{ type: 'Internal', field: here, detail: 'internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations' }];
  }
  return compileRules(rules, type).flatMap((compiled, index) => validateRule(compiled, `${here}[${index}]`, scope, unfollowed, limited));
}

function validateRule(compiled: CompiledRule, path: string, { costs, cardinality }: RuleScope, unfollowed: string | undefined, limited: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const { rule, problem, message, messageProblem } = compiled;
  const spend = (field: string, name: string, cost: number): void => {
    if (limited && cost > ruleLimit) errors.push(forbiddenField(`${path}.${field}`, tooDear(name, cost, ruleLimit)));
    costs.add(`${path}.${field}`, cost);
  };
  const cost = compiled.cost * (cardinality ?? compiled.cardinality);
  spend('rule', 'estimated rule cost', Number.isNaN(cost) ? 0 : cost);
  if (problem !== undefined) errors.push(invalidField(`${path}.rule`, goRule(rule), problem));
  if (messageProblem !== undefined) errors.push(invalidField(`${path}.messageExpression`, goRule(rule), messageProblem));
  else if (message) spend('messageExpression', 'estimated messageExpression cost', message.cost);
  if (compiled.usesOldSelf) {
    if (unfollowed !== undefined) errors.push(invalidField(`${path}.rule`, rule.rule, `oldSelf cannot be used on the uncorrelatable portion of the schema within ${unfollowed}`));
  } else if (rule.optionalOldSelf !== undefined) {
    errors.push(invalidField(`${path}.optionalOldSelf`, rule.optionalOldSelf, 'may not be set if oldSelf is not used in rule'));
  }
  return errors;
}

function tooDear(name: string, cost: number, limit: number): string {
  const times = cost / limit;
  const factor = times > 100 ? 'more than 100x' : times < 1.5 ? `${times.toFixed(6)}x` : `${times.toFixed(1)}x`;
  return `${name} exceeds budget by factor of ${factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`;
}
