// --encryption-provider-config: the store with what that file says, taken again when it changes if that is asked for.
import { readFile } from 'node:fs/promises';
import { sleep } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';
import { StartError } from '#machinery/base/start-error.ts';
import apiResources from '../../resources/api-resources.json' with { type: 'json' };
import type { Storage } from '../storage.ts';
import { parseEncryptionConfiguration } from './configuration.ts';
import { encryptingStorage } from './encrypting-storage.ts';

const log = createLogger('encryption');
const lookEveryMs = 60_000;

export interface EncryptionOptions {
  file: string;
  /** Looks at the file once a minute; one that cannot be used leaves what was. */
  reload: boolean;
}

/** Throws StartError when the file cannot be read or used; the store is closed then. */
export async function encrypt(storage: Storage, { file, reload }: EncryptionOptions, signal: AbortSignal, everyMs = lookEveryMs): Promise<Storage> {
  let text = '';
  const read = async (): Promise<Awaited<ReturnType<typeof parseEncryptionConfiguration>>> => {
    text = await readFile(file, 'utf8');
    return parseEncryptionConfiguration(text, apiResources.resources.map(({ group, plural }) => ({ group, resource: plural })));
  };
  let rules: Awaited<ReturnType<typeof read>>;
  try {
    rules = await read();
  } catch (cause) {
    await storage.close();
    throw new StartError(`--encryption-provider-config ${file} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  async function follow(): Promise<void> {
    for (let told = ''; ;) {
      await sleep(everyMs, signal);
      const before = text;
      try {
        const found = await read();
        told = '';
        if (text === before) continue;
        rules = found;
        log.info('the encryption configuration changed and is in use; write objects again to have them encrypted by it', { file });
      } catch (error) {
        if (String(error) !== told) log.error('the encryption configuration cannot be used any more; the one before stays', { file, error });
        told = String(error);
      }
    }
  }
  if (reload) follow().catch((error: unknown) => signal.aborted || log.error('the encryption configuration is not looked at any more', { error }));
  return encryptingStorage(storage, () => rules);
}
