// What the levels of pod security forbid, each check with the versions that it changed in. Upstream: pod-security-admission/policy;
// the texts are read by people and scripts, so they are upstream's.
import type { Container, ObjectMeta, PodSpec, Probe } from '#machinery/api/object.ts';
import type { LevelVersion } from './levels.ts';

export interface Violation { reason: string; detail: string }
interface Subject { readonly metadata: ObjectMeta; readonly spec: PodSpec; readonly containers: readonly Container[] }
type Test = (pod: Subject) => Violation | undefined;
interface Check {
  readonly id: string;
  readonly level: 'baseline' | 'restricted';
  /** From which minor version of v1 which test applies, oldest first. */
  readonly since: readonly (readonly [minor: number, test: Test])[];
  /** A baseline check that this one, of the restricted level, takes the place of. */
  readonly instead?: string;
}

const quoted = (items: readonly string[]): string => items.map((item) => `"${item}"`).join(', ');
const sorted = (items: Iterable<string>): string[] => [...new Set(items)].sort();
const plural = (word: string, { length }: { length: number }): string => (length === 1 ? word : `${word}s`);
const containersText = (names: readonly string[]): string => `${plural('container', names)} ${quoted(names)}`;
const namesOf = (containers: readonly Container[]): string[] => containers.map(({ name }) => name);
/** `pod and containers "a", "b"`; '' for nobody. */
const settersText = (pod: boolean, containers: readonly string[]): string => [...pod ? ['pod'] : [], ...containers.length > 0 ? [containersText(containers)] : []].join(' and ');
const usesUserNamespace = ({ spec }: Subject): boolean => spec.hostUsers === false;
const unless = (exempt: (pod: Subject) => boolean, test: Test): Test => (pod) => (exempt(pod) ? undefined : test(pod));
const isWindows = ({ spec }: Subject): boolean => spec.os?.name === 'windows';

const privilegedContainers: Test = ({ containers }) => {
  const bad = namesOf(containers.filter(({ securityContext }) => securityContext?.privileged === true));
  return bad.length === 0 ? undefined : { reason: 'privileged', detail: `${containersText(bad)} must not set securityContext.privileged=true` };
};

