// Rules of containers: ports, environment, mounts, probes, hooks, security. Upstream: validateContainerCommon and what it
// calls in pkg/apis/core/validation; paths without an index where a list is meant are upstream's.
import { configKeyErrors, dns1123LabelErrors, dns1123SubdomainErrors, envNameErrors, httpHeaderNameErrors, inRangeErrors, maskTrailingDash, portNameErrors, portNumberErrors } from '#machinery/api/names.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { asObject, at, duplicate, forbiddenField, integer, invalidAll, invalidField, isEmpty, isObject, items, notFoundField, notNegative, notSupported, objects, oneOf, required, strings, text, tooMany } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateFieldSelector, validateResourceFieldSelector } from './field-ref-validation.ts';
import { protocols } from './endpoints.ts';
import { validateResources } from './resources-validation.ts';
import { validateAppArmorProfile, validateSeccompProfile } from './security-validation.ts';
import { validateDescendingPath, validateNoBacksteps } from './storage-source-validation.ts';
import { validateWindowsOptions } from './windows-validation.ts';

export interface ContainerContext {
  volumes: ReadonlyMap<string, Obj>;
  claims: ReadonlySet<string>;
  gracePeriodSeconds: number;
  podRestartPolicy: string;
  hostUsers: boolean;
}

const pullPolicies = ['Always', 'IfNotPresent', 'Never'] as const;

export function validatePorts(value: unknown, path: string): FieldError[] {
  const names = new Set<string>();
  return objects(value).flatMap((port, index) => {
    const here = `${path}[${index}]`;
    const errors: FieldError[] = [];
    const name = text(port['name']);
    if (name !== '') {
      const wrong = portNameErrors(name);
      if (wrong.length > 0) errors.push(...invalidAll(`${here}.name`, name, wrong));
      else if (names.has(name)) errors.push(duplicate(`${here}.name`, name));
      names.add(name);
    }
    const number = integer(port['containerPort']) ?? 0;
    if (number === 0) errors.push(required(`${here}.containerPort`));
    else errors.push(...invalidAll(`${here}.containerPort`, number, portNumberErrors(number)));
    const host = integer(port['hostPort']) ?? 0;
    if (host !== 0) errors.push(...invalidAll(`${here}.hostPort`, host, portNumberErrors(host)));
    errors.push(...oneOf(`${here}.protocol`, port['protocol'], protocols));
    return errors;
  });
}

const envFields = ['metadata.name', 'metadata.namespace', 'metadata.uid', 'spec.nodeName', 'spec.serviceAccountName', 'status.hostIP', 'status.hostIPs', 'status.podIP', 'status.podIPs'];

function validateKeySelector(selector: Obj, path: string): FieldError[] {
  const [name, key] = [text(selector['name']), text(selector['key'])];
  return [
    ...invalidAll(`${path}.name`, name, dns1123SubdomainErrors(name)),
    ...(key === '' ? [required(`${path}.key`)] : invalidAll(`${path}.key`, key, configKeyErrors(key))),
  ];
}

function validateValueFrom(variable: Obj, path: string): FieldError[] {
  const source = asObject(variable['valueFrom']);
  if (!source) return [];
  const errors: FieldError[] = [];
  const field = asObject(source['fieldRef']);
  const resource = asObject(source['resourceFieldRef']);
  const file = asObject(source['fileKeyRef']);
  let given = 0;
  if (field) {
    given += 1;
    errors.push(...validateFieldSelector(field, envFields, `${path}.fieldRef`));
  }
  if (resource) {
    given += 1;
    errors.push(...validateResourceFieldSelector(resource, `${path}.resourceFieldRef`, false));
  }
  for (const kind of ['configMapKeyRef', 'secretKeyRef']) {
    const selector = asObject(source[kind]);
    if (!selector) continue;
    given += 1;
    errors.push(...validateKeySelector(selector, `${path}.${kind}`));
  }
  if (file) {
    given += 1;
    const [key, volume, where] = [text(file['key']), text(file['volumeName']), text(file['path'])];
    const here = `${path}.fileKeyRef`;
    errors.push(...(key === '' ? [required(`${here}.key`)] : invalidAll(`${here}.key`, key, envNameErrors(key))));
    errors.push(...(volume === '' ? [required(`${here}.volumeName`)] : invalidAll(`${here}.volumeName`, volume, dns1123LabelErrors(volume))));
    errors.push(...(where === '' ? [required(`${here}.path`)] : validateNoBacksteps(where, `${here}.path`)));
  }
  if (given === 0) errors.push(invalidField(path, '', 'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'));
  else if (text(variable['value']) !== '') errors.push(invalidField(path, '', 'may not be specified when `value` is not empty'));
  else if (given > 1) errors.push(invalidField(path, '', 'may not have more than one field specified at a time'));
  return errors;
}

