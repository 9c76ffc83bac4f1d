// The expressions by which devices are selected: what they may name, how large that may be, and what they may cost. Compiling takes
// much code, which the first such write loads (`Strategy.load`). Upstream: k8s.io/dynamic-resource-allocation/cel.
import type { CelType } from '#machinery/cel/cel.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, forbiddenField, invalidField, objects, required, text, tooLong } from '../values.ts';
import { validateList } from './names.ts';

type Language = typeof import('#machinery/cel/compile.ts') & Pick<typeof import('#machinery/cel/device.ts'), 'deviceType'> & Pick<typeof import('#machinery/cel/types.ts'), 'parameters' | 'typeName'>;
let language: Language | undefined;

export async function loadSelectors(): Promise<void> {
  if (language) return;
  const [compile, { deviceType }, types] = await Promise.all([import('#machinery/cel/compile.ts'), import('#machinery/cel/device.ts'), import('#machinery/cel/types.ts')]);
  language = { ...compile, ...types, deviceType };
}

const most = { selectors: 32, bytes: 10 * 1024, cost: 1_000_000, domain: 63, id: 32, driver: 63, value: 64, entries: 32 } as const;

/** How long what is at a path may be; undefined where nothing is known. */
function sizeOf([root, field, ...inner]: readonly string[]): { min: number; max: number } | undefined {
  const upTo = (max: number) => ({ min: 0, max });
  if (root !== 'device') return undefined;
  if (field === undefined) return upTo(0); // an object of known fields
  const [first, second, ...more] = inner;
  switch (field) {
    case 'driver': return first === undefined ? upTo(most.driver) : undefined;
    case 'allowMultipleAllocations': return first === undefined ? upTo(1) : undefined;
    case 'attributes': case 'capacity':
      if (first === undefined) return upTo(most.entries);
      if (first === '@keys') return second === undefined ? upTo(most.domain) : undefined;
      if (first !== '@values' && first !== '@items') return undefined;
      if (second === undefined) return upTo(most.entries);
      if (second === '@keys') return more.length === 0 ? upTo(most.id) : undefined;
      return field === 'attributes' && more.length === 0 ? upTo(most.value) : undefined;
    default: return undefined;
  }
}

/** `stored`: the very same list is there already. */
export function validateSelectors(value: unknown, path: string): FieldError[] {
  return validateList(objects(value), most.selectors, path, (selector, at) => {
    const cel = asObject(selector['cel']);
    return cel ? validateExpression(text(cel['expression']), `${at}.cel.expression`) : [required(`${at}.cel`)];
  });
}

/** With the names of all its parts, which differ from those in messages of the compiler. */
function fullName(type: CelType, names: Language): string {
  const inner = names.parameters(type);
  return inner.length === 0 ? names.typeName(type) : `${names.typeName(type)}(${inner.map((one) => fullName(one, names)).join(', ')})`;
}

function validateExpression(expression: string, path: string): FieldError[] {
  if (Buffer.byteLength(expression) > most.bytes) return [tooLong(path, most.bytes)];
  if (!language) throw new Error('selectors are validated before the language was loaded');
  const { program, issues } = language.compile(expression, { variables: [{ name: 'device', type: language.deviceType }], bindings: true });
  if (!program) return [invalidField(path, expression, `compilation failed: ${issues.map((issue) => issue.text).join('\n')}`)];
  const { type } = program;
  if (type.kind !== 'bool' && type.kind !== 'any') return [invalidField(path, expression, `must evaluate to bool or the unknown type, not ${fullName(type, language)}`)];
  return program.estimate(sizeOf).max > most.cost ? [forbiddenField(path, 'too complex, exceeds cost limit')] : [];
}
