// Warnings of node labels that have been renamed. Upstream: pkg/api/node/util.go.
import { labelValueErrors } from '#machinery/api/names.ts';
import { asObject, entries, objects, strings, text } from '../values.ts';

const deprecated: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  'app.kubernetes.io/created-by': 'deprecated since v1.9',
  'scheduler.alpha.kubernetes.io/preferAvoidPods': 'deprecated since v1.22; use Taints and Tolerations instead',
  'node-role.kubernetes.io/master': 'use "node-role.kubernetes.io/control-plane" instead',
};

export function deprecatedLabel(key: string): string | undefined {
  return Object.hasOwn(deprecated, key) ? deprecated[key] : undefined;
}

/** Of a map of labels; `at` makes the place from the label. */
export function labelWarnings(labels: unknown, at: (key: string) => string): string[] {
  return entries(labels).flatMap(([key]) => {
    const message = deprecatedLabel(key);
    return message === undefined ? [] : [`${at(key)}: ${message}`];
  });
}

/** Of the terms of a node selector. Values count where nothing else checks them. */
export function termWarnings(term: unknown, path: string, checkValues = false): string[] {
  return objects(asObject(term)?.['matchExpressions']).flatMap((expression, i) => {
    const key = text(expression['key']);
    const message = deprecatedLabel(key);
    return [
      ...(message === undefined ? [] : [`${path}.matchExpressions[${i}].key: ${key} is ${message}`]),
      ...(checkValues ? strings(expression['values']).flatMap((value, j) => labelValueErrors(value).map((error) => `${path}.matchExpressions[${i}].values[${j}]: ${value} is invalid, ${error}`)) : []),
    ];
  });
}
