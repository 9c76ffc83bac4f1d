// Label selectors: the text form of requests (`a=b,c in (d,e),!f`), the object form of specs, and matching.
// Syntax and texts: apimachinery's labels/selector.go.
import { labelValueErrors, qualifiedNameErrors } from './names.ts';

export type LabelOperator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';
export interface LabelRequirement {
  key: string;
  operator: LabelOperator;
  /** Sorted, without repeats. */
  values: readonly string[];
}
/** All requirements must hold; the empty selector matches everything. */
export interface ParsedLabelSelector {
  readonly requirements: readonly LabelRequirement[];
  matches(labels: Readonly<Record<string, string>> | undefined): boolean;
}
/** The text cannot be read as a selector; the message is what upstream answers with 400. */
export class SelectorError extends Error {
  override name = 'SelectorError';
}

export const everything: ParsedLabelSelector = { requirements: [], matches: () => true };

/** Throws SelectorError. */
export function parseLabelSelector(text: string): ParsedLabelSelector {
  const tokens = scan(text);
  if (tokens.length === 1) return everything;
  return selectorOf(parse(tokens));
}

/** The object form (`matchLabels`, `matchExpressions`). Undefined matches nothing, an empty one everything. Throws SelectorError. */
export function labelSelectorFromObject(selector: { matchLabels?: Record<string, string>; matchExpressions?: { key: string; operator: string; values?: string[] }[] } | undefined): ParsedLabelSelector {
  if (!selector) return { requirements: [], matches: () => false };
  const operators: Record<string, LabelOperator> = { In: 'in', NotIn: 'notin', Exists: 'exists', DoesNotExist: '!' };
  return selectorOf([
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]) => requirement(key, '=', [value])),
    ...(selector.matchExpressions ?? []).map(({ key, operator, values }) => {
      const known = operators[operator];
      if (!known) throw new SelectorError(`"${operator}" is not a valid label selector operator`);
      return requirement(key, known, values ?? []);
    }),
  ]);
}

/** The canonical text: what a scale subresource shows as its selector. */
export function formatLabelSelector({ requirements }: ParsedLabelSelector): string {
  return [...requirements].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ key, operator, values }) => {
    switch (operator) {
      case 'exists': return key;
      case '!': return `!${key}`;
      case 'gt': return `${key}>${values[0]}`;
      case 'lt': return `${key}<${values[0]}`;
      case 'in': return values.length === 1 ? `${key} in (${values[0]})` : `${key} in (${values.join(',')})`;
      case 'notin': return `${key} notin (${values.join(',')})`;
      default: return `${key}${operator}${values[0]}`;
    }
  }).join(',');
}

function selectorOf(requirements: LabelRequirement[]): ParsedLabelSelector {
  return { requirements, matches: (labels) => requirements.every((one) => holds(one, labels)) };
}

function holds({ key, operator, values }: LabelRequirement, labels: Readonly<Record<string, string>> | undefined): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case '=': case '==': case 'in': return value !== undefined && values.includes(value);
    case '!=': case 'notin': return value === undefined || !values.includes(value);
    case 'exists': return value !== undefined;
    case '!': return value === undefined;
    case 'gt': case 'lt': {
      if (value === undefined || !integer.test(value)) return false;
      const left = BigInt(value), right = BigInt(values[0] ?? '0');
      return operator === 'gt' ? left > right : left < right;
    }
    default: return operator satisfies never;
  }
}

const integer = /^[+-]?\d+$/;
type Token = { kind: 'id' | 'in' | 'notin' | '(' | ')' | ',' | '!' | '=' | '==' | '!=' | '>' | '<' | 'end'; text: string };
const symbols = new Set(['=', '!', '(', ')', '>', '<', ',']);
const twoSymbols = new Set(['==', '!=']);

function scan(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    if (' \t\r\n'.includes(character)) at += 1;
    else if (symbols.has(character)) {
      const two = text.slice(at, at + 2);
      // Symbols are read as far as they belong together, like upstream's lexer does.
      const symbol = twoSymbols.has(two) ? two : character;
      tokens.push({ kind: symbol as Token['kind'], text: symbol }); // every member of the two sets is a kind
      at += symbol.length;
    } else {
      const start = at;
      while (at < text.length && !symbols.has(text.charAt(at)) && !' \t\r\n'.includes(text.charAt(at))) at += 1;
      const word = text.slice(start, at);
      tokens.push({ kind: word === 'in' || word === 'notin' ? word : 'id', text: word });
    }
  }
  tokens.push({ kind: 'end', text: '' });
  return tokens;
}

