// The rules of a version that has another shape than the stored one: what is sent is defaulted in its own version, and everything
// else runs on the stored form, so that rules, paths and texts are written once. Upstream does so by its internal types.
import type { KubeObject } from '#machinery/api/object.ts';
import type { Cells, Convert, Strategy, WriteContext } from './resource.ts';

type Step<T> = (object: KubeObject, old: Readonly<KubeObject>, context: WriteContext) => T;

export function inStoredForm(strategy: Strategy, convert: Convert, defaults: (object: KubeObject) => void): Strategy {
  const stored = (object: Readonly<KubeObject>): KubeObject => convert.toStored(structuredClone(object) as KubeObject);
  /** What `change` does to the stored form is done to the object, in place. */
  const changed = (object: KubeObject, change: (form: KubeObject) => void): void => {
    const form = convert.toStored(object);
    change(form);
    const made = convert.fromStored(form);
    for (const field of Object.keys(object)) if (!(field in made)) delete object[field];
    Object.assign(object, made);
  };
  const prepare = (step: Step<void>): Step<void> => (object, old, context) => changed(object, (form) => step(form, stored(old), context));
  const check = <T>(step: Step<T>): Step<T> => (object, old, context) => step(stored(object), stored(old), context);
  const { status } = strategy;
  return {
    ...strategy,
    default: defaults,
    load: (object) => strategy.load?.(stored(object)),
    prepareForCreate: (object, context) => changed(object, (form) => strategy.prepareForCreate?.(form, context)),
    prepareForUpdate: prepare((object, old, context) => strategy.prepareForUpdate?.(object, old, context)),
    validate: (object, context, old) => strategy.validate?.(stored(object), context, old && stored(old)) ?? [],
    validateUpdate: check((object, old, context) => strategy.validateUpdate?.(object, old, context) ?? []),
    warnings: (object, old) => strategy.warnings?.(stored(object), old && stored(old)) ?? [],
    ...(status ? { status: {
      prepareForUpdate: prepare((object, old, context) => status.prepareForUpdate?.(object, old, context)),
      validateUpdate: check((object, old, context) => status.validateUpdate?.(object, old, context) ?? []),
    } } : {}),
  };
}

/** Cells are made of the stored form, too. */
export function cellsOfStoredForm(cells: Cells, convert: Convert): Cells {
  return (object, now) => cells(convert.toStored(structuredClone(object) as KubeObject), now);
}
