// Authentication and authorization, counted by their results. Upstream: endpoints/filters/metrics.go.
import type { UserInfo } from '../request.ts';
import { exponentialBounds } from '#machinery/base/metrics.ts';
import type { Registry } from '#machinery/base/metrics.ts';

const bounds = exponentialBounds(0.001, 2, 15);
const known: ReadonlySet<string> = new Set(['admin', 'client', 'kube_proxy', 'kubelet', 'system:serviceaccount:kube-system:default']);

export interface AccessMetrics {
  /** `error` for credentials that are not good, `failure` for none. */
  authenticated(user: UserInfo | undefined, result: 'success' | 'failure' | 'error', seconds: number): void;
  authorized(result: 'allowed' | 'no-opinion' | 'error', seconds: number): void;
}

export function createAccessMetrics(registry: Registry): AccessMetrics {
  const users = registry.counter({ name: 'authenticated_user_requests', help: 'Requests by who sent them, names that are not well known taken together.', stability: 'ALPHA', labels: ['username'] });
  const attempts = registry.counter({ name: 'authentication_attempts', help: 'Requests by how authentication ended.', stability: 'ALPHA', labels: ['result'] });
  const authentication = registry.histogram({ name: 'authentication_duration_seconds', help: 'Time of authentication.', stability: 'ALPHA', labels: ['result'] }, bounds);
  const decisions = registry.counter({ name: 'authorization_attempts_total', help: 'Requests by how authorization ended.', stability: 'ALPHA', labels: ['result'] });
  const authorization = registry.histogram({ name: 'authorization_duration_seconds', help: 'Time of authorization.', stability: 'ALPHA', labels: ['result'] }, bounds);
  const cells = <R extends string>(...results: R[]): Record<R, { count: ReturnType<typeof attempts.with>; time: ReturnType<typeof authentication.with> }> =>
    Object.fromEntries(results.map((result) => [result, results.includes('success' as R)
      ? { count: attempts.with(result), time: authentication.with(result) } : { count: decisions.with(result), time: authorization.with(result) }])) as never; // one entry for each of the results
  const authenticated = cells('success', 'failure', 'error');
  const authorized = cells('allowed', 'no-opinion', 'error');
  const other = users.with('other');
  return {
    authenticated(user, result, seconds) {
      if (user) (known.has(user.name) ? users.with(user.name) : user.name.includes('@') ? users.with('email_id') : other).value += 1;
      authenticated[result].count.value += 1;
      authenticated[result].time.observe(seconds);
    },
    authorized(result, seconds) {
      authorized[result].count.value += 1;
      authorized[result].time.observe(seconds);
    },
  };
}
