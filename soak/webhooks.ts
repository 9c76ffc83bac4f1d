// Writes past a webhook that goes wrong in every way, for long: what it did not agree to is never stored, what it changed is stored so,
// and neither connections nor memory grow. A policy behind it sees to it that nothing unpatched gets in even if both were wrong.
import type { Answer, TestServer } from '../apiserver/testing.ts';
import { startTestServer } from '../apiserver/testing.ts';
import { patchOf, startTestWebhook } from '../apiserver/admission/webhooks/testing.ts';
import type { Answer as Reply, TestWebhook } from '../apiserver/admission/webhooks/testing.ts';
import type { Soak, SoakRun } from './soak.ts';

const clients = 8;
const maxGrowthBytes = 300 * 1024 * 1024;
const group = '/apis/admissionregistration.k8s.io/v1';
const configMaps = '/api/v1/namespaces/default/configmaps';

/** What the webhook does, and the answer that a client gets then. */
const behaviours: Readonly<Record<string, { reply: (name: string) => Reply; status: number; weight: number }>> = {
  patches: { reply: (name) => patchOf({ op: 'add', path: '/data/by', value: name }), status: 201, weight: 20 },
  denies: { reply: () => ({ allowed: false, status: { message: 'no' } }), status: 400, weight: 4 },
  forgets: { reply: () => ({ allowed: true }), status: 422, weight: 2 },
  mumbles: { reply: () => 'mumble', status: 500, weight: 2 },
  confuses: { reply: () => ({ uid: 'another', allowed: true }), status: 500, weight: 2 },
  misfits: { reply: () => patchOf({ op: 'remove', path: '/spec/none' }), status: 500, weight: 2 },
  fails: { reply: () => (response) => response.writeHead(503).end(), status: 500, weight: 2 },
  resets: { reply: () => (response) => void response.socket?.destroy(), status: 500, weight: 2 },
  'breaks off': { reply: () => (response) => {
    response.writeHead(200, { 'Content-Length': 1000 }).write('{');
    setTimeout(() => response.socket?.destroy(), 5);
  }, status: 500, weight: 2 },
  babbles: { reply: () => (response) => response.end(Buffer.alloc(9 * 1024 * 1024, 32)), status: 500, weight: 1 },
  hangs: { reply: () => () => undefined, status: 500, weight: 1 },
};
const lots = Object.entries(behaviours).flatMap(([how, { weight }]) => Array.from({ length: weight }, () => how));

export const webhooks: Soak = {
  name: 'webhooks',
  summary: 'a webhook that goes wrong in every way: nothing is stored that it did not agree to; two minutes (short: some seconds)',
  run,
};

async function run({ short, signal, say }: SoakRun): Promise<string[]> {
  const [server, webhook] = await Promise.all([startTestServer(), startTestWebhook()]);
  try {
    await configure(server, webhook);
    const counts = new Map<string, number>();
    const until = Date.now() + (short ? 3000 : 120_000);
    let before = 0;
    let next = 0;
    const client = async (): Promise<void> => {
      while (Date.now() < until) {
        signal.throwIfAborted();
        const how = lots[Math.floor(Math.random() * lots.length)] ?? 'patches';
        const name = `m${next += 1}`;
        check(how, name, await server.call('POST', configMaps, { body: { metadata: { name }, data: { how } } }));
        counts.set(how, (counts.get(how) ?? 0) + 1);
        webhook.asked.length = 0; // tests look at it, here it would only grow
        if (next === 200) before = process.memoryUsage().rss;
        if (next % 2000 === 0) say(`${next} writes`);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    const growth = before === 0 ? 0 : process.memoryUsage().rss - before;
    if (growth > maxGrowthBytes) throw new Error(`memory grew by ${Math.round(growth / 1024 / 1024)} MB`);
    const { items } = (await server.call('GET', configMaps)).body as { items?: { metadata: { name: string }; data: Record<string, string> }[] };
    const ours = (items ?? []).filter(({ data }) => data['how'] !== undefined);
    const patched = counts.get('patches') ?? 0;
    for (const { metadata, data } of ours) if (data['by'] !== metadata.name) throw new Error(`${metadata.name} is stored as ${JSON.stringify(data)}`);
    if (ours.length !== patched) throw new Error(`${ours.length} objects are stored, ${patched} were acknowledged`);
    const open = await webhook.open();
    if (open > 2 * clients) throw new Error(`${open} connections to the webhook are open`);
    return [`${next} writes, ${patched} of them stored, each as the webhook left it: ${[...counts].map(([how, count]) => `${how} ${count}`).join(', ')}`, `${open} connections open at the end, memory grew by ${Math.round(growth / 1024 / 1024)} MB`];
  } finally {
    await webhook.stop();
    await server.stop();
  }
}

async function configure(server: TestServer, webhook: TestWebhook): Promise<void> {
  webhook.answers['/soak'] = ({ review: { request } }) => {
    const { metadata, data } = request.object as { metadata: { name: string }; data: { how: string } }; // only ConfigMaps of ours come here
    return behaviours[data.how]?.reply(metadata.name) ?? { allowed: false };
  };
  const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }];
  const objects: [string, Record<string, unknown>][] = [
    ['mutatingwebhookconfigurations', { metadata: { name: 'soak' }, webhooks: [{
      name: 'soak.example.com', clientConfig: { url: webhook.url('/soak'), caBundle: webhook.caBundle }, rules, sideEffects: 'None', admissionReviewVersions: ['v1'], timeoutSeconds: 1,
      matchConditions: [{ name: 'ours', expression: "has(object.data) && 'how' in object.data" }],
    }] }],
    ['validatingadmissionpolicies', { metadata: { name: 'soak' }, spec: { matchConstraints: { resourceRules: rules }, validations: [{ expression: "!has(object.data) || !('how' in object.data) || ('by' in object.data && object.data.by == object.metadata.name)" }] } }],
    ['validatingadmissionpolicybindings', { metadata: { name: 'soak' }, spec: { policyName: 'soak', validationActions: ['Deny'] } }],
  ];
  for (const [resource, body] of objects) {
    const { status, text } = await server.call('POST', `${group}/${resource}`, { body });
    if (status !== 201) throw new Error(`${resource}: ${text}`);
  }
}

function check(how: string, name: string, { status, body, text }: Answer): void {
  const expected = behaviours[how]?.status;
  if (status !== expected) throw new Error(`a webhook that ${how}: ${status} instead of ${expected}: ${text}`);
  const { data } = body as { data?: Record<string, string> };
  if (status === 201 && data?.['by'] !== name) throw new Error(`a webhook that ${how}: the answer is ${text}`);
}
