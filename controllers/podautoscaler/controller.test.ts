import { expect } from 'chai';
import { conflict } from '#machinery/api/status.ts';
import type { HorizontalPodAutoscaler, Pod } from '#machinery/api/object.ts';
import type { Change, Client, Informer, Informers, Resource } from '#machinery/client/types.ts';
import { defaultConfig } from '../config.ts';
import { ControllersMetrics } from '../metrics.ts';
import type { ControllerContext } from '../context.ts';
import { eventually } from '#machinery/base/abort.ts';
import { createHorizontalPodAutoscaler } from './controller.ts';

const started = '2026-01-01T00:00:00Z';
const now = Date.UTC(2026, 0, 1, 12);
const pod = (name: string): Pod => ({
  metadata: { name, namespace: 'n', labels: { app: 'a' } }, spec: { containers: [{ name: 'c', resources: { requests: { cpu: '100m' } } }] },
  status: { phase: 'Running', startTime: started, conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: started }] } as unknown as NonNullable<Pod['status']>, // times as they travel
});

interface Given { cpu: string[] | undefined; /** Answers of the other metrics APIs by path. */ values?: Record<string, unknown>; replicas: number; selector?: string; spec?: object; failures?: number }
interface Seen { status: NonNullable<HorizontalPodAutoscaler['status']>; replicas: number; events: string[] }

/** One look at one autoscaler of Deployment d, whose pods use `cpu` (undefined: nobody serves metrics). */
async function look({ cpu, values = {}, replicas, selector = 'app=a', spec = {}, failures = 0 }: Given): Promise<Seen> {
  const autoscaler = {
    metadata: { name: 'h', namespace: 'n', uid: 'u' },
    spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, minReplicas: 1, maxReplicas: 10, metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }], ...spec },
  } as HorizontalPodAutoscaler;
  const seen: Partial<Seen> & { replicas: number; events: string[] } = { replicas, events: [] };
  let left = failures;
  const answer = (body: unknown, status = 200): { status: number; body: string } => ({ status, body: JSON.stringify(body) });
  const discovery = { kind: 'APIGroupDiscoveryList', items: [{ metadata: { name: 'apps' }, versions: [{ version: 'v1', resources: [{ resource: 'deployments', responseKind: { kind: 'Deployment' }, scope: 'Namespaced', verbs: ['get'], subresources: [{ subresource: 'scale' }] }] }] }] };
  const client = {
    async raw(method: string, path: string, _signal: AbortSignal, body?: unknown) {
      if (path === '/api') return answer({ kind: 'APIGroupDiscoveryList' });
      if (path === '/apis') return answer(discovery);
      if (path.startsWith('/apis/metrics.k8s.io/v1beta1/namespaces/n/pods?labelSelector=app%3Da')) {
        return cpu ? answer({ items: cpu.map((usage, index) => ({ metadata: { name: `p${index}` }, timestamp: '2026-01-01T11:59:30Z', window: '1m0s', containers: [{ name: 'c', usage: { cpu: usage } }] })) }) : { status: 404, body: '404 page not found' };
      }
      if (path in values) return answer(values[path]);
      if (/^\/apis\/(custom|external)\.metrics\.k8s\.io/.test(path)) return { status: 404, body: '404 page not found' };
      if (path !== '/apis/apps/v1/namespaces/n/deployments/d/scale') throw new Error(`${method} ${path} was not expected`);
      if (method === 'PUT') {
        if ((left -= 1) >= 0) return answer(conflict({ group: 'apps', resource: 'deployments' }, 'd', 'changed').status, 409);
        seen.replicas = (body as { spec: { replicas: number } }).spec.replicas;
      }
      return answer({ kind: 'Scale', metadata: { name: 'd', namespace: 'n' }, spec: { replicas: seen.replicas }, status: { selector, replicas: seen.replicas } });
    },
    async update(_resource: unknown, _namespace: string, _name: string, object: HorizontalPodAutoscaler) {
      seen.status = object.status!;
      return object;
    },
  } as unknown as Client; // asked for no more
  const fake = (objects: unknown[]): Informer<unknown> => ({
    get: () => objects[0], list: () => objects,
    onChange: (handler: (change: Change<unknown>) => void) => queueMicrotask(() => objects.forEach((object) => handler({ type: 'added', object }))),
  }) as unknown as Informer<unknown>; // asked for no more
  const informers = { for: ({ resource }: Resource<unknown>) => (resource === 'pods' ? fake((cpu ?? ['']).map((_, index) => pod(`p${index}`))) : fake([autoscaler])) } as unknown as Informers;
  const context: ControllerContext = {
    config: { ...defaultConfig, client: { server: '' } }, informers, metrics: new ControllersMetrics(), now: () => now, clientFor: () => client,
    recorderFor: () => ({ event: (_about, type, reason, message) => void seen.events.push(`${type} ${reason}: ${message}`) }),
  };
  const stop = new AbortController();
  const running = createHorizontalPodAutoscaler(context).run(stop.signal);
  await eventually(AbortSignal.timeout(5000), () => seen.status !== undefined, 1);
  stop.abort();
  await running;
  return seen as Seen; // its status is there, as just waited for
}
const conditionsOf = ({ status }: Seen): string[] => (status.conditions ?? []).map(({ type, status: is, reason }) => `${type} ${is} ${reason}`);

