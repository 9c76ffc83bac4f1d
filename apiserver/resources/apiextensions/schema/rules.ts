// Rules (x-kubernetes-validations): compiled, and held against values. Loads the whole language of expressions.
// Upstream: apiserver/schema/cel/{compilation,validation}.go.
import type { CelProgram } from '#machinery/cel/cel.ts';
import { CelError } from '#machinery/cel/cel.ts';
import { compile } from '#machinery/cel/compile.ts';
import { fromJson, none, Optional } from '#machinery/cel/values.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { duplicate, forbiddenField, invalidField, invalidWhole, isObject, required } from '../../values.ts';
import { parseFieldPath } from './field-path.ts';
import { itemSchema, memberSchema, someSchema } from './json-schema.ts';
import type { JsonSchema, ValidationRule } from './json-schema.ts';
import { celType, maxCardinality, ruleType, sizeOf } from './rule-types.ts';
import type { RuleType } from './rule-types.ts';
import { fieldCorrelation, isUnchanged, itemCorrelation, itemOfSameKeys } from './value-validation.ts';
import type { Correlation } from './value-validation.ts';

export interface CompiledRule {
  readonly rule: ValidationRule;
  /** Why it cannot be run. */
  readonly problem?: string;
  readonly program?: CelProgram;
  readonly usesOldSelf: boolean;
  readonly cost: number;
  /** How often it may run on one object, where nothing around it says. */
  readonly cardinality: number;
  readonly message?: { readonly program: CelProgram; readonly cost: number };
  readonly messageProblem?: string;
}

/** The rules of one schema, not of those in it. */
export function compileRules(rules: readonly ValidationRule[], type: RuleType): CompiledRule[] {
  return rules.map((rule) => compileRule(rule, type));
}
function compileRule(rule: ValidationRule, type: RuleType): CompiledRule {
  const failed = { rule, usesOldSelf: false, cost: 0, cardinality: 0 };
  if (rule.rule.trim() === '') return failed;
  const self = celType(type);
  const environment = { variables: [{ name: 'self', type: self }, { name: 'oldSelf', type: rule.optionalOldSelf ? { kind: 'optional', of: self } as const : self }] };
  const make = (source: string, kind: 'bool' | 'string', names: { failed: string; instance: string; type: string }): { program: CelProgram; cost: number } | string => {
    const { program, issues } = compile(source, environment);
    if (!program) return `${issues[0]?.stage === 'program' ? names.instance : names.failed}: ${issues.map(({ text }) => text).join('\n')}`;
    return program.type.kind === kind ? { program, cost: program.estimate((path) => sizeOf(type, path)).max } : names.type;
  };
  const made = make(rule.rule, 'bool', { failed: 'compilation failed', instance: 'program instantiation failed', type: 'cel expression must evaluate to a bool' });
  if (typeof made === 'string') return { ...failed, problem: made };
  const compiled: CompiledRule = { rule, ...made, usesOldSelf: made.program.reads.has('oldSelf'), cardinality: maxCardinality(type) };
  if (rule.messageExpression === undefined) return compiled;
  const message = make(rule.messageExpression, 'string', {
    failed: 'messageExpression compilation failed', instance: 'messageExpression instantiation failed', type: 'messageExpression must evaluate to a string',
  });
  return typeof message === 'string' ? { ...compiled, messageProblem: message } : { ...compiled, message };
}

/** What the rules of one object may still cost; below zero when it is spent. */
export interface RuleBudget { remaining: number }
export const ruleBudget = 10_000_000;

interface Node {
  readonly schema: JsonSchema;
  readonly type: RuleType | undefined;
  readonly rules: readonly CompiledRule[];
  readonly items?: Node;
  readonly members?: Node;
  readonly properties: ReadonlyMap<string, Node>;
}

