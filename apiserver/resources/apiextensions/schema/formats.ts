// The formats of strings and numbers that schemas may name. Others are ignored, with a warning when the definition is written.
// Upstream: apiserver/validation/formats.go, kube-openapi's strfmt.
import { isIPv6 } from 'node:net';
import { ipFamily } from '#machinery/api/names.ts';

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const shortName = new RegExp(`^${label}$`);
const longName = new RegExp(`^${label}(\\.${label})*$`);
const uuid = (third: string, fourth: string): RegExp => new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${third}-?${fourth}-?[0-9a-f]{12}$`, 'i');
const hostname = /^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$/u;
const creditCard = /^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$/;
const colorPart = String.raw`\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*`;
const matches = (regexp: RegExp) => (text: string): boolean => regexp.test(text);
const bytes = (text: string): number => Buffer.byteLength(text);

/** By names without dashes, which do not count. */
const checks: Readonly<Record<string, (text: string) => boolean>> = {
  bsonobjectid: matches(/^[0-9a-fA-F]{24}$/),
  uri: isRequestUri,
  email: isEmail,
  hostname: (text) => hostname.test(text) && bytes(text) <= 255 && text.split('.').every((part) => bytes(part) <= 63),
  ipv4: (text) => text.includes('.') && ipFamily(text) !== undefined,
  ipv6: (text) => isIPv6(text) && !text.includes('%'),
  cidr: isCidr,
  mac: matches(/^(?:([0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\2){4}(?:(?:[0-9a-f]{2}\2){2}(?:(?:[0-9a-f]{2}\2){12})?)?[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}(?:[0-9a-f]{4}\.(?:(?:[0-9a-f]{4}\.){6})?)?[0-9a-f]{4}|(?:[0-9a-f]{2}){6}(?:(?:[0-9a-f]{2}){2}(?:(?:[0-9a-f]{2}){12})?)?)$/i),
  uuid: matches(uuid('[0-9a-f]{4}', '[0-9a-f]{4}')),
  uuid3: matches(uuid('3[0-9a-f]{3}', '[0-9a-f]{4}')),
  uuid4: matches(uuid('4[0-9a-f]{3}', '[89ab][0-9a-f]{3}')),
  uuid5: matches(uuid('5[0-9a-f]{3}', '[89ab][0-9a-f]{3}')),
  isbn: (text) => isIsbn10(text) || isIsbn13(text),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  creditcard: isCreditCard,
  ssn: (text) => bytes(text) === 11 && /^\d{3}[- ]?\d{2}[- ]?\d{4}$/.test(text),
  hexcolor: matches(/^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$/),
  rgbcolor: matches(new RegExp(`^rgb\\(${colorPart},${colorPart},${colorPart}\\)$`)),
  byte: matches(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/),
  password: () => true,
  date: isDate,
  duration: isDuration,
  datetime: isDateTime,
  k8sshortname: (text) => bytes(text) <= 63 && shortName.test(text),
  k8slongname: (text) => bytes(text) <= 253 && longName.test(text),
};

function checkOf(format: string): ((text: string) => boolean) | undefined {
  const name = format.replaceAll('-', '');
  return Object.hasOwn(checks, name) ? checks[name] : undefined;
}

/** Undefined when strings of that format are not checked. */
export function isOfFormat(format: string, text: string): boolean | undefined {
  return checkOf(format)?.(text);
}

/** Whether values of a type (empty: any) are held to the format. */
export function isKnownFormat(format: string, type: string): boolean {
  switch (type) {
    case '': case 'string': return checkOf(format) !== undefined;
    case 'integer': return format === 'int32' || format === 'int64';
    case 'number': return format === 'float' || format === 'double';
    default: return false;
  }
}

/** As Go's url.ParseRequestURI: an absolute URI or path. */
function isRequestUri(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- Go refuses them too
  if (text === '' || /[\x00-\x1f\x7f]/.test(text)) return false;
  if (text === '*') return true;
  const [, scheme, rest = ''] = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(.*)$/s.exec(text) ?? [];
  const [hierarchy = ''] = rest.split('?', 1);
  if (!hierarchy.startsWith('/')) return scheme !== undefined; // `mailto:jane` is opaque
  const [, authority, path = ''] = /^(?:\/\/([^/]*))?(.*)$/s.exec(scheme === undefined && hierarchy.startsWith('///') ? hierarchy.slice(2) : hierarchy) ?? [];
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return false;
  if (authority === undefined || authority === '') return true;
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  const user = authority.slice(0, Math.max(0, authority.length - host.length - 1));
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user) || /%(?![0-9A-Fa-f]{2})/.test(user)) return false;
  if (host.startsWith('[')) return /^\[[^\]]*\](?::\d*)?$/.test(host) && isIPv6(host.slice(1, host.indexOf(']')).replace(/%25.*$/, ''));
  const port = /:[^:]*$/.exec(host)?.[0];
  if (port !== undefined && !/^:\d*$/.test(port)) return false;
  return !/[ <>"\\^`{|}]/.test(host) && !/%(?![89A-Fa-f][0-9A-Fa-f])/.test(host);
}

