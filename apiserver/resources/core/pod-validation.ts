// Rules of pod specs, for Pods and for templates. Upstream: ValidatePodSpec in pkg/apis/core/validation/validation.go; windows
// options and AppArmor or seccomp annotations are not looked at.
import { dns1123LabelErrors, dns1123SubdomainErrors, dns1123SubdomainUnderscoreErrors, inRangeErrors, ipErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateLabels, validateTemplateMeta } from '../meta.ts';
import { asObject, at, duplicate, forbiddenField, integer, invalidAll, invalidField, isEmpty, isObject, items, notFoundField, notSupported, objects, oneOf, required, same, strings, text, tooLong } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateEphemeralContainer, validateInitContainer, validateRegularContainer } from './container-validation.ts';
import type { ContainerContext } from './container-validation.ts';
import { validateAffinity, validateSchedulingGates, validateTolerations, validateTopologySpread } from './pod-scheduling-validation.ts';
import { validatePodLevelResources, validateResourceList } from './resources-validation.ts';
import { validatePodSecurityContext } from './security-validation.ts';
import { validateVolumes } from './volume-validation.ts';

interface SpecContext {
  /** Pods, not templates. */
  isPod: boolean;
  /** '' in templates. */
  podName: string;
}

function validateContainers(spec: Obj, context: ContainerContext, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const containers = objects(spec['containers']);
  if (containers.length === 0) errors.push(required(`${path}.containers`));
  const names = new Set<string>();
  const check = (list: string, validate: typeof validateRegularContainer): void => {
    objects(spec[list]).forEach((container, index) => {
      const here = `${path}.${list}[${index}]`;
      errors.push(...validate(container, context, here));
      const name = text(container['name']);
      if (name !== '' && names.has(name)) errors.push(duplicate(`${here}.name`, name));
      names.add(name);
    });
  };
  check('containers', validateRegularContainer);
  errors.push(...validateHostPorts(containers, (index) => `${path}.containers[${index}]`));
  check('initContainers', validateInitContainer);
  // Each init container runs alone, so only its own ports can collide; upstream names the first one whatever the index.
  for (const container of objects(spec['initContainers'])) errors.push(...validateHostPorts([container], () => `${path}.initContainers[0]`));
  check('ephemeralContainers', validateEphemeralContainer);
  const targets = new Set([...containers, ...objects(spec['initContainers'])].map((container) => text(container['name'])));
  objects(spec['ephemeralContainers']).forEach((container, index) => {
    const target = text(container['targetContainerName']);
    if (target !== '' && !targets.has(target)) errors.push(notFoundField(`${path}.ephemeralContainers[${index}].targetContainerName`, target));
  });
  return errors;
}

function validateHostPorts(containers: readonly Obj[], pathOf: (index: number) => string): FieldError[] {
  const taken = new Set<string>();
  return containers.flatMap((container, index) => objects(container['ports']).flatMap((port, position) => {
    const host = integer(port['hostPort']) ?? 0;
    if (host === 0) return [];
    const id = `${text(port['protocol'])}/${text(port['hostIP'])}/${host}`;
    const errors = taken.has(id) ? [duplicate(`${pathOf(index)}.ports[${position}].hostPort`, id)] : [];
    taken.add(id);
    return errors;
  }));
}

function validateHost(spec: Obj, path: string, isPod: boolean): FieldError[] {
  const errors: FieldError[] = [];
  if (spec['hostNetwork'] === true) {
    for (const list of ['containers', 'initContainers']) {
      objects(spec[list]).forEach((container, index) => objects(container['ports']).forEach((port, position) => {
        const host = integer(port['hostPort']) ?? 0;
        if ((isPod || host !== 0) && host !== port['containerPort']) {
          errors.push(invalidField(`${path}.${list}[${index}].ports[${position}].hostPort`, host, 'must match `containerPort` when `hostNetwork` is true'));
        }
      }));
    }
  }
  if (spec['hostUsers'] !== false) return errors;
  for (const [field, shown] of [['hostNetwork', 'hostNetwork'], ['hostPID', 'HostPID'], ['hostIPC', 'HostIPC']] as const) {
    if (spec[field] === true) errors.push(forbiddenField(`${path}.${shown}`, 'when `hostUsers` is false'));
  }
  return errors;
}

