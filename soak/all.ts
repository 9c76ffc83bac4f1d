// Every soak run, in the order in which they are listed.
import { apiservers } from './apiservers.ts';
import { etcdFaults } from './etcd-faults.ts';
import { listAndGet } from './list-and-get.ts';
import { bodies } from './bodies.ts';
import { controllersFaults } from './controllers-faults.ts';
import type { Soak } from './soak.ts';
import { sqliteFaults } from './sqlite-faults.ts';
import { sqliteKill } from './sqlite-kill.ts';
import { controllersTakeover, schedulerTakeover } from './takeover.ts';
import { watchers } from './watchers.ts';
import { webhooks } from './webhooks.ts';

export const soaks: readonly Soak[] = [
  sqliteKill,
  sqliteFaults,
  etcdFaults,
  apiservers,
  watchers,
  listAndGet,
  bodies,
  controllersFaults,
  controllersTakeover,
  schedulerTakeover,
  webhooks,
];
