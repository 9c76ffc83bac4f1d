// /metrics and the health paths from a scraper's seat, and the pieces they are made of.
import { expect } from 'chai';
import { startTestServer, watchLines } from '../testing.ts';
import type { TestServer } from '../testing.ts';
import { parseMetrics } from './_parse.ts';
import { exponentialBounds, Registry } from '#machinery/base/metrics.ts';

const maps = '/api/v1/namespaces/default/configmaps';

describe('/metrics', function () {
  this.timeout(20_000);
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.stop());
  const scrape = async () => parseMetrics((await server.call('GET', '/metrics')).text);
  const of = (metrics: ReturnType<typeof parseMetrics>, name: string, labels: Record<string, string> = {}) =>
    metrics.samples.filter((sample) => sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value));

  it('is text that a scraper can read, for who may', async () => {
    const answer = await server.call('GET', '/metrics');
    expect(answer.status).to.equal(200);
    expect(answer.headers['content-type']).to.equal('text/plain; version=0.0.4; charset=utf-8');
    expect(() => parseMetrics(answer.text)).not.to.throw();
    expect((await server.call('GET', '/metrics', { as: 'guest' })).status).to.equal(403);
    expect((await server.call('GET', '/metrics', { as: 'nobody' })).status).to.equal(401);
  });

  // Upstream's stable and beta metrics of an API server, for what this one has.
  for (const [name, type, labels] of [
    ['apiserver_admission_controller_admission_duration_seconds', 'histogram', ['name', 'type', 'operation', 'rejected']],
    ['apiserver_admission_step_admission_duration_seconds', 'histogram', ['type', 'operation', 'rejected']],
    ['apiserver_current_inflight_requests', 'gauge', ['request_kind']],
    ['apiserver_longrunning_requests', 'gauge', ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component']],
    ['apiserver_request_duration_seconds', 'histogram', ['verb', 'dry_run', 'group', 'version', 'resource', 'subresource', 'scope', 'component']],
    ['apiserver_request_total', 'counter', ['verb', 'dry_run', 'group', 'version', 'resource', 'subresource', 'scope', 'component', 'code', 'system_client']],
    ['apiserver_response_sizes', 'histogram', ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component']],
    ['apiserver_storage_objects', 'gauge', ['resource']],
    ['apiserver_storage_size_bytes', 'gauge', ['storage_cluster_id']],
    ['apiserver_storage_events_received_total', 'counter', ['group', 'resource']],
    ['apiserver_watch_list_duration_seconds', 'histogram', ['group', 'version', 'resource', 'scope']],
    ['kubernetes_build_info', 'gauge', ['major', 'minor', 'git_version', 'git_commit', 'git_tree_state', 'build_date', 'go_version', 'compiler', 'platform']],
    ['etcd_request_duration_seconds', 'histogram', ['operation', 'group', 'resource']],
    ['authentication_attempts', 'counter', ['result']],
    ['apiserver_watch_events_total', 'counter', ['group', 'version', 'resource']],
  ] as const) {
    it(`${name} has upstream's type and labels`, async () => {
      await server.call('GET', maps);
      await server.call('POST', `${maps}?dryRun=All`, { body: { metadata: { name: 'x' } } });
      const lines = watchLines(await server.open('GET', `${maps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`));
      await lines.next();
      const metrics = await scrape();
      lines.close();
      expect(metrics.types.get(name)).to.equal(type);
      const [sample] = of(metrics, type === 'histogram' ? `${name}_count` : name);
      expect(Object.keys(sample?.labels ?? {})).to.have.members(labels);
    });
  }

  it('counts requests by what they asked and how they ended, only what has a route', async () => {
    const labels = { verb: 'GET', resource: 'configmaps', scope: 'resource', group: '', version: 'v1', component: 'apiserver' };
    await server.call('GET', `${maps}/none`);
    await server.call('GET', `${maps}/none`, { headers: { 'User-Agent': 'kube-scheduler/v1' } });
    await server.call('GET', '/api/v1/namespaces/default/nonsense/x');
    await server.call('GET', `${maps}/none/nonsense`);
    await server.call('GET', '/readyz');
    const metrics = await scrape();
    const [plain] = of(metrics, 'apiserver_request_total', { ...labels, code: '404', system_client: '', dry_run: '' });
    const [scheduler] = of(metrics, 'apiserver_request_total', { ...labels, code: '404', system_client: 'kube-scheduler' });
    expect([plain?.value, scheduler?.value]).to.deep.equal([1, 1]);
    expect(of(metrics, 'apiserver_request_duration_seconds_count', labels)[0]?.value).to.equal(2);
    expect(metrics.samples.filter((sample) => Object.values(sample.labels).includes('nonsense'))).to.deep.equal([]);
    expect(of(metrics, 'apiserver_request_total', { subresource: '/readyz', code: '200' })[0]?.value).to.be.at.least(1);
  });
  it('counts watches while they are open, their events, and what the store did', async () => {
    const labels = { verb: 'WATCH', resource: 'secrets' };
    const secrets = '/api/v1/namespaces/default/secrets';
    const lines = watchLines(await server.open('GET', `${secrets}?watch=1`));
    await server.call('POST', secrets, { body: { metadata: { name: 'seen' } } });
    expect((await lines.next()).type).to.equal('ADDED');
    const during = await scrape();
    expect(of(during, 'apiserver_longrunning_requests', labels)[0]?.value).to.equal(1);
    expect(of(during, 'apiserver_watch_events_total', { resource: 'secrets' })[0]?.value).to.equal(1);
    expect(of(during, 'apiserver_watch_events_sizes_count', { resource: 'secrets' })[0]?.value).to.equal(1);
    expect(of(during, 'etcd_requests_total', { operation: 'create', resource: 'secrets', group: '' })[0]?.value).to.equal(1);
    expect(of(during, 'apiserver_storage_events_received_total', { resource: 'secrets' })[0]?.value).to.equal(1);
    expect(of(during, 'apiserver_storage_objects', { resource: 'secrets' })[0]?.value).to.equal(1);
    expect(of(during, 'etcd_requests_total', { operation: 'create', resource: 'clusterroles', group: 'rbac.authorization.k8s.io' })[0]?.value).to.be.greaterThan(50);
    lines.close();
    let left: number | undefined = 1;
    for (let i = 0; i < 50 && left !== 0; i += 1) left = of(await scrape(), 'apiserver_longrunning_requests', labels)[0]?.value;
    expect(left).to.equal(0);
  });
  it('shows each histogram whole: rising buckets, the last of all', async () => {
    const metrics = await scrape();
    const buckets = of(metrics, 'apiserver_request_duration_seconds_bucket', { verb: 'POST', resource: 'configmaps', dry_run: 'All' });
    expect(buckets.map(({ labels }) => labels['le'])).to.deep.equal(['0.005', '0.025', '0.05', '0.1', '0.2', '0.4', '0.6', '0.8', '1', '1.25', '1.5', '2', '3', '4', '5', '6', '8', '10', '15', '20', '30', '45', '60', '+Inf']);
    expect(buckets.every(({ value }, index) => value >= (buckets[index - 1]?.value ?? 0))).to.equal(true);
    expect(of(metrics, 'process_resident_memory_bytes')[0]?.value).to.be.greaterThan(1e6);
  });
  it('/metrics/slis tells what the health checks said', async () => {
    await server.call('GET', '/livez');
    const slis = parseMetrics((await server.call('GET', '/metrics/slis')).text);
    expect(of(slis, 'kubernetes_healthcheck', { name: 'etcd', type: 'livez' })[0]?.value).to.equal(1);
    expect(of(slis, 'kubernetes_healthchecks_total', { name: 'etcd', type: 'livez', status: 'success' })[0]?.value).to.be.at.least(1);
  });

  describe('health', () => {
    it('says ok, or everything with ?verbose', async () => {
      for (const path of ['/healthz', '/livez', '/readyz', '/readyz/etcd', '/livez/ping', '/livez/poststarthook/rbac/bootstrap-roles']) {
        const { status, text } = await server.call('GET', path);
        expect([path, status, text]).to.deep.equal([path, 200, 'ok']);
      }
      const verbose = await server.call('GET', '/livez?verbose');
      expect(verbose.text).to.match(/^\[\+\]ping ok\n\[\+\]log ok\n\[\+\]etcd ok\n(\[\+\]poststarthook\/[-\w/.]+ ok\n)+livez check passed\n$/);
      expect(verbose.headers).to.include({ 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' });
    });
    it('?exclude= leaves checks out, and warns of those that it does not know', async () => {
      const { text } = await server.call('GET', '/readyz?verbose&exclude=etcd&exclude=none&exclude=about');
      expect(text).to.contain('[+]etcd excluded: ok\n').and.to.contain('warn: some health checks cannot be excluded: no matches for "about","none"\n').and.to.match(/readyz check passed\n$/);
    });
    it('HEAD has no body; a check that is not there is 404; single checks are for who may', async () => {
      const head = await server.call('HEAD', '/readyz');
      expect([head.status, head.text]).to.deep.equal([200, '']);
      expect((await server.call('GET', '/readyz/none')).status).to.equal(404);
      expect((await server.call('GET', '/readyz/etcd', { as: 'nobody' })).status).to.equal(401);
      expect((await server.call('GET', '/readyz/etcd', { as: 'guest' })).status).to.equal(403);
    });
  });
});

describe('Registry', () => {
  it('escapes label values and leaves out what has no series', async () => {
    const registry = new Registry();
    registry.counter({ name: 'a_total', help: 'x', stability: 'ALPHA', labels: ['l'] }).with('q"\\\n').add(2);
    registry.counter({ name: 'none_total', help: 'x', stability: 'ALPHA', labels: ['l'] });
    expect(await registry.render()).to.equal('# HELP a_total [ALPHA] x\n# TYPE a_total counter\na_total{l="q\\"\\\\\\n"} 2\n');
  });
  it('puts values into the bucket whose bound they do not pass', async () => {
    const registry = new Registry();
    const histogram = registry.histogram({ name: 'h', help: 'x', stability: 'ALPHA' }, [1, 2]).with();
    for (const value of [1, 1.5, 3]) histogram.observe(value);
    expect(await registry.render()).to.contain('h_bucket{le="1"} 1\nh_bucket{le="2"} 2\nh_bucket{le="+Inf"} 3\nh_sum 5.5\nh_count 3\n');
  });
  it('bounds the series of a name', async () => {
    const registry = new Registry();
    const counter = registry.counter({ name: 'many_total', help: 'x', stability: 'ALPHA', labels: ['l'] });
    for (let i = 0; i < 20_010; i += 1) counter.with(String(i)).add();
    expect((await registry.render()).split('\n')).to.have.length(20_003);
  });
  it('refuses a name twice', () => {
    const registry = new Registry();
    registry.gauge({ name: 'g', help: 'x', stability: 'ALPHA' });
    expect(() => registry.gauge({ name: 'g', help: 'x', stability: 'ALPHA' })).to.throw('metric g is there already');
  });
  it('exponentialBounds() multiplies', () => expect(exponentialBounds(1000, 10, 3)).to.deep.equal([1000, 10_000, 100_000]));
});
