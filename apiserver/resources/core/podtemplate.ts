// PodTemplates.
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { asObject, need } from '../values.ts';
import { defaultPodTemplate } from './pod-defaults.ts';
import { validatePodTemplate } from './pod-validation.ts';

export const podTemplateStrategy: Strategy = {
  ...basicStrategy({ generation: 'spec' }),
  default: (object) => defaultPodTemplate(need(object, 'template')),
  validate: (object) => validatePodTemplate(asObject(object['template']) ?? {}, 'template'),
};
