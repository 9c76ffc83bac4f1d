// The JavaScript client as a script uses it, against a running cluster.
import { join } from 'node:path';
import { assert } from 'chai';
import { needsHost, nodeBinary, sharedCluster } from './fixtures/cluster.ts';
import { busyboxImage } from './fixtures/images.ts';

describe('@kubernetes/client-node', function () {
  before(needsHost);

  it('lists, watches with its informer, creates, patches and execs', async () => {
    const cluster = await sharedCluster();
    const { namespace } = await cluster.namespace('client-node');
    const script = join(import.meta.dirname, 'fixtures/client-node.script.ts');
    const text = await cluster.host.must(nodeBinary, [script, namespace, busyboxImage], { env: { KUBECONFIG: cluster.server.kubeconfig }, timeoutMs: 90_000 });
    const result = JSON.parse(text) as { seen: string[]; label: string; listed: number; created: boolean; output: string; exitCode: string };
    assert.deepInclude(result, { label: 'client-node', listed: 1, created: true, output: 'executed\n', exitCode: '5' });
    assert.equal(result.seen[0], 'add scripted Pending');
    assert.include(result.seen, 'update scripted Running');
    assert.match(result.seen.at(-1) ?? '', /^delete scripted /);
    assert.isEmpty(result.seen.filter((event) => event.startsWith('error')));
  });
});
