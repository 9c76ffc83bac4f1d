// An object that holds every field, as base of the cases in rules.json.
const time = '2026-01-01T00:00:00.000000Z';
export const objects: Readonly<Record<string, { id: string; object: Record<string, unknown> }>> = {
  candidate: { id: 'leasecandidates.coordination.k8s.io', object: { metadata: { name: 'x', namespace: 'n' }, spec: { leaseName: 'l', pingTime: time, renewTime: time, binaryVersion: '1.36.0', emulationVersion: '1.35.0', strategy: 'OldestEmulationVersion' } } },
  'candidate of another strategy': { id: 'leasecandidates.coordination.k8s.io', object: { metadata: { name: 'x', namespace: 'n' }, spec: { leaseName: 'l', binaryVersion: '1.36.0-rc.10', emulationVersion: '1.36.0-rc.2', strategy: 'example.com/newest' } } },
};
