// The webhooks of all configurations, in the order in which they are asked: configurations by name, each one's own in their order.
// Read anew only when a configuration has changed. Upstream: apiserver/pkg/admission/configuration and plugin/webhook/accessors.go.
import type * as k8s from '@kubernetes/client-node';
import type { KubeObject, Wire } from '#machinery/api/object.ts';
import { criteriaOf } from '../matching/matcher.ts';
import type { Criteria, Rule } from '../matching/matcher.ts';
import type { ConditionSource } from '../cel/conditions.ts';
import type { WebhookClientConfig } from './client.ts';

export interface Hook {
  /** Unique, also where a configuration has two of a name. */
  readonly id: string;
  readonly configuration: string;
  readonly name: string;
  readonly type: 'admit' | 'validating';
  readonly criteria: Criteria;
  readonly reviewVersions: readonly string[];
  readonly client: WebhookClientConfig;
  /** A webhook that cannot be asked counts as one that agrees. */
  readonly failOpen: boolean;
  readonly timeoutMs: number;
  /** May be asked on a dry run; undefined: never said. */
  readonly dryRun: boolean | undefined;
  readonly reinvocable: boolean;
  readonly conditions: ConditionSource;
}

const known = new WeakMap<Readonly<KubeObject>, readonly Hook[]>();

/** `configurations` come from the watch cache, which has them by name. */
export function hooksOf(configurations: readonly Readonly<KubeObject>[], type: Hook['type']): Hook[] {
  return configurations.flatMap((configuration) => {
    let hooks = known.get(configuration);
    if (!hooks) known.set(configuration, hooks = readHooks(configuration, type));
    return hooks;
  });
}

function readHooks(configuration: Readonly<KubeObject>, type: Hook['type']): Hook[] {
  const name = configuration.metadata?.name ?? '';
  const seen = new Map<string, number>();
  const webhooks = (configuration['webhooks'] ?? []) as readonly Wire<k8s.V1MutatingWebhook>[]; // validated when it was stored; the validating ones lack a field
  return webhooks.map((webhook) => {
    const count = seen.get(webhook.name) ?? 0;
    seen.set(webhook.name, count + 1);
    const { namespaceSelector = {}, objectSelector = {}, matchPolicy = 'Equivalent', matchConditions = [], failurePolicy = 'Fail' } = webhook;
    const harmless = webhook.sideEffects === 'None' || webhook.sideEffects === 'NoneOnDryRun';
    return {
      id: `${name}/${webhook.name}/${count}`, configuration: name, name: webhook.name, type,
      // A webhook without rules is never asked, a policy without rules always.
      criteria: criteriaOf({ resourceRules: webhook.rules?.length ? webhook.rules as readonly Rule[] : [nothing], matchPolicy, namespaceSelector, objectSelector }),
      reviewVersions: webhook.admissionReviewVersions, client: webhook.clientConfig as WebhookClientConfig,
      failOpen: failurePolicy === 'Ignore', timeoutMs: (webhook.timeoutSeconds ?? 10) * 1000,
      dryRun: webhook.sideEffects === undefined ? undefined : harmless, reinvocable: webhook.reinvocationPolicy === 'IfNeeded',
      conditions: { expressions: matchConditions, failOpen: failurePolicy === 'Ignore' },
    };
  });
}
const nothing: Rule = {};
