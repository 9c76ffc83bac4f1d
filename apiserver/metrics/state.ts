// What a scrape looks up: objects, the store's size, the audit log, the build.
import { statSync } from 'node:fs';
import type { AuditCounts } from '../audit/auditor.ts';
import type { StorageConfig } from '../config.ts';
import { versionInfo } from '../discovery/version.ts';
import type { ServedResources } from '../handlers/served.ts';
import type { WatchCache } from '../storage/cache.ts';
import type { Registry } from '#machinery/base/metrics.ts';

export function addStateMetrics(registry: Registry, { resources, cache, storage, audit }: { resources: ServedResources; cache: WatchCache; storage: StorageConfig; audit: AuditCounts | undefined }): void {
  const stored = () => resources.all().filter(({ stored: where, row }) => where?.row === row);
  const grouped = ['group', 'resource'];
  registry.read({ name: 'apiserver_storage_objects', help: 'Objects that are stored; apiserver_resource_objects tells groups apart.', stability: 'STABLE', labels: ['resource'] }, 'gauge',
    () => stored().map(({ id, stored: where }) => [[id], where?.cache.count() ?? 0]));
  registry.read({ name: 'apiserver_resource_objects', help: 'Objects that are stored.', stability: 'ALPHA', labels: grouped }, 'gauge',
    () => stored().map(({ row, stored: where }) => [[row.group, row.resource], where?.cache.count() ?? 0]));
  registry.read({ name: 'apiserver_watch_cache_resource_version', help: 'The version that the watch cache has reached, its last 15 digits.', stability: 'ALPHA', labels: grouped }, 'gauge',
    () => stored().map(({ row }) => [[row.group, row.resource], Number(cache.revision() % 1_000_000_000_000_000n)]));
  if (storage.engine === 'sqlite') {
    registry.read({ name: 'apiserver_storage_size_bytes', help: 'Size of the embedded store: the file and its log.', stability: 'STABLE', labels: ['storage_cluster_id'] }, 'gauge',
      () => [[['sqlite-0'], [storage.path, `${storage.path}-wal`].reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0)]]);
  }
  const { major, minor, gitVersion, gitCommit, gitTreeState, buildDate, goVersion, compiler, platform } = versionInfo;
  registry.read({ name: 'kubernetes_build_info', help: 'The version that this server says it is.', stability: 'BETA', labels: ['major', 'minor', 'git_version', 'git_commit', 'git_tree_state', 'build_date', 'go_version', 'compiler', 'platform'] }, 'gauge',
    () => [[[major, minor, gitVersion, gitCommit, gitTreeState, buildDate, goVersion, compiler, platform], 1]]);
  if (!audit) return;
  registry.read({ name: 'apiserver_audit_event_total', help: 'Audit events that were made.', stability: 'ALPHA' }, 'counter', () => [[[], audit.events]]);
  registry.read({ name: 'apiserver_audit_requests_rejected_total', help: 'Requests refused because their audit event could not be stored.', stability: 'ALPHA' }, 'counter', () => [[[], audit.rejected]]);
  registry.read({ name: 'apiserver_audit_level_total', help: 'Requests by the level that the audit policy has for them.', stability: 'ALPHA', labels: ['level'] }, 'counter', () => [...audit.levels].map(([level, count]) => [[level], count]));
  registry.read({ name: 'apiserver_audit_error_total', help: 'Audit events that a backend could not take.', stability: 'ALPHA', labels: ['plugin'] }, 'counter', () => [...audit.errors].map(([plugin, count]) => [[plugin], count]));
}
