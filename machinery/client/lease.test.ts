import { expect } from 'chai';
import type { Lease } from '../api/object.ts';
import { notFound, staleConflict } from '../api/status.ts';
import { aborted } from '../base/abort.ts';
import { LeadershipLost, runAsLeader } from './lease.ts';
import type { Client } from './types.ts';

/** One lease with compare-and-set, as the API server keeps it. Differs: no validation, no other objects. */
function fakeApi(): { client: Client; lease: () => Lease | undefined; break(): void } {
  let stored: Lease | undefined;
  let broken = false;
  let version = 0;
  const save = (lease: Lease): Promise<Lease> => {
    stored = { ...lease, metadata: { ...lease.metadata, resourceVersion: String((version += 1)) } };
    return Promise.resolve(stored);
  };
  const down = (): void => {
    if (broken) throw new Error('connection refused');
  };
  const client = {
    async get() {
      down();
      if (!stored) throw notFound({ group: 'coordination.k8s.io', resource: 'leases' }, 'l');
      return stored;
    },
    async create(_r: unknown, _n: string, lease: Lease) {
      down();
      return save(lease);
    },
    async update(_r: unknown, _n: string, name: string, lease: Lease) {
      down();
      if (lease.metadata.resourceVersion !== stored?.metadata.resourceVersion) throw staleConflict({ group: 'coordination.k8s.io', resource: 'leases' }, name);
      return save(lease);
    },
  } as unknown as Client; // an election uses no more
  return { client, lease: () => stored, break: () => (broken = true) };
}
/** Short times, so that the tests run on the real clock. */
const times = { leaseDurationMs: 60, renewDeadlineMs: 40, retryPeriodMs: 5 };
const options = (client: Client, identity: string) => ({ client, namespace: 'kube-system', name: 'l', identity, ...times });

describe('runAsLeader()', () => {
  it('leads, renews, and gives the lease back', async () => {
    const api = fakeApi();
    const stop = new AbortController();
    let version = 0;
    await runAsLeader(options(api.client, 'one'), async (signal) => {
      expect(api.lease()?.spec).to.include({ holderIdentity: 'one', leaseTransitions: 0 });
      while (version < 3) {
        version = Number(api.lease()?.metadata.resourceVersion);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      stop.abort();
      await aborted(signal);
    }, stop.signal);
    expect(api.lease()?.spec).to.include({ holderIdentity: '', leaseDurationSeconds: 1 });
  });
  it('waits while another leads, and takes over when that one stops renewing', async () => {
    const api = fakeApi();
    await api.client.create({} as never, '', { metadata: { name: 'l' }, spec: { holderIdentity: 'dead', leaseDurationSeconds: 0.05, leaseTransitions: 4 } }, new AbortController().signal);
    const startedAt = Date.now();
    await runAsLeader(options(api.client, 'two'), async () => {
      expect(api.lease()?.spec).to.include({ holderIdentity: 'two', leaseTransitions: 5 });
    }, new AbortController().signal);
    expect(Date.now() - startedAt).to.be.at.least(49);
  });
  it('takes its own lease back at once', async () => {
    const api = fakeApi();
    await api.client.create({} as never, '', { metadata: { name: 'l' }, spec: { holderIdentity: 'one', leaseDurationSeconds: 1000, leaseTransitions: 4 } }, new AbortController().signal);
    let transitions: number | undefined;
    await runAsLeader(options(api.client, 'one'), async () => {
      transitions = api.lease()?.spec?.leaseTransitions;
    }, AbortSignal.timeout(1000));
    expect(transitions).to.equal(4);
  });
  it('throws LeadershipLost when it cannot renew in time', async () => {
    const api = fakeApi();
    let stopped = false;
    let error: unknown;
    try {
      await runAsLeader(options(api.client, 'one'), async (signal) => {
        api.break();
        await aborted(signal);
        stopped = true;
      }, new AbortController().signal);
    } catch (caught) {
      error = caught;
    }
    expect(error).to.be.instanceOf(LeadershipLost);
    expect(stopped).to.equal(true);
  });
  it('ends without leading when the signal aborts first', async () => {
    const api = fakeApi();
    api.break();
    await runAsLeader(options(api.client, 'one'), () => Promise.reject(new Error('must not lead')), AbortSignal.timeout(15));
  });
});
