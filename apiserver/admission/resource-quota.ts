// ResourceQuota: what a write uses is charged to the namespace's quotas before it happens, or the write is refused. Charges are
// written under compare-and-set, so that several API servers never give out more than there is; those that wait in one namespace
// are charged together. The quota controller gives back. Upstream: apiserver/pkg/admission/plugin/resourcequota.
import { evaluatorOf } from '#machinery/api/quota/evaluators.ts';
import type { Evaluator } from '#machinery/api/quota/evaluators.ts';
import type { ResourceQuota } from '#machinery/api/quota/quota.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import { isConflict, isNotFound, StatusError } from '#machinery/api/status.ts';
import { sameResources, writeResourceList } from '#machinery/api/resource-list.ts';
import type { ResourceList } from '#machinery/api/resource-list.ts';
import type { Backend } from '../backend.ts';
import { resourceId } from '../resources/resource.ts';
import type { ResourceRow } from '../resources/resource.ts';
import type { AdmissionAttributes, AdmissionPlugin } from './admission.ts';
import { charge, openAccounts } from './quota-accounts.ts';
import type { Account } from './quota-accounts.ts';

const quotas = 'resourcequotas';
const maxAttempts = 8;
const patienceMs = 10_000;

interface Waiter { attributes: AdmissionAttributes; evaluator: Evaluator; settle: (error?: unknown) => void; settled: boolean }

export function createResourceQuotaAdmission(backend: Pick<Backend, 'cached' | 'store' | 'refresh'>): AdmissionPlugin {
  const evaluators = new WeakMap<ResourceRow, { evaluator: Evaluator | undefined }>();
  /** Namespace -> who waits for the charges that are being written; gone when nobody does. */
  const waiting = new Map<string, Waiter[]>();
  /** What was written last, until the cache shows it. */
  const written = new Map<string, ResourceQuota>();

  function evaluatorFor(row: ResourceRow): Evaluator | undefined {
    let known = evaluators.get(row);
    if (!known) evaluators.set(row, known = { evaluator: evaluatorOf(resourceId(row)) });
    return known.evaluator;
  }

  function quotasIn(namespace: string): ResourceQuota[] {
    return (backend.cached(quotas, namespace) as readonly unknown[] as readonly ResourceQuota[]).map((cached) => { // what that cache holds
      const key = keyOf(cached);
      const own = written.get(key);
      if (!own) return cached;
      if (own.metadata.uid === cached.metadata.uid && versionOf(own) > versionOf(cached)) return own;
      written.delete(key);
      return cached;
    });
  }

  async function write(account: Account): Promise<void> {
    const { quota, used } = account;
    const { namespace = '', name = '' } = quota.metadata;
    const changed = { ...quota, status: { ...quota.status, used: writeResourceList(used) } };
    const stored = await backend.store(quotas).update(namespace, name, changed as unknown as KubeObject, { subresource: 'status' }); // a quota is an object
    written.set(keyOf(quota), stored as unknown as ResourceQuota); // of that store
    const [oldest] = written.keys();
    if (written.size > 100 && oldest !== undefined) written.delete(oldest);
  }

  /** Settles every waiter. */
  async function serve(namespace: string, waiters: readonly Waiter[]): Promise<void> {
    // Quotas that a charge was written to are not charged again when another one has changed meanwhile.
    let wanted: ReadonlySet<string> | undefined;
    for (let attempt = 1; ; attempt += 1) {
      const accounts = openAccounts(quotasIn(namespace).filter((quota) => wanted?.has(keyOf(quota)) ?? true));
      const before: ResourceList[] = accounts.map(({ used }) => used);
      for (const waiter of waiters) if (!waiter.settled) book(accounts, waiter);
      const changed = accounts.filter((account, index) => !sameResources(account.used, before[index] ?? new Map()));
      const failed: { account: Account; error: unknown }[] = [];
      for (const account of changed) {
        try {
          await write(account);
        } catch (error) {
          failed.push({ account, error });
        }
      }
      const lasting = failed.find(({ error }) => attempt >= maxAttempts || !(isConflict(error) || isNotFound(error)));
      if (failed.length === 0 || lasting) {
        for (const waiter of waiters) waiter.settle(lasting?.error);
        return;
      }
      wanted = new Set(failed.map(({ account }) => keyOf(account.quota)));
      await backend.refresh(AbortSignal.timeout(patienceMs));
    }
  }

  /** Charges the open accounts; settles the waiter when it is refused, or nothing has to be written for it. */
  function book(accounts: Account[], waiter: Waiter): void {
    try {
      const charged = charge(accounts, waiter.attributes, waiter.evaluator);
      if (waiter.attributes.dryRun || charged === undefined) waiter.settle();
      else for (const [index, used] of charged) accounts[index] = { ...accounts[index]!, used }; // an index of the same list
    } catch (error) {
      waiter.settle(error);
    }
  }

  async function work(namespace: string): Promise<void> {
    for (;;) {
      const waiters = waiting.get(namespace) ?? [];
      for (const { attributes: { context: { request: { signal } } }, settle } of waiters) if (signal.aborted) settle(signal.reason); // nobody wants it any more
      if (waiters.length === 0) break;
      waiting.set(namespace, []);
      try {
        await serve(namespace, waiters);
      } catch (error) {
        for (const waiter of waiters) waiter.settle(error);
      }
    }
    waiting.delete(namespace);
  }

  function ask(attributes: AdmissionAttributes, evaluator: Evaluator): Promise<void> {
    const { namespace } = attributes;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => waiter.settle(new StatusError(500, 'InternalError', 'Internal error occurred: resource quota evaluation timed out')), patienceMs);
      const waiter: Waiter = {
        attributes, evaluator, settled: false,
        settle(error) {
          if (waiter.settled) return;
          waiter.settled = true;
          clearTimeout(timer);
          if (error === undefined) resolve();
          else reject(error as Error); // whatever was thrown
        },
      };
      const line = waiting.get(namespace);
      if (line) {
        line.push(waiter);
        return;
      }
      waiting.set(namespace, [waiter]);
      work(namespace).catch(reject);
    });
  }

  return {
    name: 'ResourceQuota',
    handles: (operation, row, subresource) => row.namespaced && (evaluatorFor(row)?.handles(operation, subresource) ?? false),
    async validate(attributes) {
      const { namespace, object, oldObject, row, subresource } = attributes;
      const evaluator = evaluatorFor(row);
      if (namespace === '' || object === undefined || evaluator === undefined || backend.cached(quotas, namespace).length === 0) return;
      if (oldObject !== undefined && evaluator.mayChange?.(object, oldObject, subresource) === false) return;
      await ask(attributes, evaluator);
    },
  };
}

const keyOf = ({ metadata }: Readonly<ResourceQuota>): string => `${metadata.namespace}/${metadata.name}`;
/** Versions of one store count up. */
const versionOf = ({ metadata }: Readonly<ResourceQuota>): bigint => BigInt(metadata.resourceVersion ?? '0');
