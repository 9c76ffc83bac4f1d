// kubectl as people use it: what each command prints and does, on one small application.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1Deployment, V1NodeList, V1Pod, V1PodList, V1Service } from '@kubernetes/client-node';
import { assert } from 'chai';
import { needsHost, sharedCluster, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';

const pod = (name: string, script: string, more = ''): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec:
  terminationGracePeriodSeconds: 1
  ${more}
  containers:
  - { name: main, image: ${busyboxImage}, command: [sh, -c, ${JSON.stringify(script)}] }
`;
const deployment = (name: string, replicas: number, version: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, labels: { app: ${name} } }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - { name: main, image: ${busyboxImage}, env: [{ name: VERSION, value: "${version}" }], command: [sh, -c, "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www"], ports: [{ containerPort: 80 }] }
`;

describe('[sig-cli] Kubectl client', function () {
  let cluster: Cluster;
  let k: Kubectl & { namespace: string };
  before(needsHost);
  before(async () => {
    cluster = await sharedCluster();
    k = await cluster.namespace('kubectl');
    await k.apply([
      pod('shell', 'echo started; while true; do sleep 0.2; done'),
      pod('writer', 'for i in 1 2 3 4 5; do echo line $i; done; while true; do sleep 1; echo tick; done'),
      pod('crash', 'echo attempt; exit 3', 'restartPolicy: Always'),
    ].join('---'));
    await k.apply(deployment('web', 2, 'one'));
    await k('wait --for=condition=Ready pod/shell pod/writer --timeout=30s');
    await k('rollout status deployment/web --timeout=30s');
  });

  it('get: table, -o wide, name, jsonpath, custom-columns, selectors, sorting', async () => {
    const table = (await k('get pods')).split('\n');
    assert.match(table[0] ?? '', /^NAME +READY +STATUS +RESTARTS +AGE$/);
    assert.match(table.find((line) => line.startsWith('shell')) ?? '', /^shell +1\/1 +Running +0 +\d+s$/);
    const wide = (await k('get pods -o wide')).split('\n');
    assert.match(wide[0] ?? '', /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES$/);
    assert.match(wide.find((line) => line.startsWith('shell')) ?? '', /^shell +1\/1 +Running +0 +\d+s +10\.42\.\d+\.\d+ +\S+ +<none> +<none>$/);
    assert.match(await k('get deployment web -o wide'), /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +2\/2 +2 +2 +\d+s +main +test\.local\/busybox:1 +app=web\n$/);
    assert.equal(await k('get pods -l app=shell -o name'), 'pod/shell\n');
    assert.equal(await k('get pods --field-selector metadata.name=writer -o', 'jsonpath={.items[*].status.phase}'), 'Running');
    assert.equal(await k('get pod shell -o custom-columns=N:.metadata.name,P:.status.phase --no-headers'), 'shell   Running\n');
    const sorted = (await k('get pods --sort-by=.metadata.name -o name')).trim().split('\n');
    assert.deepEqual(sorted, [...sorted].sort());
    const missing = await k.attempt('get pod nobody');
    assert.equal(missing.code, 1);
    assert.equal(missing.stderr, 'Error from server (NotFound): pods "nobody" not found\n');
    const all = await k('get all -A');
    for (const expected of ['pod/shell', 'service/kubernetes', 'service/kube-dns', 'deployment.apps/web', 'replicaset.apps/web-']) assert.include(all, expected);
  });

  it('get -w shows changes as they come', async () => {
    const watch = k.start('get pods -l app=watched -o wide -w');
    await k.apply(pod('watched', 'sleep 60'));
    await until('Running in the watch', () => /watched +1\/1 +Running/.test(watch.output()));
    await k('delete pod watched');
    await until('Terminating in the watch', () => /Terminating/.test(watch.output()));
    assert.equal(watch.output().match(/NAME +READY/g)?.length, 1, 'one header');
    await watch.stop();
  });

  it('describe: pods, deployments, nodes; events', async () => {
    const text = await k('describe pod shell');
    for (const pattern of [/^Name: +shell$/m, /^Status: +Running$/m, /^IP: +10\.42\./m, /Image: +test\.local\/busybox:1/, /State: +Running/, /QoS Class: +BestEffort/, /Normal +Scheduled .*Successfully assigned/, /Normal +Started /]) assert.match(text, pattern);
    const web = await k('describe deployment web');
    for (const pattern of [/Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable/, /StrategyType: +RollingUpdate/, /NewReplicaSet: +web-\w+ \(2\/2 replicas created\)/, /ScalingReplicaSet/]) assert.match(web, pattern);
    const nodes = await cluster.kubectl('describe nodes');
    for (const pattern of [/MemoryPressure +False/, /Ready +True/, /Container Runtime Version: +docker:/, /Non-terminated Pods:/, /PodCIDR: +10\.42\.0\.0\/24/]) assert.match(nodes, pattern);
    assert.match(await k('events --for pod/shell'), /Scheduled[^]*Started/);
  });

  it('Kubectl logs logs should be able to retrieve and filter logs [Conformance]', async () => {
    assert.match(await k('logs writer'), /^line 1\nline 2\nline 3\nline 4\nline 5\n/);
    assert.equal((await k('logs writer --tail=1')).trim().split('\n').length, 1);
    assert.equal(await k('logs writer --limit-bytes=6'), 'line 1');
    const stamped = (await k('logs writer --timestamps --tail=1')).trim();
    assert.match(stamped, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z tick$/);
    await until('5 s of life', async () => (await k('logs writer')).split('tick').length > 6);
    const recent = (await k('logs writer --since=2s')).trim().split('\n').length;
    assert.isBelow(recent, (await k('logs writer --since=24h')).trim().split('\n').length);
    const follow = k.start('logs -f writer --tail=1');
    await until('a followed line', () => (follow.output().match(/tick/g) ?? []).length >= 3, 10_000);
    await follow.stop();
    await until('a restart', async () => (await k.json<V1Pod>('get pod crash')).status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode === 3);
    assert.equal(await k('logs crash --previous'), 'attempt\n');
    assert.notEqual((await k.attempt('logs shell --previous')).code, 0);
    assert.match((await k.attempt('logs shell -c other')).stderr, /container other is not valid for pod shell/);
  });

  it('exec: output, exit code, standard input, a terminal', async () => {
    assert.equal(await k('exec shell -- echo hello'), 'hello\n');
    const failed = await k.attempt('exec shell -- sh -c', ['echo out; echo err >&2; exit 42']);
    assert.deepEqual(failed, { code: 42, stdout: 'out\n', stderr: 'err\ncommand terminated with exit code 42\n' });
    const big = 'x'.repeat(200_000);
    assert.equal((await k.attempt('exec -i shell -- wc -c', [], { input: big })).stdout.trim(), '200000');
    assert.equal((await k.attempt('exec -i shell -- cat', [], { input: big })).stdout, big);
    const missing = await k.attempt('exec shell -- no-such-program');
    assert.notEqual(missing.code, 0);
    const kubeconfig = cluster.server.kubeconfig;
    const terminal = await cluster.host.run('script', ['-qec', `stty rows 33 cols 99; kubectl --kubeconfig ${kubeconfig} -n ${k.namespace} exec -it shell -- sh -c 'tty; sleep 0.5; stty size'`, '/dev/null']);
    assert.match(terminal.stdout, /\/dev\/(pts\/\d+|console)\r\n[^]*33 99\r\n/);
  });

  it('attach and run --rm -i', async () => {
    const attach = k.start('attach writer');
    await until('an attached line', () => /tick/.test(attach.output()), 10_000);
    await attach.stop();
    const once = await k.attempt(`run once --rm -i --quiet --restart=Never --image=${busyboxImage} -- cat`, [], { input: 'through\n' });
    assert.equal(once.code, 0, once.stderr);
    assert.include(once.stdout, 'through');
    await until('it is removed', async () => (await k.attempt('get pod once')).code === 1);
    const failing = await k.attempt(`run failing --rm -i --quiet --restart=Never --image=${busyboxImage} -- sh -c`, ['exit 7']);
    assert.equal(failing.code, 7);
  });

  it('cp both ways', async () => {
    const folder = mkdtempSync(join(cluster.host.folder, 'cp-'));
    const content = `${'0123456789abcdef'.repeat(5000)}\n`;
    writeFileSync(join(folder, 'up.txt'), content);
    await k(`cp ${join(folder, 'up.txt')} shell:/tmp/up.txt`);
    assert.match(await k('exec shell -- wc -c /tmp/up.txt'), new RegExp(`^${content.length} `));
    await k(`cp shell:/tmp/up.txt ${join(folder, 'down.txt')}`);
    assert.equal(readFileSync(join(folder, 'down.txt'), 'utf8'), content);
  });

  it('scale, set image, rollout status, history, undo, pause and resume', async () => {
    assert.equal(await k('scale deployment web --replicas=3'), 'deployment.apps/web scaled\n');
    await k('rollout status deployment/web --timeout=30s');
    assert.lengthOf((await k.json<V1PodList>('get pods -l app=web')).items, 3);
    assert.notEqual((await k.attempt('scale deployment web --current-replicas=9 --replicas=1')).code, 0);
    await k('scale deployment web --replicas=2');

    await cluster.host.docker('tag', busyboxImage, 'test.local/busybox:2');
    assert.equal(await k('set image deployment/web main=test.local/busybox:2'), 'deployment.apps/web image updated\n');
    assert.match(await k('rollout status deployment/web --timeout=60s'), /deployment "web" successfully rolled out/);
    const staying = (await k.json<V1PodList>('get pods -l app=web')).items.filter(({ metadata }) => !metadata?.deletionTimestamp);
    assert.deepEqual(staying.map(({ spec }) => spec?.containers[0]?.image), ['test.local/busybox:2', 'test.local/busybox:2']);
    assert.match(await k('rollout history deployment/web'), /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>/);
    assert.match(await k('rollout history deployment/web --revision=2'), /Image:\s+test\.local\/busybox:2/);
    assert.equal(await k('rollout undo deployment/web'), 'deployment.apps/web rolled back\n');
    await k('rollout status deployment/web --timeout=60s');
    assert.equal(await k('get deployment web -o', 'jsonpath={.spec.template.spec.containers[0].image}'), busyboxImage);
    assert.match(await k('rollout history deployment/web'), /\n2 +<none>\n3 +<none>/);

    await k('rollout pause deployment/web');
    await k('set env deployment/web VERSION=paused');
    const generation = (await k.json<V1Deployment>('get deployment web')).metadata?.generation ?? 0;
    await until('the paused change is observed', async () => ((await k.json<V1Deployment>('get deployment web')).status?.observedGeneration ?? 0) >= generation);
    assert.lengthOf((await k('get replicasets -l app=web -o name')).trim().split('\n'), 2, 'no new ReplicaSet while paused');
    await k('rollout resume deployment/web');
    await k('rollout status deployment/web --timeout=60s');
    assert.lengthOf((await k('get replicasets -l app=web -o name')).trim().split('\n'), 3);
    await k('rollout restart deployment/web');
    await k('rollout status deployment/web --timeout=60s');
  });

  it('Kubectl label should update the label on a resource [Conformance]', async () => {
    assert.equal(await k('label pod shell testing-label=testing-label-value'), 'pod/shell labeled\n');
    assert.match(await k('get pod shell -L testing-label'), /TESTING-LABEL\n.*testing-label-value\n$/);
    await k('label pod shell testing-label-');
    assert.notInclude(await k('get pod shell -L testing-label'), 'testing-label-value');
    assert.notEqual((await k.attempt('label pod shell app=other')).code, 0, 'not without --overwrite');
  });

  it('patch: three kinds; annotate', async () => {
    await k('annotate pod shell who=me');
    await k('patch pod shell --type=merge -p', '{"metadata":{"annotations":{"merge":"1"}}}');
    await k('patch pod shell --type=json -p', '[{"op":"add","path":"/metadata/annotations/json","value":"2"}]');
    await k('patch deployment web --type=strategic -p', '{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"EXTRA","value":"x"}]}]}}}}');
    assert.include((await k.json<V1Pod>('get pod shell')).metadata?.annotations, { who: 'me', merge: '1', json: '2' });
    const env = (await k.json<V1Deployment>('get deployment web')).spec?.template.spec?.containers[0]?.env?.map(({ name }) => name);
    assert.sameMembers(env ?? [], ['VERSION', 'EXTRA'], 'strategic merge keeps what it does not name');
    const invalid = await k.attempt('patch pod shell --type=merge -p', ['{"spec":{"nodeName":"elsewhere"}}']);
    assert.match(invalid.stderr, /is invalid: spec: Forbidden: pod updates may not change fields other than/);
    await k('rollout status deployment/web --timeout=60s');
  });

  it('apply: three-way changes, diff, edit, bad input', async () => {
    const settings = (data: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\ndata: ${data}\n`;
    assert.equal(await k.apply(settings('{ a: "1", b: "2" }')), 'configmap/settings created\n');
    assert.equal(await k.apply(settings('{ a: "1", b: "2" }')), 'configmap/settings unchanged\n');
    await k('patch configmap settings --type=merge -p', '{"data":{"foreign":"kept"}}');
    const diff = await k.attempt('diff -f -', [], { input: settings('{ a: "3" }') });
    assert.equal(diff.code, 1, diff.stderr);
    assert.match(diff.stdout, /^-\s+a: "1"$/m);
    assert.equal(await k.apply(settings('{ a: "3" }')), 'configmap/settings configured\n');
    assert.deepEqual(JSON.parse(await k('get configmap settings -o', 'jsonpath={.data}')), { a: '3', foreign: 'kept' });
    const edited = await k.attempt('edit configmap settings', [], { env: { KUBE_EDITOR: "sed -i s/kept/edited/" } });
    assert.equal(edited.stdout, 'configmap/settings edited\n', edited.stderr);
    assert.include(await k('get configmap settings -o yaml'), 'foreign: edited');
    const unknown = await k.attempt('apply -f -', [], { input: 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: bad }\ndatum: {}\n' });
    assert.match(unknown.stderr, /unknown field "datum"/);
    const invalid = await k.attempt('apply -f -', [], { input: 'apiVersion: v1\nkind: Service\nmetadata: { name: Bad_Name }\nspec: { ports: [{ port: 0 }] }\n' });
    assert.match(invalid.stderr, /metadata.name: Invalid value: "Bad_Name"/);
  });

  it('explain --recursive knows every kind', async () => {
    // Names with a group are no use here: kubectl takes what is behind the first point for a field.
    const kinds = (await k('api-resources --no-headers')).trim().split('\n').map((line) => {
      const columns = line.split(/ +/);
      return { name: columns[0] ?? '', version: columns.at(-3) ?? '', kind: columns.at(-1) ?? '' };
    });
    assert.isAbove(kinds.length, 50);
    for (let at = 0; at < kinds.length; at += 4) {
      await Promise.all(kinds.slice(at, at + 4).map(async ({ name, version, kind }) => {
        const text = await k(`explain ${name} --api-version=${version} --recursive`);
        assert.match(text, new RegExp(String.raw`^KIND: +${kind}$`, 'm'));
        assert.match(text, new RegExp(String.raw`^VERSION: +${version.split('/').at(-1)}$`, 'm'));
        assert.match(text, /^FIELDS:\n {2}/m);
      }));
    }
  });

  it('create --validate=strict refuses fields that are unknown or of another type', async () => {
    const refusal = async (name: string, value: string): Promise<string> => {
      const file = join(cluster.host.folder, 'strict.yaml');
      writeFileSync(file, `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: strict }\n${name}: ${value}\n`);
      const { code, stderr } = await k.attempt(`create --validate=strict -f ${file}`);
      assert.notEqual(code, 0);
      return stderr;
    };
    assert.include(await refusal('dataa', '{ a: b }'), 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dataa"');
    assert.include(await refusal('data', '{ a: 5 }'), 'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string');
  });

  it('expose, api-resources, api-versions, explain, cluster-info, top', async () => {
    assert.equal(await k('expose deployment web --port=80 --name=exposed'), 'service/exposed exposed\n');
    const { clusterIP } = (await k.json<V1Service>('get service exposed')).spec ?? {};
    await until('the Service answers', async () => (await cluster.host.run('curl', ['-sS', '-m', '2', `http://${clusterIP}/`])).stdout.startsWith('web-'));
    const resources = await k('api-resources');
    assert.match(resources, /^NAME +SHORTNAMES +APIVERSION +NAMESPACED +KIND$/m);
    assert.match(resources, /^pods +po +v1 +true +Pod$/m);
    assert.match(resources, /^deployments +deploy +apps\/v1 +true +Deployment$/m);
    assert.include((await k('api-versions')).split('\n'), 'discovery.k8s.io/v1');
    const explained = await k('explain pod.spec.containers');
    assert.match(explained, /^KIND: +Pod\nVERSION: +v1\n\nFIELD: containers <\[\]Container>/);
    assert.match(explained, /imagePullPolicy\t<string>/);
    assert.match(await k('cluster-info'), /control plane.* is running at/);
    const top = await k.attempt('top pods');
    assert.equal(top.code, 1);
    assert.match(top.stderr, /Metrics API not available/);
  });

  it('auth can-i, create token, auth whoami, impersonation', async () => {
    assert.equal(await k('auth can-i create pods'), 'yes\n');
    const refused = await k.attempt(`auth can-i list secrets --as system:serviceaccount:${k.namespace}:default`);
    assert.equal(refused.stdout, 'no\n');
    assert.equal(refused.code, 1);
    const token = (await k('create token default')).trim();
    assert.lengthOf(token.split('.'), 3);
    const server = /server: (\S+)/.exec(readFileSync(cluster.server.kubeconfig, 'utf8'))?.[1];
    const call = (path: string): Promise<string> => cluster.host.must('curl', ['-sk', '-H', `Authorization: Bearer ${token}`, `${server}${path}`]);
    assert.match(await call(`/api/v1/namespaces/${k.namespace}/secrets`), /"message": ?"secrets is forbidden: User \\"system:serviceaccount:kubectl-\d+:default\\" cannot list resource \\"secrets\\" in API group \\"\\" in the namespace/);
    await k(`create rolebinding reader --clusterrole=view --serviceaccount=${k.namespace}:default`);
    await until('the right is given', async () => /"kind": ?"PodList"/.test(await call(`/api/v1/namespaces/${k.namespace}/pods`)));
    assert.match(await k('auth whoami'), /Username +\S+/);
  });

  it('cordon, drain, uncordon', async () => {
    const name = (await cluster.kubectl.json<V1NodeList>('get nodes')).items[0]?.metadata?.name ?? '';
    await cluster.kubectl(`cordon ${name}`);
    try {
      assert.match(await cluster.kubectl('get nodes'), /Ready,SchedulingDisabled/);
      await k.apply(pod('unplaced', 'sleep 60'));
      await until('FailedScheduling', async () => (await k('events --for pod/unplaced')).includes('0/1 nodes are available: 1 node(s) were unschedulable'));
      const drained = await cluster.kubectl(`drain ${name} --force --ignore-daemonsets --delete-emptydir-data --pod-selector=app=web --timeout=60s`);
      assert.match(drained, /evicting pod \S+web-/);
      assert.match(drained, new RegExp(`node/${name} drained`));
    } finally {
      await cluster.kubectl(`uncordon ${name}`);
    }
    await k('wait --for=condition=Ready pod/unplaced --timeout=30s');
    await k('rollout status deployment/web --timeout=60s');
  });

  it('delete with and without --wait, wait --for=delete', async () => {
    await k.apply(pod('slow', "trap 'sleep 1; exit 0' TERM; while true; do sleep 0.1; done", '').replace('terminationGracePeriodSeconds: 1', 'terminationGracePeriodSeconds: 10'));
    await k('wait --for=condition=Ready pod/slow --timeout=30s');
    assert.equal(await k('delete pod slow --wait=false'), 'pod "slow" deleted\n');
    assert.isDefined((await k.json<V1Pod>('get pod slow')).metadata?.deletionTimestamp);
    await k('wait --for=delete pod/slow --timeout=30s');
    await k('delete pod unplaced');
    assert.equal((await k.attempt('get pod unplaced')).code, 1);
    await k('delete pod shell --now');
    await k('delete deployment web');
    await until('its pods are gone', async () => (await k.json<V1PodList>('get pods -l app=web')).items.length === 0);
    assert.equal(await k('delete pod nobody --ignore-not-found'), '');
  });
});
