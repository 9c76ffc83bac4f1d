// Formats of names, labels, ports and addresses. Each check returns the texts of what is wrong, as upstream's
// validation functions word them (apimachinery/pkg/util/validation); an empty list means the value is good.
import { isIPv6 } from 'node:net';

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomain = `${label}(\\.${label})*`;
const qualified = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const value = `(${qualified})?`;
const label1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const underscored = '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*';

const regex = (source: string): RegExp => new RegExp(`^${source}$`, 'u');
const labelRegex = regex(label);
const subdomainRegex = regex(subdomain);
const qualifiedRegex = regex(qualified);
const valueRegex = regex(value);
const label1035Regex = regex(label1035);
const wildcardRegex = regex(`\\*\\.${subdomain}`);
const underscoredRegex = regex(underscored);
const configKeyRegex = /^[-._a-zA-Z0-9]+$/;
const headerRegex = /^[-A-Za-z0-9]+$/;
const envNameRegex = /^[ -<>-~]+$/;

/** `text, such as (e.g. 'a',  or 'b', regex used for validation is 'r')`: how upstream words every regex error. */
function regexText(text: string, source: string, ...examples: string[]): string {
  return `${text} (e.g. ${examples.map((example) => `'${example}'`).join(',  or ')}, regex used for validation is '${source}')`;
}
const labelText = regexText("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character", label, 'my-name', '123-abc');
const subdomainText = regexText("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character", subdomain, 'example.com');
const underscoredText = regexText("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character", underscored, 'example.com');
const wildcardText = regexText("a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character", `\\*\\.${subdomain}`, '*.example.com');
const label1035Text = regexText("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character", label1035, 'my-name', 'abc-123');
const qualifiedText = regexText("must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character", qualified, 'MyName', 'my.name', '123-abc');
const valueText = regexText("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character", value, 'MyValue', 'my_value', '12345');
const configKeyText = regexText("a valid config key must consist of alphanumeric characters, '-', '_' or '.'", '[-._a-zA-Z0-9]+', 'key.name', 'KEY_NAME', 'key-name');
const headerText = regexText("a valid HTTP header must consist of alphanumeric characters or '-'", '[-A-Za-z0-9]+', 'X-Header-Name');
const percentText = regexText("a valid percent string must be a numeric string followed by an ending '%'", '[0-9]+%', '1%', '93%');

const tooLong = (characters: number): string => `must be no more than ${characters} characters`;
const bytesOf = (text: string): number => Buffer.byteLength(text);
const range = (low: number, high: number): string => `must be between ${low} and ${high}, inclusive`;

export function dns1123LabelErrors(text: string): string[] {
  const errors: string[] = [];
  if (bytesOf(text) > 63) errors.push(tooLong(63));
  if (!labelRegex.test(text)) errors.push(subdomainRegex.test(text) ? 'must not contain dots' : labelText);
  return errors;
}
export function dns1123SubdomainErrors(text: string): string[] {
  const errors: string[] = [];
  if (bytesOf(text) > 253) errors.push(tooLong(253));
  if (!subdomainRegex.test(text)) errors.push(subdomainText);
  return errors;
}
export function dns1123SubdomainUnderscoreErrors(text: string): string[] {
  const errors: string[] = [];
  if (bytesOf(text) > 253) errors.push(tooLong(253));
  if (!underscoredRegex.test(text)) errors.push(underscoredText);
  return errors;
}
export function wildcardDns1123SubdomainErrors(text: string): string[] {
  const errors: string[] = [];
  if (bytesOf(text) > 253) errors.push(tooLong(253));
  if (!wildcardRegex.test(text)) errors.push(wildcardText);
  return errors;
}
export function dns1035LabelErrors(text: string): string[] {
  const errors: string[] = [];
  if (bytesOf(text) > 63) errors.push(tooLong(63));
  if (!label1035Regex.test(text)) errors.push(label1035Text);
  return errors;
}

/** Names that only must not break a path; a prefix of a name may still become more than dots. */
export function pathSegmentErrors(text: string, prefix = false): string[] {
  if (!prefix && (text === '.' || text === '..')) return [`may not be '${text}'`];
  return ['/', '%'].filter((character) => text.includes(character)).map((character) => `may not contain '${character}'`);
}

