// Two virtual nodes on one Docker Engine: what people try with two machines, and where one kernel behind both must not show.
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { V1NodeList, V1Pod, V1PodList, V1Service } from '@kubernetes/client-node';
import { assert } from 'chai';
import { clusterOf, freeHost, needsHost, sleep, startServer, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl, Server } from './fixtures/cluster.ts';
import type { Host } from './fixtures/host.ts';
import { busyboxImage } from './fixtures/images.ts';
import { traces } from './fixtures/traces.ts';

const serve = 'mkdir -p /www/cgi-bin; hostname > /www/index.html; printf "#!/bin/sh\\necho; echo \\$REMOTE_ADDR" > /www/cgi-bin/client; chmod +x /www/cgi-bin/client; exec httpd -f -p 8080 -h /www';
const container = `{ name: main, image: ${busyboxImage}, command: [sh, -c, ${JSON.stringify(serve)}], ports: [{ name: http, containerPort: 8080 }] }`;
const podOn = (name: string, node: string, more = ''): string => `--- # kubectl takes what begins with a brace for JSON
{ apiVersion: v1, kind: Pod, metadata: { name: ${name}, labels: { app: ${name} } }, spec: { nodeName: ${node}, terminationGracePeriodSeconds: 1, containers: [${container}] ${more} } }
`;
const everywhere = `
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: every }
spec:
  selector: { matchLabels: { app: every } }
  template:
    metadata: { labels: { app: every } }
    spec: { terminationGracePeriodSeconds: 1, containers: [${container}] }
---
{ apiVersion: v1, kind: Service, metadata: { name: every }, spec: { type: NodePort, selector: { app: every }, ports: [{ port: 80, targetPort: http }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: near }, spec: { internalTrafficPolicy: Local, selector: { app: every }, ports: [{ port: 80, targetPort: http }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: near-second }, spec: { internalTrafficPolicy: Local, selector: { app: second }, ports: [{ port: 80, targetPort: http }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: kept }, spec: { type: NodePort, externalTrafficPolicy: Local, selector: { app: every }, ports: [{ port: 80, targetPort: http }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: kept-second }, spec: { type: NodePort, externalTrafficPolicy: Local, selector: { app: second }, ports: [{ port: 80, targetPort: http }] } }
`;