/** The usual forms of Go's mail.ParseAddress: `jane@example.com`, `Jane <jane@example.com>`. */
function isEmail(text: string): boolean {
  const [, name, bracketed, plain] = /^\s*(?:([^<>]*)<([^<>]*)>|([^<>]*?))\s*$/s.exec(text) ?? [];
  const address = bracketed ?? plain;
  if (address === undefined) return false;
  const quoted = String.raw`"(?:[^"\\\r\n]|\\.)*"`;
  const atom = String.raw`[^\s()<>[\]:;@\\,."\x00-\x1f\x7f]+`;
  const words = new RegExp(`^\\s*(?:(?:${quoted}|${atom}|\\.)\\s*)*$`);
  if (name !== undefined && !words.test(name)) return false;
  return new RegExp(`^(?:${quoted}|${atom}(?:\\.${atom})*)@(?:${atom}(?:\\.${atom})*|\\[[^\\]\\s]+\\])$`).test(address);
}

function isCidr(text: string): boolean {
  const [, address = '', length = ''] = /^([^/]*)\/(\d{1,3})$/.exec(text) ?? [];
  return ipFamily(address) !== undefined && Number(length) <= (address.includes(':') ? 128 : 32);
}

function isIsbn10(text: string): boolean {
  const digits = text.replaceAll(/[\s-]+/g, '');
  if (!/^(?:[0-9]{9}X|[0-9]{10})$/.test(digits)) return false;
  const sum = digits.split('').reduce((total, digit, index) => total + (index + 1) * (digit === 'X' ? 10 : Number(digit)), 0);
  return sum % 11 === 0;
}
function isIsbn13(text: string): boolean {
  const digits = text.replaceAll(/[\s-]+/g, '');
  if (!/^[0-9]{13}$/.test(digits)) return false;
  return digits.split('').reduce((total, digit, index) => total + (index % 2 === 0 ? 1 : 3) * Number(digit), 0) % 10 === 0;
}
function isCreditCard(text: string): boolean {
  const digits = text.replaceAll(/[^0-9]+/g, '');
  if (!creditCard.test(digits)) return false;
  const sum = digits.split('').toReversed().reduce((total, digit, index) => {
    const value = Number(digit) * (index % 2 === 0 ? 1 : 2);
    return total + (value >= 10 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
}

function isDate(text: string): boolean {
  const [, year = '', month = '', day = ''] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text) ?? [];
  if (year === '' || Number(day) < 1) return false;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  return date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day) && Number(month) >= 1;
}
function isDateTime(text: string): boolean {
  const [date = '', time] = text.toLowerCase().split('t');
  if (bytes(text) < 4 || time === undefined || !isDate(date)) return false;
  const [, hours = '', minutes = '', seconds = ''] = /^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$/.exec(time) ?? [];
  return hours !== '' && hours <= '23' && minutes <= '59' && seconds <= '59';
}

const units = [['ns', 'nano'], ['us', 'µs', 'micro'], ['ms', 'milli'], ['s', 'sec'], ['m', 'min'], ['h', 'hr', 'hour'], ['d', 'day'], ['w', 'wk', 'week']];
/** Go's durations, or anything with a number before the name of a unit. */
function isDuration(text: string): boolean {
  if (/^[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.test(text)) return true;
  return [...text.matchAll(/(\d+)\s*([A-Za-zµ]+)/g)].some(([, , name = '']) => {
    const unit = name.toLowerCase();
    return units.some((variants) => variants.includes(unit) || unit.startsWith(variants.at(-1) ?? ' '));
  });
}
