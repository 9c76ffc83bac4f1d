// Authorization checks: authorizer.group('apps').resource('deployments').check('create').allowed().

import { dns1123LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import { CelError } from '../cel.ts';
import type { CelBudget, CelProgram } from '../cel.ts';
import type { Implementation, Implementations } from '../registry.ts';
import { Failure, noSuchOverload, Opaque } from '../values.ts';
import type { Value } from '../values.ts';

export interface CelUser {
  readonly name: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** What is asked. Either `path` is there, or the request is for a resource. Selectors are as written. */
export interface CelAuthorizationCheck {
  readonly user: CelUser;
  readonly verb: string;
  readonly path?: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldSelector: string;
  readonly labelSelector: string;
}

export interface CelDecision {
  readonly allowed: boolean;
  readonly reason?: string;
  readonly error?: string;
}

/** May answer at once or later; later only works under evaluateAwaiting(). */
export type CelAuthorize = (check: CelAuthorizationCheck) => CelDecision | Promise<CelDecision>;

/** Ends an evaluation that needs an answer which is not there yet. */
class PendingCheck extends Error {
  readonly answer: Promise<void>;
  constructor(answer: Promise<void>) {
    super('an authorization check has no answer yet: expressions with checks are run by evaluateAwaiting()');
    this.answer = answer;
  }
}

/** Asks each question once. */
class Asker {
  readonly #authorize: CelAuthorize;
  readonly #answers = new Map<string, CelDecision>();
  constructor(authorize: CelAuthorize) { this.#authorize = authorize; }

  ask(check: CelAuthorizationCheck): CelDecision {
    const key = JSON.stringify(check);
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const answer = this.#authorize(check);
    if (!(answer instanceof Promise)) {
      this.#answers.set(key, answer);
      return answer;
    }
    throw new PendingCheck(answer.then(decision => { this.#answers.set(key, decision); }));
  }
}

/**
 * Evaluates an expression whose authorizer answers later: runs until an answer is missing, waits for it, and runs again with what is
 * known by then. A check costs so much that one expression has two at most.
 */
export async function evaluateAwaiting(program: CelProgram, variables: Readonly<Record<string, unknown>>, budget: CelBudget): Promise<unknown> {
  for (;;) {
    const before = budget.remaining;
    try {
      return program.evaluate(variables, budget);
    } catch (error) {
      if (!(error instanceof PendingCheck)) throw error;
      budget.remaining = before;
      await error.answer;
    }
  }
}

abstract class Receiver extends Opaque {
  equals(): Failure { return noSuchOverload; }
}

export class Authorizer extends Receiver {
  readonly typeName = 'kubernetes.authorization.Authorizer';
  readonly user: CelUser;
  readonly asker: Asker;
  constructor(user: CelUser, asker: Asker) {
    super();
    this.user = user;
    this.asker = asker;
  }
}

class PathCheck extends Receiver {
  readonly typeName = 'kubernetes.authorization.PathCheck';
  readonly authorizer: Authorizer;
  readonly path: string;
  constructor(authorizer: Authorizer, path: string) {
    super();
    this.authorizer = authorizer;
    this.path = path;
  }
}

class GroupCheck extends Receiver {
  readonly typeName = 'kubernetes.authorization.GroupCheck';
  readonly authorizer: Authorizer;
  readonly group: string;
  constructor(authorizer: Authorizer, group: string) {
    super();
    this.authorizer = authorizer;
    this.group = group;
  }
}

type ResourceAttributes = Omit<CelAuthorizationCheck, 'user' | 'verb' | 'path'>;

class ResourceCheck extends Receiver {
  readonly typeName = 'kubernetes.authorization.ResourceCheck';
  readonly authorizer: Authorizer;
  readonly attributes: ResourceAttributes;
  constructor(authorizer: Authorizer, attributes: ResourceAttributes) {
    super();
    this.authorizer = authorizer;
    this.attributes = attributes;
  }
}

class Decision extends Receiver {
  readonly typeName = 'kubernetes.authorization.Decision';
  readonly decision: CelDecision;
  constructor(decision: CelDecision) {
    super();
    this.decision = decision;
  }
}

const noResource: ResourceAttributes = { group: '', resource: '', subresource: '', namespace: '', name: '', fieldSelector: '', labelSelector: '' };

/** The variable `authorizer`. */
export function createAuthorizer(user: CelUser, authorize: CelAuthorize): Value {
  return new Authorizer(user, new Asker(authorize));
}

/** The variable `authorizer.requestResource`: a check of the resource that the request is for. */
export function createResourceCheck(authorizer: Value, request: Pick<ResourceAttributes, 'group' | 'resource' | 'subresource' | 'namespace' | 'name'>): Value {
  if (!(authorizer instanceof Authorizer)) throw new CelError('a resource check needs an authorizer');
  return new ResourceCheck(authorizer, { ...noResource, ...request });
}

/** Changes one attribute of a check. */
const attribute = (name: keyof ResourceAttributes): Implementation => ([check, value]) => {
  const { authorizer, attributes } = check as ResourceCheck;
  return new ResourceCheck(authorizer, { ...attributes, [name]: value as string });
};

const decision = (read: (decision: CelDecision) => Value): Implementation => ([value]) => read((value as Decision).decision);

function serviceAccount([authorizer, namespace, name]: readonly Value[]): Value {
  if (dns1123SubdomainErrors(name as string).length > 0) return new Failure('Invalid service account name');
  if (dns1123LabelErrors(namespace as string).length > 0) return new Failure('Invalid service account namespace');
  return new Authorizer({
    name: `system:serviceaccount:${namespace as string}:${name as string}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace as string}`],
  }, (authorizer as Authorizer).asker);
}

export const authorizerFunctions: Implementations = {
  authorizer_path: ([authorizer, path]) =>
    (path as string).trim() === '' ? new Failure('path must not be empty') : new PathCheck(authorizer as Authorizer, path as string),
  authorizer_group: ([authorizer, group]) => new GroupCheck(authorizer as Authorizer, group as string),
  authorizer_serviceaccount: serviceAccount,
  groupcheck_resource: ([check, resource]) => {
    if ((resource as string).trim() === '') return new Failure('resource must not be empty');
    const { authorizer, group } = check as GroupCheck;
    return new ResourceCheck(authorizer, { ...noResource, group, resource: resource as string });
  },
  resourcecheck_subresource: attribute('subresource'),
  resourcecheck_namespace: attribute('namespace'),
  resourcecheck_name: attribute('name'),
  authorizer_fieldselector: attribute('fieldSelector'),
  authorizer_labelselector: attribute('labelSelector'),
  pathcheck_check: ([check, verb]) => {
    const { authorizer, path } = check as PathCheck;
    return new Decision(authorizer.asker.ask({ ...noResource, user: authorizer.user, verb: verb as string, path }));
  },
  resourcecheck_check: ([check, verb]) => {
    const { authorizer, attributes } = check as ResourceCheck;
    return new Decision(authorizer.asker.ask({ ...attributes, user: authorizer.user, verb: verb as string }));
  },
  decision_allowed: decision(value => value.allowed),
  decision_reason: decision(value => value.reason ?? ''),
  decision_errored: decision(value => value.error !== undefined),
  decision_error: decision(value => value.error ?? ''),
};
