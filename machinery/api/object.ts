// The shape of every API object as it travels: plain JSON, times as strings, unknown fields kept.
// Types of kinds come from @kubernetes/client-node by `import type` (free at run time) through `Wire`.
import type * as k8s from '@kubernetes/client-node';

/** A model type of client-node as it is on the wire: Date is an RFC 3339 string, `_continue` is `continue`. */
export type Wire<T> =
  T extends Date ? string
  : T extends (infer E)[] ? Wire<E>[]
  : T extends object ? { [K in keyof T as K extends '_continue' ? 'continue' : K]: Wire<T[K]> }
  : T;

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ManagedFieldsEntry {
  manager?: string;
  operation?: string;
  apiVersion?: string;
  time?: string;
  fieldsType?: string;
  fieldsV1?: Record<string, unknown>;
  subresource?: string;
}

export interface ObjectMeta {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: ManagedFieldsEntry[];
  selfLink?: string;
}

/** Any object; `spec` and friends are reached after narrowing to a kind. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
  [field: string]: unknown;
}

/** An object that went through the API server: name, uid and resourceVersion are there. */
export type Stored<T> = T & { metadata: ObjectMeta & { name: string; uid: string; resourceVersion: string } };

export interface ListMeta {
  resourceVersion?: string;
  continue?: string;
  remainingItemCount?: number;
}
export interface KubeList<T = KubeObject> {
  apiVersion?: string;
  kind?: string;
  metadata: ListMeta;
  items: T[];
}

export interface GroupVersionKind { group: string; version: string; kind: string }
export interface GroupVersionResource { group: string; version: string; resource: string }

/** `apps/v1`, or `v1` for the core group. */
export function apiVersionOf(group: string, version: string): string {
  return group === '' ? version : `${group}/${version}`;
}
export function parseApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf('/');
  return slash < 0 ? { group: '', version: apiVersion } : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

/** The owner that controls the object, if any. */
export function controllerOf(object: { metadata?: { ownerReferences?: OwnerReference[] } }): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find((owner) => owner.controller === true);
}

type Kind<T> = Omit<Wire<T>, 'metadata'> & { metadata: ObjectMeta };
export type Pod = Kind<k8s.V1Pod>;
export type PodSpec = Wire<k8s.V1PodSpec>;
export type PodStatus = Wire<k8s.V1PodStatus>;
export type PodTemplateSpec = Wire<k8s.V1PodTemplateSpec>;
export type PodCondition = Wire<k8s.V1PodCondition>;
export type Container = Wire<k8s.V1Container>;
export type ContainerStatus = Wire<k8s.V1ContainerStatus>;
export type ContainerState = Wire<k8s.V1ContainerState>;
export type Probe = Wire<k8s.V1Probe>;
export type Volume = Wire<k8s.V1Volume>;
export type Node = Kind<k8s.V1Node>;
export type NodeCondition = Wire<k8s.V1NodeCondition>;
export type Taint = Wire<k8s.V1Taint>;
export type Toleration = Wire<k8s.V1Toleration>;
export type Service = Kind<k8s.V1Service>;
export type ServicePort = Wire<k8s.V1ServicePort>;
export type Endpoints = Kind<k8s.V1Endpoints>;
export type EndpointSlice = Kind<k8s.V1EndpointSlice>;
export type IPAddress = Kind<k8s.V1IPAddress>;
export type ServiceCIDR = Kind<k8s.V1ServiceCIDR>;
export type Endpoint = Wire<k8s.V1Endpoint>;
export type Namespace = Kind<k8s.V1Namespace>;
export type ConfigMap = Kind<k8s.V1ConfigMap>;
export type Secret = Kind<k8s.V1Secret>;
export type ServiceAccount = Kind<k8s.V1ServiceAccount>;
export type Deployment = Kind<k8s.V1Deployment>;
export type ReplicaSet = Kind<k8s.V1ReplicaSet>;
export type ReplicationController = Kind<k8s.V1ReplicationController>;
export type StatefulSet = Kind<k8s.V1StatefulSet>;
export type DaemonSet = Kind<k8s.V1DaemonSet>;
export type ControllerRevision = Kind<k8s.V1ControllerRevision>;
export type Job = Kind<k8s.V1Job>;
export type CronJob = Kind<k8s.V1CronJob>;
export type PersistentVolume = Kind<k8s.V1PersistentVolume>;
export type PersistentVolumeClaim = Kind<k8s.V1PersistentVolumeClaim>;
export type StorageClass = Kind<k8s.V1StorageClass>;
export type ResourceClaim = Kind<k8s.ResourceV1ResourceClaim>;
export type ResourceClaimTemplate = Kind<k8s.V1ResourceClaimTemplate>;
export type ResourceSlice = Kind<k8s.V1ResourceSlice>;
export type DeviceClass = Kind<k8s.V1DeviceClass>;
export type VolumeAttributesClass = Kind<k8s.V1VolumeAttributesClass>;
export type PriorityClass = Kind<k8s.V1PriorityClass>;
export type PodDisruptionBudget = Kind<k8s.V1PodDisruptionBudget>;
export type ClusterRole = Kind<k8s.V1ClusterRole>;
export type ValidatingAdmissionPolicy = Kind<k8s.V1ValidatingAdmissionPolicy>;
export type EventsV1Event = Kind<k8s.EventsV1Event>;
export type CertificateSigningRequest = Kind<k8s.V1CertificateSigningRequest>;
export type SubjectAccessReview = Kind<k8s.V1SubjectAccessReview>;
export type HorizontalPodAutoscaler = Kind<k8s.V2HorizontalPodAutoscaler>;
export type Lease = Kind<k8s.V1Lease>;
export type CoreEvent = Kind<k8s.CoreV1Event>;
export type LabelSelector = Wire<k8s.V1LabelSelector>;
export type NodeSelectorTerm = Wire<k8s.V1NodeSelectorTerm>;
export type ResourceRequirements = Wire<k8s.V1ResourceRequirements>;
