// Reads, adopts and writes the ControllerRevisions of DaemonSets and StatefulSets.
import type { ParsedLabelSelector } from '#machinery/api/labels.ts';
import { controllerOf } from '#machinery/api/object.ts';
import type { ControllerRevision, ObjectMeta } from '#machinery/api/object.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#machinery/api/status.ts';
import { controllerRevisions } from '#machinery/client/resources.ts';
import { keyOf } from '#machinery/client/types.ts';
import type { Client, Informers, Resource, WorkQueue } from '#machinery/client/types.ts';
import { adoptPatch, claim, controllerReference, indexByController, releasePatch } from '../pods.ts';
import { dataOf, sameData, sorted } from './revisions.ts';

interface Owner { metadata: ObjectMeta }
/** The name is taken by a revision with other data: the next hash must differ. */
export type Created = { revision: ControllerRevision } | { collision: unknown };

export interface History {
  /** Own revisions that match, and those that match and belong to nobody, after adopting them. */
  list(owner: Owner, selector: ParsedLabelSelector, mayAdopt: () => Promise<boolean>, signal: AbortSignal): Promise<ControllerRevision[]>;
  create(owner: Owner, revision: { name: string; labels: Record<string, string>; data: unknown; number: number }, signal: AbortSignal): Promise<Created>;
  /** Writes `change` over the revision, on its newest version. */
  update(revision: ControllerRevision, change: { revision?: number; labels?: Record<string, string> }, signal: AbortSignal): Promise<ControllerRevision>;
  remove(revision: ControllerRevision, signal: AbortSignal): Promise<void>;
}

export function createHistory(informers: Informers, client: Client, ownerResource: Resource<unknown>): History {
  const all = informers.for(controllerRevisions);
  indexByController(all);
  return {
    list: (owner, selector, mayAdopt, signal) => {
      const { namespace = '', uid = '' } = owner.metadata;
      const reference = controllerReference(owner, ownerResource);
      return claim<ControllerRevision>({
        owner, selector, mayAdopt,
        candidates: [...all.byIndex('controller', uid), ...all.byIndex('controller', `orphan/${namespace}`)],
        adopt: async (revision) => {
          await client.patch(controllerRevisions, namespace, revision.metadata.name ?? '', 'strategic', adoptPatch(revision, reference), signal);
        },
        release: async (revision) => {
          await client.patch(controllerRevisions, namespace, revision.metadata.name ?? '', 'strategic', releasePatch(revision, uid), signal).catch((error: unknown) => {
            if (!isNotFound(error) && !isConflict(error)) throw error; // gone, or made anew under the name
          });
        },
      });
    },
    create: async (owner, { name, labels, data, number }, signal) => {
      const { namespace = '', annotations } = owner.metadata;
      const body = {
        apiVersion: 'apps/v1', kind: 'ControllerRevision',
        metadata: { name, namespace, labels, ...(annotations ? { annotations } : {}), ownerReferences: [controllerReference(owner, ownerResource)] },
        data: sorted(data), revision: number,
      };
      try {
        return { revision: await client.create(controllerRevisions, namespace, body, signal) };
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
        const existing = await client.get(controllerRevisions, namespace, name, signal);
        return sameData(dataOf(existing), data) ? { revision: existing } : { collision: error };
      }
    },
    update: async (revision, change, signal) => {
      const { namespace = '', name = '' } = revision.metadata;
      const changed = (from: ControllerRevision): ControllerRevision =>
        ({ ...from, revision: change.revision ?? from.revision, metadata: { ...from.metadata, labels: { ...from.metadata.labels, ...change.labels } } });
      try {
        return await client.update(controllerRevisions, namespace, name, changed(revision), signal);
      } catch (error) {
        if (!isConflict(error)) throw error;
        const fresh = await client.get(controllerRevisions, namespace, name, signal);
        return client.update(controllerRevisions, namespace, name, changed(fresh), signal);
      }
    },
    remove: async ({ metadata: { namespace = '', name = '' } }, signal) => {
      await client.delete(controllerRevisions, namespace, name, {}, signal).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    },
  };
}

/** A revision that was made, changed or deleted by somebody lets its owner look again. */
export function watchRevisions(informers: Informers, queue: WorkQueue, ownerResource: Resource<unknown>, isOwner: (namespace: string, name: string, uid: string) => boolean): void {
  informers.for(controllerRevisions).onChange((change) => {
    for (const object of change.type === 'updated' ? [change.old, change.object] : [change.object]) {
      const reference = controllerOf(object);
      const { namespace = '' } = object.metadata;
      if (reference?.kind === ownerResource.kind && isOwner(namespace, reference.name, reference.uid)) queue.add(keyOf({ metadata: { namespace, name: reference.name } }));
    }
  });
}