function validateDnsConfig(spec: Obj, path: string): FieldError[] {
  const none = spec['dnsPolicy'] === 'None';
  const config = asObject(spec['dnsConfig']);
  if (none && !config) return [required(path, 'must provide `dnsConfig` when `dnsPolicy` is None')];
  if (!config) return [];
  const errors: FieldError[] = [];
  const nameservers = strings(config['nameservers']);
  if (none && nameservers.length === 0) errors.push(required(`${path}.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None'));
  if (nameservers.length > 3) errors.push(invalidField(`${path}.nameservers`, nameservers, 'must not have more than 3 nameservers'));
  nameservers.forEach((ip, index) => errors.push(...invalidAll(`${path}.nameservers[${index}]`, ip, ipErrors(ip))));
  const searches = strings(config['searches']);
  if (searches.length > 32) errors.push(invalidField(`${path}.searches`, searches, 'must not have more than 32 search paths'));
  if (searches.join(' ').length > 2048) errors.push(invalidField(`${path}.searches`, searches, 'must not have more than 2048 characters (including spaces) in the search list'));
  searches.forEach((search, index) => {
    if (search !== '.') errors.push(...invalidAll(`${path}.searches[${index}]`, search, dns1123SubdomainUnderscoreErrors(search.replace(/\.$/, ''))));
  });
  objects(config['options']).forEach((option, index) => {
    if (text(option['name']) === '') errors.push(required(`${path}.options[${index}]`, 'must not be empty'));
  });
  return errors;
}

function validateHostnames(spec: Obj, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ['hostname', 'subdomain']) {
    const name = text(spec[field]);
    if (name !== '') errors.push(...invalidAll(`${path}.${field}`, name, dns1123LabelErrors(name)));
  }
  const override = spec['hostnameOverride'];
  if (override === undefined) return errors;
  const here = `${path}.hostnameOverride`;
  if (spec['setHostnameAsFQDN'] === true) errors.push(forbiddenField(here, 'may not be specified when setHostnameAsFQDN is true'));
  if (spec['hostNetwork'] === true) errors.push(forbiddenField(here, 'may not be specified when hostNetwork is true'));
  if (Buffer.byteLength(text(override)) > 64) errors.push(tooLong(here, 64));
  return [...errors, ...invalidAll(here, override, dns1123SubdomainErrors(text(override)))];
}

function validateResourceClaims(spec: Obj, path: string): FieldError[] {
  const seen = new Set<string>();
  return objects(spec['resourceClaims']).flatMap((claim, index) => {
    const here = `${path}[${index}]`;
    const name = text(claim['name']);
    const errors: FieldError[] = [];
    if (name === '') errors.push(required(`${here}.name`));
    else if (seen.has(name)) errors.push(duplicate(`${here}.name`, name));
    else errors.push(...invalidAll(`${here}.name`, name, dns1123LabelErrors(name)));
    seen.add(name);
    const sources = ['resourceClaimName', 'resourceClaimTemplateName'].filter((field) => claim[field] !== undefined);
    const shown = { Name: name, ResourceClaimName: claim['resourceClaimName'] ?? null, ResourceClaimTemplateName: claim['resourceClaimTemplateName'] ?? null };
    if (sources.length > 1) errors.push(invalidField(here, shown, 'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified'));
    if (sources.length === 0) errors.push(invalidField(here, shown, 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`'));
    for (const field of sources) errors.push(...invalidAll(`${here}.${field}`, claim[field], dns1123SubdomainErrors(text(claim[field]))));
    return errors;
  });
}

