// AuthenticationConfiguration of apiserver.config.k8s.io: reading, checking, and its expressions made into programs. The --oidc-*
// flags come as such an object, too. Upstream: apiserver/pkg/apis/apiserver/validation, authentication/cel.
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import { fieldErrorBody } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import type { CelProgram, CelType } from '#machinery/cel/cel.ts';
import { compile } from '#machinery/cel/compile.ts';
import { ConfigReader, parseConfigFile } from '../config-reader.ts';
import { checkAuthority } from './request-headers.ts';

export interface Expression { source: string; program: CelProgram }
export interface Rule extends Expression { message: string }
/** A claim with its prefix, or an expression; neither: nothing is mapped. */
export interface Mapping { claim: string; prefix: string; expression: Expression | undefined }
export interface JwtIssuer {
  url: string;
  /** '' where the issuer's own well-known address is asked. */
  discoveryUrl: string;
  /** PEM; '' for the authorities that this computer trusts. */
  certificateAuthority: string;
  audiences: string[];
  username: Mapping;
  groups: Mapping;
  uid: Mapping;
  extra: (Expression & { key: string })[];
  requiredClaims: { claim: string; value: string }[];
  claimRules: Rule[];
  userRules: Rule[];
}
export interface JwtConfig {
  issuers: JwtIssuer[];
  /** undefined: the flag decides. */
  anonymous: { enabled: boolean; paths: string[] } | undefined;
}

const versions = ['apiserver.config.k8s.io/v1', 'apiserver.config.k8s.io/v1beta1', 'apiserver.config.k8s.io/v1alpha1'];
const mostIssuers = 64;
const text: CelType = { kind: 'string' };
const texts: CelType = { kind: 'list', element: text };
const userFields: Readonly<Record<string, CelType>> = { username: text, uid: text, groups: texts, extra: { kind: 'map', key: text, value: texts } };
const variables = {
  claims: { name: 'claims', type: { kind: 'map', key: text, value: { kind: 'dyn' } } },
  user: { name: 'user', type: { kind: 'object', name: 'kubernetes.UserInfo', fields: (name: string) => (Object.hasOwn(userFields, name) ? userFields[name] : undefined) } },
} as const;

/** Throws Error with all that is wrong. `disallowed`: issuers that are ours already. */
export async function parseAuthenticationConfiguration(content: string, disallowed: readonly string[]): Promise<JwtConfig> {
  if (content.trim() === '') throw new Error('empty config data');
  return readAuthenticationConfiguration(await parseConfigFile(content, 'AuthenticationConfiguration', versions), disallowed);
}

export function readAuthenticationConfiguration(document: Record<string, unknown>, disallowed: readonly string[]): JwtConfig {
  const unknown: string[] = [];
  const root = new ConfigReader(document, 'AuthenticationConfiguration', (field) => unknown.push(field));
  root.take('kind', 'apiVersion');
  const errors: FieldError[] = [];
  const entries = root.objects('jwt');
  if (entries.length > mostIssuers) throw failure([{ type: 'TooMany', field: 'jwt', value: entries.length, detail: `must have at most ${mostIssuers} items` }]);
  const issuers = entries.map((entry, i) => readIssuer(entry, `jwt[${i}]`, disallowed, errors));
  noTwice(issuers.map(({ url }, i) => ({ value: url, field: `jwt[${i}].issuer.url` })), errors);
  noTwice(issuers.map(({ discoveryUrl }, i) => ({ value: discoveryUrl, field: `jwt[${i}].issuer.discoveryURL` })), errors);
  const open = root.object('anonymous');
  const anonymous = open && {
    enabled: open.boolean('enabled') ?? false,
    paths: open.objects('conditions').map((condition) => {
      const path = condition.string('path');
      condition.end();
      return path;
    }),
  };
  open?.end();
  root.end();
  if (anonymous && !anonymous.enabled && anonymous.paths.length > 0) {
    errors.push({ type: 'Invalid', field: 'anonymous.conditions', value: anonymous.paths.map((path) => ({ path })), detail: 'enabled should be set to true when conditions are defined' });
  }
  if (unknown.length > 0) throw new Error(`strict decoding error: ${unknown.map((field) => `unknown field ${JSON.stringify(field)}`).join(', ')}`);
  if (errors.length > 0) throw failure(errors);
  return { issuers, anonymous };
}

