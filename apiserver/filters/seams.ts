// What the filter chain asks of authentication and authorization; authn.ts and authz.ts make them.
import type { IncomingMessage } from 'node:http';
import type { RequestInfo, UserInfo } from '../request.ts';

export interface Authenticator {
  /**
   * Who sent this (client certificate, bearer token, the WebSocket sub-protocol that carries one); undefined: no credentials.
   * Throws StatusError 401 on credentials that are not good. May answer without a promise: it is on the path of every request.
   */
  authenticate(request: IncomingMessage): Promise<UserInfo | undefined> | UserInfo | undefined;
}

export interface Decision {
  allowed: boolean;
  /** It is refused, whatever those who come after would say; absent where they are to be asked. */
  denied?: true;
  /** Upstream's reason where it gives one; goes into the 403's text behind a colon. */
  reason: string;
}
export interface Authorizer {
  /** May answer without a promise. Called for the request itself, for impersonation (verb `impersonate`) and by reviews. */
  authorize(user: UserInfo, info: RequestInfo): Promise<Decision> | Decision;
  /** What the user may do in a namespace, for SelfSubjectRulesReview; undefined when it cannot tell. */
  rulesFor?(user: UserInfo, namespace: string): {
    resourceRules: { verbs: string[]; apiGroups: string[]; resources: string[]; resourceNames?: string[] }[];
    nonResourceRules: { verbs: string[]; nonResourceURLs: string[] }[];
    incomplete: boolean;
  } | undefined;
}
