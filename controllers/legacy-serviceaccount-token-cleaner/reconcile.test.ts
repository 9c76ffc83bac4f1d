import { expect } from 'chai';
import type { Pod, Secret, ServiceAccount } from '#machinery/api/object.ts';
import { nextStep, secretsOf, tellsFrom } from './reconcile.ts';

const day = 86_400_000;
const keptMs = 10 * day;
const now = Date.UTC(2026, 5, 30);
const account: ServiceAccount = { metadata: { name: 'a', namespace: 'n', uid: 'u' }, secrets: [{ name: 's' }] };
const secret = (labels: Record<string, string> = {}, more: Partial<Secret['metadata']> = {}): Secret => ({
  type: 'kubernetes.io/service-account-token',
  metadata: { name: 's', namespace: 'n', creationTimestamp: '2026-01-01T00:00:00Z', labels, annotations: { 'kubernetes.io/service-account.name': 'a', 'kubernetes.io/service-account.uid': 'u' }, ...more },
});
const lastUsed = 'kubernetes.io/legacy-token-last-used';
const invalidSince = 'kubernetes.io/legacy-token-invalid-since';

describe('nextStep() of a legacy token', () => {
  const cases: [title: string, secret: Secret, step: string, more?: { account?: ServiceAccount | undefined; used?: string[] }][] = [
    ['marks one that was never used', secret(), 'mark'],
    ['marks one that was used long ago', secret({ [lastUsed]: '2026-06-01' }), 'mark'],
    ['keeps one that was used lately', secret({ [lastUsed]: '2026-06-20' }), 'keep'],
    ['keeps one whose last use cannot be read', secret({ [lastUsed]: 'yesterday' }), 'keep'],
    ['keeps a young one', secret({}, { creationTimestamp: '2026-06-25T00:00:00Z' }), 'keep'],
    ['keeps one that is being deleted', secret({}, { deletionTimestamp: 'now' }), 'keep'],
    ['keeps one of another type', { ...secret(), type: 'Opaque' }, 'keep'],
    ['keeps one without its account', secret(), 'keep', { account: undefined }],
    ['keeps one of an earlier account of the name', secret({}, { annotations: { 'kubernetes.io/service-account.name': 'a', 'kubernetes.io/service-account.uid': 'old' } }), 'keep'],
    ['keeps one that somebody made', secret(), 'keep', { account: { metadata: account.metadata } }],
    ['keeps one that a pod uses', secret(), 'keep', { used: ['s'] }],
    ['waits after it was marked', secret({ [invalidSince]: '2026-06-21' }), 'keep'],
    ['deletes it in the end', secret({ [invalidSince]: '2026-06-19' }), 'delete'],
    ['marks it anew when the mark cannot be read', secret({ [invalidSince]: 'soon' }), 'mark'],
  ];
  for (const [title, object, step, more] of cases) {
    it(title, () => expect(nextStep(object, { account: more && 'account' in more ? more.account : account, used: () => new Set(more?.used), now, keptMs })).to.equal(step));
  }
});

it('tellsFrom() counts from the day after tracking began', () => {
  expect(tellsFrom({ since: '2026-06-01' }, keptMs)).to.equal(Date.UTC(2026, 5, 12));
  expect([tellsFrom(undefined, keptMs), tellsFrom({}, keptMs), tellsFrom({ since: 'June' }, keptMs)]).to.deep.equal([undefined, undefined, undefined]);
});

it('secretsOf() finds every way to speak of a Secret', () => {
  const spec = {
    imagePullSecrets: [{ name: 'pull' }],
    initContainers: [{ name: 'i', env: [{ name: 'E', valueFrom: { secretKeyRef: { name: 'key', key: 'k' } } }] }],
    containers: [{ name: 'c', envFrom: [{ secretRef: { name: 'from' } }, { configMapRef: { name: 'not-this' } }] }],
    volumes: [
      { name: 'v', secret: { secretName: 'volume' } }, { name: 'p', projected: { sources: [{ secret: { name: 'projected' } }] } },
      { name: 'csi', csi: { driver: 'd', nodePublishSecretRef: { name: 'publish' } } }, { name: 'iscsi', iscsi: { iqn: 'i', lun: 0, targetPortal: 't', secretRef: { name: 'iscsi' } } },
    ],
  };
  expect([...secretsOf({ metadata: {}, spec } as Pod)].sort()).to.deep.equal(['from', 'iscsi', 'key', 'projected', 'publish', 'pull', 'volume']);
});
