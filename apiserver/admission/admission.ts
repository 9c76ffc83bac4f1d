// The admission plugin interface. Mutating steps of all plugins run first, in the order of the list, then validating ones.
import type { KubeObject } from '#machinery/api/object.ts';
import type { UserInfo } from '../request.ts';
import type { ResourceRow, WriteContext } from '../resources/resource.ts';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

export interface AdmissionAttributes {
  readonly operation: Operation;
  readonly row: ResourceRow;
  /** '' for the resource itself. */
  readonly subresource: string;
  readonly namespace: string;
  /** '' when the name is still to be generated, and for deletions of collections before items are known. */
  readonly name: string;
  /** What is about to be stored, in the request's version; undefined for DELETE. `admit` changes it in place. On CONNECT: the options. */
  readonly object: KubeObject | undefined;
  /** What is stored now; undefined for CREATE and CONNECT. */
  readonly oldObject: Readonly<KubeObject> | undefined;
  /** CreateOptions, UpdateOptions, PatchOptions or DeleteOptions as they came. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly dryRun: boolean;
  readonly user: UserInfo;
  /** Of the write as a whole: lookups, warnings (`context.request.warnings`), annotations, `context.request.signal`. */
  readonly context: WriteContext;
  /** There once a plugin that others configure was asked; `chain.ts` runs the mutating steps a second time when it is wanted. */
  reinvocation?: Reinvocation;
}

export interface Reinvocation {
  /** 1: everybody is asked for the second and last time. */
  round: 0 | 1;
  wanted: boolean;
  /** What a plugin keeps from the first round, by its name. */
  readonly state: Map<string, unknown>;
}

export interface AdmissionPlugin {
  /** Upstream's plugin name: `NamespaceLifecycle`. */
  readonly name: string;
  /** Cheap test before anything is awaited. */
  handles(operation: Operation, row: ResourceRow, subresource: string): boolean;
  /** May change `attributes.object`; throws StatusError to refuse. */
  admit?(attributes: AdmissionAttributes): Promise<void> | void;
  /** Throws StatusError to refuse; must not change anything. */
  validate?(attributes: AdmissionAttributes): Promise<void> | void;
}