const appArmorPrefix = 'container.apparmor.security.beta.kubernetes.io/';
const appArmor: Test = ({ metadata, spec, containers }) => {
  const isBad = (type: string | undefined): type is string => type !== undefined && type !== 'RuntimeDefault' && type !== 'Localhost';
  const ofPod = spec.securityContext?.appArmorProfile?.type;
  const bad = containers.filter(({ securityContext }) => isBad(securityContext?.appArmorProfile?.type));
  const values = sorted([...isBad(ofPod) ? [ofPod] : [], ...bad.map(({ securityContext }) => securityContext?.appArmorProfile?.type ?? '')]);
  const annotations = Object.entries(metadata.annotations ?? {})
    .filter(([key, value]) => key.startsWith(appArmorPrefix) && value !== '' && value !== 'runtime/default' && !value.startsWith('localhost/'))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`).sort();
  const setters = [settersText(isBad(ofPod), namesOf(bad)), annotations.length > 0 ? plural('annotation', annotations) : ''].filter(Boolean);
  if (setters.length === 0) return undefined;
  const all = [...values, ...annotations];
  return { reason: `forbidden AppArmor ${plural('profile', all)}`, detail: `${setters.join(' and ')} must not set AppArmor profile type to ${quoted(all)}` };
};

const usualCapabilities = new Set(['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT']);
function addedBeyond(containers: readonly Container[], allowed: ReadonlySet<string>): { bad: string[]; capabilities: string[] } {
  const excess = ({ securityContext }: Container): string[] => (securityContext?.capabilities?.add ?? []).filter((one) => !allowed.has(one));
  return { bad: namesOf(containers.filter((container) => excess(container).length > 0)), capabilities: sorted(containers.flatMap(excess)) };
}
const addedText = (bad: readonly string[], capabilities: readonly string[]): string => `${containersText(bad)} must not include ${quoted(capabilities)} in securityContext.capabilities.add`;
const capabilitiesBaseline: Test = ({ containers }) => {
  const { bad, capabilities } = addedBeyond(containers, usualCapabilities);
  return bad.length === 0 ? undefined : { reason: 'non-default capabilities', detail: addedText(bad, capabilities) };
};
const bindOnly = new Set(['NET_BIND_SERVICE']);
const capabilitiesRestricted: Test = ({ containers }) => {
  const keeping = namesOf(containers.filter(({ securityContext }) => !securityContext?.capabilities?.drop?.includes('ALL')));
  const { bad, capabilities } = addedBeyond(containers, bindOnly);
  const details = [...keeping.length > 0 ? [`${containersText(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : [], ...bad.length > 0 ? [addedText(bad, capabilities)] : []];
  return details.length === 0 ? undefined : { reason: 'unrestricted capabilities', detail: details.join('; ') };
};

const hostNamespaces: Test = ({ spec }) => {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((field) => spec[field] === true);
  return used.length === 0 ? undefined : { reason: 'host namespaces', detail: used.map((field) => `${field}=true`).join(', ') };
};

const hostPathVolumes: Test = ({ spec }) => {
  const bad = (spec.volumes ?? []).filter(({ hostPath }) => hostPath).map(({ name }) => name);
  return bad.length === 0 ? undefined : { reason: 'hostPath volumes', detail: `${plural('volume', bad)} ${quoted(bad)}` };
};

const hostPorts: Test = ({ containers }) => {
  const portsOf = ({ ports }: Container): string[] => (ports ?? []).flatMap(({ hostPort }) => (hostPort ? [String(hostPort)] : []));
  const bad = namesOf(containers.filter((container) => portsOf(container).length > 0));
  const ports = sorted(containers.flatMap(portsOf));
  return bad.length === 0 ? undefined : { reason: 'hostPort', detail: `${containersText(bad)} ${bad.length === 1 ? 'uses' : 'use'} ${plural('hostPort', ports)} ${ports.join(', ')}` };
};

const probeHosts: Test = ({ containers }) => {
  const hostsOf = ({ livenessProbe, readinessProbe, startupProbe, lifecycle }: Container): string[] =>
    [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop].flatMap((one: Pick<Probe, 'httpGet' | 'tcpSocket'> | undefined) => [one?.httpGet?.host ?? '', one?.tcpSocket?.host ?? '']).filter((host) => host !== '');
  const bad = sorted(namesOf(containers.filter((container) => hostsOf(container).length > 0)));
  const hosts = sorted(containers.flatMap(hostsOf));
  return bad.length === 0 ? undefined : { reason: 'probe or lifecycle host', detail: `${containersText(bad)} ${bad.length === 1 ? 'uses' : 'use'} ${plural('probe or lifecycle host', hosts)} ${quoted(hosts)}` };
};

const procMount: Test = ({ containers }) => {
  const bad = containers.filter(({ securityContext }) => securityContext?.procMount !== undefined && securityContext.procMount !== 'Default');
  const types = sorted(bad.map(({ securityContext }) => securityContext?.procMount ?? ''));
  return bad.length === 0 ? undefined : { reason: 'procMount', detail: `${containersText(namesOf(bad))} must not set securityContext.procMount to ${quoted(types)}` };
};

const selinuxTypes = ['', 'container_t', 'container_init_t', 'container_kvm_t'];
const seLinux = (types: readonly string[]): Test => ({ spec, containers }) => {
  type Options = { type?: string; user?: string; role?: string } | undefined;
  const isBad = (options: Options): boolean => options !== undefined && (!types.includes(options.type ?? '') || Boolean(options.user) || Boolean(options.role));
  const bad = containers.filter(({ securityContext }) => isBad(securityContext?.seLinuxOptions));
  const all: Options[] = [spec.securityContext?.seLinuxOptions, ...containers.map(({ securityContext }) => securityContext?.seLinuxOptions)];
  const setters = settersText(isBad(spec.securityContext?.seLinuxOptions), namesOf(bad));
  if (setters === '') return undefined;
  const badTypes = sorted(all.flatMap((options) => (options && !types.includes(options.type ?? '') ? [options.type ?? ''] : [])));
  const data = [
    ...badTypes.length > 0 ? [`${plural('type', badTypes)} ${quoted(badTypes)}`] : [],
    ...all.some((options) => options?.user) ? ['user may not be set'] : [], ...all.some((options) => options?.role) ? ['role may not be set'] : [],
  ];
  return { reason: 'seLinuxOptions', detail: `${setters} set forbidden securityContext.seLinuxOptions: ${data.join('; ')}` };
};

const seccompAnnotations: Test = ({ metadata: { annotations = {} }, containers }) => {
  const keys = ['seccomp.security.alpha.kubernetes.io/pod', ...containers.map(({ name }) => `container.seccomp.security.alpha.kubernetes.io/${name}`)];
  const bad = sorted(keys.flatMap((key) => {
    const value = Object.hasOwn(annotations, key) ? annotations[key] ?? '' : undefined;
    return value === undefined || value === 'runtime/default' || value === 'docker/default' || value.startsWith('localhost/') ? [] : [`${key}=${JSON.stringify(value)}`];
  }));
  return bad.length === 0 ? undefined : { reason: 'seccompProfile', detail: `forbidden ${plural('annotation', bad)} ${bad.join(', ')}` };
};
const isBadSeccomp = (type: string | undefined): boolean => type !== undefined && type !== 'Localhost' && type !== 'RuntimeDefault';
const seccompFields: Test = ({ spec, containers }) => {
  const ofPod = spec.securityContext?.seccompProfile?.type;
  const bad = containers.filter(({ securityContext }) => isBadSeccomp(securityContext?.seccompProfile?.type));
  const setters = settersText(isBadSeccomp(ofPod), namesOf(bad));
  if (setters === '') return undefined;
  const values = sorted([ofPod, ...bad.map(({ securityContext }) => securityContext?.seccompProfile?.type)].flatMap((type) => (type !== undefined && isBadSeccomp(type) ? [type] : [])));
  return { reason: 'seccompProfile', detail: `${setters} must not set securityContext.seccompProfile.type to ${quoted(values)}` };
};
const seccompRestricted: Test = (pod) => {
  const explicit = seccompFields(pod);
  if (explicit) return explicit;
  if (pod.spec.securityContext?.seccompProfile) return undefined;
  const missing = namesOf(pod.containers.filter(({ securityContext }) => !securityContext?.seccompProfile));
  return missing.length === 0 ? undefined : { reason: 'seccompProfile', detail: `pod or ${containersText(missing)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"` };
};

const safeSysctls: readonly (readonly [number, readonly string[]])[] = [
  [0, ['kernel.shm_rmid_forced', 'net.ipv4.ip_local_port_range', 'net.ipv4.tcp_syncookies', 'net.ipv4.ping_group_range', 'net.ipv4.ip_unprivileged_port_start']],
  [27, ['net.ipv4.ip_local_reserved_ports']],
  [29, ['net.ipv4.tcp_keepalive_time', 'net.ipv4.tcp_fin_timeout', 'net.ipv4.tcp_keepalive_intvl', 'net.ipv4.tcp_keepalive_probes']],
  [32, ['net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem']],
];
const sysctls = (minor: number): Test => {
  const allowed = new Set(safeSysctls.filter(([since]) => since <= minor).flatMap(([, names]) => names));
  return ({ spec }) => {
    const bad = (spec.securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !allowed.has(name));
    return bad.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: bad.join(', ') };
  };
};

