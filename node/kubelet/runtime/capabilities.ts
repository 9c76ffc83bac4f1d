// Which capabilities this machine cannot give: what is missing from our own bounding set is missing from the engine's too.
import { readFileSync } from 'node:fs';

const names = [
  'CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP', 'LINUX_IMMUTABLE', 'NET_BIND_SERVICE',
  'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER', 'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN',
  'SYS_BOOT', 'SYS_NICE', 'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP', 'MAC_OVERRIDE',
  'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ',
];

/** Names without CAP_, of those that every kernel we run on knows. */
export function missingCapabilities(status = readFileSync('/proc/self/status', 'utf8')): string[] {
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? 'ffffffffffffffff'}`);
  return names.filter((_name, bit) => (bounding & (1n << BigInt(bit))) === 0n);
}

/** For an event of the Node: what pods on this machine cannot have. */
export function missingCapabilitiesMessage(missing: readonly string[]): string {
  const list = missing.map((name) => `CAP_${name}`).join(', ');
  return `This machine cannot give ${list}: containers go without, also privileged ones${missing.includes('SYS_RESOURCE') ? ', and none is protected from the OOM killer by a negative score' : ''}`;
}
