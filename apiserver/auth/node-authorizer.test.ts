import { expect } from 'chai';
import { bootstrapRbac } from '../bootstrap/rbac-data.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import { createFakeBackend, fakeInfo } from './fake-backend.ts';
import { createNodeAuthorizer } from './node-authorizer.ts';

const node: UserInfo = { name: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] };
const container = { name: 'c', image: 'i' };
const backend = createFakeBackend({
  pods: [
    {
      metadata: { namespace: 'a', name: 'mine', uid: '1' },
      spec: {
        nodeName: 'n1', serviceAccountName: 'robot', imagePullSecrets: [{ name: 'pull' }],
        initContainers: [{ ...container, env: [{ name: 'E', valueFrom: { secretKeyRef: { name: 'env', key: 'k' } } }] }],
        containers: [{ ...container, envFrom: [{ configMapRef: { name: 'settings' } }] }],
        volumes: [
          { name: 'v', secret: { secretName: 'vol' } }, { name: 'd', persistentVolumeClaim: { claimName: 'data' } },
          { name: 'p', projected: { sources: [{ configMap: { name: 'root-ca' } }, { secret: { name: 'proj' } }] } },
          { name: 'eph', ephemeral: {} },
        ],
      },
    },
    { metadata: { namespace: 'a', name: 'theirs', uid: '2' }, spec: { nodeName: 'n2', serviceAccountName: 'other', containers: [], volumes: [{ name: 'v', secret: { secretName: 'far' } }] } },
    { metadata: { namespace: 'a', name: 'mirror', uid: '3', annotations: { 'kubernetes.io/config.mirror': 'x' } }, spec: { nodeName: 'n1', containers: [], volumes: [{ name: 'v', secret: { secretName: 'trick' } }] } },
    { metadata: { namespace: 'a', name: 'waiting', uid: '4' }, spec: { containers: [], volumes: [{ name: 'v', secret: { secretName: 'pending' } }] } },
  ],
  persistentvolumes: [
    { metadata: { name: 'pv1' }, spec: { claimRef: { namespace: 'a', name: 'data' }, csi: { driver: 'd', nodePublishSecretRef: { namespace: 'storage', name: 'mount' }, controllerPublishSecretRef: { namespace: 'storage', name: 'control' } } } },
    { metadata: { name: 'pv2' }, spec: { claimRef: { namespace: 'a', name: 'elsewhere' } } },
    { metadata: { name: 'pv3' }, spec: { claimRef: { namespace: 'a', name: 'data' }, iscsi: { secretRef: { name: 'chap' } } } },
  ],
});
const authorizer = createNodeAuthorizer(backend, bootstrapRbac.clusterRoles['system:node']?.rules ?? []);
const ask = (info: Partial<RequestInfo>, user = node): string => {
  const decision = authorizer.authorize(user, fakeInfo(info));
  if (decision instanceof Promise) throw new Error('expected an answer without a promise');
  return decision.allowed ? 'yes' : `no: ${decision.reason}`;
};
const unrelated = "no: no relationship found between node 'n1' and this object";