describe('the horizontal pod autoscaler', () => {
  it('scales up, and says so', async () => {
    const seen = await look({ cpu: ['100m', '100m'], replicas: 2 });
    expect(seen.replicas).to.equal(4);
    expect(seen.events).to.deep.equal(['Normal SuccessfulRescale: New size: 4; reason: cpu resource utilization (percentage of request) above target']);
    expect(conditionsOf(seen)).to.deep.equal(['AbleToScale True SucceededRescale', 'ScalingActive True ValidMetricFound', 'ScalingLimited False DesiredWithinRange']);
    expect(seen.status).to.deep.include({ currentReplicas: 2, desiredReplicas: 4, lastScaleTime: '2026-01-01T12:00:00Z', currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 100, averageValue: '100m' } } }] });
  });
  it('tries again when the scale changed meanwhile, and gives up with an event', async () => {
    expect((await look({ cpu: ['100m', '100m'], replicas: 2, failures: 2 })).replicas).to.equal(4);
    const seen = await look({ cpu: ['100m', '100m'], replicas: 2, failures: 99 });
    expect(seen.replicas).to.equal(2);
    expect(seen.events[0]).to.match(/^Warning FailedRescale: New size: 4; reason: cpu resource utilization \(percentage of request\) above target; error: Operation cannot be fulfilled/);
    expect(conditionsOf(seen)[0]).to.equal('AbleToScale False FailedUpdateScale');
  });
  it('keeps the first size for the stabilization window', async () => {
    const seen = await look({ cpu: ['5m', '5m', '5m', '5m'], replicas: 4 });
    expect([seen.replicas, seen.events]).to.deep.equal([4, []]);
    expect(conditionsOf(seen)[0]).to.equal('AbleToScale True ScaleDownStabilized');
  });
  it('brings the size into its limits without metrics', async () => {
    expect((await look({ cpu: undefined, replicas: 20 })).events).to.deep.equal(['Normal SuccessfulRescale: New size: 10; reason: Current number of replicas above Spec.MaxReplicas']);
    expect((await look({ cpu: undefined, replicas: 1, spec: { minReplicas: 3 } })).replicas).to.equal(3);
  });
  it('leaves what was scaled to zero', async () => {
    const seen = await look({ cpu: undefined, replicas: 0 });
    expect(conditionsOf(seen)).to.deep.equal(['AbleToScale True SucceededGetScale', 'ScalingActive False ScalingDisabled']);
    expect(seen.replicas).to.equal(0);
  });
  const custom = '/apis/custom.metrics.k8s.io';
  const values = {
    [custom]: { preferredVersion: { version: 'v1beta2' }, versions: [{ version: 'v1beta2' }] },
    [`${custom}/v1beta2/namespaces/n/pods/*/hits?labelSelector=app%3Da`]: { items: ['p0', 'p1'].map((name) => ({ describedObject: { name }, timestamp: '2026-01-01T11:59:30Z', value: '30' })) },
    [`${custom}/v1beta2/namespaces/n/deployments.apps/front/hits?metricLabelSelector=verb%3DGET`]: { items: [{ value: '60' }] },
    '/apis/external.metrics.k8s.io/v1beta1/namespaces/n/queue?labelSelector=a%3Db': { items: [{ value: '30' }, { value: '50' }] },
  };
  const pods = (average: string): object => ({ type: 'Pods', pods: { metric: { name: 'hits' }, target: { type: 'AverageValue', averageValue: average } } });
  const front = { kind: 'Deployment', apiVersion: 'apps/v1', name: 'front' };
  const object = (target: object): object => ({ type: 'Object', object: { describedObject: front, metric: { name: 'hits', selector: { matchLabels: { verb: 'GET' } } }, target } });
  const external = (target: object): object => ({ type: 'External', external: { metric: { name: 'queue', selector: { matchLabels: { a: 'b' } } }, target } });
  const others: [title: string, metric: object, replicas: number, name: string, current: object][] = [
    ['a metric of the pods', pods('10'), 6, 'pods metric hits', { averageValue: '30' }],
    ['a value of an object', object({ type: 'Value', value: '20' }), 6, 'Deployment metric hits', { value: '60' }],
    ['a share of the value of an object', object({ type: 'AverageValue', averageValue: '20' }), 3, 'external metric hits(&LabelSelector{MatchLabels:map[string]string{verb: GET,},MatchExpressions:[]LabelSelectorRequirement{},})', { averageValue: '30' }],
    ['an external value', external({ type: 'Value', value: '20' }), 8, 'external metric queue(&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},})', { value: '80' }],
    ['a share of an external value', external({ type: 'AverageValue', averageValue: '20' }), 4, 'external metric queue(&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},})', { averageValue: '40' }],
  ];
  for (const [title, metric, replicas, name, current] of others) {
    it(`scales by ${title}`, async () => {
      const behavior = { scaleUp: { policies: [{ type: 'Pods', value: 100, periodSeconds: 60 }] } };
      const seen = await look({ cpu: ['1m', '1m'], values, replicas: 2, spec: { metrics: [metric], behavior } });
      expect(seen.events).to.deep.equal([`Normal SuccessfulRescale: New size: ${replicas}; reason: ${name} above target`]);
      const [shown] = seen.status.currentMetrics as unknown as Record<string, { current: object }>[];
      expect(Object.values(shown ?? {}).find((part) => typeof part === 'object')?.current).to.deep.equal(current);
    });
  }
  it('goes by the metric that wants most, and not down while one cannot be had', async () => {
    const seen = await look({ cpu: ['50m', '50m'], values, replicas: 2, spec: { metrics: [pods('20'), { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }] } });
    expect(seen.replicas).to.equal(3);
    const partly = await look({ cpu: ['1m', '1m'], replicas: 2, spec: { metrics: [pods('20'), { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }] } });
    expect(partly.replicas).to.equal(2);
    expect(conditionsOf(partly)[1]).to.equal('ScalingActive False FailedGetPodsMetric');
  });
  it('tells what of an object, of pods or outside cannot be had', async () => {
    const told = async (metric: object): Promise<string[]> => (await look({ cpu: ['1m'], values: { [custom]: values[custom] }, replicas: 1, spec: { metrics: [metric] } })).events;
    expect(await told(object({ type: 'AverageValue', averageValue: '20' }))).to.deep.equal([
      'Warning FailedGetObjectMetric: unable to get metric hits: Deployment on n front/unable to fetch metrics from custom metrics API: the server could not find the requested resource (get deployments.apps.custom.metrics.k8s.io front)',
      'Warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get object metric value: failed to get hits object metric: unable to get metric hits: Deployment on n front/unable to fetch metrics from custom metrics API: the server could not find the requested resource (get deployments.apps.custom.metrics.k8s.io front)',
    ]);
    expect((await told(pods('1')))[0]).to.match(/^Warning FailedGetPodsMetric: unable to get metric hits: unable to fetch metrics from custom metrics API/);
    expect((await told(external({ type: 'Value' })))[0]).to.equal('Warning FailedGetExternalMetric: invalid external metric source: neither a value target nor an average value target was set');
  });
  it('says what is missing', async () => {
    const silent = await look({ cpu: undefined, replicas: 1 });
    expect(silent.events[0]).to.equal('Warning FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)');
    expect(conditionsOf(silent)[1]).to.equal('ScalingActive False FailedGetResourceMetric');
    expect(conditionsOf(await look({ cpu: ['1m'], replicas: 1, selector: '' }))[1]).to.equal('ScalingActive False InvalidSelector');
    expect((await look({ cpu: ['1m'], replicas: 1, spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Nothing', name: 'd' } } })).events).to.deep.equal(['Warning FailedGetScale: no matches for kind "Nothing" in group "apps"']);
    expect(conditionsOf(await look({ cpu: ['1m'], replicas: 1, spec: { metrics: [{ type: 'External', external: { metric: { name: 'm' }, target: {} } }] } }))[1]).to.equal('ScalingActive False FailedGetExternalMetric');
  });
});
