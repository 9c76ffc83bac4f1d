import { expect } from 'chai';
import type { Pod, Service } from '#machinery/api/object.ts';
import { subsetsOf } from './reconcile.ts';

const service = (more: Partial<Service['spec']> = {}): Service => ({ metadata: { name: 's', namespace: 'a' }, spec: { clusterIP: '10.43.0.5', selector: { app: 'x' }, ports: [{ port: 80, targetPort: 'http', protocol: 'TCP' }], ...more } });
const pod = (index: number, ready = true, port = 8080, deleted = false): Pod => ({
  metadata: { name: `p${index}`, namespace: 'a', uid: `u${String(index).padStart(5, '0')}`, ...(deleted ? { deletionTimestamp: 'now' } : {}) },
  spec: { nodeName: 'n', containers: [{ name: 'c', ports: [{ name: 'http', containerPort: port, protocol: 'TCP' }] }] },
  status: { phase: 'Running', podIPs: [{ ip: `10.42.${Math.floor(index / 250)}.${index % 250}` }], conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
});

describe('subsetsOf()', () => {
  it('packs by ports, ready and not ready apart', () => {
    const { subsets } = subsetsOf(service(), [pod(3, false), pod(2), pod(1), pod(4, true, 9090)]);
    expect(subsets.map(({ addresses, notReadyAddresses, ports }) => [addresses?.map(({ ip }) => ip), notReadyAddresses?.map(({ ip }) => ip), ports])).to.deep.equal([
      [['10.42.0.1', '10.42.0.2'], ['10.42.0.3'], [{ port: 8080, protocol: 'TCP' }]],
      [['10.42.0.4'], undefined, [{ port: 9090, protocol: 'TCP' }]],
    ]);
  });
  it('leaves terminating pods out unless all are published', () => {
    expect(subsetsOf(service(), [pod(1, true, 80, true)]).subsets).to.deep.equal([]);
    expect(subsetsOf(service({ publishNotReadyAddresses: true }), [pod(1, false, 80, true)]).subsets[0]?.addresses).to.have.length(1);
  });
  it('has no ports for a headless service without any, and no subset for another', () => {
    expect(subsetsOf(service({ clusterIP: 'None', ports: [] }), [pod(1)]).subsets).to.have.length(1);
    expect(subsetsOf(service({ ports: [] }), [pod(1)]).subsets).to.deep.equal([]);
    expect(subsetsOf(service({ ports: [{ port: 80, targetPort: 'nope' }] }), [pod(1)]).subsets).to.deep.equal([]);
  });
  it('stops at 1,000 addresses, ready ones first', () => {
    const { subsets, truncated } = subsetsOf(service(), Array.from({ length: 1200 }, (_, index) => pod(index, index >= 600)));
    expect([truncated, subsets[0]?.addresses?.length, subsets[0]?.notReadyAddresses?.length]).to.deep.equal([true, 600, 400]);
  });
});
