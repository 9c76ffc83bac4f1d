// Devices for claims on one node: the first choice in order of the requests that satisfies selectors, taints and constraints. Loaded
// with the first pod that has a claim. Upstream: k8s.io/dynamic-resource-allocation/structured.
import type { ResourceClaim, ResourceSlice } from '#machinery/api/object.ts';
import type { DeviceAttribute } from '#machinery/cel/device.ts';
import type { AllocatedDevice, Allocation, AllocationInput } from './devices.ts';
import { selects } from './device-selectors.ts';
import { compileNodeTerm, nodeTermMatches } from './selectors.ts';
import type { NodeInfo } from './snapshot.ts';

/** The node is out, and the reason is worth telling. */
export class AllocationError extends Error {
  override name = 'AllocationError';
}

type SliceSpec = ResourceSlice['spec'];
type Device = NonNullable<SliceSpec['devices']>[number];
type Claims = NonNullable<ResourceClaim['spec']['devices']>;
type Request = NonNullable<Claims['requests']>[number];
type Exact = NonNullable<Request['exactly']>;
type NodeSelector = NonNullable<SliceSpec['nodeSelector']>;

interface Candidate { id: string; driver: string; pool: string; device: Device; spec: SliceSpec }
/** One way to satisfy a request. */
interface Alternative { name: string; exact: Exact; candidates: readonly Candidate[] }
interface Wanted { claim: number; name: string; alternatives: readonly (() => Alternative)[] }
interface Picked { request: string; parent: string; exact: Exact; candidate: Candidate }

const mostDevices = 32;
/** Ways are many when devices are few: beyond this the node is given up. */
const mostSteps = 100_000;

/** undefined: these claims cannot all be had on the node. */
export function allocateDevices({ claims, node, slices, classOf, inUse }: AllocationInput): Allocation[] | undefined {
  const devices = devicesOn(node, slices);
  const wanted = claims.flatMap((claim, index) => (claim.spec.devices?.requests ?? []).map((request): Wanted => ({
    claim: index, name: request.name,
    alternatives: alternativesOf(request).map(({ name, exact }) => {
      let known: Alternative | undefined;
      return () => (known ??= { name, exact, candidates: matching(exact, devices, classOf) });
    }),
  })));
  const picked: Picked[][] = claims.map(() => []);
  const taken = new Set<string>();
  let steps = 0;

  const pick = (own: Picked[], claim: ResourceClaim, one: Picked): boolean => {
    if ((steps += 1) > mostSteps) throw new AllocationError('timed out trying to allocate devices');
    const free = one.exact.adminAccess || (!inUse.has(one.candidate.id) && !taken.has(one.candidate.id));
    if (!free || own.length >= mostDevices || own.some(({ candidate }) => candidate.id === one.candidate.id && one.exact.adminAccess)) return false;
    own.push(one);
    if (!holds(claim, own)) {
      own.pop();
      return false;
    }
    if (!one.exact.adminAccess) taken.add(one.candidate.id);
    return true;
  };
  const putBack = (own: Picked[]): void => {
    const last = own.pop();
    if (last && !last.exact.adminAccess) taken.delete(last.candidate.id);
  };
  const place = (index: number): boolean => {
    const want = wanted[index];
    if (!want) return true;
    const { claim: at, name: parent } = want;
    const [own, claim] = [picked[at], claims[at]];
    if (!own || !claim) throw new Error('a request without its claim');
    for (const alternative of want.alternatives) {
      const { name, exact, candidates } = alternative();
      const all = exact.allocationMode === 'All';
      const count = all ? candidates.length : exact.count ?? 1;
      if (count === 0 || count > candidates.length) continue;
      const from = (start: number, left: number): boolean => {
        if (left === 0) return place(index + 1);
        for (let i = start; i <= candidates.length - left; i += 1) {
          const candidate = candidates[i];
          if (candidate && pick(own, claim, { request: name, parent, exact, candidate })) {
            if (from(i + 1, left - 1)) return true;
            putBack(own);
          }
          if (all) return false; // each is needed
        }
        return false;
      };
      if (from(0, count)) return true;
    }
    return false;
  };
  if (!place(0)) return undefined;
  return claims.map((claim, index) => allocationOf(claim, picked[index] ?? [], node, classOf));
}

/** The requests of a claim by the names that others call them. */
function alternativesOf({ name, exactly, firstAvailable }: Request): { name: string; exact: Exact }[] {
  if (exactly) return [{ name, exact: exactly }];
  return (firstAvailable ?? []).map((sub) => ({ name: `${name}/${sub.name}`, exact: sub }));
}

/** What the node can reach: the newest slices of each pool, when all of them are there. */
function devicesOn(node: NodeInfo, slices: readonly ResourceSlice[]): Candidate[] {
  const pools = new Map<string, SliceSpec[]>();
  for (const { spec } of slices) {
    const key = `${spec.driver}/${spec.pool.name}`;
    const known = pools.get(key);
    const generation = known?.[0]?.pool.generation ?? -1;
    if (spec.pool.generation > generation) pools.set(key, [spec]);
    else if (spec.pool.generation === generation) known?.push(spec);
  }
  const found: Candidate[] = [];
  for (const [key, specs] of [...pools].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (specs.length !== specs[0]?.pool.resourceSliceCount) continue; // being written
    const names = specs.flatMap(({ devices = [] }) => devices.map(({ name }) => name));
    if (new Set(names).size !== names.length) throw new AllocationError(`pool ${key} is invalid: duplicate device names`);
    for (const spec of specs) {
      for (const device of spec.devices ?? []) {
        if (isReachable(node, spec.perDeviceNodeSelection ? device : spec)) found.push({ id: `${key}/${device.name}`, driver: spec.driver, pool: spec.pool.name, device, spec });
      }
    }
  }
  return found;
}

