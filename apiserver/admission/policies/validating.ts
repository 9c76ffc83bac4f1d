// Validating policies: every validation of every binding that is about the write; refusals, warnings and audit annotations as
// the binding wants them. Upstream: plugin/policy/validating/{dispatcher,validator}.go.
import { StatusError } from '#machinery/api/status.ts';
import { AdmissionCompiler, results } from '#machinery/cel/admission.ts';
import type { Expression } from '#machinery/cel/admission.ts';
import type { PolicyError } from '../../metrics/dynamic-admission.ts';
import type { AdmissionAttributes } from '../admission.ts';
import { annotate, warn } from '../annotate.ts';
import { Activation, budgets, OutOfBudget } from '../cel/activation.ts';
import type { ActivationInput, Evaluation } from '../cel/activation.ts';
import { matchConditions } from '../cel/conditions.ts';
import { namespaceOf } from '../matching/matcher.ts';
import { AdmissionRequest, isNamespace } from '../matching/request.ts';
import { refuse } from '../refuse.ts';
import { boundPolicies, invocationsOf } from './hooks.ts';
import type { Binding, Param, Policy } from './hooks.ts';
import { kinds } from './plugins.ts';
import type { PolicyDeps } from './plugins.ts';

interface Validation { expression: string; message?: string; messageExpression?: string; reason?: string }
interface Spec { validations?: readonly Validation[]; auditAnnotations?: readonly { key: string; valueExpression: string }[] }

interface Compiled {
  variables: ReadonlyMap<string, Expression>;
  conditions: readonly Expression[];
  validations: readonly Expression[];
  messages: readonly (Expression | undefined)[];
  annotations: readonly Expression[];
}
type Decision = { action: 'admit' | 'deny'; failed: boolean; message: string; reason: string };
interface Outcome { decisions: readonly Decision[]; annotations: readonly { key: string; value: string; error: string }[]; seconds: number }
interface Denial { policy: string; binding: string | undefined; decision: Decision }

const maxAnnotationBytes = 10 * 1024;
const maxMessageBytes = 5 * 1024;
const codes: Readonly<Record<string, number>> = { Forbidden: 403, Unauthorized: 401, RequestEntityTooLarge: 413, Invalid: 422 };

export async function applyValidatingPolicies(attributes: AdmissionAttributes, deps: PolicyDeps): Promise<void> {
  const request = new AdmissionRequest(attributes, deps.backend);
  const context = attributes.context.request;
  const denials: Denial[] = [];
  for (const { policy, bindings } of boundPolicies<Spec>(deps.backend, kinds.validating)) {
    const invocations = await invocationsOf(policy, bindings, request, deps.backend, (why, binding) => {
      if (policy.spec.failurePolicy === 'Ignore') return;
      denials.push({ policy: policy.name, binding: binding?.name, decision: { action: 'deny', failed: true, message: `failed to configure ${binding ? 'binding' : 'policy'}: ${why}`, reason: '' } });
    });
    if (invocations.length === 0) continue;
    const annotations = new Map<string, string[]>();
    for (const { binding, form, params } of invocations) {
      const versioned = request.in(form);
      // A namespace is not in itself.
      const namespace = request.namespace === '' || isNamespace(request.form.resource) ? undefined : await namespaceOf(request.namespace, deps.backend);
      for (const param of params) {
        const outcome = await validate(policy, { request, versioned, params: param, authorizer: deps.authorizer, namespace }, deps);
        publish(policy, binding, outcome, denials, attributes, deps);
        for (const { key, value, error } of outcome.annotations) {
          if (error !== '') {
            denials.push({ policy: policy.name, binding: binding.name, decision: { action: 'deny', failed: true, message: error, reason: '' } });
            deps.metrics.validatingPolicy(policy.name, binding.name, 'deny', errorOf(true, error), outcome.seconds);
            continue;
          }
          const values = annotations.get(key) ?? [];
          const kept = Buffer.from(value).subarray(0, maxAnnotationBytes).toString();
          if (!values.includes(kept)) values.push(kept);
          annotations.set(key, values);
        }
      }
    }
    for (const [key, values] of annotations) annotate(context, `${policy.name}/${key}`, values.join(', '));
  }
  const [first] = denials;
  if (first) throw denied(first, attributes);
}

function denied({ policy, binding, decision }: Denial, attributes: AdmissionAttributes): StatusError {
  const message = `ValidatingAdmissionPolicy '${policy}'${binding === undefined ? '' : ` with binding '${binding}'`} denied request: ${decision.message}`;
  const { status } = refuse(attributes, message, [{ message }]);
  const reason = decision.reason || 'Invalid';
  return new StatusError(codes[reason] ?? 422, reason, status.message ?? '', status.details);
}

function publish(policy: Policy<Spec>, binding: Binding, { decisions, seconds }: Outcome, denials: Denial[], attributes: AdmissionAttributes, { metrics }: PolicyDeps): void {
  const context = attributes.context.request;
  const actions = binding.spec.validationActions ?? [];
  for (const [index, decision] of decisions.entries()) {
    const error = errorOf(decision.failed, decision.message);
    if (decision.action === 'admit') {
      if (decision.failed) metrics.validatingPolicy(policy.name, binding.name, 'allow', error, seconds);
      continue;
    }
    for (const action of actions) {
      switch (action) {
        case 'Deny':
          denials.push({ policy: policy.name, binding: binding.name, decision });
          metrics.validatingPolicy(policy.name, binding.name, 'deny', error, seconds);
          break;
        case 'Audit':
          annotate(context, 'validation.policy.admission.k8s.io/validation_failure', JSON.stringify([
            { message: decision.message, policy: policy.name, binding: binding.name, expressionIndex: index, validationActions: actions },
          ]));
          metrics.validatingPolicy(policy.name, binding.name, 'audit', error, seconds);
          break;
        case 'Warn':
          warn(context, `Validation failed for ValidatingAdmissionPolicy '${policy.name}' with binding '${binding.name}': ${decision.message}`);
          metrics.validatingPolicy(policy.name, binding.name, 'warn', error, seconds);
          break;
      }
    }
  }
}

