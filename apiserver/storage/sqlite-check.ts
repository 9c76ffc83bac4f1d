// A worker thread that checks a large database while the engine already serves it: 1 MB takes about 0.8 ms.
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

const database = new DatabaseSync(workerData as string, { readOnly: true, timeout: 1000 }); // sqlite.ts passes the path
try {
  parentPort?.postMessage(database.prepare('PRAGMA integrity_check(1)').get()?.integrity_check);
} catch (error) {
  parentPort?.postMessage(error instanceof Error ? error.message : String(error));
} finally {
  database.close();
}
