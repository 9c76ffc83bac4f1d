// More of kubectl, under the titles of upstream's e2e suite (test/e2e/kubectl/kubectl.go), and how it applies on the server's side.
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { V1ConfigMap, V1Deployment, V1Node, V1Pod, V1PodList, V1Service, V1NodeList } from '@kubernetes/client-node';
import { assert } from 'chai';
import { needsHost, sharedCluster, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';

const controller = (name: string, replicas: number): string => `
apiVersion: v1
kind: ReplicationController
metadata: { name: ${name}, labels: { app: ${name}, role: primary } }
spec:
  replicas: ${replicas}
  selector: { app: ${name}, role: primary }
  template:
    metadata: { labels: { app: ${name}, role: primary } }
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{ name: main, image: ${busyboxImage}, command: [sh, -c, "trap 'exit 0' TERM; sleep 3600 & wait"], ports: [{ name: server, containerPort: 6379 }] }]
`;

function holdsAll(text: string, lines: readonly (readonly string[])[]): void {
  for (const words of lines) {
    assert.isTrue(text.split('\n').some((line) => words.every((word) => line.includes(word))), `no line holds ${words.join(' and ')} in:\n${text}`);
  }
}

describe('[sig-cli] Kubectl client', function () {
  let cluster: Cluster;
  let k: Kubectl & { namespace: string };
  const running = async (app: string): Promise<V1Pod[]> => (await k.json<V1PodList>(`get pods -l app=${app}`)).items.filter(({ status, metadata }) => status?.phase === 'Running' && !metadata?.deletionTimestamp);
  const hasRunning = (app: string, count: number): Promise<void> => until(`${count} pods of ${app}`, async () => (await running(app)).length === count && (await k.json<V1PodList>(`get pods -l app=${app}`)).items.length === count);
  before(needsHost);
  before(async () => {
    cluster = await sharedCluster();
    k = await cluster.namespace('kubectl-commands');
    await k.apply(controller('primary', 1));
    await hasRunning('primary', 1);
  });
  after(async () => void await k('delete rc,deployment,pod --all --wait=false'));

  it('Update Demo should create and stop a replication controller [Conformance]', async () => {
    await k.apply(controller('stopped', 2));
    await hasRunning('stopped', 2);
    await k('delete --grace-period=0 --force rc/stopped');
    assert.equal(await k('get rc,svc -l app=stopped --no-headers'), '');
    await until('its pods are gone', async () => (await k('get pods -l app=stopped -o name')) === '');
  });

  it('Update Demo should scale a replication controller [Conformance]', async () => {
    await k.apply(controller('scaled', 2));
    await hasRunning('scaled', 2);
    assert.equal(await k('scale rc scaled --replicas=1 --timeout=1m'), 'replicationcontroller/scaled scaled\n');
    await hasRunning('scaled', 1);
    await k('scale rc scaled --replicas=2 --timeout=1m');
    await hasRunning('scaled', 2);
    assert.match((await k.attempt('scale rc scaled --current-replicas=7 --replicas=1')).stderr, /Expected replicas to be 7, was 2/);
    await k('delete rc scaled');
  });

  it('Kubectl api-versions should check if v1 is in available api versions [Conformance]', async () => {
    assert.include((await k('api-versions')).split('\n'), 'v1');
  });

  it('Kubectl diff should check if kubectl diff finds a difference for Deployments [Conformance]', async () => {
    const deployment = (image: string): string => JSON.stringify({
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'differs' },
      spec: { replicas: 0, selector: { matchLabels: { app: 'differs' } }, template: { metadata: { labels: { app: 'differs' } }, spec: { containers: [{ name: 'main', image }] } } },
    });
    await k.apply(deployment('example.test/httpd:1'));
    assert.equal((await k.attempt('diff -f -', [], { input: deployment('example.test/httpd:1') })).code, 0);
    for (const flags of ['', '--server-side --force-conflicts']) {
      const { code, stdout, stderr } = await k.attempt(`diff ${flags} -f -`, [], { input: deployment('example.test/busybox:2') });
      assert.equal(code, 1, stderr);
      holdsAll(stdout, [['-', 'image: example.test/httpd:1'], ['+', 'image: example.test/busybox:2']]);
    }
    assert.equal((await k.json<V1Deployment>('get deployment differs')).spec?.template.spec?.containers[0]?.image, 'example.test/httpd:1', 'a diff changes nothing');
  });

  it('Kubectl server-side dry-run should check if kubectl can dry-run update Pods [Conformance]', async () => {
    await k(`run dry --image=${busyboxImage} --labels=run=dry --restart=Never -- sleep 3600`);
    const patch = JSON.stringify({ spec: { containers: [{ name: 'dry', image: 'example.test/other:1' }] } });
    assert.include(await k('patch pod dry --dry-run=server -o yaml -p', patch), 'image: example.test/other:1');
    assert.equal((await k.json<V1Pod>('get pod dry')).spec?.containers[0]?.image, busyboxImage);
    assert.match((await k.attempt('patch pod dry --dry-run=server -p', ['{"spec":{"containers":[{"name":"dry","image":""}]}}'])).stderr, /spec\.containers\[0\]\.image: Required value/);
    await k('delete pod dry --grace-period=0 --force');
  });

  it('Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info [Conformance]', async () => {
    assert.match(await k('cluster-info'), /Kubernetes control plane.* is running at.*https:\/\/127\.0\.0\.1:\d+/);
  });

  it('Kubectl describe should check if kubectl describe prints relevant information for rc and pods [Conformance]', async () => {
    await k.apply('apiVersion: v1\nkind: Service\nmetadata: { name: primary, labels: { app: primary, role: primary } }\nspec: { selector: { app: primary, role: primary }, ports: [{ port: 6379, targetPort: server }] }\n');
    const [pod] = await running('primary');
    holdsAll(await k(`describe pod ${pod?.metadata?.name}`), [
      ['Name:', 'primary-'], ['Namespace:', k.namespace], ['Node:', pod?.spec?.nodeName ?? '?'], ['Labels:', 'app=primary'], ['role=primary'], ['Annotations:'], ['Status:', 'Running'],
      ['IP:', pod?.status?.podIP ?? '?'], ['Controlled By:', 'ReplicationController/primary'], ['Image:', busyboxImage], ['State:', 'Running'], ['QoS Class:', 'BestEffort'], ['Normal', 'Started'],
    ]);
    await until('the controller counts its pod', async () => {
      holdsAll(await k('describe rc primary'), [
        ['Name:', 'primary'], ['Namespace:', k.namespace], ['Selector:', 'app=primary,role=primary'], ['Labels:', 'app=primary'], ['Annotations:'], ['Replicas:', '1 current', '1 desired'],
        ['Pods Status:', '1 Running', '0 Waiting', '0 Succeeded', '0 Failed'], ['Pod Template:'], ['Image:', busyboxImage], ['Events:'], ['SuccessfulCreate', 'Created pod: primary-'],
      ]);
    });
    await until('the Service has its endpoint', async () => {
      holdsAll(await k('describe service primary'), [
        ['Name:', 'primary'], ['Selector:', 'app=primary,role=primary'], ['Type:', 'ClusterIP'], ['IP:', '10.43.'], ['Port:', '<unset>', '6379/TCP'], ['Endpoints:', `${pod?.status?.podIP}:6379`], ['Session Affinity:', 'None'],
      ]);
    });
    const node = (await k.json<V1NodeList>('get nodes')).items[0] as V1Node;
    holdsAll(await k(`describe node ${node.metadata?.name}`), [
      ['Name:', node.metadata?.name ?? '?'], ['Labels:'], ['Annotations:'], ['CreationTimestamp:'], ['Conditions:'], ['Type', 'Status', 'LastHeartbeatTime', 'LastTransitionTime', 'Reason', 'Message'],
      ['Ready', 'True', 'KubeletReady'], ['InternalIP:', node.status?.addresses?.[0]?.address ?? '?'], ['Capacity:'], ['Kernel Version:'], ['OS Image:'], ['Container Runtime Version:', 'docker://'], ['Kubelet Version:', 'v1.36'], ['Non-terminated Pods:'],
    ]);
    holdsAll(await k(`describe namespace ${k.namespace}`), [['Name:', k.namespace], ['Labels:', `kubernetes.io/metadata.name=${k.namespace}`], ['Annotations:'], ['Status:', 'Active']]);
  });

  it('Kubectl expose should create services for rc [Conformance]', async () => {
    await k('expose rc primary --name=rm2 --port=1234 --target-port=6379');
    await k('expose service rm2 --name=rm3 --port=2345 --target-port=6379');
    const [pod] = await running('primary');
    for (const [name, port] of [['rm2', 1234], ['rm3', 2345]] as const) {
      const service = await k.json<V1Service>(`get service ${name}`);
      assert.deepEqual(service.spec?.ports?.map((each) => [each.port, each.targetPort]), [[port, 6379]]);
      await until(`${name} leads to the pod`, async () => (await k(`get endpointslices -l kubernetes.io/service-name=${name} -o`, 'jsonpath={.items[*].endpoints[*].addresses[*]}')) === pod?.status?.podIP);
    }
    await k('delete service rm2 rm3');
  });

  it('Kubectl patch should add annotations for pods in rc [Conformance]', async () => {
    for (const { metadata } of await running('primary')) await k(`patch pod ${metadata?.name} -p`, '{"metadata":{"annotations":{"x":"y"}}}');
    for (const { metadata } of await running('primary')) assert.equal(metadata?.annotations?.['x'], 'y');
  });

  it('Kubectl version should check is all data is printed [Conformance]', async () => {
    const text = await k('version');
    assert.match(text, /^Client Version: v1\./m);
    assert.match(text, /^Server Version: v1\.36\.0\+proa/m);
    const { serverVersion } = JSON.parse(await k('version -o json')) as { serverVersion: Record<string, string> };
    for (const field of ['major', 'minor', 'gitVersion', 'gitCommit', 'gitTreeState', 'buildDate', 'goVersion', 'compiler', 'platform']) assert.isString(serverVersion[field], field);
  });

  it('Kubectl run pod should create a pod from an image when restart is Never [Conformance]', async () => {
    await k(`run never --image=${busyboxImage} --restart=Never -- true`);
    const pod = await k.json<V1Pod>('get pod never');
    assert.equal(pod.spec?.restartPolicy, 'Never');
    assert.equal(pod.spec?.containers[0]?.image, busyboxImage);
    await k('wait --for=jsonpath={.status.phase}=Succeeded pod/never --timeout=30s');
    await k('delete pod never');
  });

  it("Kubectl replace should update a single-container pod's image [Conformance]", async () => {
    await k(`run replaced --image=${busyboxImage} --labels=run=replaced -- sleep 3600`);
    await k('wait --for=condition=Ready pod/replaced --timeout=30s');
    const text = await k('get pod replaced -o json');
    assert.equal((await k.attempt('replace -f -', [], { input: text.replaceAll(`"image": "${busyboxImage}"`, '"image": "example.test/other:1"') })).stdout, 'pod/replaced replaced\n');
    assert.equal((await k.json<V1Pod>('get pod replaced')).spec?.containers[0]?.image, 'example.test/other:1');
    assert.match((await k.attempt('replace -f -', [], { input: text })).stderr, /Conflict|the object has been modified/, 'the version that it was read at is over');
    await k('delete pod replaced --grace-period=0 --force');
  });

  describe('Proxy server', () => {
    it('should support proxy with --port 0 [Conformance]', async () => {
      const proxy = k.start('proxy --port=0 --disable-filter');
      try {
        let port = '';
        await until('the proxy listens', () => (port = /Starting to serve on 127\.0\.0\.1:(\d+)/.exec(proxy.output())?.[1] ?? '') !== '');
        const { stdout, stderr } = await cluster.host.run('curl', ['-sS', '-m', '5', `http://localhost:${port}/api/`]);
        assert.deepEqual((JSON.parse(stdout || stderr) as { versions: string[] }).versions, ['v1']);
      } finally {
        await proxy.stop();
      }
    });

    it('should support --unix-socket=/path [Conformance]', async () => {
      const folder = mkdtempSync(join(cluster.host.folder, 'proxy-'));
      const proxy = k.start(`proxy --unix-socket=${join(folder, 'socket')}`);
      try {
        await until('the proxy listens', () => proxy.output().includes('Starting to serve on'));
        const { stdout, stderr } = await cluster.host.run('curl', ['-sS', '-m', '5', '--unix-socket', join(folder, 'socket'), 'http://localhost/api']);
        assert.deepEqual((JSON.parse(stdout || stderr) as { versions: string[] }).versions, ['v1']);
      } finally {
        await proxy.stop();
        rmSync(folder, { recursive: true });
      }
    });
  });

  describe('apply --server-side', () => {
    const settings = (data: Record<string, string>): string => JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data });
    const apply = (flags: string, data: Record<string, string>) => k.attempt(`apply ${flags} -f -`, [], { input: settings(data) });
    const read = (): Promise<V1ConfigMap> => k.json<V1ConfigMap>('get configmap settings --show-managed-fields');

    it('takes over what was applied on the client, once and for all', async () => {
      assert.equal((await apply('', { a: '1', b: '2' })).stdout, 'configmap/settings created\n');
      assert.deepEqual(JSON.parse(await k('apply view-last-applied configmap settings -o json')), { apiVersion: 'v1', kind: 'ConfigMap', metadata: { annotations: {}, name: 'settings', namespace: k.namespace }, data: { a: '1', b: '2' } });
      assert.deepEqual((await read()).metadata?.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`), ['kubectl-client-side-apply Update']);
      const migrated = await apply('--server-side', { a: '1', b: '2' });
      assert.equal(migrated.stdout, 'configmap/settings serverside-applied\n', migrated.stderr);
      // kubectl keeps the annotation as a manager of its own, so that an older kubectl can go on.
      assert.deepEqual((await read()).metadata?.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`), ['kubectl Apply', 'kubectl-last-applied Apply']);
      // Were the client's ownership still there, b would stay.
      await apply('--server-side', { a: '1' });
      assert.deepEqual((await read()).data, { a: '1' });
      assert.deepEqual((JSON.parse(await k('apply view-last-applied configmap settings -o json')) as V1ConfigMap).data, { a: '1' }, 'the annotation of the client follows');
      assert.equal((await apply('', { a: '3' })).stdout, 'configmap/settings configured\n', 'and back');
      assert.deepEqual((await read()).data, { a: '3' });
    });

    it('names whom it conflicts with, and how to go on', async () => {
      await apply('--server-side --field-manager=first', { shared: 'one' });
      const { code, stderr } = await apply('--server-side --field-manager=second', { shared: 'two' });
      assert.equal(code, 1);
      assert.match(stderr, /Apply failed with 1 conflict: conflict with "first": \.data\.shared/);
      assert.match(stderr, /--force-conflicts/);
      assert.equal((await read()).data?.['shared'], 'one');
      assert.equal((await apply('--server-side --field-manager=second --force-conflicts', { shared: 'two' })).stdout, 'configmap/settings serverside-applied\n');
      assert.equal((await read()).data?.['shared'], 'two');
    });

    it('keeps the annotation of set-last-applied and edit-last-applied', async () => {
      const set = await k.attempt('apply set-last-applied --create-annotation -f -', [], { input: settings({ kept: 'x' }) });
      assert.equal(set.stdout, 'configmap/settings configured\n', set.stderr);
      const edited = await k.attempt('apply edit-last-applied configmap settings', [], { env: { KUBE_EDITOR: 'sed -i s/kept:/edited:/' } });
      assert.match(edited.stdout, /configmap\/settings edited/, edited.stderr);
      assert.deepEqual((JSON.parse(await k('apply view-last-applied configmap settings -o json')) as V1ConfigMap).data, { edited: 'x' });
    });
  });

  describe('create --validate', () => {
    it('strict refuses unknown and duplicated fields and wrong types, all with their places', async () => {
      const { code, stderr } = await k.attempt('create --validate=strict -f -', [], { input: 'apiVersion: v1\nkind: Service\nmetadata: { name: strict }\nspec: { ports: [{ port: 80 }], selectorr: { a: b } }\n' });
      assert.equal(code, 1);
      assert.include(stderr, 'Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.selectorr"');
      // kubectl reads a file before it sends it, so a field that stands there twice arrives once; --raw sends it as it is.
      const twice = await k.attempt(`create --raw /api/v1/namespaces/${k.namespace}/services?fieldValidation=Strict -f -`, [], { input: '{"apiVersion":"v1","kind":"Service","metadata":{"name":"strict"},"spec":{"ports":[{"port":80}],"typo":1,"type":"ClusterIP","type":"ClusterIP"}}' });
      assert.equal(twice.code, 1);
      assert.include(twice.stderr, 'strict decoding error: unknown field "spec.typo", duplicate field "spec.type"');
      const wrong = await k.attempt('create --validate=strict -f -', [], { input: 'apiVersion: v1\nkind: Service\nmetadata: { name: strict }\nspec: { ports: [{ port: eighty }] }\n' });
      assert.include(wrong.stderr, 'Service in version "v1" cannot be handled as a Service: json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32');
      assert.match((await k.attempt('get service strict')).stderr, /NotFound/);
    });

    it('warn creates and warns; ignore only creates', async () => {
      const input = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { generateName: loose- }\ndatum: {}\n';
      const warned = await k.attempt('create --validate=warn -f -', [], { input });
      assert.match(warned.stdout, /^configmap\/loose-\w+ created\n$/);
      assert.include(warned.stderr, 'Warning: unknown field "datum"');
      const ignored = await k.attempt('create --validate=ignore -f -', [], { input });
      assert.match(ignored.stdout, /^configmap\/loose-\w+ created\n$/);
      assert.equal(ignored.stderr, '');
    });
  });
});
