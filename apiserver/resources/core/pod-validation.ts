// Rules of pod specs, for Pods and for templates. Upstream: ValidatePodSpec in pkg/apis/core/validation/validation.go.
import { dns1123LabelErrors, dns1123SubdomainErrors, dns1123SubdomainUnderscoreErrors, inRangeErrors, ipErrors, qualifiedNameErrors } from '#machinery/api/names.ts';
import type { KubeObject } from '#machinery/api/object.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { validateLabels, validateTemplateMeta } from '../meta.ts';
import { asObject, at, duplicate, forbiddenField, integer, invalidAll, invalidField, isObject, items, notFoundField, objects, oneOf, required, same, strings, text, tooLong } from '../values.ts';
import type { Obj } from '../values.ts';
import { validateContainerCommon, validateEphemeralOnly, validateInitOnly, validateInitRestart, validatePadding, validateRestartRules, validateRunning } from './container-validation.ts';
import type { ContainerContext } from './container-validation.ts';
import { mirrorAnnotation, validatePodAnnotations, validateProfilesMatch } from './pod-annotation-validation.ts';
import { containersWithPath } from './pod-containers.ts';
import { validateAffinity, validateSchedulingGates, validateTolerations, validateTopologySpread } from './pod-scheduling-validation.ts';
import { validatePodLevelResources, validateResources } from './resources-validation.ts';
import { validatePodSecurityContext } from './security-validation.ts';
import { validateVolumes } from './volume-validation.ts';
import { validateHostProcess, validateOs } from './windows-validation.ts';

interface SpecContext {
  /** Pods, not templates. */
  isPod: boolean;
  /** '' in templates. */
  podName: string;
  isMirror?: boolean;
}

