// The sandbox's only process, made here so that no registry is needed: a static ELF of a few instructions in an image of one file.
// It blocks SIGTERM, SIGINT and SIGCHLD and waits for them: children that ended are reaped (it is process 1 when a pod
// shares its process namespace), anything else ends it with exit code 0.

export const pauseImage = 'proa/pause:1';

/** rt_sigprocmask(block, set); forever: rt_sigtimedwait(set), wait4(-1, WNOHANG) until nothing is left, or exit(0). */
const code = {
  x64: {
    machine: 62,
    text: 'b80e00000031ff488d354a00000031d26a08415a0f05b880000000488d3d3600000031f631d26a08415a0f0583f811740d85c078e131ffb83c0000000f05'
      + 'b83d0000006aff5f31f66a015a4531d20f0585c07feaebc066900240010000000000',
  },
  arm64: {
    machine: 183,
    text: 'e81080d2000080d241030010020080d2030180d2010000d4281180d2a0020010010080d2020080d2030180d2010000d41f4400f1a000005400ffffb7'
      + '000080d2a80b80d2010000d4882080d200008092010080d2220080d2030080d2010000d41f0000f12cffff54ecffff171f2003d50240010000000000',
  },
} as const;
export type PauseArch = keyof typeof code;

const base = 0x400000n;
const headers = 64 + 56;

/** The program as an ELF64 file with one segment. */
export function pauseElf(arch: PauseArch): Buffer {
  const text = Buffer.from(code[arch].text, 'hex');
  const elf = Buffer.alloc(headers + text.length);
  const size = BigInt(elf.length);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]); // 64 bits, little endian, System V
  elf.writeUInt16LE(2, 16); // executable
  elf.writeUInt16LE(code[arch].machine, 18);
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(base + BigInt(headers), 24); // entry
  elf.writeBigUInt64LE(64n, 32); // program headers follow
  elf.writeUInt16LE(64, 52);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt16LE(64, 58);
  elf.writeUInt32LE(1, 64); // PT_LOAD
  elf.writeUInt32LE(5, 68); // read, execute
  elf.writeBigUInt64LE(base, 80);
  elf.writeBigUInt64LE(base, 88);
  elf.writeBigUInt64LE(size, 96);
  elf.writeBigUInt64LE(size, 104);
  elf.writeBigUInt64LE(0x10000n, 112);
  text.copy(elf, headers);
  return elf;
}

/** A tar with one executable file, as an image import takes it. */
export function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000755\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512), Buffer.alloc(1024)]);
}
