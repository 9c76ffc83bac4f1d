// PersistentVolumeClaims.
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { at, need, setEmpty } from '../values.ts';
import { defaultClaimSpec, defaultResourceList } from './pod-defaults.ts';

export const persistentVolumeClaimStrategy: Strategy = {
  ...basicStrategy({ status: true, initialStatus: () => ({ phase: 'Pending' }) }),
  default(object) {
    defaultClaimSpec(need(object, 'spec'));
    setEmpty(need(object, 'status'), 'phase', 'Pending');
    defaultResourceList(at(object, 'status', 'capacity'));
    defaultResourceList(at(object, 'status', 'allocatedResources'));
  },
};