describe('createNodeAuthorizer()', () => {
  const cases: [string, Partial<RequestInfo>, string][] = [
    ['its own Node', { resource: 'nodes', name: 'n1' }, 'yes'],
    ['another Node', { resource: 'nodes', name: 'n2' }, "no: node 'n1' cannot read 'n2', only its own Node object"],
    ['all Nodes', { resource: 'nodes', verb: 'list' }, "no: node 'n1' cannot read all nodes, only its own Node object"],
    ['writing a Node status', { resource: 'nodes', subresource: 'status', verb: 'patch', name: 'n1' }, 'yes'],
    ['deleting a Node', { resource: 'nodes', verb: 'delete', name: 'n1' }, 'no: '],
    ['its own pods', { resource: 'pods', verb: 'watch', fieldSelector: 'spec.nodeName=n1' }, 'yes'],
    ['its own pods, with more to it', { resource: 'pods', verb: 'list', fieldSelector: 'status.phase!=Failed,spec.nodeName==n1' }, 'yes'],
    ['pods not on it', { resource: 'pods', verb: 'list', fieldSelector: 'spec.nodeName!=n1' }, 'no: can only list/watch pods with spec.nodeName field selector'],
    ['pods of another node', { resource: 'pods', verb: 'list', fieldSelector: 'spec.nodeName=n2' }, 'no: can only list/watch pods with spec.nodeName field selector'],
    ['a pod on it', { resource: 'pods', namespace: 'a', name: 'mine' }, 'yes'],
    ['a pod elsewhere', { resource: 'pods', namespace: 'a', name: 'theirs' }, unrelated],
    ['a pod status', { resource: 'pods', subresource: 'status', verb: 'patch', namespace: 'a', name: 'mine' }, 'yes'],
    ['exec', { resource: 'pods', subresource: 'exec', verb: 'create', namespace: 'a', name: 'mine' }, 'no: '],
    ['a secret of a volume', { resource: 'secrets', namespace: 'a', name: 'vol' }, 'yes'],
    ['a secret of an environment', { resource: 'secrets', namespace: 'a', name: 'env' }, 'yes'],
    ['a secret of a projection', { resource: 'secrets', namespace: 'a', name: 'proj' }, 'yes'],
    ['a pull secret', { resource: 'secrets', namespace: 'a', name: 'pull' }, 'yes'],
    ['watching one secret', { resource: 'secrets', verb: 'watch', namespace: 'a', name: 'vol' }, 'yes'],
    ['a secret of the same name elsewhere', { resource: 'secrets', namespace: 'b', name: 'vol' }, unrelated],
    ['a secret of another node', { resource: 'secrets', namespace: 'a', name: 'far' }, unrelated],
    ['a secret that only a mirror pod names', { resource: 'secrets', namespace: 'a', name: 'trick' }, unrelated],
    ['a secret of a pod without node', { resource: 'secrets', namespace: 'a', name: 'pending' }, unrelated],
    ['all secrets of a namespace', { resource: 'secrets', verb: 'list', namespace: 'a' }, 'no: No Object name found'],
    ['all secrets', { resource: 'secrets', verb: 'list' }, 'no: can only read namespaced object of this type'],
    ['writing a secret', { resource: 'secrets', verb: 'update', namespace: 'a', name: 'vol' }, 'no: can only read resources of this type'],
    ['a secret that mounts a volume', { resource: 'secrets', namespace: 'storage', name: 'mount' }, 'yes'],
    ['a secret of the volume controller', { resource: 'secrets', namespace: 'storage', name: 'control' }, unrelated],
    ['a volume secret in the namespace of its claim', { resource: 'secrets', namespace: 'a', name: 'chap' }, 'yes'],
    ['one of that name in another namespace', { resource: 'secrets', namespace: 'b', name: 'chap' }, unrelated],
    ['a config map', { resource: 'configmaps', namespace: 'a', name: 'settings' }, 'yes'],
    ['a projected config map', { resource: 'configmaps', namespace: 'a', name: 'root-ca' }, 'yes'],
    ['another config map', { resource: 'configmaps', namespace: 'a', name: 'x' }, unrelated],
    ['a claim', { resource: 'persistentvolumeclaims', namespace: 'a', name: 'data' }, 'yes'],
    ['an ephemeral claim', { resource: 'persistentvolumeclaims', namespace: 'a', name: 'mine-eph' }, 'yes'],
    ['another claim', { resource: 'persistentvolumeclaims', namespace: 'a', name: 'x' }, unrelated],
    ['a volume of a claim', { resource: 'persistentvolumes', name: 'pv1' }, 'yes'],
    ['another volume', { resource: 'persistentvolumes', name: 'pv2' }, unrelated],
    ['a token', { resource: 'serviceaccounts', subresource: 'token', verb: 'create', namespace: 'a', name: 'robot' }, 'yes'],
    ['a token of another account', { resource: 'serviceaccounts', subresource: 'token', verb: 'create', namespace: 'a', name: 'other' }, unrelated],
    ['its lease', { group: 'coordination.k8s.io', resource: 'leases', verb: 'update', namespace: 'kube-node-lease', name: 'n1' }, 'yes'],
    ['another lease', { group: 'coordination.k8s.io', resource: 'leases', verb: 'update', namespace: 'kube-node-lease', name: 'n2' }, 'no: can only access node lease with the same name as the requesting node'],
    ['a lease elsewhere', { group: 'coordination.k8s.io', resource: 'leases', verb: 'get', namespace: 'kube-system', name: 'n1' }, 'no: can only access leases in the "kube-node-lease" system namespace'],
    ['services', { resource: 'services', verb: 'watch' }, 'yes'],
    ['deployments', { group: 'apps', resource: 'deployments', verb: 'list' }, 'no: '],
    ['a path', { isResourceRequest: false, path: '/metrics' }, 'no: '],
  ];
  for (const [what, info, expected] of cases) it(`${what}: ${expected.slice(0, 3)}`, () => expect(ask(info)).to.equal(expected));

  it('is silent about others', () => {
    expect(ask({ resource: 'services', verb: 'list' }, { name: 'system:node:n1', groups: [] })).to.equal('no: ');
    expect(ask({ resource: 'services', verb: 'list' }, { name: 'ann', groups: ['system:nodes'] })).to.equal('no: ');
    expect(ask({ resource: 'services', verb: 'list' }, { name: 'system:node:', groups: ['system:nodes'] })).to.equal('no: unknown node for user "system:node:"');
  });
});
