import { expect } from 'chai';
import type { RequestInfo } from '../request.ts';
import { parsePolicy, ruleFor } from './policy.ts';

const policy = (rules: unknown, more: Record<string, unknown> = {}): string => JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', ...more, rules });
async function failure(text: string): Promise<string> {
  try {
    await parsePolicy(text);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error('the policy was taken');
}

describe('parsePolicy()', () => {
  for (const [what, text, expected] of [
    ['no YAML', 'a: [', /^failed decoding: /],
    ['a list', '[]', 'failed decoding: the file holds no object'],
    ['no kind', 'apiVersion: audit.k8s.io/v1', `failed decoding: Object 'Kind' is missing in '{"apiVersion":"audit.k8s.io/v1"}'`],
    ['no version', 'kind: Policy', `failed decoding: Object 'apiVersion' is missing in '{"kind":"Policy"}'`],
    ['an old version', policy([], { apiVersion: 'audit.k8s.io/v1beta1' }), /no kind "Policy" is registered for version "audit.k8s.io\/v1beta1"/],
    ['no rules', policy([]), 'loaded illegal policy with 0 rules'],
    ['rules that are text', policy('x'), /^failed decoding: json: cannot unmarshal string into Go struct field Policy\.rules/],
    ['users that are numbers', policy([{ level: 'None', users: [1] }]), /cannot unmarshal number into Go struct field rules\.rules\[0\]\.users of type string/],
    ['a rule without a level', policy([{}]), 'rules[0].level: Required value'],
    ['an unknown level', policy([{ level: 'All' }]), 'rules[0].level: Unsupported value: "All": supported values: "Metadata", "None", "Request", "RequestResponse"'],
    ['an unknown stage', policy([{ level: 'None' }], { omitStages: ['Never'] }), 'omitStages[0]: Invalid value: "Never": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic'],
    ['a relative URL', policy([{ level: 'None', nonResourceURLs: ['healthz'] }]), 'rules[0].nonResourceURLs[0]: Invalid value: "healthz": non-resource URL rules must begin with a \'/\' character'],
    ['a wildcard within', policy([{ level: 'None', nonResourceURLs: ['/a*b'] }]), 'rules[0].nonResourceURLs[0]: Invalid value: "/a*b": non-resource URL wildcards \'*\' must be the final character of the rule'],
    ['a group with a version', policy([{ level: 'None', resources: [{ group: 'apps/v1' }] }]), /^rules\[0\]\.resources\.group: Invalid value: "apps\/v1": a lowercase RFC 1123 subdomain/],
    ['names without resources', policy([{ level: 'None', resources: [{ resourceNames: ['a'] }] }]), 'rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires at least one resource'],
    ['resources and URLs', policy([{ level: 'None', namespaces: ['a'], nonResourceURLs: ['*'] }]), /rules cannot apply to both regular resources and non-resource URLs$/],
    ['two faults', policy([{}, { level: 'x' }]), /^\[rules\[0\]\.level: Required value, rules\[1\]\.level: Unsupported/],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const message = await failure(text);
      if (typeof expected === 'string') expect(message).to.equal(expected);
      else expect(message).to.match(expected);
    });
  }
  it('joins omitted stages and lets a rule override omitManagedFields', async () => {
    const { rules } = await parsePolicy(policy([{ level: 'Request', omitStages: ['Panic'] }, { level: 'None', omitManagedFields: false }], { omitStages: ['RequestReceived'], omitManagedFields: true }));
    expect(rules[0]).to.deep.include({ omitStages: ['RequestReceived', 'Panic'], omitManagedFields: true });
    expect(rules[1]).to.deep.include({ omitStages: ['RequestReceived'], omitManagedFields: false });
  });
});

describe('ruleFor()', () => {
  const request = (over: Partial<RequestInfo> = {}): RequestInfo => ({ isResourceRequest: true, path: '/api/v1/namespaces/a/pods/p', verb: 'get', apiPrefix: 'api', group: '', version: 'v1', namespace: 'a', resource: 'pods', subresource: '', name: 'p', parts: [], ...over });
  const log = request({ subresource: 'log' });
  const health = request({ isResourceRequest: false, path: '/healthz/etcd' });
  const ann = { name: 'ann', groups: ['staff', 'all'] };
  for (const [rule, info, matches] of [
    [{}, request(), true], [{}, health, true],
    [{ users: ['ann'] }, request(), true], [{ users: ['bob'] }, request(), false],
    [{ userGroups: ['x', 'staff'] }, request(), true], [{ userGroups: ['x'] }, request(), false],
    [{ verbs: ['get'] }, request(), true], [{ verbs: ['list'] }, request(), false],
    [{ namespaces: ['a'] }, request(), true], [{ namespaces: [''] }, request(), false], [{ namespaces: [''] }, request({ namespace: '' }), true], [{ namespaces: ['a'] }, health, false],
    [{ resources: [{ group: '' }] }, log, true], [{ resources: [{ group: 'apps' }] }, request(), false], [{ resources: [{ group: '*' }] }, request(), true],
    [{ resources: [{ resources: ['pods'] }] }, request(), true], [{ resources: [{ resources: ['pods'] }] }, log, false],
    [{ resources: [{ resources: ['pods/log'] }] }, log, true], [{ resources: [{ resources: ['pods/*'] }] }, log, true], [{ resources: [{ resources: ['*/log'] }] }, log, true],
    [{ resources: [{ resources: ['*/exec'] }] }, log, false], [{ resources: [{ resources: ['*'] }] }, log, true], [{ resources: [{ resources: ['pods/*'] }] }, request({ resource: 'podsx' }), false],
    [{ resources: [{ resources: ['pods'], resourceNames: ['p'] }] }, request(), true], [{ resources: [{ resources: ['pods'], resourceNames: ['q'] }] }, request(), false],
    [{ nonResourceURLs: ['/healthz*'] }, health, true], [{ nonResourceURLs: ['/healthz'] }, health, false], [{ nonResourceURLs: ['*'] }, health, true], [{ nonResourceURLs: ['*'] }, request(), false],
  ] as const) {
    it(`${JSON.stringify(rule)} ${matches ? 'matches' : 'does not match'} ${info.isResourceRequest ? `${info.namespace}/${info.resource}/${info.subresource}` : info.path}`, async () => {
      expect(ruleFor(await parsePolicy(policy([{ level: 'Request', ...rule }])), ann, info) !== undefined).to.equal(matches);
    });
  }
  it('takes the first rule that matches, and none for a caller whom nobody knows where users are named', async () => {
    const read = await parsePolicy(policy([{ level: 'None', users: ['ann'] }, { level: 'Metadata' }]));
    expect(ruleFor(read, ann, request())?.level).to.equal('None');
    expect(ruleFor(read, undefined, request())?.level).to.equal('Metadata');
  });
});
