// The status of validating admission policies: warnings about expressions that do not fit the types they are about. The language
// and the schema are loaded by the first policy. Upstream: pkg/controller/validatingadmissionpolicystatus.
import { isNotFound } from '#machinery/api/status.ts';
import { runController } from '#machinery/client/controller.ts';
import { validatingAdmissionPolicies } from '#machinery/client/resources.ts';
import { createWorkQueue } from '#machinery/client/work-queue.ts';
import type { Controller, ControllerContext } from '../context.ts';
import { discover } from '../discovery.ts';

const name = 'validatingadmissionpolicy-status-controller';

export function createValidatingPolicyStatusController({ informers, clientFor }: ControllerContext): Controller {
  const queue = createWorkQueue({ name });
  const policies = informers.for(validatingAdmissionPolicies);
  const client = clientFor(name);
  policies.onChange(({ type, object }) => {
    if (type !== 'deleted') queue.add(object.metadata.name ?? '');
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<void> {
    const policy = policies.get('', key);
    const { generation = 0 } = policy?.metadata ?? {};
    if (!policy?.spec || generation <= (policy.status?.observedGeneration ?? 0)) return;
    const [{ checkPolicy }, { loadSchema }] = await Promise.all([import('./check.ts'), import('#machinery/schema/schema.ts')]);
    const [{ resources }, schema] = await Promise.all([discover(client, signal), loadSchema()]);
    const warnings = checkPolicy(policy.spec, resources, schema);
    const status = { observedGeneration: generation, typeChecking: warnings.length > 0 ? { expressionWarnings: warnings } : {} };
    const body = { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicy', metadata: { name: key }, status };
    await client.patch(validatingAdmissionPolicies, '', key, 'apply', body, signal, { subresource: 'status', fieldManager: name, force: true }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  return { run: (stop) => runController({ name, queue, workers: 5, reconcile, maxRetries: Infinity }, stop) };
}
