// Parts of ready-made JSON, found without parsing it.
import type { KubeObject } from '#machinery/api/object.ts';

/** Where the list or object ends that begins at `start`. */
export function endOfValue(bytes: Buffer, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length; at += 1) {
    switch (bytes[at]) {
      case 0x22: // a string: on to its end
        for (at += 1; bytes[at] !== 0x22; at += 1) if (bytes[at] === 0x5c) at += 1;
        break;
      case 0x5b: case 0x7b: depth += 1; break;
      case 0x5d: case 0x7d:
        depth -= 1;
        if (depth === 0) return at + 1;
        break;
      default:
    }
  }
  throw new Error('the bytes of an object end in the middle of a value');
}

const member = ',"metadata":';

/** The metadata of an object as it stands in its bytes; undefined where other members than kind and version come first. */
export function metadataText({ kind = '', apiVersion = '' }: Readonly<KubeObject>, bytes: Buffer): string | undefined {
  const at = '{"kind":"","apiVersion":""'.length + kind.length + apiVersion.length;
  if (bytes.toString('latin1', at, at + member.length) !== member) return undefined;
  const start = at + member.length;
  return bytes.toString('utf8', start, endOfValue(bytes, start));
}