function validateEnv(value: unknown, path: string): FieldError[] {
  return objects(value).flatMap((variable, index) => {
    const here = `${path}[${index}]`;
    const name = text(variable['name']);
    return [
      ...(name === '' ? [required(`${here}.name`)] : invalidAll(`${here}.name`, name, envNameErrors(name))),
      ...validateValueFrom(variable, `${here}.valueFrom`),
    ];
  });
}

function validateEnvFrom(value: unknown, path: string): FieldError[] {
  return objects(value).flatMap((source, index) => {
    const here = `${path}[${index}]`;
    const prefix = text(source['prefix']);
    const errors: FieldError[] = prefix === '' ? [] : invalidAll(`${here}.prefix`, prefix, envNameErrors(prefix));
    const given = ['configMapRef', 'secretRef'].filter((kind) => isObject(source[kind]));
    for (const kind of given) {
      const name = text(at(source, kind, 'name'));
      if (name === '') errors.push(required(`${here}.${kind}.name`));
      else errors.push(...invalidAll(`${here}.${kind}.name`, name, dns1123SubdomainErrors(maskTrailingDash(name))));
    }
    if (given.length === 0) errors.push(invalidField(path, '', 'must specify one of: `configMapRef` or `secretRef`'));
    else if (given.length > 1) errors.push(invalidField(path, '', 'may not have more than one field specified at a time'));
    return errors;
  });
}

function validateMounts(container: Obj, { volumes }: ContainerContext, path: string): FieldError[] {
  const paths = new Set<string>();
  const devices = objects(container['volumeDevices']);
  const deviceNames = new Set(devices.map((device) => text(device['name'])));
  // By name, as upstream keeps them: of two devices of one name the last counts.
  const devicePaths = new Set(new Map(devices.map((device) => [text(device['name']), text(device['devicePath'])])).values());
  return objects(container['volumeMounts']).flatMap((mount, index) => {
    const here = `${path}[${index}]`;
    const errors: FieldError[] = [];
    const [name, mountPath] = [text(mount['name']), text(mount['mountPath'])];
    if (name === '') errors.push(required(`${here}.name`));
    if (!volumes.has(name)) errors.push(notFoundField(`${here}.name`, name));
    if (mountPath === '') errors.push(required(`${here}.mountPath`));
    if (paths.has(mountPath)) errors.push(invalidField(`${here}.mountPath`, mountPath, 'must be unique'));
    paths.add(mountPath);
    if (deviceNames.has(name)) errors.push(invalidField(`${here}.name`, name, 'must not already exist in volumeDevices'));
    if (devicePaths.has(mountPath)) errors.push(invalidField(`${here}.mountPath`, mountPath, 'must not already exist as a path in volumeDevices'));
    const [subPath, subPathExpr] = [text(mount['subPath']), text(mount['subPathExpr'])];
    if (subPath !== '') errors.push(...validateDescendingPath(subPath, `${path}.subPath`));
    if (subPathExpr !== '') {
      if (subPath !== '') errors.push(invalidField(`${here}.subPathExpr`, subPathExpr, 'subPathExpr and subPath are mutually exclusive'));
      errors.push(...validateDescendingPath(subPathExpr, `${path}.subPathExpr`));
    }
    return [...errors, ...validatePropagation(mount, container, path)];
  });
}
function validatePropagation(mount: Obj, container: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { mountPropagation: propagation, recursiveReadOnly: recursive } = mount;
  if (propagation !== undefined) {
    errors.push(...oneOf(`${path}.mountPropagation`, propagation, ['Bidirectional', 'HostToContainer', 'None']));
    if (propagation === 'Bidirectional' && at(container, 'securityContext', 'privileged') !== true) {
      errors.push(forbiddenField(`${path}.mountPropagation`, 'Bidirectional mount propagation is available only to privileged containers'));
    }
  }
  if (recursive === 'Enabled' || recursive === 'IfPossible') {
    if (mount['readOnly'] !== true) errors.push(forbiddenField(`${path}.recursiveReadOnly`, 'may only be specified when readOnly is true'));
    if (propagation !== undefined && propagation !== 'None') {
      errors.push(forbiddenField(`${path}.recursiveReadOnly`, 'may only be specified when mountPropagation is None or not specified'));
    }
  } else if (recursive !== undefined && recursive !== 'Disabled') errors.push(notSupported(`${path}.recursiveReadOnly`, recursive, ['Disabled', 'Enabled', 'IfPossible']));
  return errors;
}

