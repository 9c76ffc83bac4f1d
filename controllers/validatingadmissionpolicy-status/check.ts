// Holds the expressions of a policy to the types they are about: what would fail at run time is told in the policy's status.
// Upstream: apiserver/pkg/admission/plugin/policy/validating/typechecking.go.
import { parseApiVersion } from '#machinery/api/object.ts';
import type { GroupVersionKind, ValidatingAdmissionPolicy } from '#machinery/api/object.ts';
import { AdmissionCompiler } from '#machinery/cel/admission.ts';
import type { Schema } from '#machinery/schema/schema.ts';
import type { DiscoveredResource } from '../discovery.ts';
import { celTypeOf } from './cel-type.ts';

export interface ExpressionWarning { fieldRef: string; warning: string }
type Spec = NonNullable<ValidatingAdmissionPolicy['spec']>;

const maxTypes = 10;

/** Only kinds that the schema knows are looked at; custom resources are not among them. */
export function checkPolicy(spec: Spec, resources: readonly DiscoveredResource[], schema: Schema): ExpressionWarning[] {
  const kinds = kindsOf(spec, resources).filter(({ group, version, kind }) => schema.typeFor(group, version, kind));
  return (spec.validations ?? []).flatMap(({ expression, messageExpression }, index) => [
    ...warningOf(expression, `spec.validations[${index}].expression`),
    ...(messageExpression ? warningOf(messageExpression, `spec.validations[${index}].messageExpression`) : []),
  ]);

  function warningOf(source: string, fieldRef: string): ExpressionWarning[] {
    const problems = kinds.flatMap((kind) => {
      const problem = check(source, kind);
      return problem === '' ? [] : [`${kind.group}/${kind.version}, Kind=${kind.kind}: ${problem}\n`];
    });
    return problems.length === 0 ? [] : [{ fieldRef, warning: problems.join('\n') }];
  }
  function check(source: string, { group, version, kind }: GroupVersionKind): string {
    const object = schema.typeFor(group, version, kind);
    const { paramKind } = spec;
    const param = paramKind && { ...parseApiVersion(paramKind.apiVersion ?? ''), kind: paramKind.kind ?? '' };
    const params = param && schema.typeFor(param.group, param.version, param.kind);
    const compiler = new AdmissionCompiler({ composed: true, types: { ...(object ? { object: celTypeOf(object) } : {}), ...(params ? { params: celTypeOf(params) } : {}) } });
    const declared = { params: param !== undefined, authorizer: true };
    for (const { name, expression } of spec.variables ?? []) compiler.compileVariable(name, expression, declared);
    return compiler.compile(source, declared, undefined).problem.replace(/^compilation failed: /, '');
  }
}

/** What rules name one by one, by group, version and kind; rules with wildcards could mean anything. */
function kindsOf({ matchConstraints }: Spec, resources: readonly DiscoveredResource[]): GroupVersionKind[] {
  const found = new Map<string, GroupVersionKind>();
  for (const rule of matchConstraints?.resourceRules ?? []) {
    const names = (rule.resources ?? []).filter((name) => !/[*/]/.test(name));
    let count = 0;
    if ([...rule.apiGroups ?? [], ...rule.apiVersions ?? []].some((one) => one.includes('*'))) continue;
    for (const group of [...rule.apiGroups ?? []].sort()) {
      for (const version of [...rule.apiVersions ?? []].sort()) {
        for (const name of names.sort()) {
          const resource = resources.find((one) => one.group === group && one.version === version && one.resource === name);
          if (!resource) continue;
          found.set(`${group}/${version}/${resource.kind}`, { group, version, kind: resource.kind });
          count += 1;
          if (count === maxTypes) return sorted(found);
        }
      }
    }
  }
  return sorted(found);
}
const sorted = (kinds: ReadonlyMap<string, GroupVersionKind>): GroupVersionKind[] => [...kinds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, kind]) => kind);
