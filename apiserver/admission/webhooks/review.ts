// AdmissionReviews: what a webhook is asked, and what of its answer counts. Upstream: plugin/webhook/request/admissionreview.go.
import type { AdmissionRequest, Versioned } from '../matching/request.ts';
import { requestFacts } from '../matching/facts.ts';

const group = 'admission.k8s.io';
/** In the order of the configuration, the first of these is spoken. */
const spoken: ReadonlySet<string> = new Set(['v1', 'v1beta1']);

export interface ReviewAnswer {
  allowed: boolean;
  /** JSON; '' when there is none. */
  patch: string;
  patchType: string;
  auditAnnotations: Readonly<Record<string, string>>;
  warnings: readonly string[];
  status: Readonly<Record<string, unknown>> | undefined;
}

/** An answer that cannot be taken, with upstream's text. */
export class InvalidAnswer extends Error {
  override name = 'InvalidAnswer';
}

export function chooseVersion(versions: readonly string[]): string | undefined {
  return versions.find((version) => spoken.has(version));
}

export function reviewOf(version: string, uid: string, request: AdmissionRequest, { form, object, oldObject }: Versioned): string {
  return JSON.stringify({
    kind: 'AdmissionReview', apiVersion: `${group}/${version}`,
    request: {
      uid, ...requestFacts(request, form), object: object ?? null, oldObject: oldObject ?? null,
    },
  });
}

/** Shapes are checked first, as by a decoder: throws InvalidAnswer for both. */
export function readReview(version: string, uid: string, mutating: boolean, review: Readonly<Record<string, unknown>>): ReviewAnswer {
  const response = member(review, 'response', 'object') as Record<string, unknown> | undefined;
  if (!response) throw new InvalidAnswer('webhook response was absent');
  const text = (field: string): string => (member(response, field, 'string') ?? '') as string;
  const answer: ReviewAnswer = {
    allowed: member(response, 'allowed', 'boolean') === true, patch: decodeBase64(text('patch')), patchType: text('patchType'),
    auditAnnotations: stringsOf(member(response, 'auditAnnotations', 'object') ?? {}) as Record<string, string>,
    warnings: Object.values(stringsOf(member(response, 'warnings', 'array') ?? [])),
    status: member(response, 'status', 'object') as Record<string, unknown> | undefined,
  };
  if (version === 'v1beta1') {
    // Never checked there: any uid and kind will do, and only one type of patch is possible.
    return mutating ? { ...answer, patchType: answer.patch === '' ? '' : 'JSONPatch' } : { ...answer, patch: '', patchType: '' };
  }
  if (text('uid') !== uid) throw new InvalidAnswer(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(text('uid'))}`);
  const [apiVersion, kind] = [review['apiVersion'] ?? '', review['kind'] ?? ''];
  if (apiVersion !== `${group}/v1` || kind !== 'AdmissionReview') {
    const got = String(apiVersion).includes('/') ? String(apiVersion) : `/${String(apiVersion)}`;
    throw new InvalidAnswer(`expected webhook response of ${group}/v1, Kind=AdmissionReview, got ${got}, Kind=${String(kind)}`);
  }
  const typed = response['patchType'] !== undefined && response['patchType'] !== null;
  if (mutating) {
    if (answer.patch !== '' && !typed) throw new InvalidAnswer('webhook returned response.patch but not response.patchType');
    if (answer.patch === '' && typed) throw new InvalidAnswer('webhook returned response.patchType but not response.patch');
    if (typed && answer.patchType === '') throw new InvalidAnswer('webhook returned invalid response.patchType of ""');
  } else {
    if (answer.patch !== '') throw new InvalidAnswer('validating webhook may not return response.patch');
    if (typed) throw new InvalidAnswer('validating webhook may not return response.patchType');
  }
  return answer;
}

function member(object: Readonly<Record<string, unknown>>, field: string, type: 'string' | 'boolean' | 'object' | 'array'): unknown {
  const value = object[field];
  if (value === undefined || value === null) return undefined;
  const actual = Array.isArray(value) ? 'array' : typeof value;
  if (actual !== type) throw new InvalidAnswer(`json: cannot unmarshal ${actual === 'boolean' ? 'bool' : actual} into ${field} of the answer`);
  return value;
}

function stringsOf(values: object): Record<string, string> {
  for (const value of Object.values(values) as unknown[]) if (typeof value !== 'string') throw new InvalidAnswer(`json: cannot unmarshal ${typeof value} into Go value of type string`);
  return values as Record<string, string>;
}

function decodeBase64(text: string): string {
  const plain = text.replace(/[\r\n]/g, '');
  const wrong = /[^A-Za-z0-9+/=]|=(?!=?$)/.exec(plain);
  if (wrong || plain.length % 4 !== 0) throw new InvalidAnswer(`illegal base64 data at input byte ${wrong?.index ?? plain.length - (plain.length % 4)}`);
  return Buffer.from(plain, 'base64').toString();
}
