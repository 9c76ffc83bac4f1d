// What a cluster must undo or add around the bridge that Docker makes: isolation between bridges, hairpin, forwarding, masquerading.
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Logger } from '#machinery/base/log.ts';

const run = promisify(execFile);

export interface BridgeOptions { name: string; podCidr: string; clusterCidr: string; owner: string; log: Logger }
export interface Bridge {
  /** First address of the pod CIDR. */
  gateway: string;
  ensure(signal: AbortSignal): Promise<void>;
  /** Lets every pod on the bridge reach itself through a Service. */
  hairpin(): Promise<void>;
  removeRules(signal: AbortSignal): Promise<void>;
}

/** `10.42.0.0/24` → `10.42.0.1` */
export function firstAddress(cidr: string): string {
  const [address = '', bits] = cidr.split('/');
  const parts = address.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255) || bits === undefined) throw new Error(`not an IPv4 CIDR: ${cidr}`);
  const number = parts.reduce((sum, part) => sum * 256 + part, 0) + 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}

export function createBridge({ name, podCidr, clusterCidr, owner, log }: BridgeOptions): Bridge {
  const comment = ['-m', 'comment', '--comment', `${owner}`];
  const rules = [
    // Engines from 28 on drop what comes for a container over any other device than its bridge, as from pods of other nodes.
    { table: 'raw', chain: 'PREROUTING', rule: ['-s', clusterCidr, '-d', podCidr, ...comment, '-j', 'ACCEPT'], first: true },
    // Docker drops what comes from another bridge or from a NodePort.
    { table: 'filter', chain: 'DOCKER-USER', rule: ['-o', name, ...comment, '-j', 'ACCEPT'], first: true },
    { table: 'nat', chain: 'POSTROUTING', rule: ['-s', podCidr, '!', '-d', clusterCidr, '-m', 'addrtype', '!', '--dst-type', 'LOCAL', ...comment, '-j', 'MASQUERADE'], first: false },
  ];
  const iptables = (...args: string[]): Promise<unknown> => run('iptables', ['-w', '10', ...args]);
  const sysctl = async (path: string, value: string): Promise<void> => {
    try {
      if ((await readFile(path, 'utf8')).trim() !== value) await writeFile(path, value);
    } catch (error) {
      log.warn('kernel setting not made', { path, value, error });
    }
  };
  let running: Promise<void> | undefined;
  let again = false;
  async function setHairpin(): Promise<void> {
    try {
      const ports = await readdir(`/sys/class/net/${name}/brif`);
      await Promise.all(ports.map((port) => writeFile(`/sys/class/net/${name}/brif/${port}/hairpin_mode`, '1')));
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== 'ENOENT' && code !== 'EROFS') throw error;
    }
    // /sys shows another network namespace than ours, or a port went away: ask the kernel by netlink.
    const { stdout } = await run('bridge', ['-j', '-d', 'link', 'show']);
    for (const port of JSON.parse(stdout) as { ifname: string; master?: string; hairpin?: boolean }[]) {
      if (port.master !== name || port.hairpin === true) continue;
      await run('bridge', ['link', 'set', 'dev', port.ifname, 'hairpin', 'on']).catch((error: unknown) => log.debug('port went away', { port: port.ifname, error }));
    }
  }
  return {
    gateway: firstAddress(podCidr),
    async ensure(signal) {
      await Promise.all([sysctl('/proc/sys/net/ipv4/ip_forward', '1'), sysctl('/proc/sys/net/bridge/bridge-nf-call-iptables', '1')]);
      for (const { table, chain, rule, first } of rules) {
        signal.throwIfAborted();
        try {
          await iptables('-t', table, '-C', chain, ...rule);
        } catch {
          await iptables('-t', table, first ? '-I' : '-A', chain, ...rule);
        }
      }
    },
    async hairpin() {
      // Many pods start together; one more round after the current one covers them all.
      if (running) {
        again = true;
        return running;
      }
      const rounds = async (): Promise<void> => {
        do {
          again = false;
          await setHairpin();
        } while (again);
      };
      running = rounds().finally(() => (running = undefined));
      return running;
    },
    async removeRules(signal) {
      for (const { table, chain, rule } of rules) {
        signal.throwIfAborted();
        for (let found = true; found;) {
          try {
            await iptables('-t', table, '-D', chain, ...rule);
          } catch {
            found = false; // none left
          }
        }
      }
    },
  };
}