/** All rules of a schema and of those in it; undefined when there are none. */
export class RuleValidator {
  readonly #root: Node;
  private constructor(root: Node) {
    this.#root = root;
  }
  static of(schema: JsonSchema, resource: boolean): RuleValidator | undefined {
    if (!someSchema(schema, (one) => one['x-kubernetes-validations'] !== undefined)) return undefined;
    const root = nodeOf(schema, ruleType(schema, resource));
    return root && new RuleValidator(root);
  }
  /** `spares`: what did not change is not held against the rules, but for those that look at what was before. */
  validate(value: unknown, old: unknown, path: string, budget: RuleBudget, spares = false): FieldError[] {
    const correlation = spares && old !== undefined ? { value, old, schema: this.#root.schema } : undefined;
    return validateNode(this.#root, value, old, path, budget, { current: correlation, parent: undefined });
  }
}

function nodeOf(schema: JsonSchema, type: RuleType | undefined): Node | undefined {
  const rules = schema['x-kubernetes-validations'] ?? [];
  const [item, member] = [itemSchema(schema), memberSchema(schema)];
  const items = item && nodeOf(item, type?.element);
  const members = member && nodeOf(member, type?.element);
  const properties = new Map<string, Node>();
  for (const [name, property] of schema.properties ?? []) {
    const inside = ruleType(property, property['x-kubernetes-embedded-resource'] === true);
    const node = type && inside && nodeOf(property, inside);
    if (node) properties.set(name, node);
  }
  if (rules.length === 0 && !items && !members && properties.size === 0) return undefined;
  return { schema, type, rules: type ? compileRules(rules, type) : rules.map((rule) => ({ rule, usesOldSelf: false, cost: 0, cardinality: 0 })), ...(items ? { items } : {}), ...(members ? { members } : {}), properties };
}

interface Spared { readonly current: Correlation | undefined; readonly parent: Correlation | undefined }
function isSpared({ current, parent }: Spared): boolean {
  const correlation = current ?? parent;
  return correlation !== undefined && isUnchanged(correlation);
}

function validateNode(node: Node, value: unknown, old: unknown, path: string, budget: RuleBudget, spared: Spared): FieldError[] {
  if (value === null || value === undefined || budget.remaining < 0) return [];
  const errors = runRules(node, value, old ?? undefined, path, budget, spared);
  const inside = (child: Node | undefined, one: unknown, before: unknown, at: string, correlation: Correlation | undefined): void => {
    if (child) errors.push(...validateNode(child, one, before, at, budget, spared.current ? { current: correlation, parent: spared.current } : spared));
  };
  if (Array.isArray(value)) {
    value.forEach((one: unknown, index) => {
      inside(node.items, one, itemOfSameKeys(one, old, node.schema), `${path}[${index}]`, spared.current && itemCorrelation(spared.current, index));
    });
  } else if (isObject(value)) {
    const before = isObject(old) ? old : {};
    const correlate = (name: string): Correlation | undefined => fieldCorrelation(spared.current, name, spared.parent ? ' ' : '');
    for (const [name, one] of Object.entries(value)) inside(node.members, one, before[name], `${path}[${name}]`, correlate(name));
    for (const [name, one] of Object.entries(value)) inside(node.properties.get(name), one, before[name], path === '' ? name : `${path}.${name}`, correlate(name));
  }
  return errors;
}

const shownOf = ({ message, rule }: ValidationRule): string => (message ?? rule).trim();
const overall = 'validation failed due to running out of cost budget, no further validation rules will be run';

function runRules({ schema, type, rules }: Node, value: unknown, old: unknown, path: string, budget: RuleBudget, spared: Spared): FieldError[] {
  if (rules.length === 0) return [];
  const kind = schema.type ?? '';
  const errors: FieldError[] = [];
  const stop = (error: FieldError): FieldError[] => {
    budget.remaining = -1;
    return [...errors, error];
  };
  if (!type) return [invalidField(path, kind, 'rule compiler initialization error: failed to convert to declType for CEL validation rules')];
  if (budget.remaining === 0) return stop(invalidField(path, kind, overall));
  const cel = celType(type);
  const self = fromJson(value, cel);
  const oldSelf = old === undefined ? undefined : fromJson(old, cel);
  for (const compiled of rules) {
    const { rule, problem, program, usesOldSelf } = compiled;
    if (problem !== undefined) errors.push(invalidField(path, kind, `rule compile error: ${problem}`));
    if (!program || (usesOldSelf && oldSelf === undefined && !rule.optionalOldSelf)) continue;
    const plain = oldSelf === undefined ? { self } : { self, oldSelf };
    const outcome = run(program, rule.optionalOldSelf ? { self, oldSelf: oldSelf === undefined ? none : new Optional(oldSelf) } : plain, budget);
    if (budget.remaining < 0) return stop(invalidField(path, kind, overall));
    if ('error' in outcome) {
      const { error } = outcome;
      if (error.reason === 'budget') return stop(invalidField(path, kind, `'${error.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${shownOf(rule)}`));
      errors.push(invalidField(path, kind, error.message.startsWith('no such overload')
        ? `'${error.message}': call arguments did not match a supported operator, function or macro signature for rule: ${shownOf(rule)}`
        : `${error.message} evaluating rule: ${shownOf(rule)}`));
      continue;
    }
    if (outcome.value === true) continue;
    const told = compiled.message && messageOf(compiled.message.program, rule, plain, budget);
    const fieldPath = rule.fieldPath === undefined ? undefined : parseFieldPath(rule.fieldPath, schema);
    const at = fieldPath && 'text' in fieldPath ? `${path}.${fieldPath.text}` : path;
    const ratchets = !usesOldSelf && isSpared(spared);
    if (told && 'stop' in told) return ratchets ? errors : stop(invalidField(at, kind, told.stop));
    if (!ratchets) errors.push(violation(rule, at, kind === 'object' || kind === 'array' ? undefined : value, told?.text ?? (rule.message === undefined ? `failed rule: ${shownOf(rule)}` : shownOf(rule))));
  }
  return errors;
}

function run(program: CelProgram, variables: Readonly<Record<string, unknown>>, budget: RuleBudget): { value: unknown } | { error: CelError } {
  try {
    return { value: program.evaluate(variables, budget) };
  } catch (error) {
    if (error instanceof CelError) return { error };
    throw error;
  }
}

/** Nothing when the expression fails or comes to no message; then the fixed one is told. */
function messageOf(program: CelProgram, { messageExpression = '' }: ValidationRule, variables: Readonly<Record<string, unknown>>, budget: RuleBudget): { text: string } | { stop: string } | undefined {
  const outcome = run(program, variables, budget);
  if (budget.remaining < 0) return { stop: 'messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run' };
  if ('error' in outcome) {
    return outcome.error.reason === 'budget' ? { stop: `no further validation rules will be run due to call cost exceeds limit for messageExpression: ${JSON.stringify(messageExpression)}` } : undefined;
  }
  const text = typeof outcome.value === 'string' ? outcome.value.trim() : '';
  return text === '' || Buffer.byteLength(text) > 5 * 1024 || text.includes('\n') ? undefined : { text };
}

function violation({ reason }: ValidationRule, path: string, value: unknown, detail: string): FieldError {
  switch (reason) {
    case 'FieldValueForbidden': return forbiddenField(path, detail);
    case 'FieldValueRequired': return required(path, detail);
    case 'FieldValueDuplicate': return { ...duplicate(path, value), ...(value === undefined ? { omitValue: true } : {}) };
    default: return value === undefined ? invalidWhole(path, detail) : invalidField(path, value, detail);
  }
}
