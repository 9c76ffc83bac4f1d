// VolumeAttachments. Upstream: pkg/apis/storage/validation.
import { dns1123SubdomainErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { kindStrategy } from '../basic.ts';
import { defaultVolumeSpec, validateInlineVolumeSpec } from '../core/persistentvolume.ts';
import { validateDriverName } from '../formats.ts';
import { asObject, at, entries, forbiddenField, integer, invalidAll, invalidField, need, required, setMissing, text, tooLong, unchanged } from '../values.ts';
import type { Obj } from '../values.ts';

const metadataBytes = 256 * 1024;

export const volumeAttachmentStrategy = kindStrategy({
  status: true, statusMayChange: [], unconditionalUpdate: false, initialStatus: () => ({ attached: false }),
}, {
  default(object) {
    setMissing(need(object, 'status'), 'attached', false);
    const inline = asObject(at(object, 'spec', 'source', 'inlineVolumeSpec'));
    if (inline) defaultVolumeSpec(inline);
  },
  validate: validateAttachment,
  validateUpdate: fixedSpec,
  status: { validateUpdate: (object, old) => [...validateAttachment(object), ...fixedSpec(object, old)] },
});

function fixedSpec(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  return unchanged('spec', object['spec'], old['spec']);
}

function validateAttachment(object: KubeObject): FieldError[] {
  const spec = asObject(object['spec']) ?? {};
  const status = asObject(object['status']) ?? {};
  const node = text(spec['nodeName']);
  const source = asObject(spec['source']) ?? {};
  const volume = source['persistentVolumeName'];
  return [
    ...validateDriverName('spec.attacher', text(spec['attacher'])),
    ...validateSource(source, 'spec.source'),
    ...invalidAll('spec.nodeName', node, dns1123SubdomainErrors(node)),
    ...validateMetadata(status['attachmentMetadata']),
    ...['attachError', 'detachError'].flatMap((field) => validateVolumeError(asObject(status[field]) ?? {}, `status.${field}`)),
    ...(volume === undefined ? [] : invalidAll('spec.source.persistentVolumeName', volume, dns1123SubdomainErrors(text(volume)))),
  ];
}

/** An inline volume is only for migrated in-tree volumes of pods. */
function validateSource(source: Obj, path: string): FieldError[] {
  const [inline, volume] = [asObject(source['inlineVolumeSpec']), source['persistentVolumeName']];
  const both = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
  if (!inline && volume === undefined) return [required(path, both)];
  if (inline && volume !== undefined) return [forbiddenField(path, both)];
  if (inline) return validateInlineVolumeSpec(inline, `${path}.inlineVolumeSpec`);
  return volume === '' ? [required(`${path}.persistentVolumeName`, 'must specify non empty persistentVolumeName')] : [];
}
function validateMetadata(metadata: unknown): FieldError[] {
  const bytes = entries(metadata).reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(text(value)), 0);
  return bytes > metadataBytes ? [tooLong('status.attachmentMetadata', metadataBytes)] : [];
}
function validateVolumeError(error: Obj, path: string): FieldError[] {
  const code = integer(at(error, 'errorCode'));
  return [
    // Upstream names the other limit here.
    ...(Buffer.byteLength(text(error['message'])) > 1024 ? [tooLong(`${path}.message`, metadataBytes)] : []),
    ...(code !== undefined && code < 0 ? [invalidField(`${path}.errorCode`, code, 'must be between 0 and 2147483647, inclusive')] : []),
  ];
}
