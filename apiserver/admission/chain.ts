// The order in which plugins are asked, and asked again: a plugin that lets others outside this server change the object (webhooks,
// policies) may want every mutating step once more. Upstream: apiserver/pkg/admission/reinvocation.go.
import type { AdmissionMetrics } from '../metrics/admission.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';

/** Throws StatusError when a plugin refuses. */
export async function runAdmission(plugins: readonly AdmissionPlugin[], type: 'admit' | 'validate', attributes: AdmissionAttributes, metrics?: AdmissionMetrics): Promise<void> {
  const { operation, row, subresource } = attributes;
  const measure = metrics?.begin(type, operation);
  try {
    for (;;) {
      for (const plugin of plugins) {
        if (!plugin[type] || !plugin.handles(operation, row, subresource)) continue;
        try {
          await plugin[type](attributes);
        } catch (error) {
          measure?.plugin(plugin.name, true);
          throw error;
        }
        measure?.plugin(plugin.name, false);
      }
      const { reinvocation } = attributes;
      if (type === 'validate' || !reinvocation?.wanted || reinvocation.round === 1) break;
      reinvocation.round = 1;
    }
  } catch (error) {
    measure?.end(true);
    throw error;
  }
  measure?.end(false);
}