describe('--nodes 2 on one Docker Engine', function () {
  let host: Host;
  let cluster: Cluster;
  let k: Kubectl & { namespace: string };
  let nodes: { name: string; ip: string; podCidr: string }[];
  let clean: Record<string, string[]>;
  before(needsHost);
  before(async () => {
    host = await freeHost();
    clean = await traces(host, ['fewer', 'data']);
    cluster = await clusterOf(host, await startServer(host, ['--nodes', '2', '--stop-pods']));
    k = await cluster.namespace('two');
    await until('two Ready nodes', async () => {
      const { items } = await cluster.kubectl.json<V1NodeList>('get nodes');
      nodes = items.map(({ metadata, spec, status }) => ({ name: metadata?.name ?? '', ip: status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '', podCidr: spec?.podCIDR ?? '' }));
      assert.deepEqual(items.map(({ status }) => status?.conditions?.find(({ type }) => type === 'Ready')?.status), ['True', 'True']);
    });
    await k.apply(everywhere + podOn('first', nodes[0]?.name ?? '') + podOn('second', nodes[1]?.name ?? ''));
    await k('rollout status daemonset/every --timeout=60s');
    await k('wait --for=condition=Ready pod/first pod/second --timeout=60s');
  });
  after(async () => {
    await cluster?.server.stop();
  });

  const ipOf = (pod: string): Promise<string> => k(`get pod ${pod} -o`, 'jsonpath={.status.podIP}');
  const inPod = (pod: string, script: string): Promise<string> => k(`exec ${pod} -- sh -c`, script);
  const get = async (pod: string, url: string): Promise<string> => (await inPod(pod, `timeout 3 wget -q -O - http://${url}`)).trim();
  const fails = async (pod: string, url: string): Promise<void> => assert.notEqual((await k.attempt(`exec ${pod} -- timeout 2 wget -q -O - http://${url}`)).code, 0, `${pod} reached ${url}`);
  const fromMachine = async (url: string): Promise<string | undefined> => {
    const { code, stdout } = await host.run('curl', ['-sS', '-m', '2', `http://${url}`]);
    return code === 0 ? stdout.trim() : undefined;
  };
  const podsOf = async (selector: string): Promise<V1Pod[]> => (await k.json<V1PodList>(`get pods -l ${selector}`)).items;
  const nodePort = async (name: string): Promise<number> => (await k.json<V1Service>(`get service ${name}`)).spec?.ports?.[0]?.nodePort ?? 0;
  const everyOn = async (index: number): Promise<string> => (await podsOf('app=every')).find(({ spec }) => spec?.nodeName === nodes[index]?.name)?.metadata?.name ?? 'none';

  it('each node has an address, pod addresses, a host name and a lease of its own', async () => {
    const [a, b] = (await cluster.kubectl.json<V1NodeList>('get nodes')).items;
    assert.deepEqual(nodes.map(({ ip }) => ip), ['10.41.0.2', '10.41.0.3']);
    assert.notEqual(a?.spec?.podCIDR, b?.spec?.podCIDR);
    for (const node of [a, b]) {
      assert.equal(node?.metadata?.labels?.['kubernetes.io/hostname'], node?.metadata?.name);
      const renewed = await cluster.kubectl(`get lease -n kube-node-lease ${node?.metadata?.name} -o`, 'jsonpath={.spec.renewTime}');
      assert.isBelow(Date.now() - Date.parse(renewed), 40_000);
    }
  });

  it('pods of both nodes reach each other by their own addresses', async () => {
    const [first, second] = [await ipOf('first'), await ipOf('second')];
    assert.include(await get('first', `${second}:8080/cgi-bin/client`), first); // as [::ffff:ADDRESS]
    assert.include(await get('second', `${first}:8080/cgi-bin/client`), second);
  });

  it('Services and names work from both', async () => {
    const all = (await podsOf('app=every')).map(({ metadata }) => metadata?.name ?? '').sort();
    assert.lengthOf(all, 2);
    for (const pod of ['first', 'second']) {
      const seen = new Set<string>();
      await until(`both endpoints from ${pod}`, async () => seen.add(await get(pod, 'every/')).size === 2, 20_000, 1);
      assert.deepEqual([...seen].sort(), all);
      assert.match(await inPod(pod, 'nslookup kubernetes.default.svc.cluster.local.'), /10\.43\.0\.1\b/);
    }
  });

  it('internalTrafficPolicy Local is decided by the node of the client', async () => {
    for (const [index, pod] of ['first', 'second'].entries()) {
      const own = await everyOn(index);
      for (let i = 0; i < 6; i += 1) assert.equal(await get(pod, 'near/'), own);
    }
    assert.equal(await get('second', 'near-second/'), 'second');
    await fails('first', 'near-second/');
  });

  it('a NodePort answers on both nodes, with externalTrafficPolicy Local only where an endpoint is', async () => {
    const [every, kept, keptSecond] = [await nodePort('every'), await nodePort('kept'), await nodePort('kept-second')];
    for (const [index, { ip }] of nodes.entries()) {
      assert.match(await fromMachine(`${ip}:${every}/`) ?? 'no answer', /^every-/);
      assert.match(await get('first', `${ip}:${every}/`), /^every-/);
      for (let i = 0; i < 6; i += 1) assert.equal(await fromMachine(`${ip}:${kept}/`), await everyOn(index));
    }
    assert.equal(await fromMachine(`${nodes[1]?.ip}:${keptSecond}/`), 'second');
    assert.equal(await fromMachine(`${nodes[0]?.ip}:${keptSecond}/`), undefined);
    assert.equal(await get('first', `${nodes[0]?.ip}:${keptSecond}/`), 'second', 'pods reach it wherever its endpoints are');
  });

  it('load balancers learn on which node a Service has an endpoint, and that the proxy is well', async () => {
    await k.apply(`--- # kubectl takes what begins with a brace for JSON
{ apiVersion: v1, kind: Service, metadata: { name: balanced }, spec: { type: LoadBalancer, externalTrafficPolicy: Local, selector: { app: second }, ports: [{ port: 80, targetPort: http }] } }`);
    const port = (await k.json<V1Service>('get service balanced')).spec?.healthCheckNodePort ?? 0;
    const statusOf = async (url: string): Promise<string> => (await host.run('curl', ['-s', '-m', '2', '-o', '/dev/null', '-w', '%{http_code}', `http://${url}`])).stdout;
    await until('both answers', async () => assert.deepEqual(await Promise.all(nodes.map(({ ip }) => statusOf(`${ip}:${port}/`))), ['503', '200']));
    assert.equal((JSON.parse(await fromMachine(`${nodes[1]?.ip}:${port}/`) ?? '{}') as { localEndpoints?: number }).localEndpoints, 1);
    await k('patch service balanced -p', '{"spec":{"externalTrafficPolicy":"Cluster"}}');
    await until('nobody listens', async () => assert.deepEqual(await Promise.all(nodes.map(({ ip }) => statusOf(`${ip}:${port}/`))), ['000', '000']));
    for (const { ip } of nodes) for (const path of ['healthz', 'livez']) assert.equal(await statusOf(`${ip}:10256/${path}`), '200');
    await k('delete service balanced');
  });

  it('a hostPort is taken on its own node only', async () => {
    const port = (name: string): string => `--- # kubectl takes what begins with a brace for JSON
{ apiVersion: v1, kind: Pod, metadata: { name: ${name}, labels: { app: hostport } }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: main, image: ${busyboxImage}, command: [sh, -c, ${JSON.stringify(serve)}], ports: [{ containerPort: 8080, hostPort: 8099 }] }] } }
`;
    await k.apply(port('hp-1') + port('hp-2'));
    await k('wait --for=condition=Ready pod/hp-1 pod/hp-2 --timeout=30s');
    for (const { metadata, spec } of await podsOf('app=hostport')) {
      const ip = nodes.find(({ name }) => name === spec?.nodeName)?.ip;
      assert.equal(await fromMachine(`${ip}:8099/`), metadata?.name);
    }
    await k.apply(port('hp-3'));
    await until('a reason', async () => assert.match(await k('get pod hp-3 -o', 'jsonpath={.status.conditions[0].message}'), /0\/2 nodes are available: 2 node\(s\) didn't have free ports for the requested pod ports/));
    await k('delete pod hp-1 hp-2 hp-3');
  });

  it('logs, exec and port-forward of a pod on the second node', async () => {
    await k.apply(`--- # kubectl takes what begins with a brace for JSON
{ apiVersion: v1, kind: Pod, metadata: { name: talker }, spec: { nodeName: ${nodes[1]?.name}, terminationGracePeriodSeconds: 1, containers: [{ name: main, image: ${busyboxImage}, command: [sh, -c, "echo hello from two; exec sleep 1000"] }] } }`);
    await k('wait --for=condition=Ready pod/talker --timeout=30s');
    assert.equal(await k('logs talker'), 'hello from two\n');
    assert.equal(await k('exec talker -- cat /etc/hostname'), 'talker\n');
    const forward = k.start('port-forward pod/second 18080:8080');
    try {
      await until('port-forward', () => /Forwarding from/.test(forward.output()), 10_000);
      assert.equal(await fromMachine('127.0.0.1:18080/'), 'second');
    } finally {
      await forward.stop();
    }
    await k('delete pod talker --now');
  });

  it('anti-affinity and topology spread tell the nodes apart', async () => {
    await k.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: apart }
spec:
  replicas: 3
  selector: { matchLabels: { app: apart } }
  template:
    metadata: { labels: { app: apart } }
    spec:
      terminationGracePeriodSeconds: 1
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: kubernetes.io/hostname, labelSelector: { matchLabels: { app: apart } } }] } }
      containers: [${container}]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: spread }
