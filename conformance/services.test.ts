// Services and DNS with real packets: from the host, from pods, to many endpoints, one's own, or none.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1NodeList, V1Pod, V1PodList, V1Service } from '@kubernetes/client-node';
import { assert } from 'chai';
import { needsHost, sharedCluster, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - { name: main, image: ${busyboxImage}, command: [sh, -c, "mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"], ports: [{ name: http, containerPort: 8080 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: lonely, labels: { app: lonely } }
spec:
  hostname: member
  subdomain: headless
  terminationGracePeriodSeconds: 1
  containers:
  - { name: main, image: ${busyboxImage}, command: [sh, -c, "mkdir /www; echo lonely > /www/index.html; exec httpd -f -p 8080 -h /www"] }
---
{ apiVersion: v1, kind: Service, metadata: { name: web }, spec: { type: NodePort, selector: { app: web }, ports: [{ name: http, port: 80, targetPort: http }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: sticky }, spec: { selector: { app: web }, sessionAffinity: ClientIP, ports: [{ port: 80, targetPort: 8080 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: mirror }, spec: { selector: { app: lonely }, ports: [{ port: 80, targetPort: 8080 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: headless }, spec: { clusterIP: None, selector: { app: lonely }, ports: [{ name: http, port: 8080 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: empty }, spec: { selector: { app: nobody }, ports: [{ port: 80 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: outside }, spec: { type: ExternalName, externalName: web.example.test } }
---
{ apiVersion: v1, kind: Service, metadata: { name: manual }, spec: { ports: [{ port: 80, targetPort: 8080 }] } }
`;

describe('[sig-network] Services and DNS', function () {
  let cluster: Cluster;
  let k: Kubectl & { namespace: string };
  let webs: string[];
  before(needsHost);
  before(async () => {
    cluster = await sharedCluster();
    k = await cluster.namespace('network');
    await k.apply(manifest);
    await k('rollout status deployment/web --timeout=60s');
    await k('wait --for=condition=Ready pod/lonely --timeout=30s');
    webs = (await k.json<V1PodList>('get pods -l app=web')).items.map(({ metadata }) => metadata?.name ?? '').sort();
    await until('rules for every Service', async () => assert.include(webs, (await fromHost(`http://${await ip('web')}/`)).trim()));
  });
  const ip = (service: string): Promise<string> => k(`get service ${service} -o`, 'jsonpath={.spec.clusterIP}');
  const fromHost = (url: string): Promise<string> => cluster.host.must('curl', ['-sS', '-m', '3', url]);
  const inPod = (script: string, pod = 'lonely'): Promise<string> => k(`exec ${pod} -- sh -c`, script);
  const lookup = async (name: string, type = ''): Promise<string> => (await k.attempt('exec lonely -- sh -c', [`nslookup ${type} ${name}`])).stdout;

  it('balances over all endpoints, from the host and from a pod', async () => {
    const address = await ip('web');
    const seen = new Set<string>();
    await until('every endpoint, from the host', async () => seen.add((await fromHost(`http://${address}/`)).trim()).size === 3, 15_000, 1);
    assert.deepEqual([...seen].sort(), webs);
    const fromPod = (await inPod('for i in $(seq 40); do wget -q -O - http://web/; done')).trim().split('\n');
    assert.lengthOf(fromPod, 40);
    assert.deepEqual([...new Set(fromPod)].sort(), webs);
  });

  it('Services should be able to create a functioning NodePort service [Conformance]', async () => {
    const port = (await k.json<V1Service>('get service web')).spec?.ports?.[0]?.nodePort ?? 0;
    const node = (await cluster.kubectl.json<V1NodeList>('get nodes')).items[0]?.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '';
    assert.include(webs, (await fromHost(`http://${node}:${port}/`)).trim());
    assert.include(webs, (await inPod(`wget -q -O - http://${node}:${port}/`)).trim());
  });

  it('Services should have session affinity work for service with type clusterIP [LinuxOnly] [Conformance]', async () => {
    await until('the rules', async () => (await inPod('wget -q -O - http://sticky/')).startsWith('web-'));
    const answers = (await inPod('for i in $(seq 15); do wget -q -O - http://sticky/; done')).trim().split('\n');
    assert.lengthOf(answers, 15);
    assert.lengthOf([...new Set(answers)], 1, 'always the same endpoint');
  });

  it('a pod reaches itself through its Service', async () => {
    await until('the rules', async () => assert.equal(await inPod('wget -q -O - http://mirror/'), 'lonely\n'));
  });

  it('refuses at once where no endpoint is, from the host and from pods', async () => {
    const address = await ip('empty');
    const fromOutside = await cluster.host.run('curl', ['-sS', '-m', '3', `http://${address}/`]);
    assert.equal(fromOutside.code, 7, fromOutside.stderr); // curl: could not connect; 28 would be a timeout
    const startedAt = Date.now();
    const fromInside = await k.attempt('exec lonely -- wget -q -O - http://empty/');
    assert.match(fromInside.stderr, /refused/);
    assert.isBelow(Date.now() - startedAt, 2500);
  });

  it('follows endpoints that come and go', async () => {
    await k('scale deployment web --replicas=1');
    const address = await ip('web');
    await until('one endpoint', async () => (await k('get endpointslices -l kubernetes.io/service-name=web -o', 'jsonpath={.items[*].endpoints[*].targetRef.name}')).split(' ').length === 1);
    const [left] = (await k.json<V1PodList>('get pods -l app=web')).items.filter(({ metadata }) => !metadata?.deletionTimestamp);
    await until('only that one answers', async () => {
      for (let i = 0; i < 6; i += 1) assert.equal((await fromHost(`http://${address}/`)).trim(), left?.metadata?.name);
    }, 10_000);
    await k('scale deployment web --replicas=3');
    await k('rollout status deployment/web --timeout=30s');
  });

  it('serves a Service without selector from an EndpointSlice of the user', async () => {
    const target = (await k.json<V1Pod>('get pod lonely')).status?.podIP;
    await k.apply(`--- # kubectl takes what begins with a brace for JSON\n{ apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: { name: manual-1, labels: { kubernetes.io/service-name: manual } }, addressType: IPv4, ports: [{ port: 8080, protocol: TCP, name: "" }], endpoints: [{ addresses: [${target}] }] }`);
    await until('an answer', async () => assert.equal(await fromHost(`http://${await ip('manual')}/`), 'lonely\n'), 10_000);
  });

  it('DNS should provide DNS for services [Conformance]', async () => {
    const address = await ip('web');
    for (const name of ['web', `web.${k.namespace}`, `web.${k.namespace}.svc`, `web.${k.namespace}.svc.cluster.local`]) {
      assert.include(await inPod(`ping -c 1 -w 1 -W 1 ${name} | head -n 1`), `(${address})`, name); // through the search list
    }
    assert.include(await lookup('kubernetes.default.svc.cluster.local'), 'Address: 10.43.0.1\n');
    assert.match(await lookup(`_http._tcp.web.${k.namespace}.svc.cluster.local`, '-type=srv'), new RegExp(`service = 0 \\d+ 80 web\\.${k.namespace}\\.svc\\.cluster\\.local`));
    assert.match(await lookup(`nothing.${k.namespace}.svc.cluster.local`), /NXDOMAIN/);
    const reverse = await lookup(`${address.split('.').reverse().join('.')}.in-addr.arpa`, '-type=ptr');
    assert.include(reverse, `web.${k.namespace}.svc.cluster.local`);
  });

  it('DNS should provide DNS for pods for Subdomain [Conformance]', async () => {
    const { podIP } = (await k.json<V1Pod>('get pod lonely')).status ?? {};
    assert.include(await lookup(`headless.${k.namespace}.svc.cluster.local`), `Address: ${podIP}\n`);
    assert.include(await lookup(`member.headless.${k.namespace}.svc.cluster.local`), `Address: ${podIP}\n`);
    assert.match(await lookup(`_http._tcp.headless.${k.namespace}.svc.cluster.local`, '-type=srv'), /8080 member\.headless\./);
    assert.equal(await inPod('hostname'), 'member\n');
    assert.equal(await inPod('hostname -f'), `member.headless.${k.namespace}.svc.cluster.local\n`);
  });

  it('DNS should provide DNS for ExternalName services [Conformance]', async () => {
    assert.match(await lookup(`outside.${k.namespace}.svc.cluster.local`, '-type=cname'), /canonical name = web\.example\.test/);
    await k('patch service outside --type=merge -p', '{"spec":{"externalName":"other.example.test"}}');
    await until('the new name', async () => assert.match(await lookup(`outside.${k.namespace}.svc.cluster.local`, '-type=cname'), /other\.example\.test/));
  });

  it('DNS should provide /etc/hosts entries for the cluster [Conformance]', async () => {
    const hosts = await inPod('cat /etc/hosts');
    assert.match(hosts, /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/);
    assert.match(hosts, new RegExp(`\\tmember\\.headless\\.${k.namespace}\\.svc\\.cluster\\.local\\tmember\\n`));
    const resolver = await inPod('cat /etc/resolv.conf');
    assert.match(resolver, new RegExp(`^search ${k.namespace}\\.svc\\.cluster\\.local svc\\.cluster\\.local cluster\\.local`, 'm'));
    assert.match(resolver, /^nameserver 10\.43\.0\.10$/m);
    assert.match(resolver, /^options ndots:5$/m);
  });

  it('a pod reaches the API server with its token', async () => {
    assert.include(await inPod('wget -q -O - http://kubernetes.default:443/ 2>&1 || true'), 'error getting response', 'connected, and dropped for not speaking TLS');
    const mount = '/var/run/secrets/kubernetes.io/serviceaccount';
    writeFileSync(join(cluster.host.folder, 'pod-ca.crt'), await inPod(`cat ${mount}/ca.crt`));
    const token = await inPod(`cat ${mount}/token`);
    // busybox does not speak our TLS: the pod's own credentials are tried from the host, through the cluster IP.
    const call = (path: string): Promise<string> => cluster.host.must('curl', ['-sS', '-m', '5', '--cacert', join(cluster.host.folder, 'pod-ca.crt'), '-H', `Authorization: Bearer ${token}`, `https://10.43.0.1${path}`]);
    assert.include(await call('/version'), '"gitVersion"');
    assert.include(await call(`/api/v1/namespaces/${k.namespace}/pods`), `system:serviceaccount:${k.namespace}:default`, 'authenticated, and refused by RBAC');
    assert.equal(await inPod(`cat ${mount}/namespace`), k.namespace);
  });

  it('pods reach pods directly', async () => {
    const { podIP } = (await k.json<V1Pod>('get pod lonely')).status ?? {};
    const [web = ''] = (await k('get pods -l app=web -o', 'jsonpath={.items[*].metadata.name}')).split(' ');
    assert.equal(await inPod(`wget -q -O - http://${podIP}:8080/`, web), 'lonely\n');
    assert.equal(await fromHost(`http://${podIP}:8080/`), 'lonely\n');
  });
});
