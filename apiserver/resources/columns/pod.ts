// The table of pods. The status cell condenses the states of all containers into one word; its order of precedence is
// upstream's printPod (pkg/printers/internalversion/printers.go).
import type { RowCondition } from '../resource.ts';
import { humanDuration } from '#machinery/api/duration.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { asObject, at, integer, isObject, objects, text } from '../values.ts';
import type { Obj } from '../values.ts';
import { age, field, name, part, table } from './column.ts';

interface Summary { ready: number; total: number; status: string; restarts: number; lastRestart: number }

const hasCondition = (pod: Readonly<KubeObject>, type: string): boolean =>
  objects(at(pod, 'status', 'conditions')).some((condition) => condition['type'] === type && condition['status'] === 'True');

/** When the container last ended before the current run; 0 when it never did. */
function lastEnd(status: Obj): number {
  const time = Date.parse(text(at(status, 'lastState', 'terminated', 'finishedAt')));
  return Number.isNaN(time) ? 0 : time;
}
function endReason(ended: Obj): string {
  const signal = integer(ended['signal']) ?? 0;
  return text(ended['reason']) || (signal !== 0 ? `Signal:${signal}` : `ExitCode:${integer(ended['exitCode']) ?? 0}`);
}

function summarize(pod: Readonly<KubeObject>): Summary {
  const spec = asObject(pod['spec']) ?? {};
  const status = asObject(pod['status']) ?? {};
  const initContainers = objects(spec['initContainers']);
  const sidecars = new Set(initContainers.filter((container) => container['restartPolicy'] === 'Always').map((container) => text(container['name'])));
  const sum: Summary = { ready: 0, total: objects(spec['containers']).length + sidecars.size, status: text(status['reason']) || text(status['phase']), restarts: 0, lastRestart: 0 };
  const gated = objects(status['conditions']).some((condition) => condition['type'] === 'PodScheduled' && condition['reason'] === 'SchedulingGated');
  if (gated) sum.status = 'SchedulingGated';

  const sidecar = { restarts: 0, lastRestart: 0 };
  let initializing = false;
  for (const [index, container] of objects(status['initContainerStatuses']).entries()) {
    const restarts = integer(container['restartCount']) ?? 0;
    sum.restarts += restarts;
    sum.lastRestart = Math.max(sum.lastRestart, lastEnd(container));
    const isSidecar = sidecars.has(text(container['name']));
    if (isSidecar) {
      sidecar.restarts += restarts;
      sidecar.lastRestart = Math.max(sidecar.lastRestart, lastEnd(container));
    }
    const ended = asObject(at(container, 'state', 'terminated'));
    const waiting = text(at(container, 'state', 'waiting', 'reason'));
    if (ended && (integer(ended['exitCode']) ?? 0) === 0) continue;
    if (isSidecar && container['started'] === true) {
      if (container['ready'] === true) sum.ready += 1;
      continue;
    }
    if (ended) sum.status = `Init:${endReason(ended)}`;
    else if (waiting !== '' && waiting !== 'PodInitializing') sum.status = `Init:${waiting}`;
    else sum.status = `Init:${index}/${initContainers.length}`;
    initializing = true;
    break;
  }
  if (!initializing || hasCondition(pod, 'Initialized')) {
    sum.restarts = sidecar.restarts;
    sum.lastRestart = sidecar.lastRestart;
    addContainers(pod, objects(status['containerStatuses']), sum);
  }
  if (pod.metadata?.deletionTimestamp !== undefined) {
    const phase = text(status['phase']);
    if (status['reason'] === 'NodeLost') sum.status = 'Unknown';
    else if (phase !== 'Succeeded' && phase !== 'Failed') sum.status = 'Terminating';
  }
  return sum;
}

/** The first container has the last word. */
function addContainers(pod: Readonly<KubeObject>, containers: readonly Obj[], sum: Summary): void {
  let running = false;
  let failure = '';
  for (const container of containers.toReversed()) {
    sum.restarts += integer(container['restartCount']) ?? 0;
    sum.lastRestart = Math.max(sum.lastRestart, lastEnd(container));
    const waiting = text(at(container, 'state', 'waiting', 'reason'));
    const ended = asObject(at(container, 'state', 'terminated'));
    if (waiting !== '') sum.status = waiting;
    else if (ended) {
      sum.status = endReason(ended);
      if ((integer(ended['exitCode']) ?? 0) !== 0) failure = sum.status;
    } else if (container['ready'] === true && isObject(at(container, 'state', 'running'))) {
      running = true;
      sum.ready += 1;
    }
  }
  if (sum.status !== 'Completed') return;
  if (running && hasCondition(pod, 'Ready')) sum.status = 'Running';
  else if (failure !== '') sum.status = failure;
  else if (running) sum.status = 'NotReady';
}

function readinessGates(pod: Readonly<KubeObject>): string {
  const gates = objects(at(pod, 'spec', 'readinessGates'));
  if (gates.length === 0) return '<none>';
  return `${gates.filter((gate) => hasCondition(pod, text(gate['conditionType']))).length}/${gates.length}`;
}

const plain = table(
  name,
  part('Ready', 'Ready containers of all that should be.', () => ''),
  part('Status', 'What the pod is doing, in one word.', () => ''),
  part('Restarts', 'How often containers were restarted, and when that last happened.', () => ''),
  age,
  part('IP', 'Address of the pod.', (pod) => text(objects(at(pod, 'status', 'podIPs'))[0]?.['ip']) || '<none>', { wide: true }),
  part('Node', 'Node that the pod is bound to.', field('spec.nodeName', '<none>'), { wide: true }),
  part('Nominated Node', 'Node where preemption makes room for the pod.', field('status.nominatedNodeName', '<none>'), { wide: true }),
  part('Readiness Gates', 'Conditions that hold, of those that readiness waits for besides containers.', readinessGates, { wide: true }),
);

const ended: Readonly<Record<string, RowCondition>> = {
  Succeeded: { type: 'Completed', status: 'True', reason: 'Succeeded', message: 'The pod has completed successfully.' },
  Failed: { type: 'Completed', status: 'True', reason: 'Failed', message: 'The pod failed.' },
};

/** Three cells come from one walk over the containers. */
export const podTable = {
  columns: plain.columns,
  cells(pod: Readonly<KubeObject>, now: number): unknown[] {
    const cells = plain.cells(pod, now);
    const { ready, total, status, restarts, lastRestart } = summarize(pod);
    cells[1] = `${ready}/${total}`;
    cells[2] = status;
    cells[3] = restarts !== 0 && lastRestart !== 0 ? `${restarts} (${humanDuration(now - lastRestart)} ago)` : String(restarts);
    return cells;
  },
  rowConditions(pod: Readonly<KubeObject>): RowCondition[] {
    const condition = ended[text(at(pod, 'status', 'phase'))];
    return condition ? [condition] : [];
  },
};
