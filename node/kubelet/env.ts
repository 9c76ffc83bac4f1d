// A container's environment, resolved in upstream's order: envFrom, then env over it, then service variables where nothing else has the name.
import type { ConfigMap, Container, Pod, Secret, Service } from '#machinery/api/object.ts';
import { isNotFound } from '#machinery/api/status.ts';
import { fieldValue, resourceValue, type Addresses } from './downward.ts';
import { expand } from './expansion.ts';
import { serviceEnvironment } from './service-env.ts';

/** The reason CreateContainerConfigError: the container cannot be described yet. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

export interface References {
  configMap(namespace: string, name: string): Promise<ConfigMap>;
  secret(namespace: string, name: string): Promise<Secret>;
}

export interface EnvironmentInput {
  pod: Pod;
  container: Container;
  references: References;
  services: readonly Service[];
  addresses: Addresses;
  allocatable: Readonly<Record<string, string>>;
}

export async function makeEnvironment(input: EnvironmentInput): Promise<Map<string, string>> {
  const { pod, container, references } = input;
  const namespace = pod.metadata.namespace ?? '';
  const services = serviceEnvironment(input.services, namespace, pod.spec?.enableServiceLinks ?? true);
  const env = new Map<string, string>();
  /** Undefined when an optional one is missing. */
  const find = async <T>(get: Promise<T>, optional: boolean | undefined): Promise<T | undefined> => {
    try {
      return await get;
    } catch (error) {
      if (isNotFound(error) && optional) return undefined;
      throw new ConfigError(error instanceof Error ? error.message : String(error), { cause: error });
    }
  };
  for (const source of container.envFrom ?? []) {
    const data = source.configMapRef ? (await find(references.configMap(namespace, source.configMapRef.name ?? ''), source.configMapRef.optional))?.data
      : source.secretRef ? decode((await find(references.secret(namespace, source.secretRef.name ?? ''), source.secretRef.optional))?.data) : undefined;
    for (const [key, value] of Object.entries(data ?? {})) env.set(`${source.prefix ?? ''}${key}`, value);
  }
  for (const variable of container.env ?? []) {
    const from = variable.valueFrom;
    let value: string | undefined = '';
    if (variable.value) value = expand(variable.value, (name) => env.get(name) ?? services.get(name));
    else if (from?.fieldRef) {
      value = fieldValue(pod, from.fieldRef.fieldPath, input.addresses);
      if (value === undefined) throw new ConfigError(`unsupported fieldPath: ${from.fieldRef.fieldPath}`);
    } else if (from?.resourceFieldRef) {
      try {
        value = resourceValue(pod, container, from.resourceFieldRef, input.allocatable);
      } catch (error) {
        throw new ConfigError(error instanceof Error ? error.message : String(error), { cause: error });
      }
    } else if (from?.configMapKeyRef) {
      const { name = '', key, optional } = from.configMapKeyRef;
      value = (await find(references.configMap(namespace, name), optional))?.data?.[key];
      if (value === undefined && !optional) throw new ConfigError(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
    } else if (from?.secretKeyRef) {
      const { name = '', key, optional } = from.secretKeyRef;
      value = decode((await find(references.secret(namespace, name), optional))?.data)?.[key];
      if (value === undefined && !optional) throw new ConfigError(`couldn't find key ${key} in Secret ${namespace}/${name}`);
    } else if (from) throw new ConfigError(`variable ${variable.name} has a source that is not supported: ${Object.keys(from).join(', ')}`);
    if (value !== undefined) env.set(variable.name, value);
  }
  for (const [name, value] of services) if (!env.has(name)) env.set(name, value);
  return env;
}

function decode(data: Record<string, string> | undefined): Record<string, string> | undefined {
  return data && Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}
