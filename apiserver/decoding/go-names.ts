// Names of Go types where upstream's messages show them.

/** `core`, `rbac`: the package of a group's kinds inside upstream's server. */
export function goPackage(group: string): string {
  return group === '' ? 'core' : group.split('.')[0] ?? group;
}

/** `*core.Pod` */
export function goType(group: string, kind: string): string {
  return `*${goPackage(group)}.${kind}`;
}
