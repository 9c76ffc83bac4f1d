// Who may write what of a ResourceClaim's status, beyond the right to write it at all: binding a claim to devices needs
// `resourceclaims/binding`, reporting of devices `resourceclaims/driver` for each driver. Upstream does this in the strategy
// (pkg/registry/resource/utils.go); here it is an admission step with the same texts.
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { invalid } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import type { AdmissionPlugin } from '../admission/admission.ts';
import type { Authorizer } from '../filters/seams.ts';
import { forbiddenFor } from '../filters/forbidden.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import { at, forbiddenField, objects, same, strings, text } from '../resources/values.ts';
import type { Obj } from '../resources/values.ts';

const group = 'resource.k8s.io';
const nodeNameKey = 'authentication.kubernetes.io/node-name';

export function createClaimStatusCheck(authorizer: Authorizer): AdmissionPlugin {
  /** Why not; undefined when it is allowed. */
  async function refusal(user: UserInfo, info: RequestInfo): Promise<string | undefined> {
    const { allowed, reason } = await authorizer.authorize(user, info);
    return allowed ? undefined : forbiddenFor(user, info, reason).message;
  }
  return {
    name: 'ResourceClaimStatusAuthorization',
    handles: (operation, row, subresource) => operation === 'UPDATE' && subresource === 'status' && row.group === group && row.resource === 'resourceclaims',
    async validate({ user, object = {}, oldObject = {}, name, context }) {
      const { info } = context.request;
      const errors: FieldError[] = [];
      if (['allocation', 'reservedFor'].some((field) => !same(at(object, 'status', field), at(oldObject, 'status', field)))) {
        const why = await refusal(user, { ...info, subresource: 'binding', namespace: '', name: '' });
        if (why !== undefined) errors.push(forbiddenField('status.allocation', `changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="${info.verb}" permission: ${why}`));
      }
      if (at(object, 'status', 'allocation') !== undefined) {
        const verbs = [...(isOnNode(user, nodeOf(object)) ? ['associated-node:'] : []), 'arbitrary-node:'].map((prefix) => prefix + info.verb);
        for (const driver of changedDrivers(object, oldObject)) {
          const refusals = await Promise.all(verbs.map((verb) => refusal(user, { ...info, verb, subresource: 'driver', name: driver })));
          if (!refusals.includes(undefined)) errors.push(forbiddenField('status.devices', `changing status.devices requires resource="resourceclaims/driver", verb="[${verbs.join(' ')}]" permission: ${refusals[0]}`));
        }
      }
      if (errors.length > 0) throw invalid({ group, kind: 'ResourceClaim' }, name, errors);
    },
  };
}

/** Drivers with a device whose report came, went or changed. */
function changedDrivers(object: Readonly<KubeObject>, old: Readonly<KubeObject>): string[] {
  const reports = (claim: Readonly<KubeObject>): Map<string, Obj> => new Map(objects(at(claim, 'status', 'devices'))
    .map((device) => [JSON.stringify(['driver', 'pool', 'device', 'shareID'].map((field) => text(device[field]))), device]));
  const [now, before] = [reports(object), reports(old)];
  const changed = [...new Set([...now.keys(), ...before.keys()])].filter((key) => !same(now.get(key), before.get(key)));
  return [...new Set(changed.map((key) => text((now.get(key) ?? before.get(key))?.['driver'])))].sort();
}

/** The node that an allocation is bound to, if it is just one. */
function nodeOf(claim: Readonly<KubeObject>): string {
  const [term, ...more] = objects(at(claim, 'status', 'allocation', 'nodeSelector', 'nodeSelectorTerms'));
  const [field, ...others] = objects(term?.['matchFields']);
  if (more.length > 0 || others.length > 0 || objects(term?.['matchExpressions']).length > 0 || field?.['key'] !== 'metadata.name' || field['operator'] !== 'In') return '';
  const [node = '', ...nodes] = strings(field['values']);
  return nodes.length === 0 ? node : '';
}
/** A service account whose token belongs to a pod on that node. */
function isOnNode(user: UserInfo, node: string): boolean {
  const nodes = user.extra?.[nodeNameKey] ?? [];
  return node !== '' && /^system:serviceaccount:[^:]+:[^:]+$/.test(user.name) && nodes.length === 1 && nodes[0] === node && dns1123SubdomainErrors(node).length === 0;
}