function validateContainers(spec: Obj, context: ContainerContext, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const [containers, init] = [objects(spec['containers']), objects(spec['initContainers'])];
  if (containers.length === 0) errors.push(required(`${path}.containers`));
  const names = new Set<string>();
  const nameOnce = (container: Obj, here: string): void => {
    const name = text(container['name']);
    if (names.has(name)) errors.push(duplicate(`${here}.name`, name));
    names.add(name);
  };
  containers.forEach((container, index) => {
    const here = `${path}.containers[${index}]`;
    errors.push(...validateContainerCommon(container, context, here));
    nameOnce(container, here);
    errors.push(...validateRunning(container, context, here), ...validateRestartRules(container, here));
  });
  errors.push(...validateHostPorts(containers, (index) => `${path}.containers[${index}]`));
  init.forEach((container, index) => {
    const here = `${path}.initContainers[${index}]`;
    errors.push(...validateContainerCommon(container, context, here), ...validateInitRestart(container, here));
    if (text(container['name']) !== '' || names.has('')) nameOnce(container, here);
    // Each init container runs alone, so only its own ports can collide; upstream names the first one whatever the index.
    errors.push(...validateHostPorts([container], () => `${path}.initContainers[0]`), ...validateInitOnly(container, context, here));
  });
  const targets = new Set([...containers, ...init].map((container) => text(container['name'])));
  for (const name of targets) names.add(name);
  objects(spec['ephemeralContainers']).forEach((container, index) => {
    const here = `${path}.ephemeralContainers[${index}]`;
    errors.push(...validateContainerCommon(container, context, here), ...validatePadding(container, here));
    nameOnce(container, here);
    const target = text(container['targetContainerName']);
    if (target !== '' && !targets.has(target)) errors.push(notFoundField(`${here}.targetContainerName`, target));
    errors.push(...validateEphemeralOnly(container, here));
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

function validateHostNetwork(spec: Obj, path: string, isPod: boolean): FieldError[] {
  if (spec['hostNetwork'] !== true) return [];
  return objects(spec['containers']).flatMap((container, index) => objects(container['ports']).flatMap((port, position) => {
    const host = integer(port['hostPort']) ?? 0;
    return (isPod || host !== 0) && host !== (integer(port['containerPort']) ?? 0)
      ? [invalidField(`${path}.containers[${index}].ports[${position}].hostPort`, host, 'must match `containerPort` when `hostNetwork` is true')] : [];
  }));
}

function validateHostUsers(spec: Obj, path: string): FieldError[] {
  if (spec['hostUsers'] !== false) return [];
  const shown = { hostNetwork: 'hostNetwork', hostPID: 'HostPID', hostIPC: 'HostIPC' };
  return [
    ...Object.entries(shown).filter(([field]) => spec[field] === true).map(([, name]) => `${path}.${name}`),
    ...containersWithPath(spec, path).filter(([container]) => items(container['volumeDevices']).length > 0).map(([, here]) => `${here}.volumeDevices`),
  ].map((field) => forbiddenField(field, 'when `hostUsers` is false'));
}

function validateDnsConfig(spec: Obj, path: string): FieldError[] {
  const none = spec['dnsPolicy'] === 'None';
  const config = asObject(spec['dnsConfig']);
  if (none && !config) return [required(path, 'must provide `dnsConfig` when `dnsPolicy` is None')];
  if (!config) return [];
  const errors: FieldError[] = [];
  const nameservers = strings(config['nameservers']);
  if (none && nameservers.length === 0) return [required(`${path}.nameservers`, 'must provide at least one DNS nameserver when `dnsPolicy` is None')];
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

function validateHostnameOverride(spec: Obj, path: string): FieldError[] {
  const override = spec['hostnameOverride'];
  if (override === undefined) return [];
  const here = `${path}.hostnameOverride`;
  const errors: FieldError[] = [];
  if (spec['setHostnameAsFQDN'] === true) errors.push(forbiddenField(here, 'may not be specified when setHostnameAsFQDN is true'));
  if (spec['hostNetwork'] === true) errors.push(forbiddenField(here, 'may not be specified when hostNetwork is true'));
  if (Buffer.byteLength(text(override)) > 64) errors.push(tooLong(here, 64));
  return [...errors, ...invalidAll(here, override, dns1123SubdomainErrors(text(override)))];
}

function validateResourceClaims(spec: Obj, path: string, isMirror: boolean): FieldError[] {
  const seen = new Set<string>();
  return objects(spec['resourceClaims']).flatMap((claim, index) => {
    if (isMirror) return [forbiddenField('[]', 'static pods do not support resource claims')];
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

function validateFileKeys(spec: Obj, path: string): FieldError[] {
  const volumes = new Map(objects(spec['volumes']).map((volume) => [text(volume['name']), volume]));
  return containersWithPath(spec, path).flatMap(([container, here]) => objects(container['env']).flatMap((variable, position) => {
    const reference = asObject(at(variable, 'valueFrom', 'fileKeyRef'));
    if (!reference) return [];
    const field = `${here}.env[${position}].valueFrom.fileKeyRef.volumeName`;
    const name = text(reference['volumeName']);
    const volume = volumes.get(name);
    if (!volume) return [notFoundField(field, name)];
    return isObject(volume['emptyDir']) ? [] : [invalidField(field, name, 'referenced volume must be of type emptyDir')];
  }));
}

function validateName(spec: Obj, field: string, path: string, rule: (name: string) => string[]): FieldError[] {
  const name = text(spec[field]);
  return name === '' ? [] : invalidAll(`${path}.${field}`, name, rule(name));
}

export function validatePodSpec(spec: Obj, { isPod, podName, isMirror = false }: SpecContext, path: string): FieldError[] {
  const { errors, volumes } = validateVolumes(spec['volumes'], `${path}.volumes`, { podName, isPod });
  const claims = new Set(objects(spec['resourceClaims']).map((claim) => text(claim['name'])).filter((name) => name !== ''));
  errors.push(...validateResourceClaims(spec, `${path}.resourceClaims`, isMirror));
  errors.push(...validateContainers(spec, {
    volumes, claims, gracePeriodSeconds: integer(spec['terminationGracePeriodSeconds']) ?? 30, podRestartPolicy: text(spec['restartPolicy']), hostUsers: spec['hostUsers'] !== false,
  }, path));
  errors.push(...validatePodLevelResources(spec, claims, `${path}.resources`), ...validateHostNetwork(spec, path, isPod));
  errors.push(...oneOf(`${path}.restartPolicy`, spec['restartPolicy'], ['Always', 'OnFailure', 'Never']));
  errors.push(...oneOf(`${path}.dnsPolicy`, spec['dnsPolicy'], ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None']));
  errors.push(...validateLabels(spec['nodeSelector'], `${path}.nodeSelector`), ...validatePodSecurityContext(spec, `${path}.securityContext`));
  errors.push(...validateAffinity(spec['affinity'], `${path}.affinity`), ...validateDnsConfig(spec, `${path}.dnsConfig`));
  objects(spec['readinessGates']).forEach((gate, index) => {
    const type = text(gate['conditionType']);
    errors.push(...invalidAll(`${path}.readinessGates[${index}].conditionType`, type, qualifiedNameErrors(type)));
  });
  errors.push(...validateSchedulingGates(spec['schedulingGates'], `${path}.schedulingGates`), ...validateTopologySpread(spec['topologySpreadConstraints'], `${path}.topologySpreadConstraints`));
  errors.push(...validateHostProcess(spec, path), ...validateHostUsers(spec, path), ...validateHostnameOverride(spec, path));
  for (const field of ['serviceAccountName', 'nodeName']) errors.push(...validateName(spec, field, path, dns1123SubdomainErrors));
  const deadline = spec['activeDeadlineSeconds'];
  if (typeof deadline === 'number') errors.push(...invalidAll(`${path}.activeDeadlineSeconds`, deadline, inRangeErrors(deadline, 1, 2_147_483_647)));
  for (const field of ['hostname', 'subdomain']) errors.push(...validateName(spec, field, path, dns1123LabelErrors));
  errors.push(...validateTolerations(objects(spec['tolerations']), `${path}.tolerations`));
  objects(spec['hostAliases']).forEach((alias, index) => {
    const here = `${path}.hostAliases[${index}]`;
    const ip = text(alias['ip']);
    errors.push(...invalidAll(`${here}.ip`, ip, ipErrors(ip)));
    strings(alias['hostnames']).forEach((name, position) => errors.push(...invalidAll(`${here}.hostnames[${position}]`, name, dns1123SubdomainErrors(name))));
  });
  errors.push(...validateName(spec, 'priorityClassName', path, dns1123SubdomainErrors));
  const runtime = spec['runtimeClassName'];
  if (typeof runtime === 'string') errors.push(...invalidAll(`${path}.runtimeClassName`, runtime, dns1123SubdomainErrors(runtime)));
  if (spec['preemptionPolicy'] !== undefined) {
    const policy = text(spec['preemptionPolicy']);
    errors.push(...(policy === '' ? [required(`${path}.preemptionPolicy`)] : oneOf(`${path}.preemptionPolicy`, policy, ['PreemptLowerPriority', 'Never'])));
  }
  if (isObject(spec['overhead'])) errors.push(...validateResources({ limits: spec['overhead'] }, `${path}.overhead`, new Set()));
  return [...errors, ...validateOs(spec, path), ...validateFileKeys(spec, path)];
}

/** What pods have to keep on every write. */
export function validatePodSpecOf(object: Readonly<KubeObject>): FieldError[] {
  const spec = asObject(object['spec']) ?? {};
  const annotations = object.metadata?.annotations;
  const errors = validatePodAnnotations(annotations, spec, 'metadata.annotations');
  errors.push(...validatePodSpec(spec, { isPod: true, podName: object.metadata?.name ?? '', isMirror: annotations?.[mirrorAnnotation] !== undefined }, 'spec'));
  if (text(spec['serviceAccountName']) === '') {
    objects(spec['volumes']).forEach((volume, index) => objects(at(volume, 'projected', 'sources')).forEach((source, position) => {
      if (isObject(source['serviceAccountToken'])) {
        errors.push(forbiddenField(`spec.volumes[${index}].projected.sources[${position}].serviceAccountToken`, 'must not be specified when serviceAccountName is not set'));
      }
    }));
  }
  for (const list of ['containers', 'initContainers']) objects(spec[list]).forEach((container, index) => errors.push(...validatePadding(container, `spec.${list}[${index}]`)));
  return errors;
}

export function validatePod(object: Readonly<KubeObject>, _: unknown, old?: Readonly<KubeObject>): FieldError[] {
  const errors = validatePodSpecOf(object);
  if (old) return errors;
  const spec = asObject(object['spec']) ?? {};
  if (items(spec['ephemeralContainers']).length > 0) errors.push(forbiddenField('spec.ephemeralContainers', 'cannot be set on create'));
  if (text(spec['nodeName']) !== '' && items(spec['schedulingGates']).length > 0) errors.push(forbiddenField('spec.nodeName', 'cannot be set until all schedulingGates have been cleared'));
  return [...errors, ...validateProfilesMatch(object.metadata?.annotations, spec, 'spec')];
}

/** `path` leads to the template. */
export function validatePodTemplate(template: Obj, path: string): FieldError[] {
  const spec = asObject(template['spec']) ?? {};
  const annotations = at(template, 'metadata', 'annotations');
  const errors = [...validateTemplateMeta(template['metadata'], path), ...validatePodAnnotations(annotations, spec, `${path}.annotations`)];
  errors.push(...validatePodSpec(spec, { isPod: false, podName: '' }, `${path}.spec`), ...validateProfilesMatch(annotations, spec, `${path}.spec`));
  if (items(spec['ephemeralContainers']).length > 0) errors.push(forbiddenField(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template'));
  return errors;
}

export function validateEphemeralContainersUpdate(object: KubeObject, old: Readonly<KubeObject>): FieldError[] {
  if (object.metadata?.annotations?.[mirrorAnnotation] !== undefined) return [forbiddenField('[]', 'static pods do not support ephemeral containers')];
  const errors = validatePodSpecOf(object);
  const now = objects(at(object, 'spec', 'ephemeralContainers'));
  for (const before of objects(at(old, 'spec', 'ephemeralContainers'))) {
    const name = text(before['name']);
    const still = now.find((container) => container['name'] === name);
    if (!still) errors.push(forbiddenField('spec.ephemeralContainers', `existing ephemeral containers ${JSON.stringify(name)} may not be removed\n`));
    else if (!same(still, before)) errors.push(forbiddenField('spec.ephemeralContainers', `existing ephemeral containers ${JSON.stringify(name)} may not be changed\n`));
  }
  return errors;
}
