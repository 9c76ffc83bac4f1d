// Several API servers on one etcd, each a process of its own on a loopback address of its own; they can be killed and started again.
import { spawn, type ChildProcess } from 'node:child_process';
import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '#machinery/base/abort.ts';
import { createClient } from '#machinery/client/client.ts';
import type { Client } from '#machinery/client/types.ts';
import { createCa, createTokenKeys, issueCertificate } from '#machinery/pki/pki.ts';
import { freePort } from '../apiserver/storage/etcd-fixture.ts';

export interface FleetServer {
  readonly client: Client;
  /** What it publishes as its endpoint. */
  readonly advertised: string;
  start(): Promise<void>;
  /** Resolves when the process is gone. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

export async function createFleet({ folder, etcd, size, flags = [] }: { folder: string; etcd: readonly string[]; size: number; flags?: readonly string[] }): Promise<FleetServer[]> {
  const ca = await createCa('soak');
  const addresses = Array.from({ length: size }, (_, index) => `127.0.0.${index + 1}`);
  const [serving, admin, tokens] = await Promise.all([
    issueCertificate(ca, { commonName: 'apiserver', usages: ['server', 'client'], ips: addresses }),
    issueCertificate(ca, { commonName: 'admin', organizations: ['system:masters'], usages: ['client'] }),
    createTokenKeys(),
  ]);
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  // One port for all, as the endpoints of a Service have it.
  const port = await freePort();
  const shared = [
    '--etcd-servers', etcd.join(','), '--secure-port', String(port), '--tls-cert-file', file('serving.crt', serving.cert), '--tls-private-key-file', file('serving.key', serving.key),
    '--client-ca-file', file('ca.crt', ca.cert), '--service-account-signing-key-file', file('tokens.key', tokens.privateKey), ...flags,
  ];
  return addresses.map((address, index) => {
    const advertised = `192.0.2.${index + 1}`;
    let child: ChildProcess | undefined;
    const client = createClient({ server: `https://${address}:${port}`, ca: ca.cert, cert: admin.cert, key: admin.key });
    return {
      client, advertised,
      async start() {
        const log = openSync(join(folder, `server-${index}.log`), 'a');
        const cli = fileURLToPath(new URL('../cluster/cli.ts', import.meta.url));
        const own = child = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, cli, 'apiserver', ...shared, '--bind-address', address, '--advertise-address', advertised], { stdio: ['ignore', log, log] });
        await eventually(AbortSignal.timeout(20_000), async () => {
          if (own.exitCode !== null) throw new Error(`an API server ended by itself with ${own.exitCode}`);
          try {
            return (await client.raw('GET', '/readyz', AbortSignal.timeout(2000))).status === 200;
          } catch {
            return false; // not yet
          }
        });
      },
      async stop(signal) {
        const own = child;
        child = undefined;
        if (!own || own.exitCode !== null || own.signalCode !== null) return;
        const gone = new Promise((resolve) => own.once('exit', resolve));
        own.kill(signal);
        await gone;
      },
    };
  });
}
