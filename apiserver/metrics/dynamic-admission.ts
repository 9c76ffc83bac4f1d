// What webhooks, policies and match conditions do, under upstream's names. Upstream: apiserver/pkg/admission/metrics and
// plugin/policy/{validating,mutating}/metrics.
import type { Registry } from '#machinery/base/metrics.ts';

export type RejectionError = 'no_error' | 'calling_webhook_error' | 'apiserver_internal_error';
export type PolicyError = 'no_error' | 'compile_error' | 'invalid_error' | 'out_of_budget';
export interface DynamicAdmissionMetrics {
  webhook(name: string, type: string, operation: string, rejected: boolean, code: number, seconds: number): void;
  webhookRejection(name: string, type: string, operation: string, error: RejectionError, code: number): void;
  webhookFailOpen(name: string, type: string): void;
  conditions(name: string, kind: 'webhook' | 'policy', type: string, operation: string, seconds: number): void;
  conditionError(name: string, kind: 'webhook' | 'policy', type: string, operation: string): void;
  conditionExclusion(name: string, kind: 'webhook' | 'policy', type: string, operation: string): void;
  validatingPolicy(policy: string, binding: string, action: 'allow' | 'deny' | 'audit' | 'warn', error: PolicyError, seconds: number): void;
  mutatingPolicy(policy: string, binding: string, error: PolicyError, seconds: number): void;
}

const admission = 'apiserver_admission_';
/** Keeps what servers that misbehave may answer from making ever more series. */
const bounded = (code: number): string => String(Math.min(code, 600));

export function createDynamicAdmissionMetrics(registry: Registry): DynamicAdmissionMetrics {
  const about = ['name', 'kind', 'type', 'operation'] as const;
  const durations = registry.histogram({ name: `${admission}webhook_admission_duration_seconds`, help: 'Time of one webhook.', stability: 'STABLE', labels: ['name', 'type', 'operation', 'rejected'] }, [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25]);
  const requests = registry.counter({ name: `${admission}webhook_request_total`, help: 'Calls of webhooks.', stability: 'ALPHA', labels: ['name', 'type', 'operation', 'code', 'rejected'] });
  const rejections = registry.counter({ name: `${admission}webhook_rejection_count`, help: 'Writes that webhooks refused or could not be asked about.', stability: 'ALPHA', labels: ['name', 'type', 'operation', 'error_type', 'rejection_code'] });
  const failOpen = registry.counter({ name: `${admission}webhook_fail_open_count`, help: 'Writes that went on although a webhook could not be asked.', stability: 'ALPHA', labels: ['name', 'type'] });
  const conditionTimes = registry.histogram({ name: `${admission}match_condition_evaluation_seconds`, help: 'Time of the match conditions of one webhook or policy.', stability: 'ALPHA', labels: about }, [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25]);
  const conditionErrors = registry.counter({ name: `${admission}match_condition_evaluation_errors_total`, help: 'Match conditions that failed.', stability: 'ALPHA', labels: about });
  const exclusions = registry.counter({ name: `${admission}match_condition_exclusions_total`, help: 'Writes that match conditions excluded.', stability: 'ALPHA', labels: about });
  const policyBounds = [0.0000005, 0.001, 0.01, 0.1, 1];
  const checks = registry.counter({ name: 'apiserver_validating_admission_policy_check_total', help: 'Checks by validating policies.', stability: 'BETA', labels: ['policy', 'policy_binding', 'error_type', 'enforcement_action'] });
  const checkTimes = registry.histogram({ name: 'apiserver_validating_admission_policy_check_duration_seconds', help: 'Time of one check by a validating policy.', stability: 'BETA', labels: ['policy', 'policy_binding', 'error_type', 'enforcement_action'] }, policyBounds);
  const mutations = registry.counter({ name: 'apiserver_mutating_admission_policy_check_total', help: 'Mutations by policies.', stability: 'ALPHA', labels: ['policy', 'policy_binding', 'error_type'] });
  const mutationTimes = registry.histogram({ name: 'apiserver_mutating_admission_policy_check_duration_seconds', help: 'Time of one mutation by a policy.', stability: 'ALPHA', labels: ['policy', 'policy_binding', 'error_type'] }, policyBounds);
  return {
    webhook(name, type, operation, rejected, code, seconds) {
      requests.with(name, type, operation, bounded(code), String(rejected)).add();
      durations.with(name, type, operation, String(rejected)).observe(seconds);
    },
    webhookRejection: (name, type, operation, error, code) => rejections.with(name, type, operation, error, bounded(code)).add(),
    webhookFailOpen: (name, type) => failOpen.with(name, type).add(),
    conditions: (name, kind, type, operation, seconds) => conditionTimes.with(name, kind, type, operation).observe(seconds),
    conditionError: (name, kind, type, operation) => conditionErrors.with(name, kind, type, operation).add(),
    conditionExclusion: (name, kind, type, operation) => exclusions.with(name, kind, type, operation).add(),
    validatingPolicy(policy, binding, action, error, seconds) {
      checks.with(policy, binding, error, action).add();
      checkTimes.with(policy, binding, error, action).observe(seconds);
    },
    mutatingPolicy(policy, binding, error, seconds) {
      mutations.with(policy, binding, error).add();
      mutationTimes.with(policy, binding, error).observe(seconds);
    },
  };
}
