// Mutating policies, one after the other, each seeing what those before it made of the object; some are applied once more when
// others changed it after them. Upstream: plugin/policy/mutating/dispatcher.go.
import { StatusError } from '#machinery/api/status.ts';
import { AdmissionCompiler, results } from '#machinery/cel/admission.ts';
import type { Expression } from '#machinery/cel/admission.ts';
import type { PolicyError } from '../../metrics/dynamic-admission.ts';
import type { AdmissionAttributes } from '../admission.ts';
import { Activation, budgets, OutOfBudget } from '../cel/activation.ts';
import { matchConditions } from '../cel/conditions.ts';
import { namespaceOf } from '../matching/matcher.ts';
import { AdmissionRequest, isNamespace, reinvocationOf } from '../matching/request.ts';
import type { Form } from '../matching/request.ts';
import { roundsOf } from '../matching/rounds.ts';
import { refuse } from '../refuse.ts';
import { boundPolicies, invocationsOf } from './hooks.ts';
import type { Binding, Param, Policy } from './hooks.ts';
import { applyConfiguration, applyPatch, MutationError } from './patches.ts';
import { kinds } from './plugins.ts';
import type { PolicyDeps } from './plugins.ts';

interface Mutation { patchType: string; jsonPatch?: { expression: string }; applyConfiguration?: { expression: string } }
interface Spec { mutations?: readonly Mutation[]; reinvocationPolicy?: string }
interface Compiled {
  variables: ReadonlyMap<string, Expression>;
  conditions: readonly Expression[];
  mutations: readonly { type: 'JSONPatch' | 'ApplyConfiguration'; expression: Expression }[];
}
interface Failure { policy: Policy<Spec>; binding: Binding | undefined; message: string; reason: string }
interface Turn { policy: Policy<Spec>; binding: Binding; form: Form; param: Param }

const name = 'MutatingAdmissionPolicy';

export async function applyMutatingPolicies(attributes: AdmissionAttributes, deps: PolicyDeps): Promise<void> {
  const request = new AdmissionRequest(attributes, deps.backend);
  const failures: Failure[] = [];
  const turns: Turn[] = [];
  // What is concerned is decided before anything changes.
  for (const { policy, bindings } of boundPolicies<Spec>(deps.backend, kinds.mutating)) {
    const invocations = await invocationsOf(policy, bindings, request, deps.backend, (why, binding) => {
      failures.push({ policy, binding, message: `failed to configure ${binding ? 'binding' : 'policy'}: ${why}`, reason: '' });
    });
    for (const { binding, form, params } of invocations) for (const param of params) turns.push({ policy, binding, form, param });
  }
  if (turns.length > 0) await take(turns, request, failures, deps);
  const [first, ...others] = failures.filter(({ policy }) => policy.spec.failurePolicy !== 'Ignore').map((failure) => ({ ...failure, text: textOf(failure) }));
  if (!first) return;
  const { status } = refuse(attributes, '');
  throw new StatusError(status.code, first.reason || 'Forbidden', first.text, { ...status.details, causes: [first, ...others].map(({ text }) => ({ message: text })) });
}

function textOf({ policy, binding, message }: Failure): string {
  return binding ? `policy '${policy.name}' with binding '${binding.name}' denied request: ${message}` : `policy ${JSON.stringify(policy.name)} denied request: ${message}`;
}

async function take(turns: readonly Turn[], request: AdmissionRequest, failures: Failure[], deps: PolicyDeps): Promise<void> {
  const { attributes } = request;
  const rounds = roundsOf(reinvocationOf(attributes), name);
  rounds.begin(attributes.object);
  // A namespace is not in itself.
  const namespace = request.namespace === '' || isNamespace(request.form.resource) ? undefined : await namespaceOf(request.namespace, deps.backend);
  let mutated = false;
  try {
    for (const { policy, binding, form, param } of turns) {
      const { variables, conditions, mutations } = compile(policy);
      const input = () => ({ request, versioned: request.in(form), params: param, authorizer: deps.authorizer, variables });
      if (conditions.length > 0) {
        const about = { name: policy.name, kind: 'policy', type: 'validate', operation: attributes.operation } as const;
        const { matches, error } = await matchConditions(conditions, policy.spec.failurePolicy === 'Ignore', input(), deps.metrics, about);
        if (error !== undefined) failures.push({ policy, binding, message: error, reason: 'Invalid' });
        if (!matches) continue;
      }
      const id = [policy.name, binding.name, param?.metadata?.namespace ?? '', param?.metadata?.name ?? ''].join('/');
      if (!rounds.isTurnOf(id)) continue;
      for (const { type, expression } of mutations) {
        const { object } = attributes;
        if (!object) continue;
        const began = performance.now();
        const count = (error: PolicyError): void => deps.metrics.mutatingPolicy(policy.name, binding.name, error, (performance.now() - began) / 1000);
        try {
          const { value, error } = await new Activation({ ...input(), namespace }).evaluate(expression, { remaining: budgets.policy });
          if (error !== undefined) throw new MutationError(error);
          const before = request.in(form).object ?? {};
          request.replace(form, await (type === 'JSONPatch' ? applyPatch : applyConfiguration)(before, value, form, attributes.subresource));
          mutated = true;
          count('no_error');
        } catch (error) {
          if (error instanceof StatusError) {
            count('invalid_error');
            throw error;
          }
          if (!(error instanceof MutationError || error instanceof OutOfBudget)) throw error;
          count(error instanceof OutOfBudget ? 'out_of_budget' : error.message.startsWith('compilation') ? 'compile_error' : 'invalid_error');
          failures.push({ policy, binding, message: error.message, reason: 'Invalid' });
        }
      }
      if (policy.spec.reinvocationPolicy === 'IfNeeded') rounds.called(id);
    }
    if (mutated) rounds.changed();
  } finally {
    rounds.end(attributes.object);
  }
}

const compiled = new WeakMap<Policy<Spec>, Compiled>();

function compile(policy: Policy<Spec>): Compiled {
  let made = compiled.get(policy);
  if (made) return made;
  const { paramKind, variables = [], matchConditions: conditions = [], mutations = [] } = policy.spec;
  const compiler = new AdmissionCompiler({ composed: true });
  const declared = { params: paramKind !== undefined, authorizer: true };
  for (const { name: variable, expression } of variables) compiler.compileVariable(variable, expression, declared);
  made = {
    variables: compiler.variables ?? new Map(),
    conditions: conditions.map(({ expression }) => compiler.compile(expression, declared, results.condition)),
    mutations: mutations.map(({ patchType, jsonPatch, applyConfiguration: configuration }) => (patchType === 'JSONPatch'
      ? { type: 'JSONPatch', expression: compiler.compile(jsonPatch?.expression ?? '', { ...declared, patches: true }, results.jsonPatch) }
      : { type: 'ApplyConfiguration', expression: compiler.compile(configuration?.expression ?? '', { ...declared, patches: true }, results.applyConfiguration) })),
  };
  compiled.set(policy, made);
  return made;
}
