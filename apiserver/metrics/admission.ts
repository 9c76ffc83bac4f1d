// How long admission takes, for each plugin and for all of a step. Upstream: apiserver/pkg/admission/metrics.
import type { Operation } from '../admission/admission.ts';
import type { HistogramCell, Registry } from '#machinery/base/metrics.ts';

const bounds = [0.005, 0.025, 0.1, 0.5, 1, 2.5];

export interface AdmissionMeasure {
  /** A plugin is through; its time began where the one before ended. */
  plugin(name: string, rejected: boolean): void;
  end(rejected: boolean): void;
}
export interface AdmissionMetrics {
  begin(type: 'admit' | 'validate', operation: Operation): AdmissionMeasure;
}

export function createAdmissionMetrics(registry: Registry): AdmissionMetrics {
  const steps = registry.histogram({ name: 'apiserver_admission_step_admission_duration_seconds', help: 'Time of all plugins together.', stability: 'STABLE', labels: ['type', 'operation', 'rejected'] }, bounds);
  const controllers = registry.histogram({ name: 'apiserver_admission_controller_admission_duration_seconds', help: 'Time of one plugin.', stability: 'STABLE', labels: ['name', 'type', 'operation', 'rejected'] }, bounds);
  const cells = new Map<string, HistogramCell>();
  const cell = (key: string, make: () => HistogramCell): HistogramCell => {
    let found = cells.get(key);
    if (!found) cells.set(key, found = make());
    return found;
  };
  return {
    begin(type, operation) {
      const began = performance.now();
      let last = began;
      return {
        plugin(name, rejected) {
          const now = performance.now();
          cell(`${name} ${type} ${operation} ${rejected}`, () => controllers.with(name, type, operation, String(rejected))).observe((now - last) / 1000);
          last = now;
        },
        end(rejected) {
          cell(`${type} ${operation} ${rejected}`, () => steps.with(type, operation, String(rejected))).observe((performance.now() - began) / 1000);
        },
      };
    },
  };
}
