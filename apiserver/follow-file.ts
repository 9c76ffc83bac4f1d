// A configuration file that is taken again when it changes.
import { readFile } from 'node:fs/promises';
import { systemClock } from '#machinery/base/clock.ts';
import type { Clock } from '#machinery/base/clock.ts';
import { createLogger } from '#machinery/base/log.ts';

const log = createLogger('config');
const lookEveryMs = 60_000;

/** Calls `take` with each new text until the signal aborts. One that it throws at is told once, and what was stays in use. */
export async function followFile(file: string, current: string, take: (text: string) => Promise<void>, signal: AbortSignal, clock: Pick<Clock, 'sleep'> = systemClock): Promise<void> {
  for (let told = ''; ;) {
    try {
      await clock.sleep(lookEveryMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    try {
      const text = await readFile(file, 'utf8');
      if (text === current) continue;
      await take(text);
      [current, told] = [text, ''];
      log.info('a configuration file changed and is in use', { file });
    } catch (error) {
      if (signal.aborted) return;
      if (String(error) !== told) log.error('a configuration file cannot be used; what was before stays', { file, error });
      told = String(error);
    }
  }
}
