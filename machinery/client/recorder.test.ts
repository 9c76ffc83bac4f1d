import { expect } from 'chai';
import { eventually } from '../base/abort.ts';
import { StatusError } from '../api/status.ts';
import { createRecorder } from './recorder.ts';
import type { Client } from './types.ts';

interface Write { verb: string; name: string; body: Record<string, unknown> }
function fakeClient(fail?: (write: Write) => Error | undefined): { client: Client; writes: Write[] } {
  const writes: Write[] = [];
  const write = (verb: string, name: string, body: unknown): Promise<unknown> => {
    const one = { verb, name, body: body as Record<string, unknown> }; // events are objects
    writes.push(one);
    const error = fail?.(one);
    return error ? Promise.reject(error) : Promise.resolve(body);
  };
  const client = {
    create: (_resource: unknown, _namespace: string, object: { metadata: { name: string } }) => write('create', object.metadata.name, object),
    patch: (_resource: unknown, _namespace: string, name: string, _type: string, body: unknown) => write('patch', name, body),
  } as unknown as Client; // the recorder uses no more
  return { client, writes };
}
const about = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace: 'a', name: 'x', uid: 'u' } };
const never = new AbortController().signal;
const soon = (check: () => boolean): Promise<true> => eventually(AbortSignal.timeout(2000), check as () => true | false, 1);

describe('createRecorder()', () => {
  it('counts repeats on the first event', async () => {
    const { client, writes } = fakeClient();
    let now = Date.UTC(2026, 0, 1);
    const recorder = createRecorder({ client, component: 'c', now: () => now }, never);
    recorder.event(about, 'Normal', 'R', 'm');
    now += 1000;
    recorder.event(about, 'Normal', 'R', 'm');
    await soon(() => writes.length === 2);
    expect(writes[0]?.body).to.deep.include({ reason: 'R', message: 'm', count: 1, type: 'Normal', source: { component: 'c' }, reportingComponent: 'c' });
    expect(writes[0]?.name).to.match(/^x\.[0-9a-f]{16}$/);
    expect(writes[1]).to.deep.equal({ verb: 'patch', name: writes[0]?.name, body: { count: 2, lastTimestamp: '2026-01-01T00:00:01Z' } });
  });
  it('begins anew when the counted event is gone', async () => {
    const { client, writes } = fakeClient(({ verb }) => (verb === 'patch' ? new StatusError(404, 'NotFound', 'gone') : undefined));
    const recorder = createRecorder({ client, component: 'c' }, never);
    recorder.event(about, 'Normal', 'R', 'm');
    recorder.event(about, 'Normal', 'R', 'm');
    await soon(() => writes.length === 3);
    expect(writes.map(({ verb }) => verb)).to.deep.equal(['create', 'patch', 'create']);
  });
  it('combines the tenth and later similar messages', async () => {
    const { client, writes } = fakeClient();
    const recorder = createRecorder({ client, component: 'c' }, never);
    for (let i = 1; i <= 12; i += 1) recorder.event(about, 'Normal', 'R', `m${i}`);
    await soon(() => writes.length === 12);
    expect(writes.filter(({ verb }) => verb === 'create')).to.have.length(10);
    expect(writes[9]?.body.message).to.equal('(combined from similar events): m10');
    expect(writes[11]?.body).to.include({ count: 3, message: '(combined from similar events): m12' });
  });
  it('drops a flood about one object after 25 events, not those about others', async () => {
    const { client, writes } = fakeClient();
    const recorder = createRecorder({ client, component: 'c', now: () => 1e12 }, never);
    for (let i = 0; i < 40; i += 1) recorder.event(about, 'Normal', `R${i}`, 'm');
    recorder.event({ ...about, metadata: { ...about.metadata, uid: 'other' } }, 'Normal', 'R', 'm');
    await soon(() => writes.length === 26);
    expect(writes).to.have.length(26);
  });
  it('puts events of cluster-scoped objects into default and goes on after a refusal', async () => {
    const { client, writes } = fakeClient(({ body }) => (body.reason === 'bad' ? new StatusError(403, 'Forbidden', 'no') : undefined));
    const recorder = createRecorder({ client, component: 'c' }, never);
    recorder.event({ kind: 'Node', metadata: { name: 'n' } }, 'Normal', 'bad', 'm');
    recorder.event({ kind: 'Node', metadata: { name: 'n' } }, 'Normal', 'good', 'm');
    await soon(() => writes.length === 2);
    expect(writes[1]?.body.metadata).to.include({ namespace: 'default' });
  });
  it('writes events.k8s.io events with a series for repeats', async () => {
    const { client, writes } = fakeClient();
    const recorder = createRecorder({ client, component: 'default-scheduler', host: 'h', api: 'events' }, never);
    for (let i = 0; i < 3; i += 1) recorder.event(about, 'Warning', 'FailedScheduling', `note ${i}`, { action: 'Scheduling' });
    await soon(() => writes.length === 2);
    expect(writes[0]?.body).to.deep.include({ note: 'note 0', action: 'Scheduling', reportingController: 'default-scheduler', reportingInstance: 'default-scheduler-h' });
    expect(writes[1]?.body.series).to.include({ count: 2 });
    expect(writes).to.have.length(2);
  });
});
