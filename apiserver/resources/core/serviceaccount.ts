// Service accounts: of listed secrets only the names are kept.
import type { KubeObject } from '#machinery/api/object.ts';
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { objects } from '../values.ts';

const basic = basicStrategy({});

function keepSecretNames(object: KubeObject): void {
  if (Array.isArray(object['secrets'])) object['secrets'] = objects(object['secrets']).map(({ name }) => (name === undefined ? {} : { name }));
}

export const serviceAccountStrategy: Strategy = {
  ...basic,
  prepareForCreate(object, context) {
    basic.prepareForCreate?.(object, context);
    keepSecretNames(object);
  },
  prepareForUpdate: keepSecretNames,
};
