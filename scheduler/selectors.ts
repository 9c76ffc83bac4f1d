// Label and node selectors, compiled once per object so that a scheduling cycle only compares strings.
import { holds } from '#machinery/api/node-selector.ts';
import type { LabelRequirement } from '#machinery/api/node-selector.ts';
import type { LabelSelector, NodeSelectorTerm } from '#machinery/api/object.ts';

export type Labels = Readonly<Record<string, string>>;

export class Selector {
  readonly #requirements: readonly LabelRequirement[];
  /** True for a selector that was not given at all (null): it matches nothing. */
  readonly nothing: boolean;
  constructor(requirements: readonly LabelRequirement[], nothing = false) {
    this.#requirements = requirements;
    this.nothing = nothing;
  }
  /** Without requirements: matches everything (or, for `nothing`, nothing). */
  get empty(): boolean {
    return this.#requirements.length === 0;
  }
  matches(labels: Labels | undefined): boolean {
    if (this.nothing) return false;
    for (const requirement of this.#requirements) if (!holds(requirement, labels)) return false;
    return true;
  }
  /** Both selectors' requirements. */
  and(other: Selector): Selector {
    return new Selector([...this.#requirements, ...other.#requirements], this.nothing || other.nothing);
  }
}

function requirement(key: string, operator: string, values: readonly string[] | undefined): LabelRequirement {
  return { key, operator, values: values ?? [] };
}

/** null or missing matches nothing, `{}` everything (metav1.LabelSelectorAsSelector). */
export function compileLabelSelector(selector: LabelSelector | null | undefined): Selector {
  if (!selector) return new Selector([], true);
  return new Selector([
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]) => requirement(key, 'In', [value])),
    ...(selector.matchExpressions ?? []).map((e) => requirement(e.key, e.operator, e.values)),
  ]);
}

/** All of `labels` (a Service's or ReplicationController's selector, `nodeSelector`). */
export function compileLabels(labels: Labels | undefined): Selector {
  return new Selector(Object.entries(labels ?? {}).map(([key, value]) => requirement(key, 'In', [value])));
}

/** One term of a node selector: expressions on labels and fields (only metadata.name exists), all of which must hold. */
export interface NodeTerm { labels: Selector; fields: Selector; empty: boolean; weight: number; nodeNames: ReadonlySet<string> | undefined }

export function compileNodeTerm(term: NodeSelectorTerm, weight = 0): NodeTerm {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  let nodeNames: Set<string> | undefined;
  for (const field of fields) {
    if (field.key !== 'metadata.name' || field.operator !== 'In') continue;
    const before = nodeNames;
    nodeNames = new Set((field.values ?? []).filter((name) => !before || before.has(name)));
  }
  return {
    labels: new Selector(expressions.map((e) => requirement(e.key, e.operator, e.values))),
    fields: new Selector(fields.map((e) => requirement(e.key, e.operator, e.values))),
    empty: expressions.length === 0 && fields.length === 0,
    weight,
    nodeNames,
  };
}

/** An empty term matches no node. */
export function nodeTermMatches(term: NodeTerm, labels: Labels, name: string): boolean {
  if (term.empty || !term.labels.matches(labels)) return false;
  return term.fields.empty || term.fields.matches({ 'metadata.name': name });
}
