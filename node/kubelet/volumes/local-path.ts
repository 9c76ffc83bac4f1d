// The node's part of local-path volumes (#machinery/api/local-path.ts): says where their folders are, and removes those that nobody
// needs any more when the Node asks for it.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '#machinery/base/clock.ts';
import type { Logger } from '#machinery/base/log.ts';
import { folderAnnotation, isVolumeName, removalsOf, removeAnnotation, type Removal } from '#machinery/api/local-path.ts';
import { isNotFound } from '#machinery/api/status.ts';
import type { Node } from '#machinery/api/object.ts';
import { nodes } from '#machinery/client/resources.ts';
import type { Client, Informer } from '#machinery/client/types.ts';

const tryAgainMs = 60_000;

export interface LocalPathOptions {
  client: Client;
  node: Informer<Node>;
  nodeName: string;
  folder: string;
  /** There are no folders: the removal is only said to be done. */
  pretends: boolean;
  log: Logger;
}

/** What became of each removal that is asked for; names that are no volume's are refused, so nothing outside the folder is touched. */
export async function removeFolders(folder: string, wanted: readonly string[], pretends: boolean): Promise<Record<string, Removal>> {
  const results: Record<string, Removal> = {};
  for (const name of wanted) {
    if (!isVolumeName(name)) results[name] = `failed: ${JSON.stringify(name)} is no name of a volume here`;
    else {
      try {
        if (!pretends) await rm(join(folder, name), { recursive: true, force: true });
        results[name] = 'done';
      } catch (error) {
        results[name] = `failed: ${error instanceof Error ? error.message : String(error)}`;
      }
    }
  }
  return results;
}

/** Until the signal aborts. One round at a time; what failed is tried again every minute. */
export async function runLocalPath({ client, node, nodeName, folder, pretends, log }: LocalPathOptions, signal: AbortSignal): Promise<void> {
  let wake: () => void = () => undefined;
  node.onChange(() => wake());
  signal.addEventListener('abort', () => wake(), { once: true });
  let againMs = 0;
  while (!signal.aborted) {
    const changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const annotations = node.get('', nodeName)?.metadata.annotations;
    let failed = false;
    if (annotations) {
      const asked = [...removalsOf(annotations)].filter(([, state]) => state === 'wanted' || (state.startsWith('failed: ') && Date.now() >= againMs)).map(([name]) => name);
      const results = await removeFolders(folder, asked, pretends);
      const patch: Record<string, string> = Object.fromEntries(Object.entries(results).filter(([name, result]) => annotations[removeAnnotation(name)] !== result).map(([name, result]) => [removeAnnotation(name), result]));
      if (annotations[folderAnnotation] !== folder) patch[folderAnnotation] = folder;
      if (asked.length > 0) againMs = Date.now() + tryAgainMs;
      try {
        if (Object.keys(patch).length > 0) await client.patch(nodes, '', nodeName, 'merge', { metadata: { annotations: patch } }, signal);
      } catch (error) {
        if (signal.aborted) return;
        failed = true;
        if (!isNotFound(error)) log.warn('annotations of local volumes not written', { error });
      }
      failed ||= [...removalsOf(annotations).values()].some((state) => state.startsWith('failed: ')) || Object.values(results).some((result) => result !== 'done');
    }
    if (!failed) await changed;
    else {
      const stop = new AbortController();
      await Promise.race([changed, sleep(Math.max(1000, againMs - Date.now()), AbortSignal.any([signal, stop.signal])).catch(() => undefined)]); // woken or stopped: the loop sees which
      stop.abort();
    }
  }
}
