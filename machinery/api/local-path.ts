// What the local-path provisioner (controllers/local-path), the kubelets and the cluster's start agree on.
//
// Where a volume's folder is made and removed: by the kubelet of its node, because only that node sees its disk and only it knows where
// its data folder is; the controller only writes objects, so any number of nodes work alike and no pod, image or right beyond a
// node's own is needed. They speak through the Node, which its kubelet watches anyway: the kubelet says where its folders
// are (`folder`), makes one when a pod first mounts it, and for each `remove/<volume>` set to "wanted" removes one and says "done".

export const provisioner = 'proa.io/local-path';
export const storageClassName = 'local-path';
export const controllerName = 'local-path-provisioner';
/** The service account that the controller writes with. */
export const account = 'local-path-provisioner';

/** On a Node: the folder that holds its volumes. */
export const folderAnnotation = 'local-path.proa.io/folder';
/** On a volume: the Node that has it. */
export const nodeAnnotation = 'local-path.proa.io/node';
const removePrefix = 'remove.local-path.proa.io/';
export const removeAnnotation = (volume: string): string => `${removePrefix}${volume}`;

export type Removal = 'wanted' | 'done' | `failed: ${string}`;

/** The removals asked of a node, by volume. */
export function removalsOf(annotations: Readonly<Record<string, string>> | undefined): Map<string, string> {
  return new Map(Object.entries(annotations ?? {}).flatMap(([key, value]) => (key.startsWith(removePrefix) ? [[key.slice(removePrefix.length), value]] : [])));
}

/** A volume's name is also its folder's: made of the claim's uid alone, so no name that a user chose becomes part of a path. */
export function volumeNameFor(claimUid: string): string {
  return `pvc-${claimUid}`;
}
export function isVolumeName(name: string): boolean {
  return /^pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);
}
