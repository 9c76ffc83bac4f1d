// Match conditions of webhooks and policies: expressions that must all hold for them to be concerned.
// Upstream: plugin/webhook/matchconditions/matcher.go.
import { internalError } from '#machinery/api/status.ts';
import type { Authorizer } from '../../filters/seams.ts';
import type { DynamicAdmissionMetrics } from '../../metrics/dynamic-admission.ts';
import type { AdmissionRequest, Versioned } from '../matching/request.ts';

export interface ConditionSource {
  readonly expressions: readonly { name: string; expression: string }[];
  readonly failOpen: boolean;
  readonly hasParams: boolean;
}
export interface ConditionInput { request: AdmissionRequest; versioned: Versioned; params: unknown; authorizer: Authorizer }
export interface ConditionOutcome { matches: boolean; error?: string }

export function matchConditions(_source: ConditionSource, _input: ConditionInput, _metrics: DynamicAdmissionMetrics, _about: { name: string; kind: 'webhook' | 'policy'; type: string; operation: string }): Promise<ConditionOutcome> {
  return Promise.reject(internalError('match conditions are not evaluated by this server yet'));
}