function failure(errors: readonly FieldError[]): Error {
  const shown = errors.map((error) => `${error.field}: ${fieldErrorBody(error)}`);
  return new Error(`invalid authentication configuration: ${shown.length === 1 ? shown[0] : `[${shown.join(', ')}]`}`);
}

function noTwice(values: readonly { value: string; field: string }[], errors: FieldError[]): void {
  const seen = new Set<string>();
  for (const { value, field } of values) {
    if (value !== '' && seen.has(value)) errors.push({ type: 'Duplicate', field, value });
    seen.add(value);
  }
}

function readIssuer(entry: ConfigReader, path: string, disallowed: readonly string[], errors: FieldError[]): JwtIssuer {
  const issuer = entry.object('issuer') ?? emptyReader();
  const address = {
    url: issuer.string('url'), discoveryUrl: issuer.string('discoveryURL'), certificateAuthority: issuer.string('certificateAuthority'), audiences: issuer.strings('audiences'),
  };
  const [matchPolicy, egress] = [issuer.string('audienceMatchPolicy'), issuer.string('egressSelectorType')];
  issuer.end();
  const at = `${path}.issuer`;
  if (address.url === '') errors.push({ type: 'Required', field: `${at}.url` });
  else errors.push(...urlErrors(address.url, `${at}.url`, disallowed));
  if (address.discoveryUrl !== '') {
    const bare = (url: string): string => url.replace(/\/+$/, '');
    if (bare(address.url) === bare(address.discoveryUrl)) errors.push({ type: 'Invalid', field: `${at}.discoveryURL`, value: address.discoveryUrl, detail: 'discoveryURL must be different from URL' });
    errors.push(...urlErrors(address.discoveryUrl, `${at}.discoveryURL`, []));
  }
  errors.push(...audienceErrors(address.audiences, matchPolicy, at));
  if (address.certificateAuthority !== '') {
    try {
      checkAuthority(address.certificateAuthority);
    } catch (error) {
      errors.push({ type: 'Invalid', field: `${at}.certificateAuthority`, value: '<omitted>', detail: error instanceof Error ? error.message : String(error) });
    }
  }
  if (!['', 'controlplane', 'cluster'].includes(egress)) errors.push({ type: 'Invalid', field: `${at}.egressSelectorType`, value: egress, detail: 'egress selector must be either controlplane or cluster' });

  const { requiredClaims, claimRules } = readClaimRules(entry, `${path}.claimValidationRules`, errors);
  const mappings = entry.object('claimMappings') ?? emptyReader();
  const mapped = {
    username: readMapping(mappings.object('username'), `${path}.claimMappings.username`, { required: true, prefixed: true }, errors),
    groups: readMapping(mappings.object('groups'), `${path}.claimMappings.groups`, { required: false, prefixed: true }, errors),
    uid: readMapping(mappings.object('uid'), `${path}.claimMappings.uid`, { required: false, prefixed: false }, errors),
    extra: readExtra(mappings, `${path}.claimMappings.extra`, errors),
  };
  mappings.end();
  const userRules = readUserRules(entry, `${path}.userValidationRules`, errors);
  entry.end();
  const { username } = mapped;
  const looks = [username.expression, ...mapped.extra, ...claimRules];
  if (username.expression?.program.selects('claims', 'email') && !looks.some((one) => one?.program.selects('claims', 'email_verified'))) {
    errors.push({ type: 'Invalid', field: `${path}.claimMappings.username.expression`, value: username.expression.source,
      detail: 'claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression' });
  }
  return { ...address, ...mapped, requiredClaims, claimRules, userRules };
}

