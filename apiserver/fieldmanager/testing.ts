// For tests: an object that several managers write in turn, told as a story.
import type { KubeObject, ObjectMeta } from '#machinery/api/object.ts';
import { loadSchema } from '#machinery/schema/schema.ts';
import { conform } from '../decoding/conform.ts';
import { atomOf } from './builtin.ts';
import { applyConfiguration, trackUpdate } from './field-manager.ts';
import type { TrackedKind } from './field-manager.ts';
import { sameButForTimes } from './managed.ts';
import { resetFilter } from './reset-fields.ts';

export type Tracked = KubeObject & { metadata: ObjectMeta };
export const firstMoment = Date.parse('2026-01-01T00:00:00Z');

/** The object as it is, and who wrote it; each write is a second after the one before. */
export class Story {
  object: Tracked | undefined;
  #now = firstMoment;
  readonly #kinds: (subresource: string) => TrackedKind;
  readonly #conform: (object: object) => void;

  constructor(kinds: (subresource: string) => TrackedKind, conformObject: (object: object) => void) {
    this.#kinds = kinds;
    this.#conform = conformObject;
  }

  get managers(): NonNullable<ObjectMeta['managedFields']> {
    return this.object?.metadata.managedFields ?? [];
  }
  /** The fields of a manager. */
  fields(manager: string): unknown {
    return this.managers.find((entry) => entry.manager === manager)?.fieldsV1;
  }
  apply(manager: string, config: object, { force = false, subresource = '' } = {}): Tracked {
    const kind = this.#kinds(subresource);
    const object = applyConfiguration(kind, this.object, { apiVersion: kind.apiVersion, kind: kind.kind, ...config }, { manager, force, now: this.#tick() });
    return this.#keep(object);
  }
  /** `change` works in place on a copy. */
  update(manager: string, change: (object: Tracked) => void, subresource = ''): Tracked {
    const kind = this.#kinds(subresource);
    const object: Tracked = this.object ? structuredClone(this.object) : { apiVersion: kind.apiVersion, kind: kind.kind, metadata: {} };
    change(object);
    this.#conform(object);
    trackUpdate(kind, this.object, object, manager, this.#tick());
    return this.#keep(object);
  }
  #tick(): number {
    this.#now += 1000;
    return this.#now;
  }
  #keep(object: Tracked): Tracked {
    this.#conform(object);
    object.metadata.uid ??= 'u';
    // As the store, which writes nothing when only times differ.
    if (this.object && sameButForTimes(object, this.object)) return this.object;
    return this.object = JSON.parse(JSON.stringify(object)) as Tracked; // as the store gives it back
  }
}

/** Starts stories of a kind. `resource`: the id that rules of fields go by. */
export async function storiesOf(group: string, version: string, kind: string, resource: string): Promise<() => Story> {
  const type = (await loadSchema()).typeFor(group, version, kind);
  if (!type) throw new Error(`no type ${kind}`);
  const tracked = (subresource: string): TrackedKind => ({
    apiVersion: group === '' ? version : `${group}/${version}`, kind, subresource, atom: atomOf(type), reset: resetFilter(resource, subresource), inVersion: () => undefined,
  });
  return () => new Story(tracked, (object) => {
    const { error } = conform(object, type);
    if (error !== undefined) throw new Error(error);
  });
}
