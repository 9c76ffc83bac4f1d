// ConfigMaps: keys, size, and nothing changes once `immutable` is set.
import { configKeyErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { entries, forbiddenField, invalidAll, invalidField, isObject, same, text, tooLong } from '../values.ts';

export const maxDataBytes = 1024 * 1024;
const frozen = 'field is immutable when `immutable` is set';

function validateConfigMap(object: Readonly<KubeObject>): FieldError[] {
  const errors: FieldError[] = [];
  const { data, binaryData } = object;
  let bytes = 0;
  for (const [key, value] of entries(data)) {
    errors.push(...invalidAll(`data[${key}]`, key, configKeyErrors(key)));
    if (isObject(binaryData) && key in binaryData) errors.push(invalidField(`data[${key}]`, key, 'duplicate of key present in binaryData'));
    bytes += Buffer.byteLength(text(value));
  }
  for (const [key, value] of entries(binaryData)) {
    errors.push(...invalidAll(`binaryData[${key}]`, key, configKeyErrors(key)));
    bytes += Buffer.byteLength(text(value), 'base64');
  }
  if (bytes > maxDataBytes) errors.push(tooLong('[]', maxDataBytes));
  return errors;
}

/** What is frozen is told before what is wrong. */
export const configMapStrategy: Strategy = {
  ...basicStrategy({}),
  validate: (object, _, old) => (old ? [] : validateConfigMap(object)),
  validateUpdate(object, old) {
    if (old['immutable'] !== true) return validateConfigMap(object);
    const errors: FieldError[] = [];
    if (object['immutable'] !== true) errors.push(forbiddenField('immutable', frozen));
    for (const field of ['data', 'binaryData']) if (!same(object[field], old[field])) errors.push(forbiddenField(field, frozen));
    return [...errors, ...validateConfigMap(object)];
  },
};