function parse(tokens: readonly Token[]): LabelRequirement[] {
  let at = 0;
  const end: Token = { kind: 'end', text: '' };
  const peek = (): Token => asValue(tokens[at] ?? end);
  const next = (): Token => asValue(tokens[at++] ?? end);
  const requirements: LabelRequirement[] = [];
  for (;;) {
    const first = peek();
    if (first.kind === 'end') return requirements;
    if (first.kind !== 'id' && first.kind !== '!') throw new SelectorError(`found '${first.text}', expected: !, identifier, or 'end of string'`);
    try {
      requirements.push(parseRequirement());
    } catch (error) {
      if (error instanceof SelectorError) throw new SelectorError(`unable to parse requirement: ${error.message}`);
      throw error;
    }
    const after = next();
    if (after.kind === 'end') return requirements;
    if (after.kind !== ',') throw new SelectorError(`found '${after.text}', expected: ',' or 'end of string'`);
    const following = peek();
    if (following.kind !== 'id' && following.kind !== '!') throw new SelectorError(`found '${following.text}', expected: identifier after ','`);
  }

  function parseRequirement(): LabelRequirement {
    let token = next();
    const negated = token.kind === '!';
    if (negated) token = next();
    if (token.kind !== 'id') throw new SelectorError(`found '${token.text}', expected: identifier`);
    checkKey(token.text);
    const following = peek();
    if (negated) return requirement(token.text, '!', []);
    if (following.kind === 'end' || following.kind === ',') return requirement(token.text, 'exists', []);
    const operator = tokens[at++] ?? end;
    switch (operator.kind) {
      case 'in': case 'notin': return requirement(token.text, operator.kind, parseValues());
      case '=': case '==': case '!=': return requirement(token.text, operator.kind, [parseValue()]);
      case '>': return requirement(token.text, 'gt', [parseValue()]);
      case '<': return requirement(token.text, 'lt', [parseValue()]);
      default: throw new SelectorError(`found '${operator.text}', expected: in, notin, =, ==, !=, gt, lt`);
    }
  }
  function parseValue(): string {
    const token = peek();
    if (token.kind === 'end' || token.kind === ',') return '';
    at += 1;
    if (token.kind === 'id') return token.text;
    throw new SelectorError(`found '${token.text}', expected: identifier`);
  }
  function parseValues(): string[] {
    const open = next();
    if (open.kind !== '(') throw new SelectorError(`found '${open.text}' expected: '('`);
    const values: string[] = [];
    let wanted = true; // a value may come; two separators in a row stand for an empty one
    if (peek().kind !== 'id' && peek().kind !== ',' && peek().kind !== ')') throw new SelectorError(`found '${peek().text}', expected: ',', ')' or identifier`);
    for (;;) {
      const token = next();
      if (token.kind === 'id' && wanted) {
        values.push(token.text);
        wanted = false;
        if (peek().kind !== ',' && peek().kind !== ')') throw new SelectorError(`found '${peek().text}', expected: ',' or ')'`);
      } else if (token.kind === ',') {
        if (wanted) values.push('');
        wanted = true;
      } else if (token.kind === ')') {
        if (wanted) values.push('');
        return values;
      } else throw new SelectorError(`found '${token.text}', expected: ',', or identifier`);
    }
  }
}
/** Where a value may stand, `in` and `notin` are ordinary words. */
function asValue(token: Token): Token {
  return token.kind === 'in' || token.kind === 'notin' ? { kind: 'id', text: token.text } : token;
}

function checkKey(key: string): void {
  const errors = qualifiedNameErrors(key);
  if (errors.length > 0) throw new SelectorError(`<nil>: Invalid value: ${JSON.stringify(key)}: ${errors.join('; ')}`);
}

function requirement(key: string, operator: LabelOperator, given: readonly string[]): LabelRequirement {
  checkKey(key);
  const values = [...new Set(given)].sort();
  const refuse = (value: unknown, detail: string): never => {
    throw new SelectorError(`values: Invalid value: ${JSON.stringify(value)}: ${detail}`);
  };
  if ((operator === 'in' || operator === 'notin') && values.length === 0) refuse(values, "for 'in', 'notin' operators, values set can't be empty");
  if ((operator === 'exists' || operator === '!') && values.length > 0) refuse(values, 'values set must be empty for exists and does not exist');
  if ((operator === 'gt' || operator === 'lt') && !integer.test(values[0] ?? '')) {
    throw new SelectorError(`values[0]: Invalid value: ${JSON.stringify(values[0] ?? '')}: for 'Gt', 'Lt' operators, the value must be an integer`);
  }
  values.forEach((value, index) => {
    const errors = labelValueErrors(value);
    if (errors.length > 0) throw new SelectorError(`values[${index}][${key}]: Invalid value: ${JSON.stringify(value)}: ${errors.join('; ')}`);
  });
  return { key, operator, values };
}
