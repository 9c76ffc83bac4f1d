// Kubernetes' quantities ("500m", "1Gi").

import { addQuantities, compareQuantities, formatQuantity, parseQuantity, QuantityError, subtractQuantities } from '#machinery/api/quantity.ts';
import type { Quantity } from '#machinery/api/quantity.ts';
import type { Implementation, Implementations } from '../registry.ts';
import { isInt64 } from '../operations.ts';
import { Failure, Opaque } from '../values.ts';
import type { Value } from '../values.ts';

const billion = 1_000_000_000n;

export class QuantityValue extends Opaque {
  readonly typeName = 'kubernetes.Quantity';
  readonly quantity: Quantity;
  constructor(quantity: Quantity) {
    super();
    this.quantity = quantity;
  }
  equals(other: Value): boolean { return other instanceof QuantityValue && compareQuantities(this.quantity, other.quantity) === 0; }
  override toString(): string { return formatQuantity(this.quantity); }
}

function read(text: Value): Value {
  try {
    return new QuantityValue(parseQuantity(text as string));
  } catch (error) {
    if (error instanceof QuantityError) return new Failure(error.message);
    throw error;
  }
}

const of = (value: Value | undefined) => (value as QuantityValue).quantity;
const order = ([a, b]: readonly Value[]) => compareQuantities(of(a), of(b));
const ofInt = (value: Value | undefined): Quantity => ({ nanos: (value as bigint) * billion, format: 'DecimalExponent' });

function asInteger(value: Value | undefined): bigint | undefined {
  const { nanos } = of(value);
  const whole = nanos / billion;
  return nanos % billion === 0n && isInt64(whole) ? whole : undefined;
}

function asFloat([value]: readonly Value[]): Value {
  const { nanos } = of(value);
  const whole = nanos / billion;
  return nanos % billion === 0n ? Number(whole) : Number(nanos) / 1e9;
}

const sum = (operate: (a: Quantity, b: Quantity) => Quantity, second: (value: Value | undefined) => Quantity): Implementation =>
  ([a, b]) => new QuantityValue(operate(of(a), second(b)));

export const quantityFunctions: Implementations = {
  string_to_quantity: ([text]) => read(text!),
  is_quantity_string: ([text]) => !(read(text!) instanceof Failure),
  quantity_add: sum(addQuantities, of),
  quantity_add_int: sum(addQuantities, ofInt),
  quantity_sub: sum(subtractQuantities, of),
  quantity_sub_int: sum(subtractQuantities, ofInt),
  quantity_sign: ([value]) => BigInt(of(value).nanos < 0n ? -1 : of(value).nanos > 0n ? 1 : 0),
  quantity_is_integer: ([value]) => asInteger(value) !== undefined,
  quantity_get_int: ([value]) => asInteger(value) ?? new Failure('cannot convert value to integer'),
  quantity_get_float: asFloat,
  quantity_is_greater_than: args => order(args) > 0,
  quantity_is_less_than: args => order(args) < 0,
  quantity_compare_to: args => BigInt(order(args)),
};
