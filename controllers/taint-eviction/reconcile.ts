// When a pod has to leave a node with NoExecute taints, without I/O. Upstream: pkg/controller/tainteviction.
import type { Pod, Taint, Toleration } from '#machinery/api/object.ts';

export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (!toleration.key && toleration.operator !== 'Exists') return false;
  switch (toleration.operator ?? 'Equal') {
    case 'Exists': return true;
    case 'Equal':
    case '': return (toleration.value ?? '') === (taint.value ?? '');
    case 'Gt':
    case 'Lt': {
      const [left, right] = [toleration.value ?? '', taint.value ?? ''];
      if (!/^-?\d+$/.test(left) || !/^-?\d+$/.test(right)) return false;
      return toleration.operator === 'Lt' ? BigInt(right) < BigInt(left) : BigInt(right) > BigInt(left);
    }
    default: return false;
  }
}

/** Milliseconds the pod may stay: 0 go now, Infinity stay. */
export function stayMs(pod: Pod, taints: readonly Taint[]): number {
  const acting = taints.filter(({ effect }) => effect === 'NoExecute');
  if (acting.length === 0) return Infinity;
  const used: Toleration[] = [];
  for (const taint of acting) {
    const matching = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return 0;
    used.push(...matching);
  }
  const seconds = used.map(({ tolerationSeconds }) => tolerationSeconds).filter((each) => each !== undefined && each !== null);
  return seconds.length === 0 ? Infinity : Math.max(0, Math.min(...seconds)) * 1000;
}
