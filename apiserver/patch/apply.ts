// Server-side apply of one request: a configuration in YAML or JSON, merged into what is there by the field manager and held to its
// type afterwards. Upstream: the apply patcher in apiserver's endpoints/handlers/patch.go.
import { badRequest, StatusError } from '#machinery/api/status.ts';
import type { KubeObject, ObjectMeta } from '#machinery/api/object.ts';
import type { Type } from '#machinery/schema/schema.ts';
import { conform } from '../decoding/conform.ts';
import { checkDepth, shallow } from '../decoding/depth.ts';
import { parseYaml, YamlError } from '../decoding/yaml.ts';
import { applyConfiguration, describeObject } from '../fieldmanager/field-manager.ts';
import type { ApplyRequest, TrackedKind } from '../fieldmanager/field-manager.ts';
import { isObject, jsonKind } from './json-value.ts';

export interface ApplyContext extends ApplyRequest {
  kind: TrackedKind;
  /** Undefined for custom resources. */
  type: Type | undefined;
  fieldValidation: 'Ignore' | 'Warn' | 'Strict';
}

export interface Configuration {
  /** A new object; what is there, if anything, is not changed. Throws StatusError. */
  applyTo(current: Readonly<KubeObject & { metadata: ObjectMeta }> | undefined, context: ApplyContext): { object: object; warnings: string[] };
}

/** Throws 400 for what is no YAML, or nested too deep. */
export async function parseConfiguration(bytes: Buffer): Promise<Configuration> {
  const { value, duplicates } = await parseYaml(bytes).catch((error: unknown) => {
    throw error instanceof YamlError ? badRequest(`error decoding YAML: error converting YAML to JSON: ${error.message}`) : error;
  });
  if (value !== null && !isObject(value)) {
    throw badRequest(`error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${jsonKind(value)} into Go value of type map[string]interface {}`);
  }
  checkDepth(value);
  const repeated = duplicates.map(({ line, key }) => `  line ${line}: key ${JSON.stringify(key)} already set in map`);
  return {
    applyTo(current, { kind, type, fieldValidation, ...request }) {
      const config = (value ?? {}) as KubeObject; // an object; what is in it is held to its type by the field manager
      const object = shallow(() => applyConfiguration(kind, current, config, request));
      const warnings: string[] = [];
      if (repeated.length > 0 && fieldValidation !== 'Ignore') {
        const problem = `error converting YAML to JSON: yaml: unmarshal errors:\n${repeated.join('\n')}`;
        if (fieldValidation === 'Strict') throw badRequest(`error strict decoding YAML: ${problem}`);
        warnings.push(problem);
      }
      if (type) {
        const { error } = conform(object, type);
        if (error !== undefined) {
          const about = describeObject(kind, config);
          throw new StatusError(500, '', `failed to convert new object (${about}) to proper version: unable to convert unstructured object to ${about.slice(about.indexOf('; ') + 2)}: ${error}`);
        }
      }
      return { object, warnings };
    },
  };
}
