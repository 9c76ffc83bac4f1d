// References to a pod's own fields and resources, from environment variables and downward API volumes.
import { qualifiedNameErrors } from '#machinery/api/names.ts';
import { isQuantity, parseQuantity } from '#machinery/api/quantity.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { invalidAll, invalidField, notSupported, required, text } from '../values.ts';
import type { Obj } from '../values.ts';

/** What `fieldPath` may name at all; which of them a place takes is its own list. */
const known = new Set([
  'metadata.annotations', 'metadata.labels', 'metadata.name', 'metadata.namespace', 'metadata.uid', 'spec.nodeName', 'spec.restartPolicy',
  'spec.serviceAccountName', 'spec.schedulerName', 'status.phase', 'status.hostIP', 'status.hostIPs', 'status.podIP', 'status.podIPs',
]);

export function validateFieldSelector(selector: Obj, allowed: readonly string[], path: string): FieldError[] {
  const fieldPath = text(selector['fieldPath']);
  const apiVersion = text(selector['apiVersion']);
  if (apiVersion === '') return [required(`${path}.apiVersion`)];
  if (fieldPath === '') return [required(`${path}.fieldPath`)];
  const refuse = (why: string): FieldError[] => [invalidField(`${path}.fieldPath`, fieldPath, `error converting fieldPath: ${why}`)];
  if (apiVersion !== 'v1') return refuse(`unsupported pod version: ${apiVersion}`);
  const subscript = /^(.*)\['(.*)'\]$/.exec(fieldPath);
  if (subscript) {
    const [, field = '', key = ''] = subscript;
    switch (field) {
      case 'metadata.annotations': return invalidAll(path, key, qualifiedNameErrors(key.toLowerCase()));
      case 'metadata.labels': return invalidAll(path, key, qualifiedNameErrors(key));
      default: return refuse(known.has(field) ? `field label does not support subscript: ${fieldPath}` : `field label not supported: ${fieldPath}`);
    }
  }
  if (!known.has(fieldPath)) return refuse(`field label not supported: ${fieldPath}`);
  return allowed.includes(fieldPath) ? [] : [notSupported(`${path}.fieldPath`, fieldPath, allowed)];
}

const resources = ['limits.cpu', 'limits.ephemeral-storage', 'limits.memory', 'requests.cpu', 'requests.ephemeral-storage', 'requests.memory'];
const cpuDivisors = ['1m', '1'];
const byteDivisors = ['1', '1k', '1M', '1G', '1T', '1P', '1E', '1Ki', '1Mi', '1Gi', '1Ti', '1Pi', '1Ei'];

export function validateResourceFieldSelector(selector: Obj, path: string, inVolume: boolean): FieldError[] {
  const resource = text(selector['resource']);
  if (inVolume && text(selector['containerName']) === '') return [required(`${path}.containerName`)];
  if (resource === '') return [required(`${path}.resource`)];
  const hugePages = /^(limits|requests)\.hugepages-/.test(resource);
  if (!resources.includes(resource) && !hugePages) return [notSupported(`${path}.resource`, resource, resources)];
  const divisor = selector['divisor'];
  if (!isQuantity(divisor) || parseQuantity(divisor).nanos === 0n) return [];
  const isCpu = resource.endsWith('.cpu');
  const allowed = isCpu ? cpuDivisors : byteDivisors;
  const { nanos } = parseQuantity(divisor);
  if (allowed.some((one) => parseQuantity(one).nanos === nanos)) return [];
  const name = isCpu ? 'cpu' : hugePages ? 'hugepages' : resource.endsWith('.memory') ? 'memory' : 'local ephemeral storage';
  return [invalidField(`${path}.divisor`, resource, `only divisor's values ${isCpu ? '1m and 1' : byteDivisors.join(', ')} are supported with the ${name} resource`)];
}
