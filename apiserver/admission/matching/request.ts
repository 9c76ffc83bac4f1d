// What webhooks and policies see of a write: as it came, and in the versions that serve the same objects ("equivalent" ones).
// Upstream: apiserver/pkg/admission/{attributes,conversion}.go and runtime's EquivalentResourceMapper.
import type { GroupVersionKind, GroupVersionResource, KubeObject, ObjectMeta } from '#machinery/api/object.ts';
import { apiVersionOf, parseApiVersion } from '#machinery/api/object.ts';
import type { Backend } from '../../backend.ts';
import { copyJson, put } from '../../patch/json-value.ts';
import { resourceId } from '../../resources/resource.ts';
import type { ResourceRow } from '../../resources/resource.ts';
import type { AdmissionAttributes, Reinvocation } from '../admission.ts';

/** One version of the resource that a write is about. */
export interface Form {
  readonly row: ResourceRow;
  readonly resource: GroupVersionResource;
  /** Of the object: the subresource's own kind where it has one. */
  readonly kind: GroupVersionKind;
}

/** The object in one form. Never changed by those who look at it. */
export interface Versioned {
  readonly form: Form;
  readonly object: Readonly<KubeObject> | undefined;
  readonly oldObject: Readonly<KubeObject> | undefined;
}

export class AdmissionRequest {
  readonly attributes: AdmissionAttributes;
  /** As it was sent. */
  readonly form: Form;
  /** A namespace is in itself. */
  readonly namespace: string;
  readonly #backend: Pick<Backend, 'rows'>;
  #equivalents: Form[] | undefined;

  constructor(attributes: AdmissionAttributes, backend: Pick<Backend, 'rows'>) {
    this.attributes = attributes;
    this.#backend = backend;
    this.form = formOf(attributes.row, attributes.subresource);
    this.namespace = isNamespace(this.form.resource) ? attributes.name : attributes.namespace;
  }

  /** Other versions, or groups, in which the same objects are served. */
  get equivalents(): readonly Form[] {
    const { row, subresource } = this.attributes;
    return this.#equivalents ??= this.#backend.rows()
      .filter((one) => one !== row && !one.unserved && storeOf(one) === storeOf(row) && (subresource === '' || one.subresources.some(({ name }) => name === subresource)))
      .map((one) => formOf(one, subresource));
  }

  /** The present state of the write in a form. */
  in(form: Form): Versioned {
    const { object, oldObject } = this.attributes;
    return { form, object: object && this.#convert(object, this.form, form), oldObject: oldObject && this.#convert(oldObject, this.form, form) };
  }

  /** Puts an object of that form in the place of the write's. */
  replace(form: Form, changed: KubeObject): void {
    const { object } = this.attributes;
    if (!object) throw new Error('there is no object that could be changed');
    overwrite(object, this.#convert(changed, form, this.form));
  }

  #convert(object: Readonly<KubeObject>, from: Form, to: Form): Readonly<KubeObject> {
    if (from.row === to.row || sameKind(from.kind, to.kind)) return object;
    if (!sameKind(from.kind, kindOf(from.row))) throw new Error(`there is no way from ${from.kind.kind} in ${from.kind.version} to ${to.kind.kind} in ${to.kind.version}`);
    const copy = copyJson(object) as KubeObject; // converters may work in place
    const stored = from.row.convert ? from.row.convert.toStored(copy) : copy;
    const converted = to.row.convert ? to.row.convert.fromStored(stored) : stored;
    const { apiVersion: _version, kind: _kind, ...rest } = converted;
    return { kind: to.kind.kind, apiVersion: apiVersionOf(to.kind.group, to.kind.version), ...rest };
  }
}

export function reinvocationOf(attributes: AdmissionAttributes): Reinvocation {
  return attributes.reinvocation ??= { round: 0, wanted: false, state: new Map() };
}

export function isNamespace({ group, version, resource }: GroupVersionResource): boolean {
  return group === '' && version === 'v1' && resource === 'namespaces';
}

const storeOf = (row: ResourceRow): string => row.storedAs ?? resourceId(row);
const kindOf = ({ group, version, kind }: ResourceRow): GroupVersionKind => ({ group, version, kind });
const sameKind = (a: GroupVersionKind, b: GroupVersionKind): boolean => a.kind === b.kind && a.version === b.version && a.group === b.group;

function formOf(row: ResourceRow, subresource: string): Form {
  const { group, version, resource } = row;
  const sub = subresource === '' ? undefined : row.subresources.find(({ name }) => name === subresource);
  const own = sub?.groupVersion === undefined ? { group, version } : parseApiVersion(sub.groupVersion);
  return { row, resource: { group, version, resource }, kind: { ...own, kind: sub?.kind ?? row.kind } };
}

/** In place, metadata too: handlers hold on to both. */
function overwrite(object: KubeObject, by: Readonly<KubeObject>): void {
  const { metadata } = object;
  const { apiVersion, kind, metadata: newMetadata, ...rest } = copyJson(by) as KubeObject;
  for (const field of Object.keys(object)) delete object[field];
  if (kind !== undefined) object.kind = kind;
  if (apiVersion !== undefined) object.apiVersion = apiVersion;
  if (metadata) {
    for (const field of Object.keys(metadata)) delete (metadata as Record<string, unknown>)[field];
    object.metadata = Object.assign(metadata, newMetadata as ObjectMeta | undefined);
  } else if (newMetadata) object.metadata = newMetadata;
  for (const [field, value] of Object.entries(rest)) put(object, field, value);
}
