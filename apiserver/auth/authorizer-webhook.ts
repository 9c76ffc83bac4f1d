// A server that is asked, by SubjectAccessReviews, what is allowed. Upstream: plugin/pkg/authorizer/webhook, authorization/cel.
import { createLogger } from '#machinery/base/log.ts';
import { CelError } from '#machinery/cel/cel.ts';
import type { CelProgram } from '#machinery/cel/cel.ts';
import type { Authorizer, Decision } from '../filters/seams.ts';
import type { RequestInfo, UserInfo } from '../request.ts';
import { createWebhookClient, postReview } from '../webhook-client.ts';
import { AnswerCache } from './answer-cache.ts';

const log = createLogger('authz');
const cacheLimit = 8192;
/** Questions whose parts that a caller chooses are longer are not remembered. */
const largestRemembered = 10_000;
const expressionBudget = 10_000_000;

export interface WebhookAuthorizerOptions {
  name: string;
  kubeconfig: string;
  /** For all attempts at one question. */
  timeoutMs: number;
  authorizedTtlMs: number;
  unauthorizedTtlMs: number;
  version: 'v1' | 'v1beta1';
  /** When it cannot be asked: nothing is said, or no. */
  failurePolicy: 'NoOpinion' | 'Deny';
  /** All must hold, or it is not asked. */
  conditions: { source: string; program: CelProgram }[];
}

interface Answer { allowed: boolean; denied: boolean; reason: string }

/** Throws an Error that says what is wrong with the kubeconfig. Connections are closed when the signal aborts. */
export async function createWebhookAuthorizer(
  options: WebhookAuthorizerOptions, signal: AbortSignal, { now = Date.now, firstWaitMs = 500 }: { now?: () => number; firstWaitMs?: number } = {},
): Promise<Authorizer> {
  const client = await createWebhookClient(options.kubeconfig);
  signal.addEventListener('abort', () => client.close(), { once: true });
  const cache = new AnswerCache<Answer>(cacheLimit, ({ allowed }) => (allowed ? options.authorizedTtlMs : options.unauthorizedTtlMs), now);
  const failed = (error: unknown): Decision => {
    log.error('the webhook for authorization could not decide', { name: options.name, error });
    return { allowed: false, reason: `webhook authorizer "${options.name}" could not decide`, ...(options.failurePolicy === 'Deny' ? { denied: true as const } : {}) };
  };
  async function ask(spec: Record<string, unknown>): Promise<Answer> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs)]);
    const { allowed, denied, reason } = await postReview(client, { kind: 'SubjectAccessReview', apiVersion: `authorization.k8s.io/${options.version}`, spec }, bounded, firstWaitMs);
    return { allowed: allowed === true, denied: denied === true, reason: typeof reason === 'string' ? reason : '' };
  }
  return {
    authorize(user, info) {
      const spec = specOf(user, info, options.version);
      let matches: boolean;
      try {
        matches = holds(options.conditions, user, info);
      } catch (error) {
        if (!(error instanceof CelError)) throw error;
        return failed(error);
      }
      if (!matches) return { allowed: false, reason: '' };
      const large = info.namespace.length + info.verb.length + info.group.length + info.version.length + info.resource.length + info.subresource.length + info.name.length + info.path.length >= largestRemembered;
      const answer = large ? ask(spec) : cache.get(JSON.stringify(spec), () => ask(spec));
      return answer instanceof Promise ? answer.then(decisionOf, failed) : decisionOf(answer);
    },
    rulesFor: () => ({ resourceRules: [], nonResourceRules: [], incomplete: true }),
  };
}

/** Both at once is a no. */
function decisionOf({ allowed, denied, reason }: Answer): Decision {
  return denied ? { allowed: false, denied: true, reason } : { allowed, reason };
}

function specOf(user: UserInfo, info: RequestInfo, version: string): Record<string, unknown> {
  const filled = (fields: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
  const { namespace, verb, group, resource, subresource, name, path } = info;
  return {
    ...(info.isResourceRequest ? { resourceAttributes: filled({ namespace, verb, group, version: info.version, resource, subresource, name }) } : { nonResourceAttributes: filled({ path, verb }) }),
    ...filled({ user: user.name }),
    ...(user.groups.length > 0 ? { [version === 'v1beta1' ? 'group' : 'groups']: user.groups } : {}),
    ...(user.extra ? { extra: user.extra } : {}),
    ...filled({ uid: user.uid ?? '' }),
  };
}

/** Whether all conditions hold; one that does not counts before one that fails, which throws CelError. */
function holds(conditions: WebhookAuthorizerOptions['conditions'], user: UserInfo, info: RequestInfo): boolean {
  if (conditions.length === 0) return true;
  const { namespace, verb, group, version, resource, subresource, name, path } = info;
  const request = {
    user: user.name, groups: user.groups, uid: user.uid ?? '', extra: user.extra ?? {},
    ...(info.isResourceRequest ? { resourceAttributes: { namespace, verb, group, version, resource, subresource, name } } : { nonResourceAttributes: { path, verb } }),
  };
  const problems: string[] = [];
  for (const { source, program } of conditions) {
    try {
      if (program.evaluate({ request }, { remaining: expressionBudget }) !== true) return false;
    } catch (error) {
      if (!(error instanceof CelError)) throw error;
      problems.push(`cel evaluation error: expression '${source}' resulted in error: ${error.message}`);
    }
  }
  if (problems.length > 0) throw new CelError(problems.join(', '));
  return true;
}