function errorOf(failed: boolean, message: string): PolicyError {
  if (!failed) return 'no_error';
  if (message.startsWith('compilation')) return 'compile_error';
  return message.startsWith('validation failed due to running out of cost budget') ? 'out_of_budget' : 'invalid_error';
}

const compiled = new WeakMap<Policy<Spec>, Compiled>();

function compile(policy: Policy<Spec>): Compiled {
  let made = compiled.get(policy);
  if (made) return made;
  const { paramKind, variables = [], matchConditions: conditions = [], validations = [], auditAnnotations = [] } = policy.spec;
  const compiler = new AdmissionCompiler({ composed: true });
  const params = paramKind !== undefined;
  const declared = { params, authorizer: true };
  for (const { name, expression } of variables) compiler.compileVariable(name, expression, declared);
  made = {
    variables: compiler.variables ?? new Map(),
    conditions: conditions.map(({ expression }) => compiler.compile(expression, declared, results.condition)),
    validations: validations.map(({ expression }) => compiler.compile(expression, declared, results.condition)),
    messages: validations.map(({ messageExpression }) => (messageExpression ? compiler.compile(messageExpression, { params }, results.message) : undefined)),
    annotations: auditAnnotations.map(({ valueExpression }) => compiler.compile(valueExpression, declared, results.auditAnnotation)),
  };
  compiled.set(policy, made);
  return made;
}

async function validate(policy: Policy<Spec>, input: ActivationInput & { params: Param }, { metrics }: PolicyDeps): Promise<Outcome> {
  const began = performance.now();
  const failOpen = policy.spec.failurePolicy === 'Ignore';
  const parts = compile(policy);
  const { operation } = input.request.attributes;
  const failure = (message: string): Decision => ({ action: failOpen ? 'admit' : 'deny', failed: true, message, reason: '' });
  const outcome = (decisions: readonly Decision[], annotations: Outcome['annotations'] = []): Outcome => ({ decisions, annotations, seconds: (performance.now() - began) / 1000 });

  const { variables } = parts;
  if (parts.conditions.length > 0) {
    const about = { name: policy.name, kind: 'policy', type: 'validate', operation } as const;
    const { matches, error } = await matchConditions(parts.conditions, failOpen, { ...input, namespace: undefined, variables }, metrics, about);
    if (error !== undefined) return outcome([failure(error)]);
    if (!matches) return outcome([]);
  }
  try {
    const decisions = await decide(policy, parts, { ...input, variables }, failure);
    // As upstream: without the authorizer, and with a budget of their own.
    const activation = new Activation({ ...input, authorizer: undefined, variables });
    const budget = { remaining: budgets.policy };
    const annotations: Outcome['annotations'][number][] = [];
    for (const [index, expression] of parts.annotations.entries()) {
      const key = policy.spec.auditAnnotations?.[index]?.key ?? '';
      const { value, error } = await activation.evaluate(expression, budget);
      if (error !== undefined && !failOpen) annotations.push({ key, value: '', error });
      const trimmed = typeof value === 'string' ? value.trim() : '';
      if (trimmed !== '') annotations.push({ key, value: trimmed, error: '' });
    }
    return outcome(decisions, annotations);
  } catch (error) {
    if (error instanceof OutOfBudget) return outcome([failure(error.message)]);
    throw error;
  }
}

/** Throws OutOfBudget. */
async function decide(policy: Policy<Spec>, parts: Compiled, input: ActivationInput, failure: (message: string) => Decision): Promise<Decision[]> {
  const activation = new Activation(input);
  const budget = { remaining: budgets.policy };
  const evaluations: Evaluation[] = [];
  for (const expression of parts.validations) evaluations.push(await activation.evaluate(expression, budget));
  const messages = await evaluateMessages(parts.messages, { ...input, authorizer: undefined }, budget);
  return evaluations.map(({ value, error }, index): Decision => {
    const validation = policy.spec.validations?.[index];
    if (error !== undefined) return failure(error);
    if (messages instanceof OutOfBudget) return failure(`failed messageExpression: ${messages.message}`);
    if (value === true) return { action: 'admit', failed: false, message: '', reason: '' };
    const own = messages[index] ?? '';
    const message = own !== '' && Buffer.byteLength(own) <= maxMessageBytes && !own.includes('\n') ? own
      : validation?.message ? validation.message.trim() : `failed expression: ${validation?.expression.trim() ?? ''}`;
    return { action: 'deny', failed: false, message, reason: validation?.reason ?? 'Invalid' };
  });
}

/** One that fails is as if it were not there. */
async function evaluateMessages(expressions: Compiled['messages'], input: ActivationInput, budget: { remaining: number }): Promise<string[] | OutOfBudget> {
  const activation = new Activation(input);
  const messages: string[] = [];
  try {
    for (const expression of expressions) {
      const { value } = expression ? await activation.evaluate(expression, budget) : { value: '' };
      messages.push(typeof value === 'string' ? value.trim() : '');
    }
    return messages;
  } catch (error) {
    if (error instanceof OutOfBudget) return error;
    throw error;
  }
}
