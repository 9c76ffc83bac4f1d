// Tables of good and bad values for each format, and the exact words for the bad ones.
import { expect } from 'chai';
import {
  cidrErrors, cidrFamily, configKeyErrors, dns1035LabelErrors, dns1123LabelErrors, dns1123SubdomainErrors,
  dns1123SubdomainUnderscoreErrors, envNameErrors, httpHeaderNameErrors, ipErrors, ipFamily, labelValueErrors, maskTrailingDash, nonSpecialIpErrors,
  pathSegmentErrors, percentErrors, portNameErrors, portNumberErrors, qualifiedNameErrors, strictIpErrors, wildcardDns1123SubdomainErrors,
} from './names.ts';

type Check = (text: string) => string[];
const long = (count: number): string => 'a'.repeat(count);
const tables: [name: string, check: Check, good: string[], bad: [string, string[]][]][] = [
  ['dns1123LabelErrors', dns1123LabelErrors, ['a', 'my-name', '0a', long(63)], [
    ['a.b', ['must not contain dots']],
    ['A', ["a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"]],
    [long(64), ['must be no more than 63 characters']],
  ]],
  ['dns1123SubdomainErrors', dns1123SubdomainErrors, ['a', 'a.b-c.0', long(253)], [
    ['a..b', ["a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]],
    [long(254), ['must be no more than 253 characters']],
  ]],
  ['dns1123SubdomainUnderscoreErrors', dns1123SubdomainUnderscoreErrors, ['_tcp.example.com', 'a_b'], []],
  ['wildcardDns1123SubdomainErrors', wildcardDns1123SubdomainErrors, ['*.example.com'], []],
  ['dns1035LabelErrors', dns1035LabelErrors, ['a', 'abc-123'], [
    ['1a', ["a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"]],
  ]],
  ['pathSegmentErrors', pathSegmentErrors, ['system:node', 'a b', ''], [['.', ["may not be '.'"]], ['..', ["may not be '..'"]], ['a/b%', ["may not contain '/'", "may not contain '%'"]]]],
  ['qualifiedNameErrors', qualifiedNameErrors, ['a', 'A_b.c', 'example.com/Name', '1-2'], [
    ['/a', ['prefix part must be non-empty']],
    ['a.b/', ['name part must be non-empty', "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"]],
    ['a/b/c', ["a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]],
    [long(64), ['name part must be no more than 63 bytes']],
  ]],
  ['labelValueErrors', labelValueErrors, ['', 'a', 'my_Value.1', long(63)], [
    ['-', ["a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"]],
    [long(64), ['must be no more than 63 bytes']],
  ]],
  ['portNameErrors', portNameErrors, ['http', 'a1-b', '8a'], [
    ['', ['must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)', 'must contain at least one letter (a-z)']],
    ['80', ['must contain at least one letter (a-z)']],
    ['-a--b', ['must not contain consecutive hyphens', 'must not begin or end with a hyphen']],
    [long(16), ['must be no more than 15 characters']],
  ]],
  ['configKeyErrors', configKeyErrors, ['a', '.bashrc', 'KEY_1', 'a..b'], [['..', ["must not be '..'"]], ['..a', ["must not start with '..'"]], ['.', ["must not be '.'"]]]],
  ['envNameErrors', envNameErrors, ['A', 'a.b-c', '1', 'with space'], [
    ['', ['environment variable name must be non-empty']],
    ['A=B', ["a valid environment variable name must consist only of printable ASCII characters other than '='"]],
    ['é', ["a valid environment variable name must consist only of printable ASCII characters other than '='"]],
  ]],
  ['httpHeaderNameErrors', httpHeaderNameErrors, ['X-A'], [['a b', ["a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"]]]],
  ['percentErrors', percentErrors, ['0%', '150%'], [['5', ["a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"]]]],
  ['ipErrors', ipErrors, ['10.0.0.1', '::1', '2001:DB8::1', '::'], [
    ['10.0.0', ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']],
    ['fe80::1%eth0', ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']],
    ['010.0.0.1', ['must not have leading 0s']],
    ['::ffff:1.2.3.4', ['must not be an IPv4-mapped IPv6 address']],
  ]],
  ['strictIpErrors', strictIpErrors, ['10.0.0.1', '2001:db8::1'], [['2001:DB8::1', ['must be in canonical form ("2001:db8::1")']]]],
  ['cidrErrors', cidrErrors, ['10.0.0.0/8', '0.0.0.0/0', '2001:db8::/64', '10.1.2.3/32'], [
    ['10.0.0.0', ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)']],
    ['10.0.0.0/33', ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)']],
    ['10.0.0.1/24', ['must not have bits set beyond the prefix length']],
    ['2001:db8::1/64', ['must not have bits set beyond the prefix length']],
    ['10.0.0.0/08', ['must not have leading 0s in IP or prefix length']],
  ]],
  ['nonSpecialIpErrors', nonSpecialIpErrors, ['10.0.0.1', '2001:db8::1'], [
    ['127.0.0.1', ['may not be in the loopback range (127.0.0.0/8, ::1/128)']],
    ['0.0.0.0', ['may not be unspecified (0.0.0.0)']],
    ['fe80::1', ['may not be in the link-local range (169.254.0.0/16, fe80::/10)']],
    ['224.0.0.5', ['may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)']],
  ]],
];

for (const [name, check, good, bad] of tables) {
  describe(`${name}()`, () => {
    for (const text of good) it(`accepts ${JSON.stringify(text.slice(0, 40))}`, () => expect(check(text)).to.deep.equal([]));
    for (const [text, errors] of bad) it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => expect(check(text)).to.deep.equal(errors));
    if (name !== 'pathSegmentErrors' && name !== 'nonSpecialIpErrors') {
      it('refuses a trailing newline', () => expect(check(`${good.at(-1)}\n`)).not.to.deep.equal([]));
    }
  });
}

describe('small helpers for names', () => {
  it('portNumberErrors() wants 1 to 65535', () => {
    expect([1, 65535].flatMap(portNumberErrors)).to.deep.equal([]);
    expect([0, 65536, -1, undefined].map((port) => portNumberErrors(port).length)).to.deep.equal([1, 1, 1, 1]);
  });
  it('maskTrailingDash() makes a generateName look complete', () => expect(maskTrailingDash('web-')).to.equal('wea'));
  it('ipFamily() and cidrFamily() tell the families apart', () => {
    expect([ipFamily('1.2.3.4'), ipFamily('::1'), ipFamily('x'), cidrFamily('::/0'), cidrFamily('1.2.3.4')])
      .to.deep.equal(['IPv4', 'IPv6', undefined, 'IPv6', undefined]);
  });
});
