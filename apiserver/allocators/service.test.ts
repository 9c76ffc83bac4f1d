import { expect } from 'chai';
import type { KubeObject, Service } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import { numberToAddress, parseRange } from '#machinery/base/address-range.ts';
import { createFakeBackend, fakeContext, fakeWrite, type FakeBackend } from '../auth/fake-backend.ts';
import type { ServerDeps } from '../backend.ts';
import type { Reservation } from '../resources/resource.ts';
import { staticBand } from './cluster-ips.ts';
import { createNodePortAllocation } from './node-ports.ts';
import { repairChanged, repairClusterIps, serviceOf } from './repair-cluster-ips.ts';
import { createNodePortRepair } from './repair-node-ports.ts';
import { createServiceAllocator, type ServiceAllocator } from './service.ts';

it('staticBand() keeps the low addresses for those who ask by number', () => {
  const dynamicFirst = (cidr: string): string | undefined => {
    const range = parseRange(cidr);
    return range && numberToAddress(range.first + staticBand(range), range.family);
  };
  expect(['10.43.0.0/16', '10.0.0.0/24', '10.0.0.0/28', 'fd00::/112'].map(dynamicFirst)).to.deep.equal(['10.43.1.1', '10.0.0.17', '10.0.0.1', 'fd00::101']);
});

