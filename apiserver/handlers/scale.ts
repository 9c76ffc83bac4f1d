// The scale subresource: an autoscaling/v1 Scale over the fields that the kind's strategy names.
import type { KubeObject, ObjectMeta } from '#machinery/api/object.ts';
import { badRequest, conflict, invalid, notFound, staleConflict } from '#machinery/api/status.ts';
import { checkName, decodeAs, loadTypes, methodNotAllowed, noSuchResource, outputForm, readPatch, writeRequest } from './api.ts';
import type { ApiRequest } from './api.ts';
import type { TrackedKind } from '../fieldmanager/field-manager.ts';
import { readBody } from './body.ts';
import { asKind } from './decode.ts';
import { negotiateInput } from './negotiate.ts';
import { writeOptions } from './options.ts';
import { respond } from './respond.ts';
import type { Writable } from './store.ts';
import { objectJson } from './table.ts';
import { scaleTable } from '../resources/columns/workloads.ts';
import type { ResourceRow } from '../resources/resource.ts';
import { copyJson } from '../patch/json-value.ts';

const scaleKind = { group: 'autoscaling', version: 'v1', kind: 'Scale' } as const;
type Rules = NonNullable<ApiRequest['served']['row']['strategy']['scale']>;

export async function serveScale(request: ApiRequest): Promise<void> {
  const { deps, context, response, served, namespace } = request;
  const rules = served.row.strategy.scale;
  if (!rules) throw noSuchResource();
  const form = outputForm(request);
  const row: ResourceRow = { ...served.row, ...scaleKind, strategy: scaleTable };
  const answer = (object: Writable): Promise<void> => respond(context, response, form, 200, objectJson(row, { object }, form.transform, context.query, Date.now()));
  const { name, verb } = context.info;
  const store = deps.storeOf(served);
  if (verb === 'get') {
    await deps.cache.waitForLatest(context.signal);
    const cached = served.stored?.cache.get(namespace, name);
    if (!cached) throw notFound(served.name, name);
    return answer(scaleOf(served.view(cached).object, rules));
  }
  let options: ReturnType<typeof writeOptions>;
  let change: (scale: Writable) => Promise<Writable>;
  let applies = false;
  const [{ managersOfScale, managersOfParent }, { trackUpdate }, { managerOf }, tracked] = await Promise.all([
    import('../fieldmanager/scale.ts'), import('../fieldmanager/field-manager.ts'), import('../fieldmanager/tracker.ts'), trackedScale(),
  ]);
  const owner = { apiVersion: served.apiVersion, replicas: rules.specReplicas };
  if (verb === 'update') {
    const format = negotiateInput(context.request.headers['content-type']);
    const raw = await readBody(context.request);
    options = writeOptions(context.query, 'UpdateOptions');
    const { fieldValidation } = options;
    change = () => decodeAs(request, raw, format, scaleKind, fieldValidation);
  } else if (verb === 'patch') {
    const patch = await readPatch(request, tracked);
    options = patch.options;
    applies = patch.applies;
    change = async (scale) => asKind(await patch.apply(scale), scaleKind);
  } else throw methodNotAllowed();

  const manager = managerOf(options.fieldManager, context.request);
  const written = await store.update({ ...writeRequest(request, name, '', options.dryRun, options.asObject), admitted: true, track: 'done' }, async (old) => {
    const before = scaleOf(old, rules);
    const managers = managersOfScale(old.metadata.managedFields, owner);
    if (managers) before.metadata.managedFields = managers;
    const scale = await change(before);
    if (!applies) trackUpdate(tracked, before, scale, manager, Date.now());
    checkName(scale, name, namespace);
    const { uid, resourceVersion } = scale.metadata;
    if (uid && uid !== old.metadata.uid) throw conflict(served.name, name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`);
    if (resourceVersion && resourceVersion !== '0' && resourceVersion !== old.metadata.resourceVersion) throw staleConflict(served.name, name);
    const replicas = (scale['spec'] as { replicas?: unknown } | undefined)?.replicas ?? 0;
    if (typeof replicas !== 'number' || !Number.isInteger(replicas)) throw badRequest('Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32');
    if (replicas < 0) throw invalid(scaleKind, name, [{ type: 'Invalid', field: 'spec.replicas', value: replicas, detail: 'must be greater than or equal to 0' }]);
    await store.admission('UPDATE', writeRequest(request, name, 'scale', options.dryRun, options.asObject), scale, before);
    const object = copyJson(old) as Writable;
    set(object, rules.specReplicas, replicas);
    const left = managersOfParent(old.metadata.managedFields, scale.metadata.managedFields, owner);
    if (left) object.metadata.managedFields = left;
    else delete object.metadata.managedFields;
    return object;
  });
  return answer(scaleOf(written.object, rules));
}

/** Nothing of a Scale is put back, and it has one version. */
async function trackedScale(): Promise<TrackedKind> {
  const [{ atomOf }, { deducedAtom }, schema] = await Promise.all([import('../fieldmanager/builtin.ts'), import('../fieldmanager/atom.ts'), loadTypes()]);
  const type = schema.typeFor(scaleKind.group, scaleKind.version, scaleKind.kind);
  return { apiVersion: 'autoscaling/v1', kind: 'Scale', subresource: 'scale', atom: type ? atomOf(type) : deducedAtom, reset: undefined, inVersion: () => undefined };
}

export function scaleOf(object: Readonly<KubeObject>, rules: Rules): Writable {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata ?? {};
  const metadata = Object.fromEntries(Object.entries({ name, namespace, uid, resourceVersion, creationTimestamp }).filter(([, value]) => value !== undefined)) as ObjectMeta; // a part of one
  const selector = rules.selector(object);
  return {
    kind: 'Scale', apiVersion: 'autoscaling/v1', metadata,
    spec: { replicas: numberAt(object, rules.specReplicas) },
    status: { replicas: numberAt(object, rules.statusReplicas), ...(selector === '' ? {} : { selector }) },
  };
}

const steps = (path: string): string[] => path.split('.').filter((step) => step !== '');

function numberAt(object: Readonly<KubeObject>, path: string): number {
  let value: unknown = object;
  for (const step of steps(path)) value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[step] : undefined;
  return typeof value === 'number' ? value : 0;
}

function set(object: KubeObject, path: string, value: number): void {
  const all = steps(path);
  const last = all.pop();
  let at: Record<string, unknown> = object;
  for (const step of all) at = (at[step] ??= {}) as Record<string, unknown>; // objects all the way in a kind that has a scale
  if (last !== undefined) at[last] = value;
}
