// Source to program: parse, check, plan. Load this lazily; starting a server needs no expressions.

import { check } from './_check.ts';
import type { CheckResult } from './_check.ts';
import { walk } from './ast.ts';
import type { Expr } from './ast.ts';
import type { CelCompilation, CelCost, CelEnvironment, CelIssue, CelProgram } from './cel.ts';
import { CelError } from './cel.ts';
import { estimateCost } from './_estimate.ts';
import { parse } from './_parse.ts';
import { PlanError } from './_chain.ts';
import type { State } from './_chain.ts';
import { plan } from './_plan.ts';
import type { Plan } from './_plan.ts';
import { createReporter } from './_report.ts';
import { recursionLimitExceeded } from './_token-reader.ts';
import { validate } from './_validate.ts';
import { Failure } from './values.ts';

/** What one evaluation may cost, whatever the budget has left. */
export const perCallLimit = 1_000_000;

export function compile(source: string, environment: CelEnvironment): CelCompilation {
  const reporter = createReporter(source);
  const failed = (): CelCompilation => ({ program: undefined, issues: reporter.issues() });
  let expr: Expr;
  let checked: CheckResult;
  let planned: Plan;
  try {
    expr = parse(source, reporter, environment.bindings);
    if (reporter.count > 0) return failed();
    checked = check(expr, environment, reporter);
    if (reporter.count === 0) validate(expr, reporter);
    if (reporter.count > 0) return failed();
    planned = plan(expr, new Map(environment.variables.map(variable => [variable.name, variable.type])));
  } catch (error) {
    if (error instanceof PlanError) {
      const issue: CelIssue = { line: 1, column: 0, message: error.message, text: error.message, stage: 'program' };
      return { program: undefined, issues: [issue] };
    }
    // The stack may end before the limit of nesting does, where much of it is in use already.
    if (!(error instanceof RangeError)) throw error;
    reporter.add(undefined, recursionLimitExceeded);
    return failed();
  }
  const program: CelProgram = {
    type: checked.type,
    reads: checked.reads,
    selects(variable, field) {
      let found = false;
      walk(expr, (node) => {
        const [operand, name] = node.kind === 'select' ? [node.operand, node.field]
          : node.kind === 'call' && node.name === '_?._' ? [node.args[0], node.args[1]?.kind === 'literal' ? node.args[1].value : undefined] : [];
        found ||= operand?.kind === 'ident' && operand.name === variable && name === field;
      });
      return found;
    },
    evaluate(variables, budget) {
      const limit = Math.min(perCallLimit, budget.remaining);
      const state: State = { variables, slots: [], cost: 0, limit };
      try {
        const value = planned.step(state);
        if (value instanceof Failure) throw new CelError(value.message);
        return value;
      } catch (error) {
        // Strings and lists can outgrow what the engine holds before their price is known.
        if (error instanceof RangeError) throw new CelError(`internal error: ${error.message}`);
        throw error;
      } finally {
        budget.remaining -= state.cost;
      }
    },
    estimate: (sizeOf): CelCost => estimateCost(expr, sizeOf),
  };
  return { program, issues: [] };
}
