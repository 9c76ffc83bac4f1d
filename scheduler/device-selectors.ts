// Expressions that select devices, compiled once. Loaded with the first pod that has a claim.
import type { CelProgram } from '#machinery/cel/cel.ts';
import { compile } from '#machinery/cel/compile.ts';
import { deviceType, deviceValue } from '#machinery/cel/device.ts';
import type { ResourceSlice } from '#machinery/api/object.ts';

type Device = NonNullable<ResourceSlice['spec']['devices']>[number];

/** Upstream's bound on one evaluation. */
const budget = 1_000_000;
const mostPrograms = 500;
const programs = new Map<string, CelProgram>();
/** A device is the same object for as long as its slice is. */
const values = new WeakMap<Device, Record<string, unknown>>();

/** Throws an Error when the expression is none, or fails on the device. */
export function selects(expression: string, driver: string, device: Device): boolean {
  let value = values.get(device);
  if (!value) values.set(device, (value = deviceValue(driver, device as Parameters<typeof deviceValue>[1]))); // the model misnames `int`
  return programOf(expression).evaluate({ device: value }, { remaining: budget }) === true;
}

function programOf(expression: string): CelProgram {
  const known = programs.get(expression);
  if (known) return known;
  const { program, issues } = compile(expression, { variables: [{ name: 'device', type: deviceType }], bindings: true });
  if (!program) throw new Error(`compile: ${issues.map(({ text }) => text).join('\n')}`);
  if (programs.size >= mostPrograms) programs.clear();
  programs.set(expression, program);
  return program;
}
