// Named formats: format.dns1123Label().validate(name).

import { dns1035LabelErrors, dns1123LabelErrors, dns1123SubdomainErrors, labelValueErrors, maskTrailingDash, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { Implementations } from '../registry.ts';
import { none, Opaque, Optional, ValueList } from '../values.ts';
import type { Value } from '../values.ts';
import { parseDate, parseTimestamp } from '../time.ts';
import { parseRequestUrl, UrlError } from './urls.ts';

/** What is wrong with a text; nothing when it has the format. */
type Validate = (text: string) => readonly string[];

export class NamedFormat extends Opaque {
  readonly typeName = 'kubernetes.NamedFormat';
  readonly name: string;
  readonly validate: Validate;
  /** What the price of a check is computed with. */
  readonly patternSize: number;
  constructor(name: string, validate: Validate, patternSize: number) {
    super();
    this.name = name;
    this.validate = validate;
    this.patternSize = patternSize;
  }
  equals(other: Value): boolean { return other instanceof NamedFormat && other.name === this.name; }
}

/** Names that something will be appended to may end in a dash. */
function prefix(validate: Validate): Validate { return text => validate(maskTrailingDash(text)); }

function check(message: string, test: (text: string) => boolean): Validate {
  return text => test(text) ? [] : [message];
}

function uriErrors(text: string): readonly string[] {
  try {
    parseRequestUrl(text);
    return [];
  } catch (error) {
    if (error instanceof UrlError) return [error.message];
    throw error;
  }
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const uuid = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

const formats = new Map([
  ['dns1123Label', new NamedFormat('DNS1123Label', dns1123LabelErrors, 30)],
  ['dns1123Subdomain', new NamedFormat('DNS1123Subdomain', dns1123SubdomainErrors, 60)],
  ['dns1035Label', new NamedFormat('DNS1035Label', dns1035LabelErrors, 30)],
  ['qualifiedName', new NamedFormat('QualifiedName', qualifiedNameErrors, 60)],
  ['dns1123LabelPrefix', new NamedFormat('DNS1123LabelPrefix', prefix(dns1123LabelErrors), 30)],
  ['dns1123SubdomainPrefix', new NamedFormat('DNS1123SubdomainPrefix', prefix(dns1123SubdomainErrors), 60)],
  ['dns1035LabelPrefix', new NamedFormat('DNS1035LabelPrefix', prefix(dns1035LabelErrors), 30)],
  ['labelValue', new NamedFormat('LabelValue', labelValueErrors, 40)],
  ['uri', new NamedFormat('URI', uriErrors, 1103)],
  ['uuid', new NamedFormat('uuid', check('does not match the UUID format', text => uuid.test(text)), 70)],
  ['byte', new NamedFormat('byte', check('invalid base64', text => base64.test(text)), 84)],
  ['date', new NamedFormat('date', check('invalid date', text => parseDate(text) !== undefined), 71)],
  ['datetime', new NamedFormat('datetime', check('invalid datetime', text => parseTimestamp(text.toUpperCase()) !== undefined), 71)],
]);

export const formatFunctions: Implementations = {
  ...Object.fromEntries([...formats].map(([name, format]) => [`format.${name}`, () => format])),
  'format-named': ([name]) => {
    const format = formats.get(name as string);
    return format === undefined ? none : new Optional(format);
  },
  'format-validate': ([format, text]) => {
    const errors = (format as NamedFormat).validate(text as string);
    return errors.length === 0 ? none : new Optional(new ValueList(errors));
  },
};