function validateOs(spec: Obj, path: string): FieldError[] {
  const os = asObject(spec['os']);
  if (!os) return [];
  const name = text(os['name']);
  if (name === '') return [required(`${path}.os.name`)];
  if (name !== 'linux' && name !== 'windows') return [notSupported(`${path}.os`, name, ['linux', 'windows'])];
  if (name === 'windows') return [];
  const places = [['securityContext', spec['securityContext']] as const, ...['containers', 'initContainers', 'ephemeralContainers'].flatMap((list) =>
    objects(spec[list]).map((container, index) => [`${list}[${index}].securityContext`, container['securityContext']] as const))];
  return places.filter(([, context]) => isObject(at(context, 'windowsOptions')))
    .map(([place]) => forbiddenField(`${path}.${place}.windowsOptions`, 'windows options cannot be set for a linux pod'));
}

function validateFileKeys(spec: Obj, volumes: ReadonlyMap<string, Obj>, path: string): FieldError[] {
  return ['containers', 'initContainers'].flatMap((list) => objects(spec[list]).flatMap((container, index) => objects(container['env']).flatMap((variable, position) => {
    const name = text(at(variable, 'valueFrom', 'fileKeyRef', 'volumeName'));
    if (name === '') return [];
    const field = `${path}.${list}[${index}].env[${position}].valueFrom.fileKeyRef.volumeName`;
    const volume = volumes.get(name);
    if (!volume) return [notFoundField(field, name)];
    return isObject(volume['emptyDir']) ? [] : [invalidField(field, name, 'referenced volume must be of type emptyDir')];
  })));
}

