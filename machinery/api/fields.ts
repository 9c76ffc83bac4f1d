// Field selectors: `metadata.name=a,status.phase!=Running`. Syntax and texts: apimachinery's fields/selector.go.
import { SelectorError } from './labels.ts';

export interface FieldRequirement { field: string; operator: '=' | '!='; value: string }
/** All terms must hold; the empty selector matches everything. */
export interface ParsedFieldSelector {
  readonly requirements: readonly FieldRequirement[];
  /** `valueOf` gives a field's value, '' when it has none. */
  matches(valueOf: (field: string) => string): boolean;
  /** The value that this field must have, when the selector says so. */
  exact(field: string): string | undefined;
}

/** Throws SelectorError. */
export function parseFieldSelector(text: string): ParsedFieldSelector {
  const requirements = splitTerms(text).filter((term) => term !== '').map((term): FieldRequirement => {
    for (let at = 0; at < term.length; at += 1) {
      const rest = term.slice(at);
      if (rest.startsWith('\\')) at += 1;
      else if (rest.startsWith('!=')) return { field: term.slice(0, at), operator: '!=', value: unescape(rest.slice(2)) };
      else if (rest.startsWith('==')) return { field: term.slice(0, at), operator: '=', value: unescape(rest.slice(2)) };
      else if (rest.startsWith('=')) return { field: term.slice(0, at), operator: '=', value: unescape(rest.slice(1)) };
    }
    throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
  });
  return fieldSelectorOf(requirements);
}

export function fieldSelectorOf(requirements: readonly FieldRequirement[]): ParsedFieldSelector {
  return {
    requirements,
    matches: (valueOf) => requirements.every(({ field, operator, value }) => (valueOf(field) === value) === (operator === '=')),
    exact: (field) => requirements.find((one) => one.field === field && one.operator === '=')?.value,
  };
}

/** At commas that no backslash guards. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === ',') {
      terms.push(text.slice(start, at));
      start = at + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function unescape(value: string): string {
  let plain = '';
  for (let at = 0; at < value.length; at += 1) {
    const character = value.charAt(at);
    if (character === '\\') {
      const escaped = value.charAt(at + 1);
      if (escaped !== '\\' && escaped !== ',' && escaped !== '=') throw new SelectorError(`invalid field selector: invalid escape sequence: ${value.slice(at, at + 2)}`);
      plain += escaped;
      at += 1;
    } else if (character === ',' || character === '=') {
      throw new SelectorError(`invalid field selector: unescaped character in value: ${character}`);
    } else plain += character;
  }
  return plain;
}
