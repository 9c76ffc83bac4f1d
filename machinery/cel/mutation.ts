// The types that expressions of mutating policies build: Object{…}, whose fields may be any, and JSONPatch{…}.

import type { CelEnvironment, CelType } from './cel.ts';

const string: CelType = { kind: 'string' };
const dyn: CelType = { kind: 'dyn' };
const patchFields = new Map<string, CelType>([['op', string], ['path', string], ['from', string], ['value', dyn]]);

/** For CelEnvironment.constructible. */
export const mutationTypes: NonNullable<CelEnvironment['constructible']> = name => {
  if (name === 'JSONPatch') return { kind: 'object', name, fields: field => patchFields.get(field) };
  return name === 'Object' || name.startsWith('Object.') ? { kind: 'object', name, fields: () => dyn } : undefined;
};
