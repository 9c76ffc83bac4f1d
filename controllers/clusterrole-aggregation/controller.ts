// Rules of aggregated ClusterRoles (admin, edit, view): those of all roles that their selectors match.
import { labelSelectorFromObject } from '#machinery/api/labels.ts';
import type { ClusterRole } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { clusterRoles } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { sameValue } from '../pods.ts';

const manager = 'clusterrole-aggregation-controller';

export function aggregatedRules(role: ClusterRole, all: readonly ClusterRole[]): NonNullable<ClusterRole['rules']> {
  const rules: NonNullable<ClusterRole['rules']> = [];
  const sorted = [...all].sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    const parsed = labelSelectorFromObject(selector);
    for (const other of sorted) {
      if (other.metadata.name === role.metadata.name || !parsed.matches(other.metadata.labels)) continue;
      for (const rule of other.rules ?? []) if (!rules.some((known) => sameValue(known, rule))) rules.push(rule);
    }
  }
  return rules;
}

export function createClusterRoleAggregationController({ informers, clientFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name: 'ClusterRoleAggregator' });
  const roles = informers.for(clusterRoles);
  const client = clientFor('clusterrole-aggregation-controller');
  const enqueueAll = (): void => {
    for (const role of roles.list()) if (role.aggregationRule) queue.add(role.metadata.name ?? '');
  };
  roles.onChange(() => {
    if (roles.hasSynced()) enqueueAll(); // the first list counts once, in run
  });
  return {
    run(stop) {
      enqueueAll();
      return runController({
        name: 'clusterrole-aggregation-controller', queue,
        async reconcile(name, signal) {
          const role = roles.get('', name);
          if (!role?.aggregationRule) return;
          const rules = aggregatedRules(role, roles.list());
          if (sameValue(rules, role.rules)) return;
          try {
            const body = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name }, rules };
            await client.patch(clusterRoles, '', name, 'apply', body, signal, { fieldManager: manager, force: true });
          } catch (error) {
            if (!(error instanceof StatusError) || error.status.code !== 415) throw error;
            await client.update(clusterRoles, '', name, { ...role, rules }, signal); // a server without apply
          }
        },
      }, stop);
    },
  };
}
