// ReplicationControllers.
import { basicStrategy, zeroStatus } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { scaleOf } from '../scale.ts';
import { at, entries, isObject, need, setMissing } from '../values.ts';
import { defaultPodTemplate } from './pod-defaults.ts';

export const replicationControllerStrategy: Strategy = {
  ...basicStrategy({ status: true, generation: 'spec' }),
  default(object) {
    const spec = need(object, 'spec');
    const labels = at(spec, 'template', 'metadata', 'labels');
    if (isObject(labels) && Object.keys(labels).length > 0) {
      if (entries(spec['selector']).length === 0) spec['selector'] = { ...labels };
      const metadata = object.metadata ??= {};
      if (entries(metadata.labels).length === 0) metadata.labels = { ...labels } as Record<string, string>; // decoding has checked the types
    }
    setMissing(spec, 'replicas', 1);
    if (isObject(spec['template'])) defaultPodTemplate(spec['template']);
    zeroStatus(object, ['replicas']);
  },
  scale: scaleOf('spec.selector'),
  fieldLabels: { 'status.replicas': (object) => String(at(object, 'status', 'replicas') ?? 0) },
  fieldLabelError: (label) => `field label not supported: ${label}`,
};