const windowsHostProcess: Test = ({ spec, containers }) => {
  const bad = namesOf(containers.filter(({ securityContext }) => securityContext?.windowsOptions?.hostProcess === true));
  const setters = settersText(spec.securityContext?.windowsOptions?.hostProcess === true, bad);
  return setters === '' ? undefined : { reason: 'hostProcess', detail: `${setters} must not set securityContext.windowsOptions.hostProcess=true` };
};

const allowPrivilegeEscalation: Test = ({ containers }) => {
  const bad = namesOf(containers.filter(({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false));
  return bad.length === 0 ? undefined : { reason: 'allowPrivilegeEscalation != false', detail: `${containersText(bad)} must set securityContext.allowPrivilegeEscalation=false` };
};

const volumeTypes = ['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'image', 'persistentVolumeClaim', 'projected', 'secret'] as const;
const restrictedTypes = [
  'hostPath', 'gcePersistentDisk', 'awsElasticBlockStore', 'gitRepo', 'nfs', 'iscsi', 'glusterfs', 'rbd', 'flexVolume', 'cinder', 'cephfs', 'flocker', 'fc', 'azureFile', 'vsphereVolume', 'quobyte',
  'azureDisk', 'photonPersistentDisk', 'portworxVolume', 'scaleIO', 'storageos',
] as const;
const restrictedVolumes: Test = ({ spec }) => {
  const bad = (spec.volumes ?? []).filter((volume) => !volumeTypes.some((type) => volume[type]));
  const types = sorted(bad.map((volume) => restrictedTypes.find((type) => volume[type]) ?? 'unknown'));
  if (bad.length === 0) return undefined;
  return { reason: 'restricted volume types', detail: `${plural('volume', bad)} ${quoted(bad.map(({ name }) => name))} ${bad.length === 1 ? 'uses' : 'use'} ${plural('restricted volume type', types)} ${quoted(types)}` };
};

const runAsNonRoot: Test = ({ spec, containers }) => {
  const ofPod = spec.securityContext?.runAsNonRoot;
  const setters = settersText(ofPod === false, namesOf(containers.filter(({ securityContext }) => securityContext?.runAsNonRoot === false)));
  if (setters !== '') return { reason: 'runAsNonRoot != true', detail: `${setters} must not set securityContext.runAsNonRoot=false` };
  if (ofPod === true) return undefined;
  const missing = namesOf(containers.filter(({ securityContext }) => securityContext?.runAsNonRoot === undefined));
  return missing.length === 0 ? undefined : { reason: 'runAsNonRoot != true', detail: `pod or ${containersText(missing)} must set securityContext.runAsNonRoot=true` };
};

const runAsUser: Test = ({ spec, containers }) => {
  const setters = settersText(spec.securityContext?.runAsUser === 0, namesOf(containers.filter(({ securityContext }) => securityContext?.runAsUser === 0)));
  return setters === '' ? undefined : { reason: 'runAsUser=0', detail: `${setters} must not set runAsUser=0` };
};

/** By level, then by id: the order in which a refusal names them. */
const checks: readonly Check[] = [
  { id: 'appArmorProfile', level: 'baseline', since: [[0, appArmor]] },
  { id: 'capabilities_baseline', level: 'baseline', since: [[0, capabilitiesBaseline]] },
  { id: 'hostNamespaces', level: 'baseline', since: [[0, hostNamespaces]] },
  { id: 'hostPathVolumes', level: 'baseline', since: [[0, hostPathVolumes]] },
  { id: 'hostPorts', level: 'baseline', since: [[0, hostPorts]] },
  { id: 'hostProbesAndHostLifecycle', level: 'baseline', since: [[34, probeHosts]] },
  { id: 'privileged', level: 'baseline', since: [[0, privilegedContainers]] },
  { id: 'procMount', level: 'baseline', since: [[0, procMount], [35, unless(usesUserNamespace, procMount)]] },
  { id: 'seLinuxOptions', level: 'baseline', since: [[0, seLinux(selinuxTypes)], [31, seLinux([...selinuxTypes, 'container_engine_t'])]] },
  { id: 'seccompProfile_baseline', level: 'baseline', since: [[0, seccompAnnotations], [19, seccompFields]] },
  { id: 'sysctls', level: 'baseline', since: safeSysctls.map(([minor]) => [minor, sysctls(minor)] as const) },
  { id: 'windowsHostProcess', level: 'baseline', since: [[0, windowsHostProcess]] },
  { id: 'allowPrivilegeEscalation', level: 'restricted', since: [[8, allowPrivilegeEscalation], [25, unless(isWindows, allowPrivilegeEscalation)]] },
  { id: 'capabilities_restricted', level: 'restricted', since: [[22, capabilitiesRestricted], [25, unless(isWindows, capabilitiesRestricted)]], instead: 'capabilities_baseline' },
  { id: 'procMount_restricted', level: 'restricted', since: [[35, procMount]], instead: 'procMount' },
  { id: 'restrictedVolumes', level: 'restricted', since: [[0, restrictedVolumes]], instead: 'hostPathVolumes' },
  { id: 'runAsNonRoot', level: 'restricted', since: [[0, runAsNonRoot], [35, unless(usesUserNamespace, runAsNonRoot)]] },
  { id: 'runAsUser', level: 'restricted', since: [[23, runAsUser], [35, unless(usesUserNamespace, runAsUser)]] },
  { id: 'seccompProfile_restricted', level: 'restricted', since: [[19, seccompRestricted], [25, unless(isWindows, seccompRestricted)]], instead: 'seccompProfile_baseline' },
];

/** What of the pod the level forbids, in the order that upstream tells it. */
export function violationsOf({ level, minor }: LevelVersion, metadata: ObjectMeta, spec: PodSpec): Violation[] {
  if (level === 'privileged') return [];
  const containers = [...spec.initContainers ?? [], ...spec.containers ?? [], ...(spec.ephemeralContainers ?? []) as Container[]]; // what they have in common is all that is looked at
  const active = checks.flatMap((check) => {
    if (level === 'baseline' && check.level === 'restricted') return [];
    const test = check.since.findLast(([since]) => since <= minor)?.[1];
    return test ? [{ ...check, test }] : [];
  });
  const replaced = new Set(active.map(({ instead }) => instead));
  return active.filter(({ id }) => !replaced.has(id)).flatMap(({ test }) => test({ metadata, spec, containers }) ?? []);
}

/** `privileged (container "a" must not set …), hostPort (…)` */
export const detailsText = (violations: readonly Violation[]): string => violations.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ');
export const reasonsText = (violations: readonly Violation[]): string => violations.map(({ reason }) => reason).join(', ');