/** Keys of labels and annotations, finalizers, condition types: `[prefix/]name`. */
export function qualifiedNameErrors(text: string): string[] {
  const parts = text.split('/');
  if (parts.length > 2) {
    return [`${regexText("a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character", qualified, 'MyName', 'my.name', '123-abc')} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const errors: string[] = [];
  const name = parts.at(-1) ?? '';
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') errors.push('prefix part must be non-empty');
    else {
      if (bytesOf(prefix) > 253) errors.push('prefix part must be no more than 253 bytes');
      if (!subdomainRegex.test(prefix)) errors.push(`prefix part ${subdomainText}`);
    }
  }
  if (name === '') errors.push('name part must be non-empty');
  else if (bytesOf(name) > 63) errors.push('name part must be no more than 63 bytes');
  if (!qualifiedRegex.test(name)) errors.push(`name part ${qualifiedText}`);
  return errors;
}
export function labelValueErrors(text: string): string[] {
  const errors: string[] = [];
  if (bytesOf(text) > 63) errors.push('must be no more than 63 bytes');
  if (!valueRegex.test(text)) errors.push(valueText);
  return errors;
}

/** Names of container ports. */
export function portNameErrors(text: string): string[] {
  const errors: string[] = [];
  if (bytesOf(text) > 15) errors.push(tooLong(15));
  if (!/^[-a-z0-9]+$/.test(text)) errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(text)) errors.push('must contain at least one letter (a-z)');
  if (text.includes('--')) errors.push('must not contain consecutive hyphens');
  if (text.startsWith('-') || text.endsWith('-')) errors.push('must not begin or end with a hyphen');
  return errors;
}
export function portNumberErrors(port: number | undefined): string[] {
  return port !== undefined && port >= 1 && port <= 65535 ? [] : [range(1, 65535)];
}
export function inRangeErrors(number: number, low: number, high: number): string[] {
  return number >= low && number <= high ? [] : [range(low, high)];
}

/** Keys of ConfigMaps and Secrets. */
export function configKeyErrors(text: string): string[] {
  const errors: string[] = [];
  if (bytesOf(text) > 253) errors.push(tooLong(253));
  if (!configKeyRegex.test(text)) errors.push(configKeyText);
  if (text === '.') errors.push("must not be '.'");
  else if (text === '..') errors.push("must not be '..'");
  else if (text.startsWith('..')) errors.push("must not start with '..'");
  return errors;
}
export function envNameErrors(text: string): string[] {
  if (text === '') return ['environment variable name must be non-empty'];
  return envNameRegex.test(text) ? [] : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}
export function httpHeaderNameErrors(text: string): string[] {
  return headerRegex.test(text) ? [] : [headerText];
}
export function percentErrors(text: string): string[] {
  return /^[0-9]+%$/.test(text) ? [] : [percentText];
}

/** How a name function is asked about generateName: the trailing dash counts as a letter that is still to come. */
export function maskTrailingDash(text: string): string {
  return text.length > 1 && text.endsWith('-') ? `${text.slice(0, -2)}a` : text;
}

export type IpFamily = 'IPv4' | 'IPv6';
interface ParsedIp { family: IpFamily; leadingZeros: boolean; mapped: boolean }

function parseIp(text: string): ParsedIp | undefined {
  const octets = text.split('.');
  if (octets.length === 4 && octets.every((octet) => /^[0-9]{1,3}$/.test(octet) && Number(octet) <= 255)) {
    return { family: 'IPv4', leadingZeros: octets.some((octet) => octet.length > 1 && octet.startsWith('0')), mapped: false };
  }
  if (!text.includes(':') || text.includes('%')) return undefined;
  // An IPv4 tail may carry leading zeros, which the system's parser refuses.
  const tail = text.includes('.') ? text.slice(text.lastIndexOf(':') + 1) : '';
  const four = tail === '' ? undefined : parseIp(tail);
  const six = four ? `${text.slice(0, text.lastIndexOf(':') + 1)}1.1.1.1` : text;
  if (!isIPv6(six)) return undefined;
  const mapped = new URL(`http://[${six}]/`).hostname.startsWith('[::ffff:');
  return { family: 'IPv6', leadingZeros: four?.leadingZeros ?? false, mapped };
}

/** The family of a valid address, undefined for anything else. Mapped IPv4 counts as IPv4, as in Go. */
export function ipFamily(text: string): IpFamily | undefined {
  const parsed = parseIp(text);
  return parsed?.mapped ? 'IPv4' : parsed?.family;
}
export function cidrFamily(text: string): IpFamily | undefined {
  const slash = text.indexOf('/');
  return slash < 0 ? undefined : ipFamily(text.slice(0, slash));
}

const ipText = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
export function ipErrors(text: string): string[] {
  const parsed = parseIp(text);
  if (!parsed) return [ipText];
  const errors: string[] = [];
  if (parsed.leadingZeros) errors.push('must not have leading 0s');
  if (parsed.mapped) errors.push('must not be an IPv4-mapped IPv6 address');
  return errors;
}
/** As ipErrors, and the spelling must be the canonical one. */
export function strictIpErrors(text: string): string[] {
  const errors = ipErrors(text);
  if (errors.length > 0) return errors;
  const canonical = canonicalIp(text);
  return canonical === text ? [] : [`must be in canonical form ("${canonical}")`];
}
/** Only for valid addresses. */
export function canonicalIp(text: string): string {
  return text.includes(':') ? new URL(`http://[${text}]/`).hostname.slice(1, -1) : text.split('.').map(Number).join('.');
}

export function cidrErrors(text: string): string[] {
  const notOne = ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'];
  const slash = text.indexOf('/');
  const address = text.slice(0, slash);
  const length = text.slice(slash + 1);
  const parsed = slash < 0 ? undefined : parseIp(address);
  if (!parsed || !/^[0-9]{1,3}$/.test(length)) return notOne;
  const width = parsed.family === 'IPv4' ? 32 : 128;
  if (Number(length) > width) return notOne;
  if (parsed.leadingZeros || (length.length > 1 && length.startsWith('0'))) return ['must not have leading 0s in IP or prefix length'];
  if (parsed.mapped) return ['must not have an IPv4-mapped IPv6 address'];
  const hostBits = BigInt(width - Number(length));
  return (addressBits(address) & ((1n << hostBits) - 1n)) === 0n ? [] : ['must not have bits set beyond the prefix length'];
}
export function addressBits(text: string): bigint {
  if (!text.includes(':')) return text.split('.').reduce((bits, octet) => (bits << 8n) | BigInt(octet), 0n);
  const [head = '', tail] = canonicalIp(text).split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = tail === undefined ? [] : Array.from({ length: 8 - first.length - last.length }, () => '0');
  return [...first, ...gap, ...last].reduce((bits, part) => (bits << 16n) | BigInt(`0x${part}`), 0n);
}

/** What a Service or an EndpointSlice must not point at. Only for valid addresses. */
export function nonSpecialIpErrors(text: string): string[] {
  const ip = canonicalIp(text);
  const first = ip.includes(':') ? Number.parseInt(ip.split(':')[0] || '0', 16) : 0;
  const errors: string[] = [];
  if (ip === '0.0.0.0' || ip === '::') errors.push(`may not be unspecified (${text})`);
  if (ip.startsWith('127.') || ip === '::1') errors.push('may not be in the loopback range (127.0.0.0/8, ::1/128)');
  if (ip.startsWith('169.254.') || (first & 0xffc0) === 0xfe80) errors.push('may not be in the link-local range (169.254.0.0/16, fe80::/10)');
  if (ip.startsWith('224.0.0.') || (first & 0xff0f) === 0xff02) errors.push('may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)');
  return errors;
}

/** Names of resources without a prefix, or below kubernetes.io. */
export const isNativeResource = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/');
/** Names of what devices add: `example.com/gpu`. */
export const isExtendedResource = (name: string): boolean => !isNativeResource(name) && !name.startsWith('requests.') && qualifiedNameErrors(`requests.${name}`).length === 0;
