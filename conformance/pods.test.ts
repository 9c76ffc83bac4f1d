// Pods on a real engine: start, environment, init containers, restart policies, probes, hooks, termination, resources.
import type { V1Pod } from '@kubernetes/client-node';
import { assert } from 'chai';
import { needsHost, sharedCluster, until } from './fixtures/cluster.ts';
import type { Cluster, Kubectl } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';

interface PodOptions { script: string; container?: string; spec?: string }
/** `container` and `spec` are more fields in YAML's flow style. */
const pod = (name: string, { script, container = '', spec = 'restartPolicy: Never' }: PodOptions): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} }, annotations: { note: hello } }
spec:
  terminationGracePeriodSeconds: 1
  ${spec}
  containers:
  - { name: main, image: ${busyboxImage}, command: [sh, -c, ${JSON.stringify(script)}]${container === '' ? '' : `, ${container}`} }
`;

describe('[sig-node] Pods', function () {
  let cluster: Cluster;
  let k: Kubectl & { namespace: string };
  before(needsHost);
  before(async () => {
    cluster = await sharedCluster();
    k = await cluster.namespace('pods');
  });
  const get = (name: string): Promise<V1Pod> => k.json<V1Pod>(`get pod ${name}`);
  const phase = (name: string, wanted: string): Promise<void> => until(`${name} ${wanted}`, async () => assert.equal((await get(name)).status?.phase, wanted));
  /** Runs a pod to its end and returns its log. */
  const logOf = async (name: string, options: PodOptions, before = ''): Promise<string> => {
    await k.apply(`---\n${before}---${pod(name, options)}`);
    await phase(name, 'Succeeded');
    return k(`logs ${name}`);
  };
  const restarts = async (name: string): Promise<number> => (await get(name)).status?.containerStatuses?.[0]?.restartCount ?? 0;

  it('[sig-node] Variable Expansion should allow composing env vars into new env vars [NodeConformance] [Conformance]', async () => {
    const log = await logOf('composed', { script: 'env', container: 'env: [{ name: FOO, value: foo-value }, { name: BAR, value: bar-value }, { name: FOOBAR, value: "$(FOO);;$(BAR)" }, { name: ESCAPED, value: "$$(FOO)" }, { name: UNKNOWN, value: "$(NOPE)" }]' });
    for (const line of ['FOO=foo-value', 'BAR=bar-value', 'FOOBAR=foo-value;;bar-value', 'ESCAPED=$(FOO)', 'UNKNOWN=$(NOPE)']) assert.include(log.split('\n'), line);
  });

  it('[sig-node] Downward API should provide pod name, namespace and IP address as env vars [NodeConformance] [Conformance]', async () => {
    const field = (name: string, path: string): string => `{ name: ${name}, valueFrom: { fieldRef: { fieldPath: ${path} } } }`;
    const log = await logOf('downward', {
      script: 'env',
      container: `env: [${[field('POD_NAME', 'metadata.name'), field('POD_NS', 'metadata.namespace'), field('POD_IP', 'status.podIP'), field('HOST_IP', 'status.hostIP'), field('POD_UID', 'metadata.uid'), field('NODE', 'spec.nodeName'), field('NOTE', '"metadata.annotations[\'note\']"')].join(', ')}, { name: CPU, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: 1m } } }, { name: MEM, valueFrom: { resourceFieldRef: { resource: requests.memory } } }], resources: { limits: { cpu: 250m, memory: 64Mi }, requests: { memory: 32Mi } }`,
    });
    const { metadata, status } = await get('downward');
    for (const line of ['POD_NAME=downward', `POD_NS=${k.namespace}`, `POD_UID=${metadata?.uid}`, `HOST_IP=${status?.hostIP}`, 'NOTE=hello', 'CPU=250', `MEM=${32 * 1024 * 1024}`]) assert.include(log.split('\n'), line);
    assert.match(log, /^POD_IP=10\.42\./m);
    assert.match(log, /^NODE=\S+$/m);
    assert.equal(status?.qosClass, 'Burstable');
  });

  it('[sig-node] ConfigMap should be consumable via the environment [NodeConformance] [Conformance], Secrets too', async () => {
    const log = await logOf('references', {
      script: 'env',
      container: 'envFrom: [{ prefix: CM_, configMapRef: { name: settings } }, { secretRef: { name: hidden } }, { configMapRef: { name: absent, optional: true } }], env: [{ name: ONE, valueFrom: { configMapKeyRef: { name: settings, key: colour } } }, { name: TWO, valueFrom: { secretKeyRef: { name: hidden, key: PASSWORD } } }]',
    }, '{ apiVersion: v1, kind: ConfigMap, metadata: { name: settings }, data: { colour: blue } }\n---\n{ apiVersion: v1, kind: Secret, metadata: { name: hidden }, stringData: { PASSWORD: secret } }\n');
    for (const line of ['CM_colour=blue', 'PASSWORD=secret', 'ONE=blue', 'TWO=secret']) assert.include(log.split('\n'), line);
    await k.apply(pod('unready-reference', { script: 'true', container: 'envFrom: [{ configMapRef: { name: absent } }]' }));
    await until('the reason', async () => assert.match(await k('get pod unready-reference'), /CreateContainerConfigError/));
    await k('create configmap absent --from-literal=now=here');
    await phase('unready-reference', 'Succeeded');
  });

  it('[sig-node] Pods should contain environment variables for services [NodeConformance] [Conformance]', async () => {
    const log = await logOf('linked', { script: 'env' }, '{ apiVersion: v1, kind: Service, metadata: { name: foo-service }, spec: { ports: [{ port: 8765 }] } }\n');
    for (const pattern of [/^FOO_SERVICE_SERVICE_HOST=10\.43\./m, /^FOO_SERVICE_SERVICE_PORT=8765$/m, /^FOO_SERVICE_PORT_8765_TCP_PORT=8765$/m, /^KUBERNETES_SERVICE_HOST=10\.43\.0\.1$/m]) assert.match(log, pattern);
    const without = await logOf('unlinked', { script: 'env', spec: 'restartPolicy: Never\n  enableServiceLinks: false' });
    assert.notInclude(without, 'FOO_SERVICE');
    assert.include(without, 'KUBERNETES_SERVICE_HOST');
  });

  it('[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartNever pod [Conformance]', async () => {
    const init = (name: string, script: string): string => `{ name: ${name}, image: ${busyboxImage}, command: [sh, -c, ${JSON.stringify(script)}], volumeMounts: [{ name: shared, mountPath: /shared }] }`;
    const log = await logOf('initialised', {
      script: 'cat /shared/order', container: 'volumeMounts: [{ name: shared, mountPath: /shared }]',
      spec: `restartPolicy: Never\n  volumes: [{ name: shared, emptyDir: {} }]\n  initContainers: [${init('first', 'echo first >> /shared/order')}, ${init('second', 'echo second >> /shared/order')}]`,
    });
    assert.equal(log, 'first\nsecond\n');
    const { status } = await get('initialised');
    assert.deepEqual(status?.initContainerStatuses?.map(({ state }) => state?.terminated?.exitCode), [0, 0]);
    assert.equal(status?.conditions?.find(({ type }) => type === 'Initialized')?.status, 'True');
    await k.apply(pod('init-fails', { script: 'true', spec: `restartPolicy: Never\n  volumes: [{ name: shared, emptyDir: {} }]\n  initContainers: [${init('bad', 'exit 1')}]` }));
    await phase('init-fails', 'Failed');
    assert.isUndefined((await get('init-fails')).status?.containerStatuses?.[0]?.state?.terminated, 'the main container never ran');
    assert.match(await k('get pod init-fails'), /Init:Error/);
  });

  it('[sig-node] restart policies: Never fails, OnFailure repeats until it works, Always goes on with back-off', async () => {
    const repeats = 'test -e /shared/mark || { touch /shared/mark; exit 1; }';
    const volume = { container: 'volumeMounts: [{ name: shared, mountPath: /shared }]' };
    await k.apply([
      pod('never', { script: 'exit 9' }),
      pod('on-failure', { script: repeats, ...volume, spec: 'restartPolicy: OnFailure\n  volumes: [{ name: shared, emptyDir: {} }]' }),
      pod('always', { script: 'exit 0', spec: 'restartPolicy: Always' }),
      pod('message', { script: 'echo -n DONE > /dev/termination-log' }),
    ].join('---'));
    await phase('never', 'Failed');
    assert.deepInclude((await get('never')).status?.containerStatuses?.[0]?.state?.terminated, { exitCode: 9, reason: 'Error' });
    await phase('on-failure', 'Succeeded');
    assert.equal(await restarts('on-failure'), 1);
    await until('a restart', async () => assert.isAtLeast(await restarts('always'), 1));
    await until('CrashLoopBackOff', async () => assert.match(await k('get pod always'), /CrashLoopBackOff/));
    await phase('message', 'Succeeded');
    assert.equal((await get('message')).status?.containerStatuses?.[0]?.state?.terminated?.message, 'DONE');
    await k('delete pod always --wait=false');
  });

  it('[sig-node] Probing container: exec and http liveness restart, readiness gates, startup holds the others back', async () => {
    const serve = (before: string): string => `mkdir -p /www; echo ok > /www/healthz; ${before} exec httpd -f -p 8080 -h /www`;
    await k.apply([
      pod('live-exec', { script: 'touch /tmp/health; sleep 2; rm /tmp/health; sleep 600', container: 'livenessProbe: { exec: { command: [cat, /tmp/health] }, periodSeconds: 1, failureThreshold: 1 }', spec: 'restartPolicy: Always' }),
      pod('live-http', { script: serve('(sleep 2; rm /www/healthz) &'), container: 'livenessProbe: { httpGet: { path: /healthz, port: 8080 }, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1 }', spec: 'restartPolicy: Always' }),
      pod('live-tcp', { script: serve(''), container: 'livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, initialDelaySeconds: 1 }', spec: 'restartPolicy: Always' }),
      pod('ready', { script: serve('(sleep 3; echo yes > /www/ready) &'), container: 'readinessProbe: { httpGet: { path: /ready, port: 8080 }, periodSeconds: 1 }' }),
      pod('never-ready', { script: 'sleep 600', container: 'readinessProbe: { exec: { command: ["false"] }, periodSeconds: 1 }' }),
      pod('startup', { script: 'sleep 3; touch /tmp/up; sleep 600', container: 'startupProbe: { exec: { command: [cat, /tmp/up] }, periodSeconds: 1, failureThreshold: 20 }, livenessProbe: { exec: { command: [cat, /tmp/up] }, periodSeconds: 1, failureThreshold: 1 }' }),
    ].join('---'));
    await until('not ready at first', async () => assert.match(await k('get pod ready'), /0\/1 +Running/));
    await k('wait --for=condition=Ready pod/ready pod/startup --timeout=30s');
    await until('restarts by liveness', async () => {
      assert.isAtLeast(await restarts('live-exec'), 1);
      assert.isAtLeast(await restarts('live-http'), 1);
    });
    assert.match(await k('events --for pod/live-exec'), /Unhealthy +Pod\/live-exec +Liveness probe failed/);
    assert.match(await k('events --for pod/live-exec'), /Killing .*failed liveness probe, will be restarted/);
    assert.equal(await restarts('live-tcp'), 0);
    assert.equal(await restarts('startup'), 0, 'liveness waited for startup');
    assert.match(await k('get pod never-ready'), /0\/1 +Running +0/);
    await k('delete pod live-exec live-http live-tcp ready never-ready startup --wait=false');
  });

  it('[sig-node] Container Lifecycle Hook: postStart before ready, preStop before the signal, grace period, SIGKILL', async () => {
    const volumes = 'restartPolicy: Never\n  volumes: [{ name: trace, hostPath: { path: TRACE, type: DirectoryOrCreate } }]'.replace('TRACE', `${cluster.host.folder}/trace`);
    const mount = 'volumeMounts: [{ name: trace, mountPath: /trace }]';
    await k.apply([
      pod('hooked', { script: "trap 'echo term >> /trace/hooked; exit 0' TERM; while true; do sleep 0.1; done", container: `${mount}, lifecycle: { postStart: { exec: { command: [sh, -c, "echo start >> /trace/hooked"] } }, preStop: { exec: { command: [sh, -c, "echo stop >> /trace/hooked"] } } }`, spec: volumes }).replace('PeriodSeconds: 1', 'PeriodSeconds: 20'),
      pod('stubborn', { script: "trap '' TERM; while true; do sleep 0.1; done" }).replace('PeriodSeconds: 1', 'PeriodSeconds: 2'),
    ].join('---'));
    await k('wait --for=condition=Ready pod/hooked pod/stubborn --timeout=30s');
    let startedAt = Date.now();
    await k('delete pod hooked');
    assert.isBelow(Date.now() - startedAt, 10_000, 'it ends when its container does, not after the grace period');
    assert.equal(await cluster.host.must('cat', [`${cluster.host.folder}/trace/hooked`]), 'start\nstop\nterm\n');
    startedAt = Date.now();
    await k('delete pod stubborn');
    assert.isAtLeast(Date.now() - startedAt, 1800, 'the whole grace period');
    assert.isBelow(Date.now() - startedAt, 8000);
  });

  it('[sig-node] security context, limits, shared namespaces, host network', async () => {
    assert.equal(await logOf('user', { script: 'id -u; id -g; touch /x 2>&1; true', container: 'securityContext: { runAsUser: 65534, runAsGroup: 33, readOnlyRootFilesystem: true }' }), '65534\n33\ntouch: /x: Read-only file system\n');
    await k.apply(pod('root-refused', { script: 'true', container: 'securityContext: { runAsNonRoot: true }' }));
    await until('refused', async () => assert.match(await k('get pod root-refused'), /CreateContainerConfigError/));
    const memory = await logOf('limited', { script: 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true', container: 'resources: { limits: { memory: 48Mi } }' });
    assert.equal(memory.trim(), String(48 * 1024 * 1024));
    await k.apply(pod('host-network', { script: 'ip -4 address show dev lo; hostname', spec: 'restartPolicy: Never\n  hostNetwork: true' }));
    await phase('host-network', 'Succeeded');
    assert.include(await k('logs host-network'), '10.41.0.1/32');
    await k.apply(`apiVersion: v1\nkind: Pod\nmetadata: { name: pair }\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 1\n  containers:\n  - { name: server, image: ${busyboxImage}, command: [sh, -c, "mkdir /www; echo from-neighbour > /www/index.html; exec httpd -f -p 9090 -h /www"] }\n  - { name: client, image: ${busyboxImage}, command: [sh, -c, "until wget -q -O - http://127.0.0.1:9090/; do sleep 0.1; done"] }\n`);
    await until('the neighbour\'s page', async () => assert.equal(await k('logs pair -c client'), 'from-neighbour\n'));
  });

  it('a pod that cannot be: too large, bad image, unknown field, immutable field', async () => {
    await k.apply(pod('huge', { script: 'true', container: 'resources: { requests: { cpu: "1000" } }' }));
    await until('FailedScheduling', async () => assert.match(await k('events --for pod/huge'), /FailedScheduling .*0\/1 nodes are available: 1 Insufficient cpu/));
    await k.apply(pod('absent', { script: 'true' }).replace(busyboxImage, 'test.local/absent:9'));
    await until('the image is missed', async () => assert.match(await k('get pod absent'), /ErrImagePull|ImagePullBackOff/));
    const bad = await k.attempt('apply -f -', [], { input: pod('bad', { script: 'true', container: 'imagePullPolicy: Sometimes' }) });
    assert.match(bad.stderr, /imagePullPolicy: Unsupported value: "Sometimes"/);
  });
});
