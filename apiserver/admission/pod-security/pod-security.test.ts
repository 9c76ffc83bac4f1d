import { expect } from 'chai';
import type { KubeObject } from '#machinery/api/object.ts';
import { StatusError } from '#machinery/api/status.ts';
import { createFakeBackend, fakeContext, fakeRow, fakeWrite } from '../../auth/fake-backend.ts';
import type { AdmissionAttributes } from '../admission.ts';
import { createPodSecurity } from './pod-security.ts';
import { policyOf, policyText } from './levels.ts';

type Json = Record<string, unknown>;
const rows = { pods: fakeRow('', 'pods', 'Pod'), namespaces: fakeRow('', 'namespaces', 'Namespace', false), deployments: fakeRow('apps', 'deployments', 'Deployment'), cronjobs: fakeRow('batch', 'cronjobs', 'CronJob') };
const safe = { allowPrivilegeEscalation: false, runAsNonRoot: true, capabilities: { drop: ['ALL'] }, seccompProfile: { type: 'RuntimeDefault' } };
const pod = (spec: Json = {}, container: Json = {}, annotations: Record<string, string> = {}): KubeObject =>
  ({ metadata: { name: 'p', namespace: 'a', annotations }, spec: { containers: [{ name: 'c', image: 'i', securityContext: safe, ...container }], ...spec } });

interface Told { outcome: string; warnings: string[]; annotations: Record<string, string> }
async function ask(labels: Record<string, string>, about: Partial<AdmissionAttributes>, pods: KubeObject[] = []): Promise<Told> {
  const backend = createFakeBackend({ namespaces: [{ metadata: { name: 'a', labels } }], pods });
  const context = fakeContext();
  const attributes: AdmissionAttributes = { operation: 'CREATE', row: rows.pods, subresource: '', namespace: 'a', name: 'p', object: undefined, oldObject: undefined, options: {}, dryRun: false, user: { name: 'ann', groups: [] }, context: fakeWrite(backend, context), ...about };
  const plugin = createPodSecurity(backend);
  let outcome = 'admitted';
  if (!plugin.handles(attributes.operation, attributes.row, attributes.subresource)) outcome = 'not asked';
  else {
    try {
      await plugin.validate?.(attributes);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      outcome = `${error.status.code} ${error.message}`;
    }
  }
  return { outcome, warnings: [...attributes.context.request.warnings], annotations: Object.fromEntries(attributes.context.request.annotations) };
}
const enforce = (level: string, version = 'latest'): Record<string, string> => ({ 'pod-security.kubernetes.io/enforce': level, 'pod-security.kubernetes.io/enforce-version': version });

/** What one level says of one pod; '' when it lets it in. */
async function says(level: string, object: KubeObject, version = 'latest'): Promise<string> {
  const { outcome } = await ask(enforce(level, version), { object });
  return outcome === 'admitted' ? '' : outcome.replace(`403 pods "p" is forbidden: violates PodSecurity "${level}:${version}": `, '');
}

