// Expressions as rules of these kinds see them. Compiling takes much code, which the first such write loads (`Strategy.load`).
// Upstream: pkg/apis/admissionregistration/validation, which words what cannot be compiled as an invalid value.
import type { AdmissionCompiler, Declared, results as Results } from '#machinery/cel/admission.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { invalidField } from '../values.ts';

type Language = typeof import('#machinery/cel/admission.ts');
let language: Language | undefined;

export async function loadExpressions(): Promise<void> {
  language ??= await import('#machinery/cel/admission.ts');
}
/** For tests that take objects through rules without a server. */
export function provideExpressions(provided: Language): void {
  language = provided;
}

/** `composed`: expressions of the same policy may be named as variables. */
export function newCompiler(composed: boolean): AdmissionCompiler {
  if (!language) throw new Error('expressions are validated before the language was loaded');
  return new language.AdmissionCompiler({ composed });
}

/** `shown` is the bad value where that is not what was compiled. */
export function checkExpression(compiler: AdmissionCompiler, source: string, declared: Declared, sort: keyof typeof Results, path: string, shown = source): FieldError[] {
  const { program, problem } = compiler.compile(source, declared, language?.results[sort]);
  return program ? [] : [invalidField(path, shown, problem)];
}
