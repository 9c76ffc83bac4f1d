// Match conditions of webhooks and policies: expressions that must all hold for them to be concerned.
// Upstream: plugin/webhook/matchconditions/matcher.go.
import { AdmissionCompiler, results } from '#machinery/cel/admission.ts';
import type { Expression } from '#machinery/cel/admission.ts';
import type { DynamicAdmissionMetrics } from '../../metrics/dynamic-admission.ts';
import { Activation, budgets, OutOfBudget } from './activation.ts';
import type { ActivationInput } from './activation.ts';

export interface ConditionSource {
  readonly expressions: readonly { name: string; expression: string }[];
  /** Of a webhook or policy that lets writes pass when it fails. */
  readonly failOpen: boolean;
}
/** `error`: the write is refused for it. */
export interface ConditionOutcome { matches: boolean; error?: string }
export interface About { name: string; kind: 'webhook' | 'policy'; type: string; operation: string }

const compiled = new WeakMap<ConditionSource, readonly Expression[]>();

/** Of a webhook: conditions that know of no parameters and variables. Compiled once a configuration. */
export function webhookConditions(source: ConditionSource): readonly Expression[] {
  let expressions = compiled.get(source);
  if (!expressions) {
    const compiler = new AdmissionCompiler({ composed: false });
    compiled.set(source, expressions = source.expressions.map(({ expression }) => compiler.compile(expression, { authorizer: true }, results.condition)));
  }
  return expressions;
}

export async function matchConditions(expressions: readonly Expression[], failOpen: boolean, input: ActivationInput, metrics: DynamicAdmissionMetrics, about: About): Promise<ConditionOutcome> {
  const began = performance.now();
  try {
    return await evaluate(expressions, failOpen, input, () => metrics.conditionError(about.name, about.kind, about.type, about.operation));
  } finally {
    metrics.conditions(about.name, about.kind, about.type, about.operation, (performance.now() - began) / 1000);
  }
}

async function evaluate(expressions: readonly Expression[], failOpen: boolean, input: ActivationInput, failed: () => void): Promise<ConditionOutcome> {
  const activation = new Activation(input);
  const budget = { remaining: budgets.matchConditions };
  const errors: string[] = [];
  let excluded = false;
  try {
    // All are looked at: one that does not hold counts for more than another's error.
    for (const expression of expressions) {
      const { value, error } = await activation.evaluate(expression, budget);
      if (error === undefined) excluded ||= value === false;
      else errors.push(error);
    }
  } catch (error) {
    if (!(error instanceof OutOfBudget)) throw error;
    return failOpen ? { matches: false } : { matches: false, error: error.message };
  }
  for (const _error of errors) failed();
  if (excluded) return { matches: false };
  if (errors.length === 0) return { matches: true };
  return failOpen ? { matches: false } : { matches: false, error: aggregated(errors) };
}

/** As upstream joins errors: one of a kind, in brackets when there are several. */
export function aggregated(errors: readonly string[]): string {
  const distinct = [...new Set(errors)];
  return distinct.length === 1 ? distinct[0] ?? '' : `[${distinct.join(', ')}]`;
}