describe('PodSecurity', () => {
  describe('baseline', () => {
    const bad: Record<string, [KubeObject, string]> = {
      'host namespaces': [pod({ hostNetwork: true, hostPID: true, hostIPC: true }), 'host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)'],
      'privileged containers': [pod({ initContainers: [{ name: 'i', securityContext: { privileged: true } }] }, { securityContext: { privileged: true } }), 'privileged (containers "i", "c" must not set securityContext.privileged=true)'],
      'capabilities beyond the usual': [pod({}, { securityContext: { capabilities: { add: ['NET_ADMIN', 'CHOWN', 'BPF'] } } }), 'non-default capabilities (container "c" must not include "BPF", "NET_ADMIN" in securityContext.capabilities.add)'],
      'hostPath volumes': [pod({ volumes: [{ name: 'a', hostPath: { path: '/' } }, { name: 'b', hostPath: { path: '/' } }] }), 'hostPath volumes (volumes "a", "b")'],
      'host ports': [pod({}, { ports: [{ containerPort: 1, hostPort: 80 }, { containerPort: 2, hostPort: 443 }, { containerPort: 3 }] }), 'hostPort (container "c" uses hostPorts 443, 80)'],
      'AppArmor profiles': [pod({ securityContext: { appArmorProfile: { type: 'Unconfined' } } }, {}, { 'container.apparmor.security.beta.kubernetes.io/c': 'unconfined' }),
        'forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to "Unconfined", "container.apparmor.security.beta.kubernetes.io/c="unconfined"")'],
      'SELinux options': [pod({ securityContext: { seLinuxOptions: { type: 'spc_t', user: 'u' } } }, { securityContext: { seLinuxOptions: { role: 'r' } } }), 'seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)'],
      'unmasked /proc': [pod({}, { securityContext: { procMount: 'Unmasked' } }), 'procMount (container "c" must not set securityContext.procMount to "Unmasked")'],
      'seccomp': [pod({ securityContext: { seccompProfile: { type: 'Unconfined' } } }, { securityContext: { seccompProfile: { type: 'Unconfined' } } }), 'seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to "Unconfined")'],
      'sysctls': [pod({ securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }, { name: 'net.ipv4.tcp_rmem', value: '1' }] } }), 'forbidden sysctls (kernel.msgmax)'],
      'hosts of probes': [pod({}, { livenessProbe: { httpGet: { host: 'b', port: 1 } }, lifecycle: { preStop: { tcpSocket: { host: 'a', port: 1 } } } }), 'probe or lifecycle host (container "c" uses probe or lifecycle hosts "a", "b")'],
      'Windows host processes': [pod({ securityContext: { windowsOptions: { hostProcess: true } } }), 'hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)'],
    };
    for (const [title, [object, text]] of Object.entries(bad)) it(`refuses ${title}`, async () => expect(await says('baseline', object)).to.equal(text));
    it('lets an ordinary pod in', async () => expect(await says('baseline', pod({}, { securityContext: undefined, ports: [{ containerPort: 80 }] }))).to.equal(''));
    it('names all that is wrong, in one order', async () => {
      expect(await says('baseline', pod({ hostPID: true, volumes: [{ name: 'v', hostPath: { path: '/' } }] }, { securityContext: { privileged: true } })))
        .to.equal('host namespaces (hostPID=true), hostPath volumes (volume "v"), privileged (container "c" must not set securityContext.privileged=true)');
    });
    it('looks at ephemeral containers too', async () => expect(await says('baseline', pod({ ephemeralContainers: [{ name: 'e', securityContext: { privileged: true } }] }))).to.include('container "e"'));
  });

  describe('restricted', () => {
    const bad: Record<string, [KubeObject, string]> = {
      'what an ordinary pod leaves open': [pod({}, { securityContext: undefined }), 'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        + 'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'],
      'capabilities': [pod({}, { securityContext: { ...safe, capabilities: { drop: ['NET_RAW'], add: ['CHOWN', 'NET_BIND_SERVICE'] } } }), 'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; container "c" must not include "CHOWN" in securityContext.capabilities.add)'],
      'volume types, in place of hostPath volumes': [pod({ volumes: [{ name: 'h', hostPath: { path: '/' } }, { name: 'n', nfs: {} }, { name: 'e', emptyDir: {} }] }), 'restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs")'],
      'root, said outright': [pod({ securityContext: { runAsNonRoot: false } }, { securityContext: { ...safe, runAsUser: 0 } }), 'runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), runAsUser=0 (container "c" must not set runAsUser=0)'],
    };
    for (const [title, [object, text]] of Object.entries(bad)) it(`refuses ${title}`, async () => expect(await says('restricted', object)).to.equal(text));
    it('lets in a pod that gives up what it can', async () => expect(await says('restricted', pod({ volumes: [{ name: 'e', emptyDir: {} }] }))).to.equal(''));
    it('asks less of Windows and of pods in a user namespace', async () => {
      expect(await says('restricted', pod({ os: { name: 'windows' }, securityContext: { runAsNonRoot: true } }, { securityContext: undefined }))).to.equal('');
      expect(await says('restricted', pod({ hostUsers: false }, { securityContext: { ...safe, runAsNonRoot: undefined, runAsUser: 0 } }))).to.equal('');
      expect(await says('restricted', pod({ hostUsers: false }, { securityContext: { ...safe, procMount: 'Unmasked' } }))).to.match(/^procMount/);
    });
  });

  describe('versions', () => {
    it('know only the checks of their time', async () => {
      const probing = pod({}, { livenessProbe: { httpGet: { host: 'b', port: 1 } } });
      expect(await says('baseline', probing, 'v1.33')).to.equal('');
      expect(await says('baseline', probing, 'v1.34')).to.match(/^probe or lifecycle host/);
      const open = pod({}, { securityContext: { runAsNonRoot: true } });
      expect(await says('restricted', open, 'v1.7')).to.equal('');
      expect(await says('restricted', open, 'v1.8')).to.match(/^allowPrivilegeEscalation != false [^,]*$/);
    });
    it('of the future are the latest', async () => expect(await says('baseline', pod({ hostPID: true }), 'v1.999')).to.equal('host namespaces (hostPID=true)'));
    it('of seccomp looked at annotations once', async () => {
      expect(await says('baseline', pod({}, {}, { 'seccomp.security.alpha.kubernetes.io/pod': 'unconfined' }), 'v1.18')).to.equal('seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")');
    });
  });

  describe('labels of a namespace', () => {
    it('warn at the enforced level unless they say otherwise', () => {
      expect(policyText(policyOf(enforce('baseline', 'v1.30')).policy.warn)).to.equal('baseline:v1.30');
      expect(policyText(policyOf({ ...enforce('baseline'), 'pod-security.kubernetes.io/warn': 'privileged' }).policy.warn)).to.equal('privileged:latest');
    });
    it('that cannot be read are refused, and enforce the most where they stand already', async () => {
      const object = { metadata: { name: 'a', labels: { 'pod-security.kubernetes.io/enforce': 'strict', 'pod-security.kubernetes.io/warn-version': '1.2' } } };
      const { outcome } = await ask({}, { row: rows.namespaces, name: 'a', object });
      expect(outcome).to.equal('422 Namespace "a" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"]');
      expect((await ask({}, { row: rows.namespaces, name: 'a', operation: 'UPDATE', object, oldObject: object })).outcome).to.equal('admitted');
      const told = await ask({ 'pod-security.kubernetes.io/enforce': 'strict' }, { object: pod({}, { securityContext: undefined }) });
      expect(told.outcome).to.match(/^403 pods "p" is forbidden: violates PodSecurity "restricted:latest"/);
      expect(told.annotations['pod-security.kubernetes.io/error']).to.match(/^Failed to parse policy: metadata\.labels\[/);
    });
    it('that become stricter warn of the pods that are there', async () => {
      const owned = (name: string): KubeObject => ({ ...pod({ hostPID: true }), metadata: { name, namespace: 'a', ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'u', controller: true }] } });
      const pods = [owned('r-2'), owned('r-1'), { ...pod({ hostIPC: true }, { securityContext: { privileged: true } }), metadata: { name: 'alone', namespace: 'a' } }, pod()];
      const [object, oldObject] = [{ metadata: { name: 'a', labels: enforce('baseline') } }, { metadata: { name: 'a' } }];
      const { outcome, warnings } = await ask({}, { row: rows.namespaces, name: 'a', operation: 'UPDATE', object, oldObject }, pods);
      expect(outcome).to.equal('admitted');
      expect(warnings).to.deep.equal(['existing pods in namespace "a" violate the new PodSecurity enforce level "baseline:latest"', 'alone: host namespaces, privileged', 'r-1 (and 1 other pod): host namespaces']);
      expect((await ask({}, { row: rows.namespaces, name: 'a', operation: 'UPDATE', object: oldObject, oldObject: object }, pods)).warnings).to.deep.equal([]);
    });
  });

  describe('workloads', () => {
    const template = { spec: { template: { metadata: {}, spec: pod({ hostPID: true })['spec'] } } };
    it('are warned and audited, never refused', async () => {
      const told = await ask({ ...enforce('baseline'), 'pod-security.kubernetes.io/audit': 'restricted' }, { row: rows.deployments, object: { metadata: { name: 'd' }, ...template } });
      expect(told).to.deep.equal({ outcome: 'admitted', warnings: ['would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)'],
        annotations: { 'pod-security.kubernetes.io/audit-violations': 'would violate PodSecurity "restricted:latest": host namespaces (hostPID=true)' } });
    });
    it('have their template where their kind has it', async () => {
      const { warnings } = await ask(enforce('baseline'), { row: rows.cronjobs, object: { metadata: { name: 'd' }, spec: { jobTemplate: template } } });
      expect(warnings).to.have.length(1);
    });
  });

  it('asks again only when an update changes images', async () => {
    const [before, after] = [pod({ hostPID: true }), pod({ hostPID: true }, { image: 'other' })];
    expect((await ask(enforce('baseline'), { operation: 'UPDATE', object: before, oldObject: before })).outcome).to.equal('admitted');
    expect((await ask(enforce('baseline'), { operation: 'UPDATE', object: after, oldObject: before })).outcome).to.match(/^403/);
    expect((await ask(enforce('baseline'), { operation: 'UPDATE', subresource: 'status', object: after, oldObject: before })).outcome).to.equal('admitted');
  });
  it('notes the level of every pod, and lets everything in where nothing is asked for', async () => {
    const told = await ask({}, { object: pod({ hostPID: true }, { securityContext: { privileged: true } }) });
    expect(told).to.deep.equal({ outcome: 'admitted', warnings: [], annotations: { 'pod-security.kubernetes.io/enforce-policy': 'privileged:latest' } });
  });
});