function validateDevices(container: Obj, { volumes }: ContainerContext, path: string): FieldError[] {
  const names = new Set<string>();
  const paths = new Set<string>();
  const mounts = objects(container['volumeMounts']);
  const mountNames = new Set(mounts.map((mount) => text(mount['name'])));
  const mountPaths = new Set(new Map(mounts.map((mount) => [text(mount['name']), text(mount['mountPath'])])).values());
  return objects(container['volumeDevices']).flatMap((device, index) => {
    const errors: FieldError[] = [];
    const here = `${path}[${index}]`;
    const [name, devicePath] = [text(device['name']), text(device['devicePath'])];
    const volume = volumes.get(name);
    if (name === '') errors.push(required(`${here}.name`));
    if (names.has(name)) errors.push(invalidField(`${here}.name`, name, 'must be unique'));
    if (!volume) errors.push(notFoundField(`${here}.name`, name));
    else if (!isObject(volume['persistentVolumeClaim']) && !isObject(volume['ephemeral'])) {
      errors.push(invalidField(`${here}.name`, name, 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode'));
    }
    if (devicePath === '') errors.push(required(`${here}.devicePath`));
    if (paths.has(devicePath)) errors.push(invalidField(`${here}.devicePath`, devicePath, 'must be unique'));
    if (devicePath.split('/').includes('..')) errors.push(invalidField(`${here}.devicePath`, devicePath, "can not contain backsteps ('..')"));
    else paths.add(devicePath);
    if (mountNames.has(name)) errors.push(invalidField(`${here}.name`, name, 'must not already exist in volumeMounts'));
    if (mountPaths.has(devicePath)) errors.push(invalidField(`${here}.devicePath`, devicePath, 'must not already exist as a path in volumeMounts'));
    if (name !== '') names.add(name);
    return errors;
  });
}

function validatePortOfHandler(port: unknown, path: string): FieldError[] {
  return typeof port === 'string' ? invalidAll(path, port, portNameErrors(port)) : invalidAll(path, port ?? 0, portNumberErrors(integer(port)));
}

/** `kinds` in upstream's order: the second one that is there gets the error. */
function validateHandler(handler: Obj, kinds: readonly string[], gracePeriodSeconds: number, path: string): FieldError[] {
  const given = kinds.filter((kind) => isObject(handler[kind]));
  if (given.length === 0) return [required(path, 'must specify a handler type')];
  return given.flatMap((kind, position): FieldError[] => {
    const here = `${path}.${kind}`;
    if (position > 0) return [forbiddenField(here, 'may not specify more than 1 handler type')];
    const action = asObject(handler[kind]) ?? {};
    switch (kind) {
      case 'exec': return items(action['command']).length === 0 ? [required(`${here}.command`)] : [];
      case 'httpGet': return [
        ...(text(action['path']) === '' ? [required(`${here}.path`)] : []),
        ...validatePortOfHandler(action['port'], `${here}.port`),
        ...oneOf(`${here}.scheme`, action['scheme'], ['HTTP', 'HTTPS']),
        ...objects(action['httpHeaders']).flatMap((header) => invalidAll(`${here}.httpHeaders`, text(header['name']), httpHeaderNameErrors(text(header['name'])))),
      ];
      case 'tcpSocket': return validatePortOfHandler(action['port'], `${here}.port`);
      case 'grpc': return validatePortOfHandler(action['port'], `${here}.port`);
      case 'sleep': {
        const seconds = integer(action['seconds']) ?? 0;
        return seconds < 0 || seconds > gracePeriodSeconds
          ? [invalidField(here, seconds, `must be non-negative and less than terminationGracePeriodSeconds (${gracePeriodSeconds})`)] : [];
      }
      default: return [];
    }
  });
}

function validateProbe(value: unknown, path: string): FieldError[] {
  const probe = asObject(value);
  if (!probe) return [];
  const errors = validateHandler(probe, ['exec', 'httpGet', 'tcpSocket', 'grpc'], 0, path);
  for (const field of ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold']) errors.push(...notNegative(`${path}.${field}`, probe[field]));
  const grace = probe['terminationGracePeriodSeconds'];
  if (typeof grace === 'number' && grace <= 0) errors.push(invalidField(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than 0'));
  return errors;
}
function validateProbes(container: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = asObject(container[name]);
    if (!probe) continue;
    errors.push(...validateProbe(probe, `${path}.${name}`));
    if (name === 'readinessProbe') {
      if (probe['terminationGracePeriodSeconds'] !== undefined) {
        errors.push(invalidField(`${path}.readinessProbe.terminationGracePeriodSeconds`, probe['terminationGracePeriodSeconds'], 'must not be set for readinessProbes'));
      }
    } else if (probe['successThreshold'] !== 1) errors.push(invalidField(`${path}.${name}.successThreshold`, probe['successThreshold'] ?? 0, 'must be 1'));
  }
  return errors;
}

function validateLifecycle(value: unknown, gracePeriodSeconds: number, path: string): FieldError[] {
  return ['postStart', 'preStop'].flatMap((hook) => {
    const handler = asObject(at(value, hook));
    return handler ? validateHandler(handler, ['exec', 'httpGet', 'tcpSocket', 'sleep'], gracePeriodSeconds, `${path}.${hook}`) : [];
  });
}

function validateSecurityContext(value: unknown, hostUsers: boolean, path: string): FieldError[] {
  const context = asObject(value);
  if (!context) return [];
  const errors: FieldError[] = [];
  for (const field of ['runAsUser', 'runAsGroup']) {
    const id = context[field];
    if (typeof id === 'number') errors.push(...invalidAll(`${path}.${field}`, id, inRangeErrors(id, 0, 2_147_483_647)));
  }
  if (context['procMount'] !== undefined) {
    errors.push(...oneOf(`${path}.procMount`, context['procMount'], ['Default', 'Unmasked']));
    if (context['procMount'] === 'Unmasked' && hostUsers) errors.push(invalidField(`${path}.procMount`, context['procMount'], '`hostUsers` must be false to use `Unmasked`'));
  }
  errors.push(...validateSeccompProfile(context, path));
  if (context['allowPrivilegeEscalation'] === false) {
    if (context['privileged'] === true) errors.push(invalidField(path, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'));
    if (strings(at(context, 'capabilities', 'add')).includes('CAP_SYS_ADMIN')) {
      errors.push(invalidField(path, context, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN'));
    }
  }
  errors.push(...validateWindowsOptions(context, path), ...validateAppArmorProfile(context, path));
  return errors;
}

function validateResizePolicy(container: Obj, podRestartPolicy: string, path: string): FieldError[] {
  const seen = new Set<string>();
  return objects(container['resizePolicy']).flatMap((policy, index) => {
    const errors: FieldError[] = [];
    const [resource, restart] = [text(policy['resourceName']), text(policy['restartPolicy'])];
    if (seen.has(resource)) errors.push(duplicate(`${path}[${index}]`, resource));
    seen.add(resource);
    if (resource === '') errors.push(required(path));
    else errors.push(...oneOf(path, resource, ['cpu', 'memory']));
    if (restart === '') errors.push(required(path));
    else errors.push(...oneOf(path, restart, ['NotRequired', 'RestartContainer']));
    if (podRestartPolicy === 'Never' && restart !== 'NotRequired') errors.push(invalidField(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"));
    return errors;
  });
}

export function validateRestartRules(container: Obj, path: string): FieldError[] {
  const policy = container['restartPolicy'];
  const rules = objects(container['restartPolicyRules']);
  const errors: FieldError[] = [];
  if (policy !== undefined) errors.push(...oneOf(`${path}.restartPolicy`, policy, ['Always', 'Never', 'OnFailure']));
  else if (rules.length > 0) errors.push(required(`${path}.restartPolicy`, 'must specify restartPolicy when restart rules are used'));
  if (rules.length > 20) errors.push(tooMany(`${path}.restartPolicyRules`, rules.length, 20));
  rules.forEach((rule, index) => {
    const here = `${path}.restartPolicyRules[${index}]`;
    errors.push(...oneOf(`${here}.action`, rule['action'], ['Restart', 'RestartAllContainers']));
    const codes = asObject(rule['exitCodes']);
    if (!codes) {
      errors.push(required(`${here}.exitCodes`, 'must be specified'));
      return;
    }
    errors.push(...oneOf(`${here}.exitCodes.operator`, codes['operator'], ['In', 'NotIn']));
    const values = items(codes['values']);
    if (values.length > 255) errors.push(tooMany(`${here}.exitCodes.values`, values.length, 255));
  });
  return errors;
}

/** What holds for containers of all three lists. */
export function validateContainerCommon(container: Obj, context: ContainerContext, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = text(container['name']);
  if (name === '') errors.push(required(`${path}.name`));
  else errors.push(...invalidAll(`${path}.name`, name, dns1123LabelErrors(name)));
  const image = text(container['image']);
  if (image === '') errors.push(required(`${path}.image`));
  errors.push(...oneOf(`${path}.terminationMessagePolicy`, container['terminationMessagePolicy'], ['File', 'FallbackToLogsOnError']));
  errors.push(...validatePorts(container['ports'], `${path}.ports`));
  errors.push(...validateEnv(container['env'], `${path}.env`), ...validateEnvFrom(container['envFrom'], `${path}.envFrom`));
  errors.push(...validateMounts(container, context, `${path}.volumeMounts`), ...validateDevices(container, context, `${path}.volumeDevices`));
  errors.push(...oneOf(`${path}.imagePullPolicy`, container['imagePullPolicy'], pullPolicies));
  errors.push(...validateResources(container['resources'], `${path}.resources`, context.claims));
  errors.push(...validateResizePolicy(container, context.podRestartPolicy, `${path}.resizePolicy`));
  errors.push(...validateSecurityContext(container['securityContext'], context.hostUsers, `${path}.securityContext`));
  return errors;
}

/** What only holds for pods: templates of old have images with blanks around them. */
export function validatePadding(container: Obj, path: string): FieldError[] {
  const image = text(container['image']);
  return image === image.trim() ? [] : [invalidField(`${path}.image`, image, 'must not have leading or trailing whitespace')];
}

/** What holds for containers that run with the pod: regular ones and sidecars. */
export function validateRunning(container: Obj, context: ContainerContext, path: string): FieldError[] {
  return [...validateLifecycle(container['lifecycle'], context.gracePeriodSeconds, `${path}.lifecycle`), ...validateProbes(container, path)];
}
/** An init container's rules for restarts count once it names a policy. */
export function validateInitRestart(container: Obj, path: string): FieldError[] {
  if (container['restartPolicy'] !== undefined) return validateRestartRules(container, path);
  return objects(container['restartPolicyRules']).length === 0 ? [] : [required(`${path}.restartPolicy`, 'must specify restartPolicy when restart rules are used')];
}

/** What comes on top for init containers; `path` leads to the list. */
export function validateInitOnly(container: Obj, context: ContainerContext, path: string): FieldError[] {
  if (container['restartPolicy'] === 'Always') return validateRunning(container, context, path);
  const errors: FieldError[] = [];
  for (const field of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe']) {
    if (container[field] !== undefined) errors.push(forbiddenField(`${path}.${field}`, 'may not be set for init containers without restartPolicy=Always'));
  }
  objects(container['resizePolicy']).forEach((policy, index) => {
    if (policy['restartPolicy'] === 'RestartContainer') {
      errors.push(invalidField(`${path}.resizePolicy[${index}].restartPolicy`, policy['restartPolicy'], "must not be set to 'RestartContainer' for non-sidecar initContainers"));
    }
  });
  return errors;
}

const notEphemeral = ['ports', 'resources', 'resizePolicy', 'restartPolicy', 'restartPolicyRules', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'];

/** What ephemeral containers cannot have. */
export function validateEphemeralOnly(container: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of notEphemeral) {
    const value = container[field];
    const given = field === 'resources' ? isObject(value) && Object.keys(value).length > 0 : Array.isArray(value) ? true : !isEmpty(value);
    if (given) errors.push(forbiddenField(`${path}.${field}`, 'cannot be set for an Ephemeral Container'));
  }
  objects(container['volumeMounts']).forEach((mount, index) => {
    for (const field of ['subPath', 'subPathExpr']) {
      if (!isEmpty(mount[field])) errors.push(forbiddenField(`${path}.volumeMounts[${index}].${field}`, 'cannot be set for an Ephemeral Container'));
    }
  });
  return errors;
}
