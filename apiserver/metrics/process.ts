// What the process itself costs (process_*, nodejs_*), from prom-client; loaded by the first scrape, it takes 50 ms.
let started: Promise<{ metrics(): Promise<string> }> | undefined;

/** One registry for the life of the process: each set of default metrics keeps observers of its own running. */
export async function processMetrics(): Promise<string> {
  started ??= import('prom-client').then(({ Registry, collectDefaultMetrics }) => {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 1000 });
    return registry;
  });
  return (await started).metrics();
}
