import { expect } from 'chai';
import { UsageError, parseFlags } from '#machinery/base/flags.ts';
import { nthAddress, optionsFromFlags, resolveConfig, serverFlags } from './options.ts';
import type { ClusterOptions } from './options.ts';

const resolve = (options: ClusterOptions) => resolveConfig(options, '/data', false);

describe('cluster options', () => {
  it('flags fill the options with the documented defaults', () => {
    const config = resolve(optionsFromFlags(parseFlags(serverFlags, ['--data-dir', '/data'])));
    expect(config).to.include({ httpsPort: 6443, bindAddress: '127.0.0.1', runtime: 'docker', clusterCidr: '10.42.0.0/16', serviceCidr: '10.43.0.0/16', advertiseAddress: '10.41.0.1', stopPods: false });
    expect(config.storage).to.deep.equal({ engine: 'sqlite' });
    expect(config.nodes.map((node) => node.address)).to.deep.equal(['10.41.0.2']);
  });

  it('gives each Docker node a name and an address of its own', () => {
    const { nodes } = resolve(optionsFromFlags(parseFlags(serverFlags, ['--nodes', '3'])));
    expect(nodes.map(({ address }) => address)).to.deep.equal(['10.41.0.2', '10.41.0.3', '10.41.0.4']);
    const [first] = nodes;
    expect(nodes.map(({ name }) => name)).to.deep.equal([first?.name, `${first?.name}-2`, `${first?.name}-3`]);
  });

  it('--etcd-servers implies etcd and takes several', () => {
    const config = resolve(optionsFromFlags(parseFlags(serverFlags, ['--etcd-servers', 'http://127.0.0.1:1,http://127.0.0.1:2'])));
    expect(config.storage).to.deep.equal({ engine: 'etcd', servers: ['http://127.0.0.1:1', 'http://127.0.0.1:2'], prefix: '/registry' });
  });

  const refused: [string[], RegExp][] = [
    [['--datastore', 'etcd'], /--datastore etcd needs --etcd-servers/],
    [['--datastore', 'mysql'], /--datastore is one of sqlite, etcd/],
    [['--https-port', '70000'], /--https-port takes a whole number from 0 to 65535/],
    [['--https-port'], /--https-port needs a value/],
    [['--nonsense'], /unknown flag --nonsense/],
    [['stray'], /unexpected argument "stray"/],
    [['--nodes', '2', '--cluster-cidr', '10.42.0.0/24'], /--nodes 2 do not fit/],
    [['--nodes', '6', '--node-cidr', '10.41.0.0/29'], /--nodes 6 do not fit/],
    [['--nodes', '-1'], /--nodes/],
    [['--cluster-cidr', '10.42.0.0'], /takes an IPv4 range/],
    [['--cluster-cidr', '10.43.0.0/16'], /overlap/],
    [['--service-cidr', '10.43.0.0/30'], /too small/],
    [['--service-cidr', '10.43.0.0/16,10.44.0.0/16'], /takes an IPv6 range like fd00:43::\/112 after the comma/],
    [['--service-cidr', 'fd00:43::/112'], /takes an IPv4 range/],
    [['--service-cidr', '10.43.0.0/16,fd00:43::/126'], /too small/],
    [['--service-cidr', '10.43.0.0/16,fd00:43::/112,fd00:44::/112'], /one IPv4 range and, after a comma, one IPv6 range/],
    [['--bind-address', 'example'], /takes an IP address/],
    [['--docker-host', 'tcp://10.0.0.1:2375'], /not on this machine/],
    [['--disable', 'everything'], /--disable takes/],
    [['--etcd-servers', 'localhost:2379'], /takes URLs/],
    [['--cluster-domain', 'Bad_Domain'], /DNS name/],
  ];
  for (const [args, message] of refused) {
    it(`refuses ${args.join(' ')}`, () => {
      expect(() => resolve(optionsFromFlags(parseFlags(serverFlags, args)))).to.throw(UsageError, message);
    });
  }

  it('nthAddress() counts from the start of the range', () => {
    expect(nthAddress('10.43.0.0/16', 10)).to.equal('10.43.0.10');
    expect(nthAddress('10.43.255.7/16', 257)).to.equal('10.43.1.1');
  });
});
