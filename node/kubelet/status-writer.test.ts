import { expect } from 'chai';
import type { Pod, PodStatus } from '#machinery/api/object.ts';
import { createLogger } from '#machinery/base/log.ts';
import type { Client } from '#machinery/client/types.ts';
import { createStatusWriter } from './status-writer.ts';

const statusOf = (ready: 'True' | 'False'): PodStatus => ({ phase: 'Running', conditions: [{ type: 'Ready', status: ready }] });
const podOf = (version: string, status?: PodStatus): Pod => ({ metadata: { namespace: 'default', name: 'p', uid: 'u', resourceVersion: version }, ...(status ? { status } : {}) });

describe('createStatusWriter()', () => {
  let writes: unknown[];
  let version: number;
  const create = (): ReturnType<typeof createStatusWriter> => {
    writes = [];
    version = 10;
    // Of a client the writer uses only patch().
    const client = { patch: async (...args: unknown[]) => { writes.push(args[4]); return podOf(String(version += 1)); } } as unknown as Client;
    return createStatusWriter(client, createLogger('test'), new AbortController().signal);
  };

  it('writes a status once, and not what the pod shows already', async () => {
    const writer = create();
    writer.set(podOf('1', statusOf('True')), statusOf('True'));
    await writer.flushed('u');
    expect(writes).to.have.lengthOf(0);
    writer.set(podOf('1', statusOf('True')), statusOf('False'));
    writer.set(podOf('1', statusOf('True')), statusOf('False'));
    await writer.flushed('u');
    expect(writes).to.have.lengthOf(1);
  });
  it('takes null for what is not there', async () => {
    const writer = create();
    const wanted: PodStatus = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True', lastProbeTime: null as unknown as string }] }; // as Go writes a zero time
    writer.set(podOf('1', statusOf('True')), wanted);
    writer.set(podOf('2', statusOf('True')), wanted);
    await writer.flushed('u');
    expect(writes).to.have.lengthOf(0);
  });
  it('does not repeat itself while the cache lags behind its own write', async () => {
    const writer = create();
    writer.set(podOf('1'), statusOf('True'));
    await writer.flushed('u');
    writer.set(podOf('5', statusOf('False')), statusOf('True'));
    await writer.flushed('u');
    expect(writes).to.have.lengthOf(1);
  });
  it('says it again when somebody else wrote over it', async () => {
    const writer = create();
    writer.set(podOf('1'), statusOf('True'));
    await writer.flushed('u');
    writer.set(podOf('12', statusOf('False')), statusOf('True'));
    await writer.flushed('u');
    expect(writes).to.have.lengthOf(2);
    expect(writes[1]).to.have.nested.property('status.conditions[0].status', 'True');
  });
  it('says it again also when what it found at its start is written over later', async () => {
    const writer = create();
    writer.set(podOf('1', statusOf('True')), statusOf('True'));
    writer.set(podOf('2', statusOf('False')), statusOf('True'));
    await writer.flushed('u');
    expect(writes).to.have.lengthOf(1);
  });
});
