// CertificateSigningRequests: who asks is written by the server, approval and certificate are given through subresources of
// their own. Upstream: pkg/apis/certificates/validation and pkg/registry/certificates/certificates.
import { rfc3339 } from '#machinery/base/clock.ts';
import { dns1123LabelErrors, dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { keepField, kindStrategy } from '../basic.ts';
import { pathSegmentName } from '../meta.ts';
import type { WriteContext } from '../resource.ts';
import { asObject, at, duplicate, forbiddenField, integer, invalidAll, invalidField, isEmpty, need, objects, oneOf, required, same, setMissing, strings, text, tooLong } from '../values.ts';
import type { Obj } from '../values.ts';
import { certificatesProblem, signingRequestProblem } from './pem.ts';

const usages = ['any', 'cert sign', 'client auth', 'code signing', 'content commitment', 'crl sign', 'data encipherment', 'decipher only', 'digital signature', 'email protection', 'encipher only', 'ipsec end system', 'ipsec tunnel', 'ipsec user', 'key agreement', 'key encipherment', 'microsoft sgc', 'netscape sgc', 'ocsp signing', 's/mime', 'server auth', 'signing', 'timestamping'];
const verdicts = ['Approved', 'Denied'];
const final = [...verdicts, 'Failed'];
const conditionsPath = 'status.conditions';
const conditionsOf = (object: Readonly<KubeObject> | undefined): Obj[] => objects(at(object, 'status', 'conditions'));
const ofType = (object: Readonly<KubeObject>, type: string): Obj[] => conditionsOf(object).filter((condition) => condition['type'] === type);

export const signingRequestStrategy = kindStrategy({ status: true }, {
  default(object) {
    setMissing(object, 'status', {});
  },
  validateName: pathSegmentName,
  prepareForCreate(object, { request }) {
    const spec = need(object, 'spec');
    const { name, uid, groups, extra } = request.user ?? {};
    for (const [field, value] of Object.entries({ username: name, uid, groups, extra })) {
      if (value === undefined || isEmpty(value)) delete spec[field];
      else spec[field] = structuredClone(value);
    }
  },
  prepareForUpdate(object, old) {
    keepField(object, old, 'spec');
    keepField(object, old, 'status');
  },
  validate: (object, _, old) => validateRequest(object, old),
  validateUpdate: (object, old) => validateChange(object, old, {}),
  status: {
    prepareForUpdate(object, old, context) {
      keepField(object, old, 'spec');
      for (const type of verdicts) keepConditions(object, old, type);
      setConditionTimes(object, old, context);
    },
    validateUpdate: (object, old) => [...validateRequest(object, old), ...validateChange(object, old, { certificate: true })],
  },
  subresources: {
    approval: {
      prepareForUpdate(object, old, context) {
        setConditionTimes(object, old, context);
        const { conditions } = asObject(object['status']) ?? {};
        keepField(object, old, 'spec');
        keepField(object, old, 'status');
        const status = need(object, 'status');
        if (conditions === undefined) delete status['conditions'];
        else status['conditions'] = conditions;
      },
      validateUpdate: (object, old) => [...validateRequest(object, old), ...validateChange(object, old, { verdict: true })],
    },
  },
  fieldLabels: { 'spec.signerName': (object) => text(at(object, 'spec', 'signerName')) },
  fieldLabelError: (label) => `field label not supported: ${label}`,
});

/** A status write leaves verdicts as they are, when there are as many as before. */
function keepConditions(object: KubeObject, old: Readonly<KubeObject>, type: string): void {
  const before = ofType(old, type);
  const conditions = conditionsOf(object);
  const places = conditions.flatMap((condition, index) => (condition['type'] === type ? [index] : []));
  if (places.length !== before.length || places.length === 0) return;
  places.forEach((place, index) => conditions[place] = structuredClone(before[index] ?? {}));
  need(object, 'status')['conditions'] = conditions;
}
function setConditionTimes(object: KubeObject, old: Readonly<KubeObject>, { now }: WriteContext): void {
  for (const condition of conditionsOf(object)) {
    setMissing(condition, 'lastUpdateTime', rfc3339(now));
    const before = ofType(old, text(condition['type'])).find((one) => one['status'] === condition['status'] && !isEmpty(one['lastTransitionTime']));
    setMissing(condition, 'lastTransitionTime', before?.['lastTransitionTime'] ?? rfc3339(now));
  }
}

/** What an old object is already against may stay. */
function validateRequest(object: KubeObject, old: Readonly<KubeObject> | undefined): FieldError[] {
  const spec = asObject(object['spec']) ?? {};
  const given = strings(spec['usages']);
  const before = strings(at(old, 'spec', 'usages'));
  const errors: FieldError[] = [];
  const problem = signingRequestProblem(text(spec['request']));
  if (problem !== undefined) errors.push(invalidField('spec.request', text(spec['request']), problem));
  if (given.length === 0) errors.push(required('spec.usages'));
  if (before.every((usage) => usages.includes(usage))) given.forEach((usage, index) => errors.push(...oneOf(`spec.usages[${index}]`, usage, usages)));
  if (new Set(before).size === before.length) given.forEach((usage, index) => {
    if (given.indexOf(usage) < index) errors.push(duplicate(`spec.usages[${index}]`, usage));
  });
  const signer = text(spec['signerName']);
  const legacy = 'kubernetes.io/legacy-unknown';
  if (signer === legacy && at(old, 'spec', 'signerName') !== legacy) errors.push(invalidField('spec.signerName', signer, 'the legacy signerName is not allowed via this API version'));
  else errors.push(...validateSigner(signer, 'spec.signerName'));
  const seconds = integer(spec['expirationSeconds']);
  if (seconds !== undefined && seconds < 600) errors.push(invalidField('spec.expirationSeconds', seconds, 'may not specify a duration less than 600 seconds (10 minutes)'));
  errors.push(...validateConditions(object, old));
  const certificate = text(at(object, 'status', 'certificate'));
  const spared = old !== undefined && (certificate === text(at(old, 'status', 'certificate')) || certificatesProblem(text(at(old, 'status', 'certificate'))) !== undefined);
  const wrong = spared ? undefined : certificatesProblem(certificate);
  if (wrong !== undefined) errors.push(invalidField('status.certificate', '<certificate data>', wrong));
  return errors;
}

function validateSigner(signer: string, path: string): FieldError[] {
  if (signer === '') return [required(path)];
  const [domain = '', name, ...more] = signer.split('/');
  if (name === undefined || more.length > 0) return [invalidField(path, signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'")];
  const errors: FieldError[] = domain.length > 253 ? [tooLong(path, 253)] : [];
  const check = (whole: string, rule: (label: string) => string[]): void => {
    const bad = whole.split('.').find((label) => rule(label).length > 0);
    if (bad !== undefined) errors.push(...invalidAll(path, whole, rule(bad).map((detail) => `validating label ${JSON.stringify(bad)}: ${detail}`)));
  };
  check(domain, dns1123LabelErrors);
  if (!domain.includes('.')) errors.push(invalidField(path, domain, 'should be a domain with at least two segments separated by dots'));
  check(name, dns1123SubdomainErrors);
  const most = 253 + 1 + 253 + 63 + 1;
  if (signer.length > most) errors.push(tooLong(path, most));
  return errors;
}

function validateConditions(object: KubeObject, old: Readonly<KubeObject> | undefined): FieldError[] {
  const conditions = conditionsOf(object);
  const types = conditions.map((condition) => text(condition['type']));
  const before = conditionsOf(old).map((condition) => text(condition['type']));
  const spareBoth = verdicts.every((type) => before.includes(type));
  return conditions.flatMap((condition, index) => {
    const type = types[index] ?? '';
    const path = `${conditionsPath}[${index}]`;
    const status = text(condition['status']);
    const errors: FieldError[] = type === '' && !before.includes('') ? [required(`${path}.type`)] : [];
    if (status === '') errors.push(required(`${path}.status`));
    else errors.push(...oneOf(`${path}.status`, status, final.includes(type) ? ['True'] : ['False', 'True', 'Unknown']));
    const opposite = type === 'Approved' ? 'Denied' : type === 'Denied' ? 'Approved' : undefined;
    if (!spareBoth && opposite !== undefined && types.slice(0, index).includes(opposite)) errors.push(invalidField(conditionsPath, type, 'Approved and Denied conditions are mutually exclusive'));
    if (new Set(before).size === before.length && types.indexOf(type) < index) errors.push(duplicate(`${path}.type`, type));
    return errors;
  });
}

function validateChange(object: KubeObject, old: Readonly<KubeObject>, may: { verdict?: boolean; certificate?: boolean }): FieldError[] {
  const errors = final.filter((type) => ofType(object, type).length < ofType(old, type).length)
    .map((type) => forbiddenField(conditionsPath, `updates may not remove a condition of type ${JSON.stringify(type)}`));
  if (!may.verdict) {
    for (const type of verdicts) {
      const [now, before] = [ofType(object, type), ofType(old, type)];
      if (now.length > before.length) errors.push(forbiddenField(conditionsPath, `updates may not add a condition of type ${JSON.stringify(type)}`));
      else if (now.length === before.length && !same(now, before)) errors.push(forbiddenField(conditionsPath, `updates may not modify a condition of type ${JSON.stringify(type)}`));
    }
  }
  const [certificate, before] = [text(at(object, 'status', 'certificate')), text(at(old, 'status', 'certificate'))];
  if (certificate !== before) {
    if (!may.certificate) errors.push(forbiddenField('status.certificate', 'updates may not set certificate content'));
    else if (before !== '') errors.push(forbiddenField('status.certificate', 'updates may not modify existing certificate content'));
  }
  return errors;
}
