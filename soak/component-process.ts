// A component alone, the controller manager or the scheduler, as a process that can be killed, on an API server of any address.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../apiserver/storage/etcd-fixture.ts';

export interface ComponentProcess {
  readonly name: string;
  /** A page of its own port; throws when it is not served. */
  page(path: string): Promise<string>;
  /** Exit code, or the name of the signal; undefined while it runs. */
  ended(): number | string | undefined;
  /** Resolves when the process is gone. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  log(): string;
}

/** `server` is reached without credentials. The process ends with this one. */
export async function startComponent({ component, folder, name, server, flags }: { component: 'controllers' | 'scheduler'; folder: string; name: string; server: string; flags: readonly string[] }): Promise<ComponentProcess> {
  const kubeconfig = join(folder, `${name}.kubeconfig`);
  writeFileSync(kubeconfig, JSON.stringify({
    'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'c', 'contexts': [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    'clusters': [{ name: 'c', cluster: { server } }], 'users': [{ name: 'u', user: {} }],
  }));
  const port = await freePort();
  const logFile = join(folder, `${name}.log`);
  const log = openSync(logFile, 'a');
  const main = fileURLToPath(new URL(`../${component}/main.ts`, import.meta.url));
  const own = ['--kubeconfig', kubeconfig, '--secure-port', String(port), '--authorization-always-allow-paths', '/healthz,/readyz,/metrics'];
  const child: ChildProcess = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, main, ...own, ...flags], { stdio: ['ignore', log, log], env: { ...process.env, LOG: 'warn,informer=error' } });
  closeSync(log);
  const exited = once(child, 'exit');
  return {
    name,
    page: (path) => new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false, timeout: 5000 }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('error', reject)
          .on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new Error(`${path}: ${response.statusCode} ${text}`))));
      }).on('error', reject).end();
    }),
    ended: () => child.exitCode ?? child.signalCode ?? undefined,
    async stop(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await exited;
    },
    log: () => readFileSync(logFile, 'utf8'),
  };
}

/** False when it cannot be asked, as one that has just started. */
export async function isLeading(one: ComponentProcess): Promise<boolean> {
  try {
    return /^leader_election_master_status\{.*\} 1$/m.test(await one.page('/metrics'));
  } catch {
    return false;
  }
}
export async function isReady(one: ComponentProcess): Promise<boolean> {
  return one.page('/readyz').then(() => true, () => false);
}