const emptyReader = (): ConfigReader => new ConfigReader({}, '', () => undefined);

function urlErrors(url: string, field: string, disallowed: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  const invalid = (detail: string): number => errors.push({ type: 'Invalid', field, value: url, detail });
  if (disallowed.includes(url)) invalid(`URL must not overlap with disallowed issuers: [${[...disallowed].sort().join(' ')}]`);
  const parsed = URL.parse(url);
  if (!parsed) invalid(/^https:/i.test(url) ? 'it is no URL' : 'URL scheme must be https');
  else {
    if (parsed.protocol !== 'https:') invalid('URL scheme must be https');
    if (parsed.username !== '' || parsed.password !== '') invalid('URL must not contain a username or password');
    if (parsed.search !== '') invalid('URL must not contain a query');
    if (parsed.hash !== '') invalid('URL must not contain a fragment');
  }
  return errors;
}

function audienceErrors(audiences: readonly string[], policy: string, at: string): FieldError[] {
  if (audiences.length === 0) return [{ type: 'Required', field: `${at}.audiences`, detail: `at least one ${at}.audiences is required` }];
  const errors: FieldError[] = [];
  audiences.forEach((audience, i) => {
    if (audience === '') errors.push({ type: 'Required', field: `${at}.audiences[${i}]` });
    if (audiences.indexOf(audience) < i) errors.push({ type: 'Duplicate', field: `${at}.audiences[${i}]`, value: audience });
  });
  const wrong = (detail: string): number => errors.push({ type: 'Invalid', field: `${at}.audienceMatchPolicy`, value: policy, detail });
  if (audiences.length > 1 && policy !== 'MatchAny') wrong('audienceMatchPolicy must be MatchAny for multiple audiences');
  if (audiences.length === 1 && policy !== '' && policy !== 'MatchAny') wrong('audienceMatchPolicy must be empty or MatchAny for single audience');
  return errors;
}

function readClaimRules(entry: ConfigReader, path: string, errors: FieldError[]): Pick<JwtIssuer, 'requiredClaims' | 'claimRules'> {
  const found: Pick<JwtIssuer, 'requiredClaims' | 'claimRules'> = { requiredClaims: [], claimRules: [] };
  entry.objects('claimValidationRules').forEach((rule, i) => {
    const [claim, value, source, message] = [rule.string('claim'), rule.string('requiredValue'), rule.string('expression'), rule.string('message')];
    rule.end();
    const at = `${path}[${i}]`;
    if (claim !== '' && source !== '') errors.push({ type: 'Invalid', field: at, value: claim, detail: "claim and expression can't both be set" });
    else if (claim === '' && source === '') errors.push({ type: 'Required', field: at, detail: 'claim or expression is required' });
    else if (claim !== '') {
      if (message !== '') errors.push({ type: 'Invalid', field: `${at}.message`, value: message, detail: 'may not be specified when claim is set' });
      if (found.requiredClaims.some((one) => one.claim === claim)) errors.push({ type: 'Duplicate', field: `${at}.claim`, value: claim });
      found.requiredClaims.push({ claim, value });
    } else {
      if (value !== '') errors.push({ type: 'Invalid', field: `${at}.requiredValue`, value, detail: 'may not be specified when expression is set' });
      if (found.claimRules.some((one) => one.source === source)) {
        errors.push({ type: 'Duplicate', field: `${at}.expression`, value: source });
        return;
      }
      const expression = compiled(source, 'claims', `${at}.expression`, errors, { condition: true });
      if (expression) found.claimRules.push({ ...expression, message });
    }
  });
  return found;
}

