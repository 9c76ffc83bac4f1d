// One autoscaler with every kind of metric between the versions, against what upstream makes of it (testdata/autoscaler.json;
// its annotations are written out as the JSON they hold), and annotations that somebody broke.
import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import data from '../testdata/autoscaler.json' with { type: 'json' };
import { rowOf } from '../testing.ts';
import { toV1, toV2 } from './conversion.ts';

const prefix = 'autoscaling.alpha.kubernetes.io/';
function withParsedAnnotations(object: KubeObject): KubeObject {
  const annotations = Object.fromEntries(Object.entries(object.metadata?.annotations ?? {}).map(([name, text]) => [name, JSON.parse(text) as unknown]));
  return { ...object, metadata: { ...object.metadata, annotations: annotations as Record<string, string> } }; // for comparing only
}
const v2 = data.v2 as KubeObject;
const v1 = { ...data.v1, metadata: { ...data.v1.metadata, annotations: Object.fromEntries(Object.entries(data.v1.metadata.annotations).map(([name, value]) => [name, JSON.stringify(value)])) } } as KubeObject;

describe('autoscalers', () => {
  it('toV1() keeps in annotations what v1 cannot say, in its own shapes', () => {
    expect(withParsedAnnotations(toV1(v2))).to.deep.equal(data.v1);
  });
  it('toV2() reads them back', () => expect(toV2(v1)).to.deep.equal(data.again));
  it('say the same after there and back', () => expect(withParsedAnnotations(toV1(toV2(v1)))).to.deep.equal(data.v1));

  const simple = (annotations: Record<string, string>, spec: Record<string, unknown> = {}): KubeObject => ({ apiVersion: 'autoscaling/v1', kind: 'HorizontalPodAutoscaler', metadata: { name: 'x', annotations }, spec: { maxReplicas: 3, ...spec } });
  const cpu = (averageUtilization: number) => [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } } }];
  for (const [what, object, metrics] of [
    ['no metric at all', simple({}), cpu(80)],
    ['a percentage', simple({}, { targetCPUUtilizationPercentage: 50 }), cpu(50)],
    ['metrics that are no JSON', simple({ [`${prefix}metrics`]: '{' }), cpu(80)],
    ['metrics that are no list', simple({ [`${prefix}metrics`]: '"x"' }, { targetCPUUtilizationPercentage: 10 }), cpu(10)],
  ] as const) it(`toV2() of ${what}`, () => {
    const made = toV2(object);
    expect((made['spec'] as { metrics: unknown }).metrics).to.deep.equal(metrics);
    expect(made.metadata?.annotations).to.equal(undefined);
  });
  it('are stored as v2 whichever version they came in', () => expect(rowOf('horizontalpodautoscalers.autoscaling').version).to.equal('v2'));
});