spec:
  replicas: 4
  selector: { matchLabels: { app: spread } }
  template:
    metadata: { labels: { app: spread } }
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { app: spread } } }]
      containers: [${container}]
`);
    await k('rollout status deployment/spread --timeout=60s');
    const perNode = async (app: string): Promise<number[]> => {
      const placed = (await podsOf(`app=${app}`)).map(({ spec }) => spec?.nodeName);
      return nodes.map(({ name }) => placed.filter((node) => node === name).length);
    };
    assert.deepEqual(await perNode('spread'), [2, 2]);
    await until('two of three', async () => assert.deepEqual(await perNode('apart'), [1, 1]));
    await k('delete deployment apart spread');
  });

  it('kubectl drain empties a node; uncordon lets it have pods again', async () => {
    const [, node] = nodes;
    await k.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: moving }
spec:
  replicas: 4
  selector: { matchLabels: { app: moving } }
  template:
    metadata: { labels: { app: moving } }
    spec: { terminationGracePeriodSeconds: 1, containers: [${container}] }
`);
    await k('rollout status deployment/moving --timeout=60s');
    await cluster.kubectl(`drain ${node?.name} --ignore-daemonsets --force --delete-emptydir-data --timeout=60s`);
    assert.match(await cluster.kubectl('get nodes'), new RegExp(`${node?.name} +Ready,SchedulingDisabled`));
    const left = (await cluster.kubectl.json<V1PodList>(`get pods -A --field-selector spec.nodeName=${node?.name}`)).items;
    assert.deepEqual(left.map(({ metadata }) => metadata?.ownerReferences?.[0]?.kind), ['DaemonSet']);
    await k('rollout status deployment/moving --timeout=60s');
    await cluster.kubectl(`uncordon ${node?.name}`);
    await cluster.kubectl(`taint node ${nodes[0]?.name} trial=yes:NoSchedule`);
    await k('scale deployment moving --replicas=6');
    await k('rollout status deployment/moving --timeout=60s');
    await cluster.kubectl(`taint node ${nodes[0]?.name} trial-`);
    assert.isAtLeast((await podsOf('app=moving')).filter(({ spec }) => spec?.nodeName === node?.name).length, 2);
    await k('delete deployment moving');
    await k.apply(podOn('second', node?.name ?? ''));
    await k('wait --for=condition=Ready pod/second --timeout=30s');
  });

  it('a clean stop with --stop-pods leaves nothing of either node', async () => {
    assert.equal(await cluster.server.stop(), 0, cluster.server.output().slice(-2000));
    assert.deepEqual(await traces(host, ['fewer', 'data']), clean);
  });

  it('kill -9 and a new start adopt the containers of both; with fewer nodes what is too much goes', async () => {
    const dataDir = mkdtempSync(join(host.folder, 'fewer-'));
    let server: Server = await startServer(host, ['--nodes', '2'], { dataDir });
    let now = await clusterOf(host, server);
    const space = await now.namespace('stay');
    await space.apply(everywhere);
    await space('rollout status daemonset/every --timeout=60s');
    const containers = async (kubectl: Kubectl): Promise<string[]> =>
      (await kubectl.json<V1PodList>('get pods -l app=every')).items.flatMap(({ status }) => status?.containerStatuses ?? []).map(({ containerID = '', restartCount }) => `${containerID} ${restartCount}`).sort();
    const before = await containers(space);
    assert.lengthOf(before, 2);
    await server.kill();

    server = await startServer(host, ['--nodes', '2'], { dataDir });
    now = await clusterOf(host, server);
    await sleep(2000); // time enough to restart something by mistake
    assert.deepEqual(await containers(now.kubectl.in(space.namespace)), before);
    assert.equal(await server.stop(), 0);
    assert.lengthOf((await host.docker('ps', '-q', '--filter', 'label=io.kubernetes.docker.type=container')).split('\n').filter(Boolean), 2, 'pods go on without the server');

    server = await startServer(host, ['--nodes', '1', '--stop-pods'], { dataDir });
    now = await clusterOf(host, server);
    const kubectl = now.kubectl.in(space.namespace);
    await until('one node', async () => assert.lengthOf((await kubectl.json<V1NodeList>('get nodes')).items, 1));
    await until('one pod', async () => assert.lengthOf(await containers(kubectl), 1), 10_000);
    assert.include(before, (await containers(kubectl))[0]);
    assert.lengthOf((await host.docker('ps', '-aq', '--filter', 'label=io.kubernetes.docker.type=container')).split('\n').filter(Boolean), 1);
    assert.lengthOf((await host.docker('network', 'ls', '-q', '--filter', 'label=proa.node')).split('\n').filter(Boolean), 1);
    assert.notInclude(await host.must('ip', ['-o', 'address', 'show', 'dev', 'lo']), '10.41.0.3/');
    assert.equal(await server.stop(), 0);
    assert.deepEqual(await traces(host, ['fewer', 'data']), clean);
  });

  it('a cluster whose data folder was thrown away leaves nothing behind once the next one was there', async () => {
    const readyNodes = async (server: Server): Promise<void> => {
      const { kubectl } = await clusterOf(host, server);
      await until('two nodes with networks', async () => assert.equal((await kubectl('get nodes --no-headers')).split('\n').filter((line) => / Ready /.test(line)).length, 2));
    };
    const first = await startServer(host, ['--nodes', '2']);
    await readyNodes(first);
    assert.equal(await first.stop(), 0);
    const second = await startServer(host, ['--nodes', '2', '--stop-pods']);
    await readyNodes(second);
    assert.equal(await second.stop(), 0);
    const left = await traces(host, ['fewer', 'data']);
    assert.deepEqual({ ...left, mounts: [] }, { ...clean, mounts: [] }); // the mounts of the first one's kubelets are in its folder
  });
});
