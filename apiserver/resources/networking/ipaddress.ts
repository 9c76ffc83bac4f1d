// IPAddresses: each is named by the address it stands for, in its one canonical form. Upstream: pkg/apis/networking/validation.
import { dns1123SubdomainErrors, pathSegmentErrors, strictIpErrors } from '#machinery/api/names.ts';
import { kindStrategy } from '../basic.ts';
import { validatePathSegment } from '../formats.ts';
import { asObject, at, invalidAll, required, text, unchanged } from '../values.ts';

const path = 'spec.parentRef';

export const ipAddressStrategy = kindStrategy({}, {
  validateName: (name) => strictIpErrors(name),
  validate(object, _, old) {
    const parent = asObject(at(object, 'spec', 'parentRef'));
    const changed = old ? unchanged(path, parent, at(old, 'spec', 'parentRef')) : [];
    if (!parent) return [required(path), ...changed];
    // The core group, where Services are, is the empty text.
    const group = text(parent['group']);
    const namespace = text(parent['namespace']);
    return [
      ...(group === '' ? [] : invalidAll(`${path}.group`, group, dns1123SubdomainErrors(group))),
      ...validatePathSegment(`${path}.resource`, parent['resource']),
      ...validatePathSegment(`${path}.name`, parent['name']),
      ...(namespace === '' ? [] : invalidAll(`${path}.namespace`, namespace, pathSegmentErrors(namespace))),
      ...changed,
    ];
  },
});
