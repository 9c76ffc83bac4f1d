// PersistentVolumes.
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, need, setEmpty, setMissing } from '../values.ts';
import { defaultResourceList, defaultVolumeSource } from './pod-defaults.ts';

export const persistentVolumeStrategy: Strategy = {
  ...basicStrategy({
    status: true,
    initialStatus: (_, now) => ({ phase: 'Pending', lastPhaseTransitionTime: new Date(now).toISOString().replace(/\.\d+Z$/, 'Z') }),
  }),
  default(object) {
    const spec = need(object, 'spec');
    setEmpty(need(object, 'status'), 'phase', 'Pending');
    setEmpty(spec, 'persistentVolumeReclaimPolicy', 'Retain');
    setMissing(spec, 'volumeMode', 'Filesystem');
    defaultResourceList(spec['capacity']);
    for (const name in spec) {
      const source = asObject(spec[name]);
      if (source) defaultVolumeSource(name, source);
    }
  },
};
