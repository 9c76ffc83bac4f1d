// Secrets: stringData is folded into data on every write; known types must hold their keys.
import { configKeyErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { at, entries, forbiddenField, invalidAll, invalidField, isObject, need, required, same, setEmpty, text, tooLong, unchanged } from '../values.ts';
import { maxDataBytes } from './configmap.ts';
import { parseGoJson } from './go-json.ts';

const frozen = 'field is immutable when `immutable` is set';

/** Why the content is no JSON object, in the words of Go's decoder. */
function jsonError(base64: string): string | undefined {
  const parsed = parseGoJson(Buffer.from(base64, 'base64').toString('latin1'));
  if ('error' in parsed) return parsed.error;
  const { value } = parsed;
  if (value === null || isObject(value)) return undefined;
  return `json: cannot unmarshal ${Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value} into Go value of type map[string]interface {}`;
}

function validateSecret(object: Readonly<KubeObject>): FieldError[] {
  const errors: FieldError[] = [];
  const data = isObject(object['data']) ? object['data'] : {};
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    errors.push(...invalidAll(`data[${key}]`, key, configKeyErrors(key)));
    bytes += Buffer.byteLength(text(value), 'base64');
  }
  if (bytes > maxDataBytes) errors.push(tooLong('data', maxDataBytes));
  const want = (key: string): void => {
    if (!(key in data)) errors.push(required(`data[${key}]`));
  };
  const wantJson = (key: string): void => {
    want(key);
    const wrong = key in data ? jsonError(text(data[key])) : undefined;
    if (wrong !== undefined) errors.push(invalidField(`data[${key}]`, '<secret contents redacted>', wrong));
  };
  switch (object['type']) {
    case 'kubernetes.io/service-account-token':
      if (text(at(object, 'metadata', 'annotations', 'kubernetes.io/service-account.name')) === '') {
        errors.push(required('metadata.annotations[kubernetes.io/service-account.name]'));
      }
      break;
    case 'kubernetes.io/dockercfg': wantJson('.dockercfg'); break;
    case 'kubernetes.io/dockerconfigjson': wantJson('.dockerconfigjson'); break;
    case 'kubernetes.io/basic-auth':
      if (!('username' in data) && !('password' in data)) errors.push(required('data[username]'), required('data[password]'));
      break;
    case 'kubernetes.io/ssh-auth':
      if (text(data['ssh-privatekey']) === '') errors.push(required('data[ssh-privatekey]'));
      break;
    case 'kubernetes.io/tls':
      want('tls.crt');
      want('tls.key');
      break;
    default: break;
  }
  return errors;
}

export const secretStrategy: Strategy = {
  ...basicStrategy({}),
  default(object) {
    setEmpty(object, 'type', 'Opaque');
    const plain = object['stringData'];
    if (!isObject(plain)) return;
    for (const [key, value] of entries(plain)) need(object, 'data')[key] = Buffer.from(text(value)).toString('base64');
    delete object['stringData'];
  },
  validate: (object, _, old) => (old ? [] : validateSecret(object)),
  validateUpdate(object, old) {
    const errors = unchanged('type', object['type'], old['type']);
    if (old['immutable'] !== true) return [...errors, ...validateSecret(object)];
    if (object['immutable'] !== true) errors.push(forbiddenField('immutable', frozen));
    if (!same(object['data'], old['data'])) errors.push(forbiddenField('data', frozen));
    return [...errors, ...validateSecret(object)];
  },
  fieldLabels: { type: (object) => text(object['type']) },
  fieldLabelError: (label) => `field label not supported: ${label}`,
};
