// What the rest of the project knows of CEL (the Common Expression Language of admission policies, match conditions, validation
// rules of custom resources and device selectors): types, environments, compiled programs and how they fail.

/** The static types of expressions. `object` has named fields (a schema); `map` has keys that are data. */
export type CelType =
  /** `any` is dyn, but cannot be walked through: attributes of devices. */
  | { readonly kind: 'dyn' | 'any' | 'null' | 'bool' | 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'timestamp' | 'duration' | 'error' }
  | {
    readonly kind: 'list';
    readonly element: CelType;
    readonly maxItems?: number;
    /** x-kubernetes-list-type: what == and + mean. `keys` are names of fields as in JSON, for maps. */
    readonly listType?: 'atomic' | 'set' | 'map';
    readonly keys?: readonly string[];
  }
  | { readonly kind: 'map'; readonly key: CelType; readonly value: CelType; readonly maxItems?: number }
  | { readonly kind: 'optional'; readonly of: CelType }
  /** The type of types: `type(x)`, `int` as a value. */
  | { readonly kind: 'type'; readonly of?: CelType }
  /** Stands for any type; inside the checker only. */
  | { readonly kind: 'param'; readonly name: string }
  /** A value that only functions make and take: `kubernetes.URL`, `net.IP`, `kubernetes.authorization.Authorizer`, … */
  | { readonly kind: 'opaque'; readonly name: string }
  /** `fields` may be computed when asked, so that recursive schemas have types too. Field names are CEL's (escaped) ones. */
  | { readonly kind: 'object'; readonly name: string; readonly fields: (name: string) => CelType | undefined };

export interface CelVariable {
  readonly name: string;
  readonly type: CelType;
}

/**
 * What an expression may name. Kubernetes' extension libraries, optional types, `variables.x` of policies and every standard macro
 * are always there; a variable that is not declared is a compile error with cel-go's text.
 */
export interface CelEnvironment {
  readonly variables: readonly CelVariable[];
  /** `cel.bind(name, value, body)` may be used: in device selectors only. */
  readonly bindings?: boolean;
  /** Types that may be constructed by name (`Object{spec: Object.spec{…}}`, `JSONPatch{…}` of mutating policies). */
  readonly constructible?: (name: string) => Extract<CelType, { kind: 'object' }> | undefined;
}

/** One message of parser or checker. `text` is the whole report as cel-go prints it: `ERROR: <input>:1:8: …` and the marked line. */
export interface CelIssue {
  readonly line: number;
  /** From 0, as cel-go counts; `text` prints it from 1. */
  readonly column: number;
  readonly message: string;
  readonly text: string;
  /** The expression is well-formed but its constant parts fail, and no program can be made of it; `text` has no place then. */
  readonly stage?: 'program';
}

/** Spent by every step; shared by the expressions of one policy or object. The unit is upstream's cost unit. */
export interface CelBudget {
  remaining: number;
}

export type CelCompilation =
  | { readonly program: CelProgram; readonly issues: readonly [] }
  | { readonly program: undefined; readonly issues: readonly CelIssue[] };

/** Bounds of an estimate, in upstream's cost units. */
export interface CelCost {
  readonly min: number;
  readonly max: number;
}

export interface CelProgram {
  /** The expression's own type. */
  readonly type: CelType;
  /** Names of the declared variables that it reads. */
  readonly reads: ReadonlySet<string>;
  /** Whether it selects that field of that variable anywhere: `claims.email`, `claims.?email`, has(claims.email). */
  selects(variable: string, field: string): boolean;
  /**
   * Evaluates with plain JSON values (an integral number is an int where the type says so or nothing is known) or values of this
   * package. Answers JSON or values of this package (see values.ts). Throws CelError, with cel-go's text; stops with one when the
   * budget or what one evaluation may cost is spent; `remaining` is below zero then when it was the budget.
   */
  evaluate(variables: Readonly<Record<string, unknown>>, budget: CelBudget): unknown;
  /**
   * The static estimate that custom resources' rules are bound by. `sizeOf` answers how long the value at a path of variable and
   * field names may be ('@items', '@keys', '@values' for elements); undefined means unbounded.
   */
  estimate(sizeOf?: (path: readonly string[]) => { readonly min: number; readonly max: number } | undefined): CelCost;
}

/** An expression failed while it ran: `no such key: x`, `division by zero`, … */
export class CelError extends Error {
  override readonly name = 'CelError';
  readonly reason: 'failed' | 'budget';
  constructor(message: string, reason: 'failed' | 'budget' = 'failed') {
    super(message);
    this.reason = reason;
  }
}