export function validatePodSpec(spec: Obj, { isPod, podName }: SpecContext, path: string): FieldError[] {
  const { errors, volumes } = validateVolumes(spec['volumes'], `${path}.volumes`, { podName, isPod });
  errors.push(...validateResourceClaims(spec, `${path}.resourceClaims`));
  errors.push(...validateContainers(spec, {
    volumes, isPod, claims: new Set(objects(spec['resourceClaims']).map((claim) => text(claim['name']))), gracePeriodSeconds: integer(spec['terminationGracePeriodSeconds']) ?? 30,
    podRestartPolicy: text(spec['restartPolicy']), hostUsers: spec['hostUsers'] !== false,
  }, path));
  errors.push(...validatePodLevelResources(spec, `${path}.resources`));
  errors.push(...validateHost(spec, path, isPod));
  errors.push(...oneOf(`${path}.restartPolicy`, spec['restartPolicy'], ['Always', 'OnFailure', 'Never']));
  errors.push(...oneOf(`${path}.dnsPolicy`, spec['dnsPolicy'], ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']));
  errors.push(...validateLabels(spec['nodeSelector'], `${path}.nodeSelector`), ...validatePodSecurityContext(spec, `${path}.securityContext`));
  errors.push(...validateAffinity(spec['affinity'], `${path}.affinity`), ...validateDnsConfig(spec, `${path}.dnsConfig`));
  objects(spec['readinessGates']).forEach((gate, index) => {
    const type = text(gate['conditionType']);
    errors.push(...invalidAll(`${path}.readinessGates[${index}].conditionType`, type, qualifiedNameErrors(type)));
  });
  errors.push(...validateSchedulingGates(spec['schedulingGates'], `${path}.schedulingGates`), ...validateTopologySpread(spec['topologySpreadConstraints'], `${path}.topologySpreadConstraints`));
  for (const field of ['serviceAccountName', 'nodeName', 'priorityClassName', 'runtimeClassName']) {
    const name = text(spec[field]);
    if (name !== '') errors.push(...invalidAll(`${path}.${field}`, name, dns1123SubdomainErrors(name)));
  }
  const deadline = spec['activeDeadlineSeconds'];
  if (typeof deadline === 'number') errors.push(...invalidAll(`${path}.activeDeadlineSeconds`, deadline, inRangeErrors(deadline, 1, 2_147_483_647)));
  errors.push(...validateHostnames(spec, path), ...validateTolerations(objects(spec['tolerations']), `${path}.tolerations`));
  objects(spec['hostAliases']).forEach((alias, index) => {
    const here = `${path}.hostAliases[${index}]`;
    const ip = text(alias['ip']);
    errors.push(...invalidAll(`${here}.ip`, ip, ipErrors(ip)));
    strings(alias['hostnames']).forEach((name, position) => errors.push(...invalidAll(`${here}.hostnames[${position}]`, name, dns1123SubdomainErrors(name))));
  });
  if (spec['preemptionPolicy'] !== undefined) {
    const policy = text(spec['preemptionPolicy']);
    errors.push(...(policy === '' ? [required(`${path}.preemptionPolicy`)] : oneOf(`${path}.preemptionPolicy`, policy, ['PreemptLowerPriority', 'Never'])));
  }
  return [...errors, ...validateResourceList(spec['overhead'], `${path}.overhead.limits`), ...validateOs(spec, path), ...validateFileKeys(spec, volumes, path)];
}

export function validatePod(object: KubeObject): FieldError[] {
  const spec = asObject(object['spec']) ?? {};
  const errors: FieldError[] = [];
  const { annotations } = object.metadata ?? {};
  const mirror = annotations?.['kubernetes.io/config.mirror'];
  if (mirror !== undefined && text(spec['nodeName']) === '') {
    errors.push(invalidField('metadata.annotations[kubernetes.io/config.mirror]', mirror, 'must set spec.nodeName if mirror pod annotation is set'));
  }
  const cost = annotations?.['controller.kubernetes.io/pod-deletion-cost'];
  if (cost !== undefined && !(/^(0|-?[1-9][0-9]{0,9})$/.test(cost) && Math.abs(Number(cost)) <= 2_147_483_647)) {
    errors.push(invalidField('metadata.annotations[controller.kubernetes.io/pod-deletion-cost]', cost, 'must be a 32bit integer'));
  }
  errors.push(...validatePodSpec(spec, { isPod: true, podName: object.metadata?.name ?? '' }, 'spec'));
  if (text(spec['serviceAccountName']) === '') {
    objects(spec['volumes']).forEach((volume, index) => objects(at(volume, 'projected', 'sources')).forEach((source, position) => {
      if (isObject(source['serviceAccountToken'])) {
        errors.push(forbiddenField(`spec.volumes[${index}].projected.sources[${position}].serviceAccountToken`, 'must not be specified when serviceAccountName is not set'));
      }
    }));
  }
  // What only creation forbids; a stored pod has a uid and a resourceVersion, a new one has no version yet.
  if (isEmpty(object.metadata?.resourceVersion)) {
    if (items(spec['ephemeralContainers']).length > 0) errors.push(forbiddenField('spec.ephemeralContainers', 'cannot be set on create'));
    if (text(spec['nodeName']) !== '' && items(spec['schedulingGates']).length > 0) errors.push(forbiddenField('spec.nodeName', 'cannot be set until all schedulingGates have been cleared'));
  }
  return errors;
}

/** `path` leads to the template. */
export function validatePodTemplate(template: Obj, path: string): FieldError[] {
  const spec = asObject(template['spec']) ?? {};
  const errors = [...validateTemplateMeta(template['metadata'], path), ...validatePodSpec(spec, { isPod: false, podName: '' }, `${path}.spec`)];
  if (items(spec['ephemeralContainers']).length > 0) errors.push(forbiddenField(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template'));
  return errors;
}

export function validateEphemeralContainersUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  if (object.metadata?.annotations?.['kubernetes.io/config.mirror'] !== undefined) return [forbiddenField('[]', 'static pods do not support ephemeral containers')];
  const errors = validatePod(object);
  const now = objects(at(object, 'spec', 'ephemeralContainers'));
  for (const before of objects(at(old, 'spec', 'ephemeralContainers'))) {
    const name = text(before['name']);
    const still = now.find((container) => container['name'] === name);
    if (!still) errors.push(forbiddenField('spec.ephemeralContainers', `existing ephemeral containers ${JSON.stringify(name)} may not be removed\n`));
    else if (!same(still, before)) errors.push(forbiddenField('spec.ephemeralContainers', `existing ephemeral containers ${JSON.stringify(name)} may not be changed\n`));
  }
  return errors;
}
