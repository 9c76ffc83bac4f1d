// Names of the identities that the server itself knows: service accounts, nodes, the built-in groups.
import type { UserInfo } from '../request.ts';

export const anonymousUser = 'system:anonymous';
export const unauthenticatedGroup = 'system:unauthenticated';
export const authenticatedGroup = 'system:authenticated';
export const mastersGroup = 'system:masters';
export const nodesGroup = 'system:nodes';
export const serviceAccountsGroup = 'system:serviceaccounts';

export const credentialIdKey = 'authentication.kubernetes.io/credential-id';
export const podNameKey = 'authentication.kubernetes.io/pod-name';
export const podUidKey = 'authentication.kubernetes.io/pod-uid';
export const nodeNameKey = 'authentication.kubernetes.io/node-name';
export const nodeUidKey = 'authentication.kubernetes.io/node-uid';

/** On pods that a kubelet made from a file and only shows to the API. */
export const mirrorAnnotation = 'kubernetes.io/config.mirror';
/** What the projected volume of every pod asks for. Such tokens live a year, with a warning after the asked time. */
export const projectedTokenSeconds = 3607;

const serviceAccountPrefix = 'system:serviceaccount:';
const nodePrefix = 'system:node:';

export function serviceAccountUsername(namespace: string, name: string): string {
  return `${serviceAccountPrefix}${namespace}:${name}`;
}
export function serviceAccountGroups(namespace: string): string[] {
  return [serviceAccountsGroup, `${serviceAccountsGroup}:${namespace}`];
}

const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const dnsSubdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** `system:serviceaccount:ns:name` taken apart; undefined for any other user name. */
export function splitServiceAccountUsername(username: string): { namespace: string; name: string } | undefined {
  if (!username.startsWith(serviceAccountPrefix)) return undefined;
  const parts = username.slice(serviceAccountPrefix.length).split(':');
  const [namespace, name] = parts;
  if (parts.length !== 2 || namespace === undefined || name === undefined) return undefined;
  if (!dnsLabel.test(namespace) || name.length > 253 || !dnsSubdomain.test(name)) return undefined;
  return { namespace, name };
}

/** The node behind a user, as upstream's nodeidentifier tells it: undefined for others, '' when no one node can be told. */
export function nodeOf(user: UserInfo): string | undefined {
  if (!user.name.startsWith(nodePrefix) || !user.groups.includes(nodesGroup)) return undefined;
  return user.name.slice(nodePrefix.length);
}

/** Adds system:authenticated unless the user is in one of the two groups that say it already. */
export function withAuthenticatedGroup(user: UserInfo): UserInfo {
  if (user.groups.includes(authenticatedGroup) || user.groups.includes(unauthenticatedGroup)) return user;
  return { ...user, groups: [...user.groups, authenticatedGroup] };
}

/** One object, so that what is cached per user is found again. */
export const anonymous: UserInfo = { name: anonymousUser, groups: [unauthenticatedGroup] };