describe('createServiceAllocator()', () => {
  let backend: FakeBackend;
  let allocator: ServiceAllocator;
  const signal = new AbortController().signal;
  let ports: { from: number; to: number };
  /** `other`: another server of the same cluster. */
  const make = async (range: string, portRange = { from: 30000, to: 32767 }, other = false): Promise<void> => {
    if (!other) backend = createFakeBackend();
    ports = portRange;
    if (!other) await createNodePortAllocation(ports, backend).replace(new Set(), 0n);
    const config = { serviceClusterIpRange: range, serviceNodePortRange: portRange } as ServerDeps['config']; // the two that it reads
    allocator = createServiceAllocator({ config, backend, signal });
  };
  beforeEach(() => make('10.43.0.0/24'));
  const takenPorts = async (): Promise<number[]> => [...(await createNodePortAllocation(ports, backend).read()).taken].map((offset) => offset + ports.from).toSorted((a, b) => a - b);

  const service = (name: string, spec: Record<string, unknown> = {}): Service =>
    ({ metadata: { name, namespace: 'a' }, spec: { type: 'ClusterIP', ports: [{ port: 80 }], ...spec } });
  const take = (object: Service, old?: Service, dryRun = false): Promise<Reservation | undefined> =>
    allocator.allocate(object as unknown as KubeObject, old as unknown as KubeObject | undefined, fakeWrite(backend, fakeContext(), dryRun));
  /** A write that happens. */
  const write = async (object: Service, old?: Service): Promise<Service> => {
    const reservation = await take(object, old);
    backend.put('services', object as unknown as KubeObject);
    await reservation?.commit();
    return object;
  };
  const remove = async (object: Service): Promise<void> => {
    backend.remove('services', 'a', object.metadata.name ?? '');
    await (await allocator.allocate(undefined, object as unknown as KubeObject, fakeWrite(backend)))?.commit();
  };
  const refusal = async (object: Service, old?: Service): Promise<string> => {
    try {
      await take(object, old);
    } catch (error) {
      if (error instanceof StatusError) return error.message;
      throw error;
    }
    return 'accepted';
  };
  const addresses = (): string[] => backend.cached('ipaddresses.networking.k8s.io').map((one) => one.metadata?.name ?? '');

  it('gives a cluster IP above the static band and keeps an IPAddress for it', async () => {
    const { spec } = await write(service('s'));
    expect(spec?.clusterIPs).to.deep.equal([spec?.clusterIP]);
    expect(Number(spec?.clusterIP?.split('.')[3])).to.be.within(17, 254);
    expect([spec?.ipFamilies, spec?.ipFamilyPolicy]).to.deep.equal([['IPv4'], 'SingleStack']);
    const [address] = backend.cached('ipaddresses.networking.k8s.io');
    expect(address?.metadata?.labels).to.deep.equal({ 'ipaddress.kubernetes.io/ip-family': 'IPv4', 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' });
    expect(address?.spec).to.deep.equal({ parentRef: { group: '', resource: 'services', namespace: 'a', name: 's' } });
  });
  it('never gives one address twice, uses the band last, then says that the range is full', async () => {
    await make('10.43.0.0/27');
    const all = await Promise.all(Array.from({ length: 30 }, (_, n) => write(service(`s${n}`))));
    expect(new Set(all.map((one) => one.spec?.clusterIP)).size).to.equal(30);
    expect(await refusal(service('more'))).to.equal('Internal error occurred: failed to allocate a serviceIP for Service "more": range is full');
    await remove(all[7] ?? service(''));
    expect((await write(service('again'))).spec?.clusterIP).to.equal(all[7]?.spec?.clusterIP);
  });
  for (const [what, clusterIP, text] of [
    ['taken', '10.43.0.5', '["10.43.0.5"]: failed to allocate IP 10.43.0.5: provided IP is already allocated'],
    ['outside', '10.44.0.5', '["10.44.0.5"]: failed to allocate IP 10.44.0.5: the provided network does not match the current range'],
    ['the broadcast', '10.43.0.255', '["10.43.0.255"]: failed to allocate IP 10.43.0.255: the provided network does not match the current range'],
  ] as const) {
    it(`refuses an address that is ${what}`, async () => {
      await write(service('first', { clusterIP: '10.43.0.5' }));
      expect(await refusal(service('s', { clusterIP }))).to.equal(`Service "s" is invalid: spec.clusterIPs: Invalid value: ${text}`);
    });
  }
  it('refuses malformed and contradictory fields before it takes anything', async () => {
    for (const [spec, text] of [
      [{ clusterIP: 'bogus' }, /clusterIPs\[0\]: Invalid value: "bogus": must be a valid IP address/],
      [{ clusterIP: '10.43.0.5', clusterIPs: ['10.43.0.6'] }, /first value must match `clusterIP`/],
      [{ clusterIPs: ['10.43.0.6'] }, /must be empty when `clusterIP` is not specified/],
      [{ clusterIP: '10.43.0.5', clusterIPs: ['10.43.0.5', '10.43.0.6'] }, /no more than one IP for each IP family/],
      [{ ipFamilies: ['IPv6'] }, /spec.ipFamilies\[0\]: Invalid value: "IPv6": not configured on this cluster/],
      [{ ipFamilyPolicy: 'RequireDualStack' }, /this cluster is not configured for dual-stack services/],
      [{ clusterIP: 'fd00::1' }, /IPv6 is not configured on this cluster/],
    ] as const) expect(await refusal(service('s', spec))).to.match(text);
    expect(addresses()).to.deep.equal([]);
  });
  it('gives nothing to headless Services and external names', async () => {
    const headless = await write(service('h', { clusterIP: 'None', selector: { a: 'b' } }));
    expect([headless.spec?.clusterIPs, headless.spec?.ipFamilies]).to.deep.equal([['None'], ['IPv4']]);
    expect((await write(service('n', { clusterIP: 'None' }))).spec?.ipFamilies).to.deep.equal(['IPv4', 'IPv6']);
    await write(service('e', { type: 'ExternalName', externalName: 'x.example' }));
    expect(addresses()).to.deep.equal([]);
  });
  it('takes everything back when the write does not happen', async () => {
    await (await take(service('s', { type: 'NodePort', ports: [{ port: 80, nodePort: 30100 }] })))?.release();
    expect(addresses()).to.deep.equal([]);
    expect(await takenPorts()).to.deep.equal([]);
  });
  it('takes the address back when a later step fails', async () => {
    expect(await refusal(service('s', { type: 'NodePort', ports: [{ port: 80, nodePort: 1 }] }))).to.match(/The range of valid ports is 30000-32767/);
    expect(addresses()).to.deep.equal([]);
  });
  it('a dry run takes nothing', async () => {
    const object = service('s', { type: 'NodePort' });
    await (await take(object, undefined, true))?.commit();
    expect(addresses()).to.deep.equal([]);
    expect(await takenPorts()).to.deep.equal([]);
  });
  it('refuses ranges that are none or of one family', async () => {
    for (const range of ['nonsense', '10.0.0.0/24,nonsense', '10.0.0.0/24,10.1.0.0/24']) {
      expect(await make(range).then(() => '', (error: Error) => error.message), range).to.match(/--service-cluster-ip-range/);
    }
  });
  it('a Service that prefers two families stays as it is when the cluster gets its second', async () => {
    const old = await write(service('s', { ipFamilyPolicy: 'PreferDualStack' }));
    await make('10.43.0.0/24,fd00::/112', undefined, true);
    const touched = service('s', { ...structuredClone(old.spec), selector: { a: 'b' } });
    await write(touched, old);
    expect([touched.spec?.ipFamilies, touched.spec?.clusterIPs]).to.deep.equal([old.spec?.ipFamilies, old.spec?.clusterIPs]);
    const asked = service('s', { ...structuredClone(touched.spec), ipFamilyPolicy: 'RequireDualStack' });
    await write(asked, touched);
    expect(asked.spec?.clusterIPs).to.have.length(2);
  });
  const grownOld = (): void => {
    for (const one of backend.cached('ipaddresses.networking.k8s.io')) {
      const copy = structuredClone(one) as KubeObject;
      copy.metadata = { ...copy.metadata, creationTimestamp: '2026-01-01T00:00:00Z' };
      backend.put('ipaddresses.networking.k8s.io', copy);
    }
  };
  it('finds its own address again after a write that was cut off, once nobody else can be at it', async () => {
    await take(service('s', { clusterIP: '10.43.0.1' })); // neither commit nor release: the process died
    expect(await refusal(service('s', { clusterIP: '10.43.0.1' }))).to.match(/already allocated/);
    grownOld();
    expect(await refusal(service('s', { clusterIP: '10.43.0.1' }))).to.equal('accepted');
    expect(await refusal(service('t', { clusterIP: '10.43.0.1' }))).to.match(/already allocated/);
  });
  it('two servers that make Service kubernetes at once: who loses does not give the address back', async () => {
    const kubernetes = (): Service => ({ metadata: { name: 'kubernetes', namespace: 'default' }, spec: { type: 'ClusterIP', clusterIP: '10.43.0.1', ports: [{ port: 443 }] } });
    const [first, second] = [await take(kubernetes()), await take(kubernetes())];
    await second?.commit();
    await first?.release();
    expect(addresses()).to.deep.equal(['10.43.0.1']);
  });
  const cidr = (name: string, range: string, more: Partial<KubeObject> = {}): void => {
    backend.put('servicecidrs.networking.k8s.io', { metadata: { name }, spec: { cidrs: [range] }, ...more });
  };
  it('gives addresses of every ServiceCIDR that is ready, and of none that is not or goes away', async () => {
    const ready = { status: { conditions: [{ type: 'Ready', status: 'True' }] } };
    cidr('kubernetes', '10.43.0.0/24');
    cidr('more', '10.44.0.0/28');
    expect(await refusal(service('a', { clusterIP: '10.44.0.3' }))).to.match(/does not match the current range/);
    cidr('more', '10.44.0.0/28', ready);
    expect(await refusal(service('b', { clusterIP: '10.44.0.3' }))).to.equal('accepted');
    cidr('more', '10.44.0.0/28', { ...ready, metadata: { name: 'more', deletionTimestamp: '2026-01-01T00:00:00Z' } });
    expect(await refusal(service('c', { clusterIP: '10.44.0.4' }))).to.match(/does not match the current range/);
    cidr('kubernetes', '10.43.0.0/24', { metadata: { name: 'kubernetes', deletionTimestamp: '2026-01-01T00:00:00Z' } });
    expect(await refusal(service('d'))).to.match(/range is full/);
  });

  describe('repairClusterIps()', () => {
    let events: string[];
    const repair = (at: string): Promise<void> => repairClusterIps(backend, async ({ reason, note }) => void events.push(`${reason}: ${note}`), Date.parse(at), signal);
    const early = '2026-01-01T00:00:30Z';
    const late = '2026-01-01T00:02:00Z';
    beforeEach(() => {
      events = [];
    });

    it('removes addresses of nobody after a while and makes missing ones, with events', async () => {
      const kept = await write(service('kept'));
      await take(service('died', { clusterIP: '10.43.0.9' }));
      grownOld();
      backend.put('services', service('foreign', { clusterIP: '10.43.0.7', clusterIPs: ['10.43.0.7'] }) as unknown as KubeObject);
      await repair(early);
      expect(addresses().toSorted()).to.deep.equal(['10.43.0.7', '10.43.0.9', kept.spec?.clusterIP ?? ''].toSorted());
      await repair(late);
      expect(addresses().toSorted()).to.deep.equal(['10.43.0.7', kept.spec?.clusterIP ?? ''].toSorted());
      expect(events).to.deep.equal([
        'ClusterIPNotAllocated: Cluster IP [IPv4]: 10.43.0.7 is not allocated; repairing',
        'IPAddressNotAllocated: IPAddress: 10.43.0.9 for Service a/died appears to have leaked: cleaning up',
      ]);
    });
    it('looks at once at what has changed: a deleted address of a Service comes back, others stay', async () => {
      const kept = await write(service('kept'));
      backend.put('services', service('other', { clusterIP: '10.43.0.7', clusterIPs: ['10.43.0.7'] }) as unknown as KubeObject);
      const address = kept.spec?.clusterIP ?? '';
      const object = backend.lookup('ipaddresses.networking.k8s.io', '', address) ?? expect.fail();
      expect(serviceOf(object)).to.deep.equal({ namespace: 'a', name: 'kept' });
      await backend.store('ipaddresses.networking.k8s.io').delete('', address);
      const changed = { services: new Map([['a/kept', { namespace: 'a', name: 'kept' }], ['a/gone', { namespace: 'a', name: 'gone' }]]), addresses: new Set(['10.43.0.99']) };
      await repairChanged(backend, async ({ reason, note }) => void events.push(`${reason}: ${note}`), changed, Date.parse(early), signal);
      expect(addresses()).to.deep.equal([address]);
      expect(events).to.deep.equal([`ClusterIPNotAllocated: Cluster IP [IPv4]: ${address} is not allocated; repairing`]);
    });
    it('tells of addresses outside all ranges, and of one that two Services have', async () => {
      cidr('kubernetes', '10.43.0.0/24');
      await write(service('one', { clusterIP: '10.43.0.7' }));
      backend.put('services', service('two', { clusterIP: '10.43.0.7', clusterIPs: ['10.43.0.7'] }) as unknown as KubeObject);
      backend.put('services', service('far', { clusterIP: '10.99.0.7', clusterIPs: ['10.99.0.7'] }) as unknown as KubeObject);
      grownOld();
      await repair(late);
      expect(events).to.deep.equal([
        'ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.43.0.7 was assigned to multiple services; please recreate service',
        'ClusterIPOutOfRange: Cluster IP [IPv4]: 10.99.0.7 is not within any configured Service CIDR; please recreate service',
      ]);
      expect(addresses()).to.deep.equal(['10.43.0.7']);
    });
    it('puts a wrong reference and missing labels right, and removes what a Service does not have', async () => {
      await write(service('s', { clusterIP: '10.43.0.7' }));
      await write(service('t', { clusterIP: '10.43.0.8' }));
      const spoil = (name: string, by: (object: KubeObject) => void): void => {
        const copy = structuredClone(backend.lookup('ipaddresses.networking.k8s.io', '', name)) as KubeObject;
        by(copy);
        backend.put('ipaddresses.networking.k8s.io', copy);
      };
      spoil('10.43.0.7', (object) => { object.spec = { parentRef: { group: 'x.io', resource: 'gateways', namespace: 'a', name: 's' } }; });
      spoil('10.43.0.8', (object) => { delete object.metadata?.labels?.['ipaddress.kubernetes.io/ip-family']; });
      await take(service('t', { clusterIP: '10.43.0.9' }));
      grownOld();
      await repair(late);
      expect(addresses().toSorted()).to.deep.equal(['10.43.0.7', '10.43.0.8']);
      const parents = backend.cached('ipaddresses.networking.k8s.io').map(({ metadata, spec }) => [metadata?.name, (spec as { parentRef: { name: string } }).parentRef.name, Object.keys(metadata?.labels ?? {}).length].join(' '));
      expect(parents.toSorted()).to.deep.equal(['10.43.0.7 s 2', '10.43.0.8 t 2']);
      expect(events).to.deep.equal([
        'ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.43.0.7 for Service a/s has a wrong reference; repairing',
        'IPAddressWrongReference: IPAddress: 10.43.0.9 for Service a/t has a wrong reference; cleaning up',
      ]);
    });
    it('leaves addresses of other controllers alone', async () => {
      backend.put('ipaddresses.networking.k8s.io', { metadata: { name: '10.43.0.77', creationTimestamp: '2026-01-01T00:00:00Z' }, spec: { parentRef: { group: '', resource: 'services', namespace: 'a', name: 'none' } } });
      await repair(late);
      expect([addresses(), events]).to.deep.equal([['10.43.0.77'], []]);
    });
  });
  it('keeps what an update leaves out, and gives up what a change of type leaves behind', async () => {
    const old = await write(service('s', { type: 'NodePort', ports: [{ name: 'web', port: 80 }] }));
    const patched = service('s', { type: 'NodePort', ports: [{ name: 'web', port: 8080 }, { name: 'more', port: 81 }] });
    await write(patched, old);
    expect(patched.spec?.clusterIP).to.equal(old.spec?.clusterIP);
    expect(patched.spec?.ports?.[0]?.nodePort).to.equal(old.spec?.ports?.[0]?.nodePort);
    expect(patched.spec?.ports?.[1]?.nodePort).to.be.within(30086, 32767);
    const external = service('s', { type: 'ExternalName', externalName: 'x.example', ports: [] });
    await write(external, patched);
    expect(addresses()).to.deep.equal([]);
    expect(await takenPorts()).to.deep.equal([]);
    await write(service('s'), external);
    expect(addresses()).to.have.length(1);
  });
  it('serves two families when two ranges are given', async () => {
    await make('10.43.0.0/24,fd00::/112');
    const single = await write(service('s'));
    expect(single.spec?.clusterIPs).to.have.length(1);
    const both = service('s', { clusterIP: single.spec?.clusterIP, clusterIPs: single.spec?.clusterIPs, ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv4'] });
    await write(both, single);
    expect(both.spec?.ipFamilies).to.deep.equal(['IPv4', 'IPv6']);
    expect(both.spec?.clusterIPs?.[1]).to.match(/^fd00::/);
    const back = service('s', { ...both.spec, ipFamilyPolicy: 'SingleStack' });
    await write(back, both);
    expect(back.spec?.clusterIPs).to.deep.equal(single.spec?.clusterIPs);
    expect(addresses()).to.deep.equal(single.spec?.clusterIPs);
  });

  describe('node ports', () => {
    it('refuses one that is taken and gives it again after the deletion', async () => {
      const first = await write(service('f', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }));
      const second = service('g', { type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] });
      expect(await refusal(second)).to.equal('Service "g" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated');
      await remove(first);
      expect(await refusal(second)).to.equal('accepted');
    });
    it('refuses one beyond the range', async () => {
      const range = /^Service "g" is invalid: spec\.ports\[0\]\.nodePort: Invalid value: 80: provided port is not in the valid range\. The range of valid ports is \d+-\d+$/;
      expect(await refusal(service('g', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }))).to.match(range);
    });
    it('one number serves TCP and UDP of the same port', async () => {
      const { spec } = await write(service('d', { type: 'NodePort', ports: [{ name: 'a', port: 53 }, { name: 'b', port: 53, protocol: 'UDP' }, { name: 'c', port: 54 }] }));
      const [a, b, c] = (spec?.ports ?? []).map((port) => port.nodePort);
      expect(a).to.equal(b);
      expect(c).to.not.equal(a);
    });
    it('two writes under way never get the same', async () => {
      await make('10.43.0.0/24', { from: 30000, to: 30003 });
      const all = await Promise.all(Array.from({ length: 4 }, async (_, n) => {
        const object = service(`s${n}`, { type: 'NodePort' });
        await take(object);
        return object.spec?.ports?.[0]?.nodePort;
      }));
      expect(new Set(all).size).to.equal(4);
      expect(await refusal(service('more', { type: 'NodePort' }))).to.equal('Internal error occurred: failed to allocate a nodePort: range is full');
    });
    it('servers that give them out together never give one twice', async () => {
      await make('10.43.0.0/16', { from: 30000, to: 30199 });
      const servers = [allocator];
      for (let n = 1; n < 3; n++) {
        await make('10.43.0.0/16', ports, true);
        servers.push(allocator);
      }
      const given = await Promise.all(Array.from({ length: 200 }, async (_, n) => {
        const object = service(`s${n}`, { type: 'NodePort' });
        const chosen = servers[n % servers.length] ?? allocator;
        await chosen.allocate(object as unknown as KubeObject, undefined, fakeWrite(backend));
        return object.spec?.ports?.[0]?.nodePort;
      }));
      expect(new Set(given).size).to.equal(200);
      expect(await refusal(service('more', { type: 'NodePort' }))).to.match(/range is full/);
    });
    it('an update gives back the ports that it leaves out', async () => {
      const old = await write(service('s', { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 30300, ports: [{ name: 'a', port: 80, nodePort: 30100 }, { name: 'b', port: 81, nodePort: 30101 }] }));
      const next = await write(service('s', { ...old.spec, externalTrafficPolicy: 'Cluster', healthCheckNodePort: undefined, ports: [{ name: 'a', port: 80, nodePort: 30102 }, { name: 'b', port: 81, nodePort: 30101 }] }), old);
      expect(await takenPorts()).to.deep.equal([30101, 30102]);
      await remove(next);
      expect(await takenPorts()).to.deep.equal([]);
    });
    it('nothing is given out before the allocation is stored, or with other flags than it has', async () => {
      const fresh = createFakeBackend();
      backend = fresh;
      await make('10.43.0.0/24', ports, true);
      expect(await refusal(service('s', { type: 'NodePort' }))).to.match(/cannot allocate resources of type servicenodeports at this time/);
      await createNodePortAllocation({ from: 1, to: 2 }, backend).replace(new Set(), 0n);
      expect(await refusal(service('s', { type: 'NodePort' }))).to.match(/30000-32767 is configured, 1-2 is stored/);
    });

    describe('createNodePortRepair()', () => {
      let events: string[];
      const repairer = (): (() => Promise<void>) => {
        const repair = createNodePortRepair(ports, createNodePortAllocation(ports, backend), backend, async ({ reason, note }) => void events.push(`${reason}: ${note}`));
        return () => repair(signal);
      };
      beforeEach(() => {
        events = [];
      });
      const put = (name: string, portList: unknown[], more = {}): void => {
        backend.put('services', service(name, { type: 'NodePort', ports: portList, ...more }) as unknown as KubeObject);
      };

      it('makes the allocation of a store that has none, and says nothing', async () => {
        backend = createFakeBackend();
        put('s', [{ port: 80, nodePort: 30100 }]);
        await repairer()();
        expect([await takenPorts(), events]).to.deep.equal([[30100], []]);
      });
      it('takes what Services have, and tells what is wrong with them', async () => {
        put('s', [{ port: 80, nodePort: 30100 }, { port: 80, nodePort: 30100, protocol: 'UDP' }], { healthCheckNodePort: 30200 });
        put('t', [{ port: 80, nodePort: 30100 }]);
        put('u', [{ port: 80, nodePort: 80 }]);
        await repairer()();
        expect(await takenPorts()).to.deep.equal([30100, 30200]);
        expect(events).to.deep.equal([
          'PortNotAllocated: Port 30100 is not allocated; repairing', 'PortNotAllocated: Port 30200 is not allocated; repairing',
          'PortAlreadyAllocated: Port 30100 was assigned to multiple services; please recreate service',
          'PortOutOfRange: Port 80 is not within the port range 30000-32767; please recreate service',
        ]);
      });
      it('frees a leaked port in the third round, not one that a Service took meanwhile', async () => {
        const repair = repairer();
        await take(service('died', { type: 'NodePort', ports: [{ port: 80, nodePort: 30100 }] }));
        await take(service('slow', { type: 'NodePort', ports: [{ port: 80, nodePort: 30101 }] }));
        await repair();
        await repair();
        expect(await takenPorts()).to.deep.equal([30100, 30101]);
        put('slow', [{ port: 80, nodePort: 30101 }]);
        await repair();
        expect(await takenPorts()).to.deep.equal([30101]);
      });
      it('a port taken while it runs stays taken', async () => {
        const allocation = createNodePortAllocation(ports, backend);
        let once = true;
        const racing = { ...backend, refresh: async () => {
          if (once) await allocation.change((taken) => taken.add(99));
          once = false;
        } };
        await createNodePortRepair(ports, allocation, racing, async () => {})(signal);
        expect(await takenPorts()).to.deep.equal([30099]);
      });
    });
    it('load balancers may go without, and get a health check port when local', async () => {
      const { spec } = await write(service('l', { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, externalTrafficPolicy: 'Local' }));
      expect(spec?.ports?.[0]?.nodePort).to.equal(undefined);
      expect(spec?.healthCheckNodePort).to.be.within(30000, 32767);
    });
  });
});
