// PodTemplates.
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { need } from '../values.ts';
import { defaultPodTemplate } from './pod-defaults.ts';

export const podTemplateStrategy: Strategy = {
  ...basicStrategy({ generation: 'spec' }),
  default: (object) => defaultPodTemplate(need(object, 'template')),
};
