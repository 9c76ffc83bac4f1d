// Runs the expressions of admission over one write, within a budget. Upstream: admission/plugin/cel/{activation,condition}.go.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { KubeObject } from '#machinery/api/object.ts';
import type { Expression } from '#machinery/cel/admission.ts';
import { CelError } from '#machinery/cel/cel.ts';
import type { CelBudget } from '#machinery/cel/cel.ts';
import { evaluateAwaiting } from '#machinery/cel/functions/authorizer.ts';
import { Failure } from '#machinery/cel/values.ts';
import type { Authorizer } from '../../filters/seams.ts';
import { requestFacts } from '../matching/facts.ts';
import type { AdmissionRequest, Versioned } from '../matching/request.ts';
import { authorizerValues } from './authorizer.ts';

/** Upstream: apiserver/pkg/apis/cel/config.go. */
export const budgets = { perExpression: 1_000_000, policy: 10_000_000, matchConditions: 2_500_000 } as const;
/** Some ten milliseconds: after an expression of that price other requests get their turn. */
const breathAfter = 100_000;

export interface ActivationInput {
  readonly request: AdmissionRequest;
  readonly versioned: Versioned;
  readonly params: Readonly<KubeObject> | undefined;
  /** Absent where expressions may not ask it. */
  readonly authorizer: Authorizer | undefined;
  readonly namespace?: Readonly<KubeObject> | undefined;
  readonly variables?: ReadonlyMap<string, Expression> | undefined;
}

export type Evaluation = { readonly value: unknown; readonly error: undefined } | { readonly value: undefined; readonly error: string };

/** Nothing of the policy may run any more. */
export class OutOfBudget extends Error {
  override name = 'OutOfBudget';
  constructor() {
    super('validation failed due to running out of cost budget, no further validation rules will be run');
  }
}

/** Variables are evaluated when the first expression reads them, once. */
export class Activation {
  readonly #values: Record<string, unknown>;
  #spentOnVariables = 0;

  constructor({ request, versioned, params, authorizer, namespace, variables }: ActivationInput) {
    this.#values = {
      object: versioned.object ?? null, oldObject: versioned.oldObject ?? null, params: params ?? null, namespaceObject: namespace ? exposed(namespace) : null,
      request: requestFacts(request, versioned.form),
      ...(authorizer ? authorizerValues(authorizer, request) : {}),
    };
    if (variables) this.#values['variables'] = this.#lazily(variables);
  }

  /** What the expression comes to, or its error in upstream's words. Throws OutOfBudget. */
  async evaluate(expression: Expression, budget: CelBudget): Promise<Evaluation> {
    if (!expression.program) return { value: undefined, error: `compilation error: ${expression.problem}` };
    const own = { remaining: budgets.perExpression };
    this.#spentOnVariables = 0;
    let result: Evaluation;
    try {
      result = { value: await evaluateAwaiting(expression.program, this.#values, own), error: undefined };
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      result = { value: undefined, error: `expression '${expression.source}' resulted in error: ${error.message}` };
    }
    const spent = budgets.perExpression - Math.max(0, own.remaining) + this.#spentOnVariables;
    if (spent > budget.remaining) throw new OutOfBudget();
    budget.remaining -= spent;
    if (spent > breathAfter) await nextTurn();
    return result;
  }

  #lazily(variables: ReadonlyMap<string, Expression>): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const [name, { program, problem }] of variables) {
      let known: unknown;
      const read = (): unknown => {
        if (!program) return new Failure(`composited variable ${JSON.stringify(name)} fails to compile: ${problem}`);
        const own = { remaining: budgets.perExpression };
        try {
          return program.evaluate(this.#values, own);
        } catch (error) {
          if (error instanceof CelError) return new Failure(`composited variable ${JSON.stringify(name)} fails to evaluate: ${error.message}`);
          throw error;
        } finally {
          this.#spentOnVariables += budgets.perExpression - Math.max(0, own.remaining);
        }
      };
      Object.defineProperty(values, name, { enumerable: true, get: () => known ??= read() ?? null });
    }
    return values;
  }
}

const shown = ['name', 'generateName', 'namespace', 'uid', 'resourceVersion', 'generation', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'labels', 'annotations', 'finalizers'] as const;
/** Owners and managers of a namespace are not for expressions. */
function exposed({ metadata = {}, spec, status }: Readonly<KubeObject>): unknown {
  return { metadata: Object.fromEntries(shown.flatMap((field) => (metadata[field] === undefined ? [] : [[field, metadata[field]]]))), spec: spec ?? {}, status: status ?? {} };
}
