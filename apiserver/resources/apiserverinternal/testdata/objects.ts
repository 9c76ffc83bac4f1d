// An object that holds every field, as base of the cases in rules.json.
const condition = { type: 'AllEncodingVersionsEqual', status: 'True', observedGeneration: 1, lastTransitionTime: '2026-01-01T00:00:00Z', reason: 'R', message: 'm' };
export const objects: Readonly<Record<string, { id: string; object: Record<string, unknown> }>> = {
  'storage version': { id: 'storageversions.internal.apiserver.k8s.io', object: { metadata: { name: 'apps.deployments' }, spec: {}, status: {
    storageVersions: [{ apiServerID: 'a', encodingVersion: 'apps/v1', decodableVersions: ['apps/v1', 'apps/v1beta1'], servedVersions: ['apps/v1'] }, { apiServerID: 'b', encodingVersion: 'apps/v1', decodableVersions: ['apps/v1'] }],
    commonEncodingVersion: 'apps/v1', conditions: [condition, { ...condition, type: 'Other' }],
  } } },
};
