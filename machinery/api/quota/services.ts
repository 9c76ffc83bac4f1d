// Services under quotas: their number, their node ports and load balancers. Upstream: pkg/quota/v1/evaluator/core/services.go.
import type { KubeObject, Service } from '../object.ts';
import { quantityOfInteger } from '../quantity.ts';
import type { Evaluator } from './evaluators.ts';

const names = new Set(['count/services', 'services', 'services.nodeports', 'services.loadbalancers']);
const specOf = (object: Readonly<KubeObject>): NonNullable<Service['spec']> => (object as unknown as Service).spec ?? {}; // asked about services only
const typeOf = (object: Readonly<KubeObject>): string => {
  const { type } = specOf(object);
  return type === 'NodePort' || type === 'LoadBalancer' ? type : '';
};

export const serviceEvaluator: Evaluator = {
  id: 'services', countsOnly: false,
  measures: (name) => names.has(name),
  usage(object) {
    const { ports = [], allocateLoadBalancerNodePorts } = specOf(object);
    const type = typeOf(object);
    // What is asked for counts: ports without a number get theirs later.
    const nodePorts = type === '' ? 0 : type === 'LoadBalancer' && allocateLoadBalancerNodePorts === false ? ports.filter(({ nodePort }) => nodePort).length : ports.length;
    return new Map([
      ['count/services', quantityOfInteger(1)], ['services', quantityOfInteger(1)],
      ['services.nodeports', quantityOfInteger(nodePorts)], ['services.loadbalancers', quantityOfInteger(type === 'LoadBalancer' ? 1 : 0)],
    ]);
  },
  matchesScope: () => false,
  handles: (operation, subresource) => subresource === '' && (operation === 'CREATE' || operation === 'UPDATE'),
  frees: (object, old) => typeOf(object) !== typeOf(old),
};
