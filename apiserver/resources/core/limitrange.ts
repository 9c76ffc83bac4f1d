// LimitRanges: what a container's limits leave out is filled in from the others.
import { basicStrategy } from '../basic.ts';
import type { Strategy } from '../resource.ts';
import { at, entries, need, objects, setMissing } from '../values.ts';
import type { Obj } from '../values.ts';
import { defaultResourceList } from './pod-defaults.ts';

export const limitRangeStrategy: Strategy = {
  ...basicStrategy({ createOnUpdate: true }),
  default(object) {
    for (const limit of objects(at(object, 'spec', 'limits'))) {
      for (const field of ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio']) defaultResourceList(limit[field]);
      if (limit['type'] !== 'Container') continue;
      fill(limit, 'default', limit['max']);
      fill(limit, 'defaultRequest', limit['default']);
      fill(limit, 'defaultRequest', limit['min']);
    }
  },
};

function fill(object: Obj, field: string, from: unknown): void {
  for (const [name, value] of entries(from)) setMissing(need(object, field), name, value);
}
