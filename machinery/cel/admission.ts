// The expressions of admission: what match conditions, policies and their parts may name and must come to. Shared by the API server,
// which runs them, and by the controller that checks policies against the types they are about. Upstream: apiserver's
// admission/plugin/cel/{compile,composition}.go and cel/mutation.
import type { CelEnvironment, CelProgram, CelType, CelVariable } from './cel.ts';
import { compile } from './compile.ts';
import { parameters, typeName } from './types.ts';

/** Which variables there are beside object, oldObject, request and namespaceObject. */
export interface Declared {
  readonly params?: boolean;
  readonly authorizer?: boolean;
  /** Object{…}, JSONPatch{…} and jsonpatch.escapeKey(). */
  readonly patches?: boolean;
}

export interface Expression {
  readonly source: string;
  /** Absent when it cannot be run; `problem` tells why, in upstream's words. */
  readonly program: CelProgram | undefined;
  readonly problem: string;
}

const type = (kind: 'string' | 'bool' | 'int' | 'timestamp' | 'dyn' | 'null'): CelType => ({ kind });
const [text, bool, int, time, dyn] = [type('string'), type('bool'), type('int'), type('timestamp'), type('dyn')];
const texts: CelType = { kind: 'list', element: text };
type ObjectType = Extract<CelType, { kind: 'object' }>;
function object(name: string, fields: Readonly<Record<string, CelType>>): ObjectType {
  return { kind: 'object', name, fields: (field) => (Object.hasOwn(fields, field) ? fields[field] : undefined) };
}

const requestType = ((): CelType => {
  const kind = object('kubernetes.GroupVersionKind', { group: text, version: text, kind: text });
  const resource = object('kubernetes.GroupVersionResource', { group: text, version: text, resource: text });
  const userInfo = object('kubernetes.UserInfo', { username: text, uid: text, groups: texts, extra: { kind: 'map', key: text, value: texts } });
  return object('kubernetes.AdmissionRequest', {
    kind, resource, subResource: text, requestKind: kind, requestResource: resource, requestSubResource: text,
    name: text, namespace: text, operation: text, userInfo, dryRun: bool, options: dyn,
  });
})();

const namespaceType = ((): CelType => {
  const labels: CelType = { kind: 'map', key: text, value: text };
  return object('kubernetes.Namespace', {
    metadata: object('kubernetes.NamespaceMetadata', {
      name: text, generateName: text, namespace: text, labels, annotations: labels, UID: text, creationTimestamp: time, deletionGracePeriodSeconds: int,
      deletionTimestamp: time, generation: int, resourceVersion: text, finalizers: texts,
    }),
    spec: object('kubernetes.NamespaceSpec', { finalizers: texts }),
    status: object('kubernetes.NamespaceStatus', {
      conditions: { kind: 'list', element: object('kubernetes.NamespaceCondition', { status: text, type: text, lastTransitionTime: time, message: text, reason: text }) },
      phase: text,
    }),
  });
})();

const jsonPatch = object('JSONPatch', { op: text, path: text, from: text, value: dyn });
/** Objects of which no schema is known: every field may be there, and is anything. */
const openObject = (name: string): ObjectType => ({ kind: 'object', name, fields: () => dyn });
function constructible(name: string): ObjectType | undefined {
  if (name === 'JSONPatch') return jsonPatch;
  return name === 'Object' || name.startsWith('Object.') ? openObject(name) : undefined;
}

/** What expressions of each sort may evaluate to. */
export const results = {
  condition: [bool],
  message: [text],
  auditAnnotation: [text, type('null')],
  applyConfiguration: [openObject('Object')],
  jsonPatch: [{ kind: 'list', element: jsonPatch }],
  variable: undefined,
} as const satisfies Record<string, readonly CelType[] | undefined>;

/** Types of the objects where they are known; both are anything otherwise. */
export interface KnownTypes { readonly object?: CelType; readonly params?: CelType }

/** Compiles the expressions of one policy, or of one webhook. */
export class AdmissionCompiler {
  /** By name, in their order; each may name those before it. Undefined: `variables` is not there at all. */
  readonly variables: Map<string, Expression> | undefined;
  readonly #types: KnownTypes;

  constructor({ composed, types = {} }: { composed: boolean; types?: KnownTypes }) {
    this.variables = composed ? new Map() : undefined;
    this.#types = types;
  }

  compileVariable(name: string, source: string, declared: Declared): Expression {
    const made = this.compile(source, declared, results.variable);
    this.variables?.set(name, made);
    return made;
  }

  /** `accepted`: undefined means anything. Never throws. */
  compile(source: string, declared: Declared, accepted: readonly CelType[] | undefined): Expression {
    const { program, issues } = compile(source, this.#environment(declared));
    if (!program) return { source, program: undefined, problem: `compilation failed: ${issues.map((issue) => issue.text).join('\n')}` };
    if (accepted && !accepted.some((one) => shown(one) === shown(program.type))) {
      const [only] = accepted;
      const wanted = accepted.length === 1 && only ? shown(only) : `one of [${accepted.map(shown).join(' ')}]`;
      return { source, program: undefined, problem: `must evaluate to ${wanted} but got ${shown(program.type)}` };
    }
    return { source, program, problem: '' };
  }

  #environment({ params, authorizer, patches }: Declared): CelEnvironment {
    const variables: CelVariable[] = [
      { name: 'object', type: this.#types.object ?? dyn }, { name: 'oldObject', type: this.#types.object ?? dyn },
      { name: 'request', type: requestType }, { name: 'namespaceObject', type: namespaceType },
    ];
    if (params) variables.push({ name: 'params', type: this.#types.params ?? dyn });
    if (authorizer) {
      variables.push({ name: 'authorizer', type: { kind: 'opaque', name: 'kubernetes.authorization.Authorizer' } });
      variables.push({ name: 'authorizer.requestResource', type: { kind: 'opaque', name: 'kubernetes.authorization.ResourceCheck' } });
    }
    const known = this.variables;
    if (known) {
      variables.push({ name: 'variables', type: { kind: 'object', name: 'kubernetes.variables', fields: (name) => {
        const one = known.get(name);
        return one && carried(one.program?.type);
      } } });
    }
    return { variables, ...(patches ? { constructible } : {}) };
  }
}

/** As upstream prints a type outside of the checker. */
function shown(of: CelType): string {
  const inner = parameters(of);
  return inner.length === 0 ? typeName(of) : `${typeName(of)}(${inner.map(shown).join(', ')})`;
}

/** What is known of a variable where it is used: of other than plain values, lists and maps nothing. */
function carried(of: CelType | undefined): CelType {
  switch (of?.kind) {
    case 'bool': case 'bytes': case 'double': case 'duration': case 'int': case 'null': case 'string': case 'timestamp': case 'uint': return of;
    case 'list': return { kind: 'list', element: carried(of.element) };
    case 'map': return { kind: 'map', key: carried(of.key), value: carried(of.value) };
    default: return dyn;
  }
}
