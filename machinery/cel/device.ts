// The variable `device` of device selectors: what it has, and a device of a ResourceSlice as its value.
import { parseQuantity } from '#machinery/api/quantity.ts';
import type { CelType } from './cel.ts';
import { QuantityValue } from './functions/quantity.ts';
import { parseSemver } from './functions/semver.ts';
import { CelMap, fromJson, ValueMap, type Value } from './values.ts';

/** What an attribute is: nobody knows before there is a device. */
const attribute: CelType = { kind: 'any' };
const string: CelType = { kind: 'string' };
const byDomain = (value: CelType): CelType => ({ kind: 'map', key: string, value: { kind: 'map', key: string, value } });
const fields: Readonly<Record<string, CelType>> = {
  driver: string, allowMultipleAllocations: { kind: 'bool' }, attributes: byDomain(attribute), capacity: byDomain({ kind: 'opaque', name: 'kubernetes.Quantity' }),
};
export const deviceType: CelType = { kind: 'object', name: 'kubernetes.DRADevice', fields: (name) => (Object.hasOwn(fields, name) ? fields[name] : undefined) };

export interface DeviceAttribute { bool?: boolean; int?: number; string?: string; version?: string; bools?: boolean[]; ints?: number[]; strings?: string[]; versions?: string[] }
interface DeviceOfSlice { allowMultipleAllocations?: boolean; attributes?: Readonly<Record<string, DeviceAttribute>>; capacity?: Readonly<Record<string, { value: string }>> }

export function deviceValue(driver: string, { allowMultipleAllocations = false, attributes = {}, capacity = {} }: DeviceOfSlice): Record<string, unknown> {
  return { driver, allowMultipleAllocations, attributes: new Domains(driver, attributes, attributeValue), capacity: new Domains(driver, capacity, ({ value }) => new QuantityValue(parseQuantity(value))) };
}

function attributeValue({ bool, int, string: text, version, bools, ints, strings, versions }: DeviceAttribute): Value {
  if (version !== undefined) return parseSemver(version);
  return fromJson(bool ?? int ?? text ?? versions?.map(parseSemver) ?? bools ?? ints ?? strings);
}

/** By the domain of who defines a name, then by the name; names without one are the driver's. A domain that has none is empty. */
class Domains<T> extends CelMap {
  readonly #domains = new Map<string, ValueMap>();
  constructor(driver: string, entries: Readonly<Record<string, T>>, value: (entry: T) => Value) {
    super();
    for (const [name, entry] of Object.entries(entries)) {
      const slash = name.indexOf('/');
      const domain = slash < 0 ? driver : name.slice(0, slash);
      const names = this.#domains.get(domain) ?? new ValueMap();
      this.#domains.set(domain, names);
      names.set(name.slice(slash + 1), value(entry));
    }
  }
  get size(): number { return this.#domains.size; }
  find(key: Value): Value | undefined { return typeof key === 'string' ? this.#domains.get(key) ?? new ValueMap() : undefined; }
  keys(): Iterable<Value> { return this.#domains.keys(); }
}
