// Pod statuses on their way to the API server: the newest of each pod, one write at a time, nothing when nothing changed.
import { isDeepStrictEqual } from 'node:util';
import { createBackoff } from '#machinery/base/backoff.ts';
import { sleep } from '#machinery/base/clock.ts';
import type { Logger } from '#machinery/base/log.ts';
import type { Pod, PodStatus } from '#machinery/api/object.ts';
import { isConflict, isNotFound } from '#machinery/api/status.ts';
import { pods } from '#machinery/client/resources.ts';
import type { Client } from '#machinery/client/types.ts';

export interface StatusWriter {
  /** What was last set for the pod. */
  get(uid: string): PodStatus | undefined;
  set(pod: Pod, status: PodStatus): void;
  /** Settles when what was set has been written, or the pod is gone. */
  flushed(uid: string): Promise<void>;
  forget(uid: string): void;
}
interface Entry { pod: Pod; wanted: PodStatus; written: PodStatus | undefined; writing: Promise<void> | undefined; version?: string | undefined }

export function createStatusWriter(client: Client, log: Logger, signal: AbortSignal): StatusWriter {
  const entries = new Map<string, Entry>();

  async function write(uid: string, entry: Entry): Promise<void> {
    const backoff = createBackoff({ baseMs: 100, maxMs: 10_000 });
    await Promise.resolve(); // sets of the same turn share one write
    while (entries.get(uid) === entry && entry.written !== entry.wanted && !signal.aborted) {
      const { pod, wanted } = entry;
      const { name = '', namespace = '' } = pod.metadata;
      try {
        const answer = await client.patch(pods, namespace, name, 'strategic', statusPatch(uid, entry.written ?? pod.status, wanted), signal, { subresource: 'status' });
        entry.written = wanted;
        entry.version = answer.metadata.resourceVersion;
        backoff.reset();
      } catch (error) {
        // Gone, or another pod has the name now: nothing to write to.
        if (isNotFound(error) || isConflict(error)) {
          log.debug('pod is gone, status dropped', { pod: `${namespace}/${name}`, error });
          entry.written = wanted;
          return;
        }
        if (signal.aborted) return;
        log.warn('status not written', { pod: `${namespace}/${name}`, error });
        await sleep(backoff.nextMs(), signal).catch(() => undefined);
      }
    }
  }
  return {
    get: (uid) => entries.get(uid)?.wanted,
    set(pod, status) {
      const uid = pod.metadata.uid ?? '';
      let entry = entries.get(uid);
      if (!entry) {
        if (pod.status && isDeepStrictEqual(comparable(pod.status), comparable(status))) {
          entries.set(uid, { pod, wanted: status, written: status, writing: undefined });
          return;
        }
        entries.set(uid, (entry = { pod, wanted: status, written: undefined, writing: undefined }));
      } else {
        entry.pod = pod;
        if (isDeepStrictEqual(entry.wanted, status)) {
          if (entry.writing || !overwritten(pod, entry)) return;
          entry.written = undefined; // the node controller says "not ready" in our name while we are away; say it again
        }
        entry.wanted = status;
      }
      const current = entry;
      current.writing ??= write(uid, current).finally(() => (current.writing = undefined));
    },
    async flushed(uid) {
      for (let entry = entries.get(uid); entry?.writing; entry = entries.get(uid)) await entry.writing;
    },
    forget: (uid) => void entries.delete(uid),
  };
}

/** Somebody else changed what this kubelet had written: seen in a version of the pod after our own last write. */
function overwritten(pod: Pod, { wanted, version }: Entry): boolean {
  if (!pod.status || isDeepStrictEqual(comparable(pod.status), comparable(wanted))) return false;
  // Comparable, as of the API's own promise (KEP-5504); a cache that lags behind our write is no reason to repeat it.
  return version === undefined || BigInt(pod.metadata.resourceVersion ?? '0') > BigInt(version);
}

/** Foreign conditions, key order and what is null aside. */
function comparable(status: PodStatus): unknown {
  const { conditions, resize: _resize, ...rest } = status as PodStatus & { resize?: unknown };
  const own = new Set(['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled']);
  return JSON.parse(JSON.stringify({ ...rest, conditions: [...conditions ?? []].filter(({ type }) => own.has(type)).sort((a, b) => (a.type < b.type ? -1 : 1)) }), (_key, value: unknown) => value ?? undefined);
}

/** Strategic: conditions merge by type, the lists of addresses are replaced whole, what is no longer there becomes null. */
export function statusPatch(uid: string, before: PodStatus | undefined, wanted: PodStatus): unknown {
  const status: Record<string, unknown> = { ...wanted };
  for (const key of Object.keys(before ?? {})) if (!(key in wanted) && ['reason', 'message', 'podIP', 'podIPs'].includes(key)) status[key] = null;
  for (const key of ['podIPs', 'hostIPs'] as const) {
    const old = before?.[key];
    const list = wanted[key];
    if (list && old && !isDeepStrictEqual(old, list)) status[key] = [{ $patch: 'replace' }, ...list];
  }
  // A merged condition keeps what it is not told to drop.
  status.conditions = (wanted.conditions ?? []).map((condition) => {
    const old = before?.conditions?.find(({ type }) => type === condition.type);
    return { ...condition, ...(old?.reason && !condition.reason ? { reason: null } : {}), ...(old?.message && !condition.message ? { message: null } : {}) };
  });
  return { metadata: { uid }, status };
}
