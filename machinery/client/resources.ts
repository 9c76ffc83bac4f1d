// The built-in resources that components speak of, with the type of their objects.
import type {
  CertificateSigningRequest, ClusterRole, ConfigMap, ControllerRevision, CoreEvent, CronJob, DaemonSet, Deployment, Endpoints, EndpointSlice, EventsV1Event,
  HorizontalPodAutoscaler, IPAddress, Job, KubeObject, Lease, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget, PriorityClass,
  DeviceClass, ReplicaSet, ReplicationController, ResourceClaim, ResourceClaimTemplate, ResourceSlice, Secret, Service, ServiceAccount, ServiceCIDR, StatefulSet, StorageClass, SubjectAccessReview, VolumeAttributesClass, ValidatingAdmissionPolicy,
} from '../api/object.ts';
import type { ResourceQuota } from '../api/quota/quota.ts';
import type { Resource } from './types.ts';

function define<T>(group: string, version: string, resource: string, kind: string, namespaced = true): Resource<T> {
  return { group, version, resource, kind, namespaced };
}

export const pods = define<Pod>('', 'v1', 'pods', 'Pod');
export const nodes = define<Node>('', 'v1', 'nodes', 'Node', false);
export const services = define<Service>('', 'v1', 'services', 'Service');
export const endpoints = define<Endpoints>('', 'v1', 'endpoints', 'Endpoints');
export const namespaces = define<Namespace>('', 'v1', 'namespaces', 'Namespace', false);
export const configMaps = define<ConfigMap>('', 'v1', 'configmaps', 'ConfigMap');
export const secrets = define<Secret>('', 'v1', 'secrets', 'Secret');
export const serviceAccounts = define<ServiceAccount>('', 'v1', 'serviceaccounts', 'ServiceAccount');
export const events = define<CoreEvent>('', 'v1', 'events', 'Event');
export const replicationControllers = define<ReplicationController>('', 'v1', 'replicationcontrollers', 'ReplicationController');
export const persistentVolumes = define<PersistentVolume>('', 'v1', 'persistentvolumes', 'PersistentVolume', false);
export const persistentVolumeClaims = define<PersistentVolumeClaim>('', 'v1', 'persistentvolumeclaims', 'PersistentVolumeClaim');
export const resourceQuotas = define<ResourceQuota>('', 'v1', 'resourcequotas', 'ResourceQuota');
export const limitRanges = define<KubeObject>('', 'v1', 'limitranges', 'LimitRange');

export const deployments = define<Deployment>('apps', 'v1', 'deployments', 'Deployment');
export const replicaSets = define<ReplicaSet>('apps', 'v1', 'replicasets', 'ReplicaSet');
export const statefulSets = define<StatefulSet>('apps', 'v1', 'statefulsets', 'StatefulSet');
export const daemonSets = define<DaemonSet>('apps', 'v1', 'daemonsets', 'DaemonSet');
export const controllerRevisions = define<ControllerRevision>('apps', 'v1', 'controllerrevisions', 'ControllerRevision');

export const jobs = define<Job>('batch', 'v1', 'jobs', 'Job');
export const cronJobs = define<CronJob>('batch', 'v1', 'cronjobs', 'CronJob');

export const ipAddresses = define<IPAddress>('networking.k8s.io', 'v1', 'ipaddresses', 'IPAddress', false);
export const serviceCidrs = define<ServiceCIDR>('networking.k8s.io', 'v1', 'servicecidrs', 'ServiceCIDR', false);

export const endpointSlices = define<EndpointSlice>('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice');
export const leases = define<Lease>('coordination.k8s.io', 'v1', 'leases', 'Lease');
export const eventsV1 = define<EventsV1Event>('events.k8s.io', 'v1', 'events', 'Event');
export const podDisruptionBudgets = define<PodDisruptionBudget>('policy', 'v1', 'poddisruptionbudgets', 'PodDisruptionBudget');
export const priorityClasses = define<PriorityClass>('scheduling.k8s.io', 'v1', 'priorityclasses', 'PriorityClass', false);
export const storageClasses = define<StorageClass>('storage.k8s.io', 'v1', 'storageclasses', 'StorageClass', false);
export const volumeAttributesClasses = define<VolumeAttributesClass>('storage.k8s.io', 'v1', 'volumeattributesclasses', 'VolumeAttributesClass', false);
export const csiNodes = define<KubeObject>('storage.k8s.io', 'v1', 'csinodes', 'CSINode', false);
export const certificateSigningRequests = define<CertificateSigningRequest>('certificates.k8s.io', 'v1', 'certificatesigningrequests', 'CertificateSigningRequest', false);
export const subjectAccessReviews = define<SubjectAccessReview>('authorization.k8s.io', 'v1', 'subjectaccessreviews', 'SubjectAccessReview', false);
export const horizontalPodAutoscalers = define<HorizontalPodAutoscaler>('autoscaling', 'v2', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler');
export const validatingAdmissionPolicies = define<ValidatingAdmissionPolicy>('admissionregistration.k8s.io', 'v1', 'validatingadmissionpolicies', 'ValidatingAdmissionPolicy', false);
export const clusterRoles = define<ClusterRole>('rbac.authorization.k8s.io', 'v1', 'clusterroles', 'ClusterRole', false);
export const runtimeClasses = define<KubeObject>('node.k8s.io', 'v1', 'runtimeclasses', 'RuntimeClass', false);

export const resourceClaims = define<ResourceClaim>('resource.k8s.io', 'v1', 'resourceclaims', 'ResourceClaim');
export const resourceClaimTemplates = define<ResourceClaimTemplate>('resource.k8s.io', 'v1', 'resourceclaimtemplates', 'ResourceClaimTemplate');
export const resourceSlices = define<ResourceSlice>('resource.k8s.io', 'v1', 'resourceslices', 'ResourceSlice', false);
export const deviceClasses = define<DeviceClass>('resource.k8s.io', 'v1', 'deviceclasses', 'DeviceClass', false);
