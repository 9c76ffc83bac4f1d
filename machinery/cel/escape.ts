// Names of fields as expressions must write them: what is no identifier is written with __dot__, __dash__, … and keywords with
// underscores around them. The rules of x-kubernetes-validations.

const reserved = new Set(['true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if', 'import', 'let',
  'loop', 'package', 'namespace', 'return', 'var', 'void', 'while']);

const escapes: readonly (readonly [string, string])[] = [['__', '__underscores__'], ['.', '__dot__'], ['-', '__dash__'], ['/', '__slash__']];

/** Undefined when no expression can name the field. */
export function escapeField(name: string): string | undefined {
  if (reserved.has(name)) return `__${name}__`;
  if (!/^[A-Za-z_./-][A-Za-z0-9_./-]*$/.test(name)) return undefined;
  return name.replace(/__|[./-]/g, part => escapes.find(([plain]) => plain === part)![1]);
}

/** The field that an expression names; undefined when no field is written like this. */
export function unescapeField(name: string): string | undefined {
  if (!name.includes('__')) return name;
  let failed = false;
  const plain = name.replace(/__[^_]+__/g, part => {
    const found = escapes.find(([, escaped]) => escaped === part);
    if (found !== undefined) return found[0];
    const word = part.slice(2, -2);
    // A keyword is escaped only where it is the whole name.
    if (!reserved.has(word) || part.length !== name.length) failed = true;
    return word;
  });
  return failed ? undefined : plain;
}

/** The keywords of the language, which names of fields may be where a type comes without escaping. */
export function isReservedField(name: string): boolean {
  return reserved.has(name);
}
