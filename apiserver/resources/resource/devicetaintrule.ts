// DeviceTaintRules: a taint for all devices that a selector picks. Upstream: pkg/registry/resource/devicetaintrule.
import { rfc3339 } from '#machinery/base/clock.ts';
import { dns1123LabelErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { keepStatus, kindStrategy } from '../basic.ts';
import { validateConditions, validateDriverName } from '../formats.ts';
import { asObject, at, invalidAll, need, objects, setMissing, text, tooMany } from '../values.ts';
import { validatePoolName, validateTaint } from './names.ts';

const path = 'spec.deviceSelector';

export const deviceTaintRuleStrategy = kindStrategy({ status: true, generation: 'spec', statusMayChange: [] }, {
  default(object) {
    setMissing(need(need(object, 'spec'), 'taint'), 'timeAdded', rfc3339(Date.now()));
    setMissing(object, 'status', {});
  },
  prepareForUpdate(object, old, { now }) {
    keepStatus(object, old);
    const [taint, before] = [asObject(at(object, 'spec', 'taint')), asObject(at(old, 'spec', 'taint'))];
    // The time tells since when there is this effect, unless the client says otherwise.
    if (taint && taint['effect'] !== before?.['effect'] && taint['timeAdded'] === before?.['timeAdded']) taint['timeAdded'] = rfc3339(now);
  },
  validate(object, _, old) {
    const { driver, pool, device } = asObject(at(object, 'spec', 'deviceSelector')) ?? {};
    return [
      ...(driver === undefined ? [] : validateDriverName(`${path}.driver`, text(driver))),
      ...(pool === undefined ? [] : validatePoolName(text(pool), `${path}.pool`)),
      ...(device === undefined ? [] : invalidAll(`${path}.device`, device, dns1123LabelErrors(text(device)))),
      ...validateTaint(asObject(at(object, 'spec', 'taint')) ?? {}, 'spec.taint', old && (at(old, 'spec', 'taint', 'effect') ?? '')),
    ];
  },
  status: {
    validateUpdate(object: KubeObject) {
      const conditions = objects(at(object, 'status', 'conditions'));
      return [...validateConditions(conditions, 'status.conditions'), ...(conditions.length > 8 ? [tooMany('status.conditions', conditions.length, 8)] : [])];
    },
  },
});
