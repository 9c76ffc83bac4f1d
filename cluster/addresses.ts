// The addresses that a cluster owns on this machine: /32s of --node-cidr on lo, closed to packets from outside the machine.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StartError } from './locks.ts';

const run = promisify(execFile);
const comment = 'proa node addresses';

async function ignoring(pattern: RegExp, file: string, args: string[]): Promise<void> {
  try {
    await run(file, args, { timeout: 10_000 });
  } catch (cause) {
    const text = cause instanceof Error ? `${cause.message} ${String((cause as { stderr?: unknown }).stderr ?? '')}` : String(cause);
    if (pattern.test(text)) return;
    throw cause;
  }
}

/** One `ip` for all of it: each child process is 10 ms of the start. */
async function batch(commands: readonly string[]): Promise<void> {
  const running = run('ip', ['-batch', '-'], { timeout: 10_000 });
  running.child.stdin?.on('error', () => {}); // the child's own end says what was wrong
  running.child.stdin?.end(`${commands.join('\n')}\n`);
  await running;
}

/** Packets for our addresses that come in over a real device are dropped before NAT, but for those of pods (`clusterCidr`). */
const guard = (nodeCidr: string, clusterCidr: string): string[] =>
  ['PREROUTING', '-d', nodeCidr, '!', '-i', 'lo', '!', '-s', clusterCidr, '-m', 'comment', '--comment', comment, '-j', 'DROP'];

/** Idempotent: addresses that are there already (after kill -9) are kept. */
export async function addAddresses(addresses: readonly string[], nodeCidr: string, clusterCidr: string): Promise<void> {
  try {
    const rule = guard(nodeCidr, clusterCidr);
    await Promise.all([
      batch(['link set lo up', ...addresses.map((address) => `address replace ${address}/32 dev lo`)]),
      run('iptables', ['-w', '5', '-t', 'raw', '-C', ...rule], { timeout: 10_000 }).catch(() => run('iptables', ['-w', '5', '-t', 'raw', '-I', ...rule], { timeout: 10_000 })),
    ]);
  } catch (cause) {
    const missing = cause instanceof Error && (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new StartError(missing
      ? 'the programs ip and iptables are needed for real containers: apt-get install iproute2 iptables'
      : `cannot add the addresses ${addresses.join(', ')} to lo (root is needed): ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** Idempotent too. */
export async function removeAddresses(addresses: readonly string[], nodeCidr: string, clusterCidr: string): Promise<void> {
  await Promise.all([
    ...addresses.map((address) => ignoring(/Cannot assign requested address|Address not found/, 'ip', ['address', 'delete', `${address}/32`, 'dev', 'lo'])),
    ignoring(/does a matching rule exist|Bad rule|No chain/, 'iptables', ['-w', '5', '-t', 'raw', '-D', ...guard(nodeCidr, clusterCidr)]),
  ]);
}