function isReachable(node: NodeInfo, { nodeName, nodeSelector, allNodes }: Pick<SliceSpec, 'nodeName' | 'nodeSelector' | 'allNodes'>): boolean {
  return allNodes === true || (nodeName !== undefined && nodeName !== '' && nodeName === node.name) || (nodeSelector !== undefined && matchesNode(nodeSelector, node));
}
export function matchesNode({ nodeSelectorTerms }: NodeSelector, node: NodeInfo): boolean {
  return nodeSelectorTerms.some((term) => nodeTermMatches(compileNodeTerm(term), node.labels, node.name));
}

function matching(exact: Exact, devices: readonly Candidate[], classOf: AllocationInput['classOf']): readonly Candidate[] {
  const expressions = [...classOf(exact.deviceClassName)?.spec.selectors ?? [], ...exact.selectors ?? []].map(({ cel }) => cel?.expression ?? '');
  return devices.filter(({ driver, device }) => isOffered(device) && isTolerated(exact, device) && expressions.every((expression) => selects(expression, driver, device)));
}
/** Devices that are shared, made of shared parts or bound in steps are left out: this allocator cannot account for them. */
function isOffered({ allowMultipleAllocations, consumesCounters, bindingConditions }: Device): boolean {
  return allowMultipleAllocations !== true && (consumesCounters?.length ?? 0) === 0 && (bindingConditions?.length ?? 0) === 0;
}
function isTolerated({ tolerations = [] }: Exact, { taints = [] }: Device): boolean {
  return taints.every((taint) => taint.effect === 'None' || tolerations.some(({ key = '', operator = 'Equal', value = '', effect = '' }) =>
    (effect === '' || effect === taint.effect) && (key === '' ? operator === 'Exists' : key === taint.key) && (operator === 'Exists' || value === (taint.value ?? ''))));
}

/** Whether what is picked so far keeps to the claim's constraints. */
function holds({ spec }: ResourceClaim, picked: readonly Picked[]): boolean {
  return (spec.devices?.constraints ?? []).every(({ requests = [], matchAttribute, distinctAttribute }) => {
    const meant = picked.filter(({ request, parent }) => requests.length === 0 || requests.includes(request) || requests.includes(parent));
    const name = matchAttribute ?? distinctAttribute;
    if (name === undefined) return false; // a constraint of tomorrow
    const values = meant.map(({ candidate }) => attributeOf(candidate, name));
    if (values.includes(undefined)) return false;
    return matchAttribute === undefined ? new Set(values).size === values.length : new Set(values).size <= 1;
  });
}
function attributeOf({ driver, device }: Candidate, name: string): string | undefined {
  const attributes = device.attributes as Readonly<Record<string, DeviceAttribute>> | undefined; // the model misnames `int`
  const [domain, id = ''] = name.split('/');
  const value = attributes?.[name] ?? (domain === driver ? attributes?.[id] : undefined);
  return value && JSON.stringify(value);
}

function allocationOf({ spec }: ResourceClaim, picked: readonly Picked[], node: NodeInfo, classOf: AllocationInput['classOf']): Allocation {
  const results = picked.map(({ request, exact, candidate: { driver, pool, device } }): AllocatedDevice => ({
    request, driver, pool, device: device.name, ...(exact.adminAccess ? { adminAccess: true } : {}), ...(exact.tolerations?.length ? { tolerations: exact.tolerations } : {}),
  }));
  const used = new Map(picked.map((one) => [one.request, one]));
  const config = [
    ...[...used.values()].flatMap(({ request, exact }) => (classOf(exact.deviceClassName)?.spec.config ?? []).map((each) => ({ source: 'FromClass', requests: [request], ...each }))),
    ...(spec.devices?.config ?? []).filter(({ requests = [] }) => requests.length === 0 || [...used.values()].some(({ request, parent }) => requests.includes(request) || requests.includes(parent)))
      .map((each) => ({ source: 'FromClaim', ...each })),
  ];
  const nodeSelector = selectorFor(picked, node);
  return { devices: { results, ...(config.length > 0 ? { config } : {}) }, ...(nodeSelector ? { nodeSelector } : {}) };
}

/** Where the devices can be used; undefined: everywhere. */
function selectorFor(picked: readonly Picked[], node: NodeInfo): NodeSelector | undefined {
  const expressions = new Map<string, NonNullable<NodeSelector['nodeSelectorTerms'][number]['matchExpressions']>[number]>();
  const onlyHere: NodeSelector = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node.name] }] }] };
  for (const { candidate: { device, spec } } of picked) {
    const { nodeName, nodeSelector } = spec.perDeviceNodeSelection ? device : spec;
    if (nodeName || device.bindsToNode) return onlyHere;
    for (const term of nodeSelector?.nodeSelectorTerms ?? []) {
      if (term.matchFields?.length) return onlyHere;
      for (const one of term.matchExpressions ?? []) expressions.set(JSON.stringify(one), one);
    }
  }
  return expressions.size === 0 ? undefined : { nodeSelectorTerms: [{ matchExpressions: [...expressions.values()] }] };
}
