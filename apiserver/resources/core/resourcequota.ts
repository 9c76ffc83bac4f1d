// ResourceQuotas.
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { at, setMissing } from '../values.ts';
import { defaultResourceList } from './pod-defaults.ts';

export const resourceQuotaStrategy: Strategy = {
  ...basicStrategy({ status: true }),
  default(object) {
    defaultResourceList(at(object, 'spec', 'hard'));
    defaultResourceList(at(object, 'status', 'hard'));
    defaultResourceList(at(object, 'status', 'used'));
    setMissing(object, 'spec', {});
    setMissing(object, 'status', {});
  },
};