function readUserRules(entry: ConfigReader, path: string, errors: FieldError[]): Rule[] {
  const seen = new Set<string>();
  return entry.objects('userValidationRules').flatMap((rule, i) => {
    const [source, message] = [rule.string('expression'), rule.string('message')];
    rule.end();
    const field = `${path}[${i}].expression`;
    if (source === '') errors.push({ type: 'Required', field });
    else if (seen.has(source)) errors.push({ type: 'Duplicate', field, value: source });
    else {
      seen.add(source);
      const expression = compiled(source, 'user', field, errors, { condition: true });
      if (expression) return [{ ...expression, message }];
    }
    return [];
  });
}

function readMapping(mapping: ConfigReader | undefined, path: string, { required, prefixed }: { required: boolean; prefixed: boolean }, errors: FieldError[]): Mapping {
  const [claim, source] = [mapping?.string('claim') ?? '', mapping?.string('expression') ?? ''];
  const hasPrefix = prefixed && mapping?.has('prefix') === true;
  const prefix = hasPrefix ? mapping.string('prefix') : '';
  mapping?.end();
  let expression: Expression | undefined;
  if (claim !== '' && source !== '') errors.push({ type: 'Invalid', field: path, value: '', detail: "claim and expression can't both be set" });
  else if (claim === '' && source === '') {
    if (required) errors.push({ type: 'Required', field: path, detail: 'claim or expression is required' });
  } else if (source !== '') {
    if (hasPrefix) errors.push({ type: 'Invalid', field: `${path}.prefix`, value: prefix, detail: 'may not be specified when expression is set' });
    expression = compiled(source, 'claims', `${path}.expression`, errors);
  } else if (prefixed && !hasPrefix) {
    errors.push({ type: 'Required', field: `${path}.prefix`, detail: 'prefix is required when claim is set. It can be set to an empty string to disable prefixing' });
  }
  return { claim, prefix, expression };
}

const extraPath = /^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/;

function readExtra(mappings: ConfigReader, path: string, errors: FieldError[]): JwtIssuer['extra'] {
  const seen = new Set<string>();
  return mappings.objects('extra').flatMap((mapping, i) => {
    const [key, source] = [mapping.string('key'), mapping.string('valueExpression')];
    mapping.end();
    const field = `${path}[${i}].key`;
    const invalid = (value: string, detail: string): number => errors.push({ type: 'Invalid', field, value, detail });
    const slash = key.indexOf('/');
    const [domain, rest] = [key.slice(0, Math.max(slash, 0)), key.slice(slash + 1)];
    if (key === '') errors.push({ type: 'Required', field });
    else if (domain === '' || rest === '') invalid(key, 'must be a domain-prefixed path (such as "acme.io/foo")');
    else {
      for (const error of dns1123SubdomainErrors(domain)) invalid(domain, error);
      if (!extraPath.test(rest)) invalid(rest, `Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')`);
    }
    if (key !== key.toLowerCase()) invalid(key, 'must be lowercase');
    if (/(^|\.)(kubernetes|k8s)\.io$/.test(domain)) invalid(key, 'k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use');
    if (seen.has(key)) {
      errors.push({ type: 'Duplicate', field, value: key });
      return [];
    }
    seen.add(key);
    if (source === '') {
      errors.push({ type: 'Required', field: `${path}[${i}].valueExpression` });
      return [];
    }
    const expression = compiled(source, 'claims', `${path}[${i}].valueExpression`, errors);
    return expression ? [{ ...expression, key }] : [];
  });
}

function compiled(source: string, variable: keyof typeof variables, field: string, errors: FieldError[], { condition = false } = {}): Expression | undefined {
  const { program, issues } = compile(source, { variables: [variables[variable]] });
  if (!program) errors.push({ type: 'Invalid', field, value: source, detail: `compilation failed: ${issues.map((issue) => issue.text).join('\n')}` });
  else if (condition && program.type.kind !== 'bool') errors.push({ type: 'Invalid', field, value: source, detail: 'must evaluate to bool' });
  else return { source, program };
  return undefined;
}
