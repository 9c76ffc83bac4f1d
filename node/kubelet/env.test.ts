import { expect } from 'chai';
import type { Container, Pod, Service } from '#machinery/api/object.ts';
import { notFound } from '#machinery/api/status.ts';
import { formatMap, resourceValue } from './downward.ts';
import { ConfigError, makeEnvironment, type References } from './env.ts';
import { expand } from './expansion.ts';
import { serviceEnvironment } from './service-env.ts';

describe('expand()', () => {
  const lookup = (name: string): string | undefined => ({ A: '1', B: '$(A)' })[name];
  for (const [text, expected] of [['$(A)', '1'], ['x$(A)y$(A)', 'x1y1'], ['$$(A)', '$(A)'], ['$$$(A)', '$1'], ['$(NO)', '$(NO)'], ['$(A', '$(A'], ['$A', '$A'], ['$', '$'], ['$(B)', '$(A)'], ['$()', '$()']] as const) {
    it(`${text} is ${expected}`, () => expect(expand(text, lookup)).to.equal(expected));
  }
});

const service = (namespace: string, name: string, ports: object[], clusterIP = '10.43.0.5'): Service => ({ metadata: { namespace, name }, spec: { clusterIP, ports } as Service['spec'] });

describe('serviceEnvironment()', () => {
  it('names host, ports and URLs', () => {
    const env = serviceEnvironment([service('n', 'my-db', [{ port: 5432, name: 'pg-1' }, { port: 53, protocol: 'UDP' }])], 'n', true);
    expect(Object.fromEntries(env)).to.include({
      MY_DB_SERVICE_HOST: '10.43.0.5', MY_DB_SERVICE_PORT: '5432', MY_DB_SERVICE_PORT_PG_1: '5432', MY_DB_PORT: 'tcp://10.43.0.5:5432', MY_DB_PORT_5432_TCP_ADDR: '10.43.0.5', MY_DB_PORT_53_UDP: 'udp://10.43.0.5:53',
    });
  });
  it('leaves out headless services and other namespaces, but not kubernetes', () => {
    const services = [service('n', 'a', [{ port: 1 }], 'None'), service('m', 'b', [{ port: 1 }]), service('default', 'kubernetes', [{ port: 443 }]), service('n', 'c', [{ port: 1 }])];
    expect([...serviceEnvironment(services, 'n', false).keys()].filter((key) => key.endsWith('_SERVICE_HOST'))).to.deep.equal(['KUBERNETES_SERVICE_HOST']);
    expect([...serviceEnvironment(services, 'n', true).keys()].filter((key) => key.endsWith('_SERVICE_HOST'))).to.deep.equal(['KUBERNETES_SERVICE_HOST', 'C_SERVICE_HOST']);
  });
});

describe('makeEnvironment()', () => {
  const references: References = {
    async configMap(_namespace, name) {
      if (name === 'gone') throw notFound({ group: '', resource: 'configmaps' }, name);
      return { metadata: { name }, data: { k: 'v', other: 'o' } };
    },
    async secret(_namespace, name) {
      return { metadata: { name }, data: { p: Buffer.from('s3').toString('base64') } };
    },
  };
  const pod: Pod = { metadata: { name: 'p', namespace: 'n', labels: { a: 'b' } }, spec: { containers: [] } };
  const make = async (container: Partial<Container>): Promise<Record<string, string>> => Object.fromEntries(await makeEnvironment({
    pod, container: { name: 'c', ...container }, references, services: [service('n', 'db', [{ port: 1 }])], addresses: { podIps: ['10.0.0.1'], hostIp: '10.1.1.1', nodeName: 'node' }, allocatable: { cpu: '2' },
  }));
  const refusal = async (container: Partial<Container>): Promise<unknown> => make(container).then(() => undefined, (error: unknown) => error);

  it('resolves every source, later ones from earlier ones', async () => {
    const env = await make({
      envFrom: [{ prefix: 'P_', configMapRef: { name: 'm' } }, { configMapRef: { name: 'gone', optional: true } }],
      env: [
        { name: 'A', value: 'a' }, { name: 'B', value: '$(A)-$(P_k)-$(DB_SERVICE_HOST)-$(LATER)' }, { name: 'S', valueFrom: { secretKeyRef: { name: 's', key: 'p' } } },
        { name: 'F', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }, { name: 'L', valueFrom: { fieldRef: { fieldPath: "metadata.labels['a']" } } }, { name: 'LATER', value: 'x' },
      ],
    });
    expect(env).to.include({ B: 'a-v-10.43.0.5-$(LATER)', S: 's3', F: '10.0.0.1', L: 'b', P_other: 'o', DB_SERVICE_HOST: '10.43.0.5' });
  });
  it('lets env win over service variables', async () => {
    expect(await make({ env: [{ name: 'DB_SERVICE_HOST', value: 'mine' }] })).to.include({ DB_SERVICE_HOST: 'mine' });
  });
  it('refuses what is missing, in upstream\'s words', async () => {
    expect(await refusal({ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'm', key: 'no' } } }] })).to.be.instanceOf(ConfigError).with.property('message', "couldn't find key no in ConfigMap n/m");
    expect(await refusal({ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'no' } } }] })).to.have.property('message', "couldn't find key no in Secret n/s");
    expect(await refusal({ envFrom: [{ configMapRef: { name: 'gone' } }] })).to.be.instanceOf(ConfigError);
    expect(await make({ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'm', key: 'no', optional: true } } }] })).to.not.have.property('A');
  });
});

describe('downward values', () => {
  it('sort and quote maps', () => expect(formatMap({ b: 'x"y\n', a: '\\' })).to.equal('a="\\\\"\nb="x\\"y\\n"'));
  it('divide and round up', () => {
    const pod: Pod = { metadata: {}, spec: { containers: [{ name: 'c', resources: { limits: { cpu: '1500m', memory: '64Mi' } } }] } };
    const [container] = pod.spec?.containers ?? [];
    const of = (resource: string, divisor?: string): string => resourceValue(pod, container, { resource, ...(divisor ? { divisor } : {}) }, { memory: '1Gi' });
    expect(of('limits.cpu')).to.equal('2');
    expect(of('limits.cpu', '1m')).to.equal('1500');
    expect(of('limits.memory', '1Mi')).to.equal('64');
    expect(of('requests.memory')).to.equal('0');
    expect(() => of('limits.nonsense')).to.throw(/unsupported/);
  });
});
