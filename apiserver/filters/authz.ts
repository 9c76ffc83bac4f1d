// May the user do this? system:masters may do all; then the node authorizer and RBAC (or whom flags name) are asked in turn, the
// first yes counts. Nothing said yes: 403 with upstream's text.
import { internalError } from '#machinery/api/status.ts';
import type { AuthorizationOptions } from '../auth/authorization-options.ts';
import { mastersGroup } from '../auth/identity.ts';
import { createNodeAuthorizer } from '../auth/node-authorizer.ts';
import { createRbac, type Rbac } from '../auth/rbac.ts';
import { bootstrapRbac } from '../bootstrap/rbac-data.ts';
import type { ServerDeps } from '../backend.ts';
import type { RequestContext, RequestInfo, UserInfo } from '../request.ts';
import { forbiddenFor } from './forbidden.ts';
import type { Authorizer, Decision } from './seams.ts';

const mayDoAll: Decision = { allowed: true, reason: '' };

/** `options`: others decide than node authorizer and RBAC. Throws StartError when their files cannot be used. */
export async function createConfiguredAuthorizer(deps: Pick<ServerDeps, 'backend' | 'signal'>, options: AuthorizationOptions): Promise<Authorizer & { rbac: Rbac }> {
  const { node, rbac } = createOwn(deps);
  const { createChain } = await import('../auth/authorizers.ts');
  return { rbac, ...await createChain(options, { Node: node, RBAC: rbac }, deps.signal) };
}

export function createAuthorizer(deps: Pick<ServerDeps, 'backend' | 'signal'>): Authorizer & { rbac: Rbac } {
  const { node, rbac } = createOwn(deps);
  return { rbac, ...chainAuthorizers([node, rbac]) };
}

function createOwn(deps: Pick<ServerDeps, 'backend' | 'signal'>): { node: Authorizer; rbac: Rbac } {
  const node = createNodeAuthorizer(deps.backend, bootstrapRbac.clusterRoles['system:node']?.rules ?? []);
  return { node, rbac: createRbac(deps.backend, deps.signal) };
}

/** Asks one after the other; reasons of those that did not say yes are joined by newlines, as upstream's union. */
export function chainAuthorizers(members: readonly Authorizer[]): Authorizer {
  async function ask(user: UserInfo, info: RequestInfo, from: number, reasons: string[], pending: Promise<Decision>): Promise<Decision> {
    const decision = await pending;
    if (decision.allowed || decision.denied) return decision;
    if (decision.reason !== '') reasons.push(decision.reason);
    return askFrom(user, info, from, reasons);
  }
  function askFrom(user: UserInfo, info: RequestInfo, from: number, reasons: string[]): Promise<Decision> | Decision {
    for (let at = from; at < members.length; at++) {
      const decision = members[at]?.authorize(user, info);
      if (decision === undefined) continue;
      if (decision instanceof Promise) return ask(user, info, at + 1, reasons, decision);
      if (decision.allowed || decision.denied) return decision;
      if (decision.reason !== '') reasons.push(decision.reason);
    }
    return { allowed: false, reason: reasons.join('\n') };
  }
  return {
    authorize: (user, info) => (user.groups.includes(mastersGroup) ? mayDoAll : askFrom(user, info, 0, [])),
    rulesFor(user, namespace) {
      if (user.groups.includes(mastersGroup)) {
        return { resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }], incomplete: false };
      }
      const parts = members.flatMap((member) => member.rulesFor?.(user, namespace) ?? []);
      return {
        resourceRules: parts.flatMap((part) => part.resourceRules),
        nonResourceRules: parts.flatMap((part) => part.nonResourceRules),
        incomplete: parts.some((part) => part.incomplete),
      };
    },
  };
}

/** The step of the chain: throws 403. Without a promise unless an authorizer needs one. */
export function authorizeRequest(context: RequestContext, authorizer: Authorizer): Promise<void> | void {
  const { user, info } = context;
  if (user === undefined) throw internalError('authorization before authentication');
  if ((info.verb === 'list' || info.verb === 'watch' || info.verb === 'deletecollection') && context.request.url?.includes('Selector=')) {
    info.fieldSelector ??= context.url.searchParams.get('fieldSelector') ?? '';
    info.labelSelector ??= context.url.searchParams.get('labelSelector') ?? '';
  }
  const decision = authorizer.authorize(user, info);
  if (decision instanceof Promise) return decision.then((settled) => refuseUnless(settled, context, user, info));
  refuseUnless(decision, context, user, info);
}

function refuseUnless(decision: Decision, context: RequestContext, user: UserInfo, info: RequestInfo): void {
  if (context.audit) {
    context.annotations.set('authorization.k8s.io/decision', decision.allowed ? 'allow' : 'forbid');
    context.annotations.set('authorization.k8s.io/reason', decision.reason);
  }
  if (!decision.allowed) throw forbiddenFor(user, info, decision.reason);
}
