// From a client's seat: a real server, a real webhook.
import { expect } from 'chai';
import type { Answer as Served } from '../../testing.ts';
import { startTestServer } from '../../testing.ts';
import type { TestServer } from '../../testing.ts';
import { patchOf, startTestWebhook } from './testing.ts';
import type { Asked, TestWebhook } from './testing.ts';

const group = '/apis/admissionregistration.k8s.io/v1';
const configMaps = '/api/v1/namespaces/default/configmaps';

describe('admission webhooks', function () {
  this.timeout(30_000);
  let server: TestServer;
  let webhook: TestWebhook;
  const made: string[] = [];
  let count = 0;
  before(async () => {
    [server, webhook] = await Promise.all([startTestServer(), startTestWebhook()]);
    await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'marked', labels: { hooks: 'yes' } } } });
    await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'plain' } } });
    await server.call('POST', '/api/v1/namespaces/default/serviceaccounts', { body: { metadata: { name: 'default' } } });
  });
  after(async () => {
    await webhook.stop();
    await server.stop();
  });
  afterEach(async () => {
    for (const path of made.splice(0)) expect((await server.call('DELETE', path)).status).to.equal(200);
    webhook.asked.length = 0;
    webhook.answers = {};
  });

  const rule = { operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] };
  function hook(path: string, change: Record<string, unknown> = {}): Record<string, unknown> {
    return { name: `${path.slice(1).replaceAll('/', '-')}.example.com`, clientConfig: { url: webhook.url(path), caBundle: webhook.caBundle }, rules: [rule], sideEffects: 'None', admissionReviewVersions: ['v1'], ...change };
  }
  async function configure(type: 'mutating' | 'validating', ...webhooks: Record<string, unknown>[]): Promise<string> {
    const name = `c${count += 1}`;
    const answer = await server.call('POST', `${group}/${type}webhookconfigurations`, { body: { metadata: { name }, webhooks } });
    expect(answer.status, answer.text).to.equal(201);
    made.push(`${group}/${type}webhookconfigurations/${name}`);
    return name;
  }
  const create = (object: Record<string, unknown> = {}, query = '', path = configMaps): Promise<Served> =>
    server.call('POST', `${path}${query}`, { body: { metadata: { name: `m${count += 1}`, ...object['metadata'] as object | undefined }, ...Object.fromEntries(Object.entries(object).filter(([field]) => field !== 'metadata')) } });
  const message = ({ status, body }: Served): string => `${status} ${body['message'] as string | undefined ?? 'ok'}`;
  const paths = (): string[] => webhook.asked.map(({ path }) => path.split('?')[0] ?? '');

  describe('that validate', () => {
    it('are told who does what, with the object and in how much time', async () => {
      await configure('validating', hook('/look', { timeoutSeconds: 3 }));
      expect(message(await create({ metadata: { name: 'told' }, data: { a: '1' } }, '?fieldManager=me'))).to.equal('201 ok');
      const [{ path, review, headers }] = webhook.asked as [Asked];
      expect(path).to.equal('/look?timeout=3s');
      expect(headers).to.not.have.any.keys('authorization', 'cookie');
      expect([review.apiVersion, review.kind]).to.deep.equal(['admission.k8s.io/v1', 'AdmissionReview']);
      const { uid, object, userInfo, ...request } = review.request;
      expect(userInfo).to.deep.include({ username: 'admin', groups: ['system:masters', 'system:authenticated'] });
      expect(uid).to.match(/^[0-9a-f-]{36}$/);
      expect(object).to.deep.include({ apiVersion: 'v1', kind: 'ConfigMap', data: { a: '1' } });
      expect(object?.metadata?.uid, 'validation sees the object as it is stored').to.be.a('string');
      expect(request).to.deep.equal({
        kind: { group: '', version: 'v1', kind: 'ConfigMap' }, resource: { group: '', version: 'v1', resource: 'configmaps' },
        requestKind: { group: '', version: 'v1', kind: 'ConfigMap' }, requestResource: { group: '', version: 'v1', resource: 'configmaps' },
        name: 'told', namespace: 'default', operation: 'CREATE', oldObject: null, dryRun: false, options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1', fieldManager: 'me' },
      });
      expect((await server.call('DELETE', `${configMaps}/told`)).status).to.equal(200);
      const last = webhook.asked.at(-1)?.review.request;
      expect(last).to.include({ operation: 'DELETE', object: null });
      expect(last?.oldObject).to.deep.include({ data: { a: '1' } });
    });
    it('refuse with their own code, reason and text, or without explanation', async () => {
      await configure('validating', hook('/deny'));
      const why = async (answer: Record<string, unknown>): Promise<[string, unknown]> => {
        webhook.answers = { '/deny': () => answer };
        const served = await create();
        return [message(served), served.body['reason']];
      };
      expect(await why({ allowed: false, status: { message: 'no such luck', code: 418, reason: 'Teapot' } })).to.deep.equal(['418 admission webhook "deny.example.com" denied the request: no such luck', 'Teapot']);
      expect(await why({ allowed: false, status: { reason: 'Because' } })).to.deep.equal(['400 admission webhook "deny.example.com" denied the request: Because', 'Because']);
      expect(await why({ allowed: false, status: { code: 200 } })).to.deep.equal(['400 admission webhook "deny.example.com" denied the request without explanation', undefined]);
      expect(await why({})).to.deep.equal(['400 admission webhook "deny.example.com" denied the request without explanation', undefined]);
    });
    it('are asked at the same time, and the first refusal in their order counts', async () => {
      await configure('validating', hook('/slow'), hook('/quick'));
      const no = (text: string) => ({ allowed: false, status: { message: text } });
      webhook.answers = {
        '/slow': () => (response, { review }) => void setTimeout(() => response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid: review.request.uid, ...no('slow') } })), 100),
        '/quick': () => no('quick'),
      };
      expect(message(await create())).to.equal('400 admission webhook "slow.example.com" denied the request: slow');
      expect(paths()).to.have.members(['/slow', '/quick']);
    });
    it('may not patch', async () => {
      await configure('validating', hook('/patching'));
      webhook.answers = { '/patching': () => patchOf({ op: 'add', path: '/data', value: {} }) };
      expect(message(await create())).to.contain('500 Internal error occurred: failed calling webhook "patching.example.com": received invalid webhook response: validating webhook may not return response.patch');
    });
    it('warn, once each', async () => {
      await configure('validating', hook('/warn'), hook('/warn2'));
      webhook.answers = { '/warn': () => ({ allowed: true, warnings: ['careful', 'twice'] }), '/warn2': () => ({ allowed: true, warnings: ['twice'] }) };
      expect((await create()).headers['warning']).to.equal('299 - "careful", 299 - "twice"');
    });
    it('warn of what is refused too', async () => {
      await configure('validating', hook('/warn'));
      webhook.answers = { '/warn': () => ({ allowed: false, warnings: ['told you'] }) };
      expect((await create()).headers['warning']).to.equal('299 - "told you"');
    });
    it('are not asked about webhooks and policies', async () => {
      await configure('validating', hook('/all', { rules: [{ ...rule, apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }] }));
      webhook.answers = { '/all': () => ({ allowed: false }) };
      await configure('mutating', hook('/none', { rules: [] }));
      expect(paths()).to.deep.equal([]);
      expect(message(await create())).to.contain('400 admission webhook');
    });
    it('are asked about an eviction, and not about the deletion that it is', async () => {
      await server.call('POST', '/api/v1/namespaces/default/pods', { body: { metadata: { name: 'evicted' }, spec: { containers: [{ name: 'c', image: 'i' }] } } });
      await configure('validating', hook('/evict', { rules: [{ ...rule, resources: ['pods', 'pods/eviction'] }] }));
      const evict = (): Promise<Served> => server.call('POST', '/api/v1/namespaces/default/pods/evicted/eviction', { body: { metadata: { name: 'evicted' } } });
      webhook.answers = { '/evict': () => ({ allowed: false, status: { message: 'stays' } }) };
      expect(message(await evict())).to.equal('400 admission webhook "evict.example.com" denied the request: stays');
      webhook.answers = {};
      expect((await evict()).status).to.equal(201);
      expect(webhook.asked.map(({ review: { request } }) => [request['operation'], request['subResource'], (request['kind'] as { kind: string }).kind])).to.deep.equal([['CREATE', 'eviction', 'Eviction'], ['CREATE', 'eviction', 'Eviction']]);
    });
    it('are asked about reviews, which are stored nowhere', async () => {
      await configure('validating', hook('/reviews', { rules: [{ ...rule, operations: ['CREATE'], apiGroups: ['authorization.k8s.io'], resources: ['*'] }] }));
      webhook.answers = { '/reviews': () => ({ allowed: false, status: { message: 'do not ask' } }) };
      const review = { spec: { nonResourceAttributes: { path: '/', verb: 'get' } } };
      expect(message(await server.call('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { body: review }))).to.equal('400 admission webhook "reviews.example.com" denied the request: do not ask');
    });
    it('of a connection are told its options', async () => {
      await server.call('POST', '/api/v1/namespaces/default/pods', { body: { metadata: { name: 'p' }, spec: { serviceAccountName: '', containers: [{ name: 'c', image: 'i' }] } } });
      await configure('validating', hook('/connect', { rules: [{ ...rule, operations: ['CONNECT'], resources: ['pods/*'] }] }));
      webhook.answers = { '/connect': () => ({ allowed: false, status: { message: 'no attaching' } }) };
      expect(message(await server.call('POST', '/api/v1/namespaces/default/pods/p/attach?container=c&stdin=true&stdout=0'))).to.equal('400 admission webhook "connect.example.com" denied the request: no attaching');
      expect(webhook.asked[0]?.review.request).to.deep.include({ kind: { group: '', version: 'v1', kind: 'PodAttachOptions' }, subResource: 'attach', operation: 'CONNECT', options: null, object: { kind: 'PodAttachOptions', apiVersion: 'v1', container: 'c', stdin: true } });
    });
  });

  describe('that mutate', () => {
    it('patch one after the other, defaults follow, and what is unknown goes', async () => {
      await configure('mutating', hook('/one'), hook('/two'));
      webhook.answers = {
        '/one': () => patchOf({ op: 'add', path: '/data', value: { one: '1' } }, { op: 'add', path: '/unheard', value: 1 }),
        '/two': ({ review }) => patchOf({ op: 'add', path: '/data/two', value: JSON.stringify((review.request.object as { data?: unknown } | null)?.data) }),
      };
      const { body } = await create();
      expect(body['data']).to.deep.equal({ one: '1', two: '{"one":"1"}' });
      expect(body).to.not.have.property('unheard');
      expect(Object.keys(body).slice(0, 2)).to.have.members(['kind', 'apiVersion']);
    });
    it('of services: what they patch in gets defaults and is validated', async () => {
      await configure('mutating', hook('/services', { rules: [{ ...rule, resources: ['services'] }] }));
      webhook.answers = { '/services': () => patchOf({ op: 'add', path: '/spec', value: { ports: [{ port: 80 }] } }) };
      const { body } = await create({}, '', '/api/v1/namespaces/default/services');
      expect((body['spec'] as { ports: unknown[] }).ports).to.deep.equal([{ protocol: 'TCP', port: 80, targetPort: 80 }]);
      webhook.answers = { '/services': () => patchOf({ op: 'add', path: '/spec', value: { ports: [{ port: 70_000 }] } }) };
      expect(message(await create({}, '', '/api/v1/namespaces/default/services'))).to.match(/^422 Service .*spec\.ports\[0\]\.port: Invalid value: 70000/);
    });
    it('may be asked again when one after them changed something, in one more round', async () => {
      await configure('mutating', hook('/first', { reinvocationPolicy: 'IfNeeded' }), hook('/never'), hook('/last'));
      webhook.answers = { '/last': () => patchOf({ op: 'add', path: '/data', value: { last: 'yes' } }) };
      await create();
      expect(paths()).to.deep.equal(['/first', '/never', '/last', '/first']);
      expect(webhook.asked.at(-1)?.review.request.object).to.deep.include({ data: { last: 'yes' } });
    });
    it('are not asked again when nothing changed', async () => {
      await configure('mutating', hook('/first', { reinvocationPolicy: 'IfNeeded' }), hook('/last'));
      webhook.answers = { '/last': () => patchOf({ op: 'test', path: '/kind', value: 'ConfigMap' }) };
      await create();
      expect(paths()).to.deep.equal(['/first', '/last']);
    });
    it('cannot move an object or take its name on an update', async () => {
      expect((await create({ metadata: { name: 'stays' } })).status).to.equal(201);
      await configure('mutating', hook('/move'));
      webhook.answers = { '/move': () => patchOf({ op: 'replace', path: '/metadata/namespace', value: 'plain' }) };
      expect(message(await create())).to.equal('400 the namespace of the provided object does not match the namespace sent on the request');
      webhook.answers = { '/move': () => patchOf({ op: 'replace', path: '/metadata/name', value: 'other' }) };
      expect(message(await server.call('PATCH', `${configMaps}/stays`, { body: { data: { a: 'b' } }, headers: { 'Content-Type': 'application/merge-patch+json' } }))).to.match(/^422 .*metadata\.name: Invalid value: "other": field is immutable/);
    });
    it('cannot change what is deleted', async () => {
      await create({ metadata: { name: 'goes' } });
      await configure('mutating', hook('/delete'));
      webhook.answers = { '/delete': () => patchOf({ op: 'add', path: '/data', value: {} }) };
      expect(message(await server.call('DELETE', `${configMaps}/goes`))).to.equal('500 Internal error occurred: admission webhook "delete.example.com" attempted to modify the object, which is not supported for this operation');
    });
    for (const [title, answer, text] of [
      ['a patch that does not fit', patchOf({ op: 'remove', path: '/data/none' }), /^500 Internal error occurred: .*none/],
      ['a patch that makes another type of it', patchOf({ op: 'add', path: '/data', value: 'text' }), /^500 Internal error occurred: .*cannot unmarshal string/],
      ['a patch that makes another kind of it', patchOf({ op: 'replace', path: '/kind', value: 'Secret' }), /^500 Internal error occurred: the object became a Secret/],
      ['a patch that is no patch', { allowed: true, patchType: 'JSONPatch', patch: Buffer.from('{"a":1}').toString('base64') }, /failed calling webhook "bad\.example\.com": received undecodable patch in webhook response: json: cannot unmarshal object/],
      ['a patch that is no JSON', { allowed: true, patchType: 'JSONPatch', patch: Buffer.from('nonsense').toString('base64') }, /received undecodable patch in webhook response/],
      ['a patch that is no base64', { allowed: true, patchType: 'JSONPatch', patch: '!!' }, /received invalid webhook response: illegal base64 data at input byte 0/],
      ['another type of patch', { ...patchOf({ op: 'test', path: '/kind', value: 'x' }), patchType: 'Wild' }, /failed calling webhook "bad\.example\.com": unsupported patch type "Wild"/],
      ['a patch without a type', { allowed: true, patch: patchOf().patch }, /webhook returned response\.patch but not response\.patchType/],
      ['a type without a patch', { allowed: true, patchType: 'JSONPatch' }, /webhook returned response\.patchType but not response\.patch/],
    ] as const) {
      it(`fail the write by ${title}`, async () => {
        await configure('mutating', hook('/bad'));
        webhook.answers = { '/bad': () => answer };
        const served = await create();
        expect(served.status).to.equal(500);
        expect(message(served)).to.match(text);
      });
    }
    it('cannot break the managers of an object', async () => {
      await configure('mutating', hook('/managers'));
      webhook.answers = { '/managers': () => patchOf({ op: 'replace', path: '/metadata/managedFields', value: [{ operation: 'Nonsense' }] }) };
      const served = await create({ data: { a: 'b' } });
      expect(served.headers['warning']).to.contain('.metadata.managedFields was in an invalid state after admission');
      expect((served.body['metadata'] as { managedFields: unknown[] }).managedFields).to.have.length(1);
    });
  });

  describe('are concerned by', () => {
    it('namespaces with labels', async () => {
      await configure('validating', hook('/ns', { namespaceSelector: { matchLabels: { hooks: 'yes' } } }));
      await create({}, '', '/api/v1/namespaces/marked/configmaps');
      await create({}, '', '/api/v1/namespaces/plain/configmaps');
      expect(webhook.asked.map(({ review }) => review.request['namespace'])).to.deep.equal(['marked']);
    });
    it('namespaces themselves by the labels they are to have', async () => {
      await configure('validating', hook('/ns', { namespaceSelector: { matchLabels: { fresh: 'yes' } }, rules: [{ ...rule, resources: ['namespaces'], scope: 'Cluster' }] }));
      await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'fresh', labels: { fresh: 'yes' } } } });
      await server.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'stale' } } });
      expect(webhook.asked.map(({ review }) => [review.request['name'], review.request['namespace']])).to.deep.equal([['fresh', 'fresh']]);
    });
    it('objects with labels, now or before', async () => {
      await configure('validating', hook('/objects', { objectSelector: { matchExpressions: [{ key: 'watched', operator: 'Exists' }] } }));
      await create({ metadata: { name: 'labelled', labels: { watched: '' } } });
      await create({ metadata: { name: 'unlabelled' } });
      await server.call('PATCH', `${configMaps}/labelled`, { body: { metadata: { labels: null } }, headers: { 'Content-Type': 'application/merge-patch+json' } });
      await server.call('PATCH', `${configMaps}/labelled`, { body: { data: { a: 'b' } }, headers: { 'Content-Type': 'application/merge-patch+json' } });
      expect(webhook.asked.map(({ review }) => `${review.request['operation'] as string} ${review.request['name'] as string}`)).to.deep.equal(['CREATE labelled', 'UPDATE labelled']);
    });
    it('other versions of the same objects, unless they want theirs exactly', async () => {
      const autoscaler = { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', spec: { minReplicas: 1, maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }] } };
      const v1 = { ...rule, apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'] };
      await configure('mutating', hook('/equivalent', { rules: [v1] }), hook('/exact', { rules: [v1], matchPolicy: 'Exact' }));
      webhook.answers = { '/equivalent': () => patchOf({ op: 'replace', path: '/spec/targetCPUUtilizationPercentage', value: 77 }) };
      const served = await create(autoscaler, '', '/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers');
      expect(paths()).to.deep.equal(['/equivalent']);
      expect(webhook.asked[0]?.review.request).to.deep.include({ kind: { group: 'autoscaling', version: 'v1', kind: 'HorizontalPodAutoscaler' }, requestKind: { group: 'autoscaling', version: 'v2', kind: 'HorizontalPodAutoscaler' } });
      expect(webhook.asked[0]?.review.request.object).to.deep.include({ apiVersion: 'autoscaling/v1' });
      expect(served.body['apiVersion']).to.equal('autoscaling/v2');
      expect((served.body['spec'] as { metrics: unknown }).metrics).to.deep.equal([{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 77 } } }]);
    });
  });

  describe('that cannot be asked', () => {
    const failures: [title: string, change: () => Record<string, unknown>, text: RegExp][] = [
      ['nobody listens', () => ({ clientConfig: { url: 'https://127.0.0.1:1/x', caBundle: webhook.caBundle } }), /failed calling webhook "fails\.example\.com": failed to call webhook: Post "https:\/\/127\.0\.0\.1:1\/x\?timeout=10s": dial tcp 127\.0\.0\.1:1: connect: connection refused$/],
      ['another CA', () => ({ clientConfig: { url: webhook.url('/fails'), caBundle: webhook.otherCaBundle } }), /tls: failed to verify certificate: x509: certificate signed by unknown authority$/],
      ['no CA', () => ({ clientConfig: { url: webhook.url('/fails') } }), /tls: failed to verify certificate: x509: certificate signed by unknown authority$/],
      ['another name', () => ({ clientConfig: { url: `https://127.0.0.2:${webhook.port}/fails`, caBundle: webhook.caBundle } }), /dial tcp 127\.0\.0\.2:\d+: connect: connection refused$/],
      ['a Service that is not there', () => ({ clientConfig: { service: { namespace: 'default', name: 'none', path: '/fails' }, caBundle: webhook.caBundle } }), /Post "https:\/\/none\.default\.svc:443\/fails\?timeout=10s": service "none" not found$/],
      ['no version in common', () => ({ admissionReviewVersions: ['v1beta1'], rules: [rule], clientConfig: { url: webhook.url('/garbage'), caBundle: webhook.caBundle } }), /failed to call webhook: couldn't get version\/kind; json parse error/],
    ];
    for (const [title, change, text] of failures) {
      it(`${title}: the write fails, or goes on where that is the policy`, async () => {
        webhook.answers = { '/garbage': () => 'garbage' };
        await configure('validating', hook('/fails', change()));
        const failed = await create();
        expect(failed.status).to.equal(500);
        expect(message(failed)).to.match(/^500 Internal error occurred: failed calling webhook/).and.match(text);
        for (const path of made.splice(0)) await server.call('DELETE', path);
        await configure('validating', hook('/fails', { ...change(), failurePolicy: 'Ignore' }));
        expect(message(await create())).to.equal('201 ok');
        for (const path of made.splice(0)) await server.call('DELETE', path);
        await configure('mutating', hook('/fails', { ...change(), failurePolicy: 'Ignore' }));
        expect(message(await create())).to.equal('201 ok');
      });
    }
    const answers: [title: string, answer: (asked: Asked) => ReturnType<TestWebhook['answers'][string]>, text: RegExp][] = [
      ['garbage', () => 'garbage', /failed to call webhook: couldn't get version\/kind; json parse error/],
      ['a list', () => '[]', /failed to call webhook: couldn't get version\/kind; json parse error/],
      ['nothing', () => '', /failed to call webhook: couldn't get version\/kind; json parse error/],
      ['an empty object', () => '{}', /received invalid webhook response: webhook response was absent/],
      ['another uid', () => ({ uid: 'other', allowed: true }), /received invalid webhook response: expected response\.uid="[^"]+", got "other"/],
      ['another kind', ({ review }) => JSON.stringify({ kind: 'Pod', apiVersion: 'v1', response: { uid: review.request.uid, allowed: true } }), /expected webhook response of admission\.k8s\.io\/v1, Kind=AdmissionReview, got \/v1, Kind=Pod/],
      ['no kind', ({ review }) => JSON.stringify({ response: { uid: review.request.uid, allowed: true } }), /expected webhook response of admission\.k8s\.io\/v1, Kind=AdmissionReview, got \/, Kind=/],
      ['a yes that is no boolean', () => ({ allowed: 'yes' }), /json: cannot unmarshal string into allowed/],
      ['warnings that are none', () => ({ allowed: true, warnings: [1] }), /json: cannot unmarshal number/],
      ['404', () => (response) => response.writeHead(404).end('not here'), /failed to call webhook: the server could not find the requested resource$/],
      ['500', () => (response) => response.writeHead(500).end('boom'), /failed to call webhook: an error on the server \("boom"\) has prevented the request from succeeding$/],
      ['a redirect', () => (response) => response.writeHead(302, { Location: 'https://127.0.0.1:1/' }).end(), /failed to call webhook: the server responded with the status code 302/],
      ['a Status', () => (response) => response.writeHead(429).end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message: 'too busy', code: 429 })), /failed to call webhook: too busy$/],
      ['a connection that breaks', () => (response) => void response.socket?.destroy(), /failed to call webhook: Post "https:.*": (EOF|read: connection reset by peer)$/],
      ['an answer that breaks off', () => (response) => {
        response.writeHead(200, { 'Content-Length': 1000 }).write('{"kind"');
        setTimeout(() => response.socket?.destroy(), 50);
      }, /failed to call webhook: Post/],
      ['more than anybody can mean', () => (response) => response.end(Buffer.alloc(20 * 1024 * 1024, 32)), /failed to call webhook: the answer is larger than 8388608 bytes$/],
    ];
    for (const [title, answer, text] of answers) {
      it(`answers with ${title}`, async () => {
        await configure('validating', hook('/odd'));
        webhook.answers = { '/odd': answer };
        const failed = await create();
        expect(failed.status).to.equal(500);
        expect(message(failed)).to.match(/^500 Internal error occurred: failed calling webhook "odd\.example\.com": /).and.match(text);
      });
    }
    it('in time: the write fails after that time, or goes on', async () => {
      await configure('validating', hook('/hangs', { timeoutSeconds: 1 }));
      webhook.answers = { '/hangs': () => () => undefined };
      const began = performance.now();
      expect(message(await create())).to.match(/^500 .*failed calling webhook "hangs\.example\.com": failed to call webhook: Post "https:.*\/hangs\?timeout=1s": context deadline exceeded$/);
      expect(performance.now() - began).to.be.within(900, 2500);
      for (const path of made.splice(0)) await server.call('DELETE', path);
      await configure('mutating', hook('/hangs', { timeoutSeconds: 1, failurePolicy: 'Ignore' }));
      expect(message(await create())).to.equal('201 ok');
    });
    it('within the time of the request itself', async () => {
      await configure('validating', hook('/hangs', { timeoutSeconds: 20 }));
      webhook.answers = { '/hangs': () => () => undefined };
      const answer = await create({}, '?timeout=1s');
      expect([500, 504]).to.include(answer.status);
      expect(paths()).to.deep.equal(['/hangs']);
      expect(webhook.asked[0]?.path).to.equal('/hangs?timeout=1s');
    });
  });

  it('take reviews of v1beta1 where they name it first, by its looser rules', async () => {
    await configure('mutating', hook('/old', { admissionReviewVersions: ['v2', 'v1beta1', 'v1'] }));
    webhook.answers = { '/old': () => JSON.stringify({ response: { allowed: true, patch: patchOf({ op: 'add', path: '/data', value: { old: 'yes' } })['patch'] } }) };
    expect((await create()).body['data']).to.deep.equal({ old: 'yes' });
    expect(webhook.asked[0]?.review.apiVersion).to.equal('admission.k8s.io/v1beta1');
  });

  it('are asked on a dry run only if that has no effect', async () => {
    await configure('validating', hook('/dry', { sideEffects: 'NoneOnDryRun' }));
    const object = { metadata: { name: 'dry' } };
    expect((await create(object, '?dryRun=All')).status).to.equal(201);
    expect(webhook.asked[0]?.review.request).to.include({ dryRun: true });
    expect((await server.call('GET', `${configMaps}/dry`)).status).to.equal(404);
  });

  describe('are counted', () => it('under upstream\'s names', async () => {
    await configure('validating', hook('/counted'));
    webhook.answers = { '/counted': () => ({ allowed: false, status: { code: 403 } }) };
    await create();
    const { text } = await server.call('GET', '/metrics');
    expect(text).to.contain('apiserver_admission_webhook_rejection_count{name="counted.example.com",type="validating",operation="CREATE",error_type="no_error",rejection_code="403"} 1');
    expect(text).to.contain('apiserver_admission_webhook_request_total{name="counted.example.com",type="validating",operation="CREATE",code="403",rejected="true"} 1');
    expect(text).to.match(/apiserver_admission_webhook_fail_open_count\{name="fails\.example\.com",type="validating"\} \d/);
  }));
});
