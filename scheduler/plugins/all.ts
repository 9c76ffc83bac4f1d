// Every plugin in the order a pod meets it: filters run top to bottom until one rejects, then the scores of those that score are added.
import type { Plugin } from '../plugin.ts';
import type { PluginArgs } from '../plugin-args.ts';
import { dynamicResources } from './dynamic-resources.ts';
import { imageLocality } from './image-locality.ts';
import { createInterPodAffinity, interPodAffinity } from './inter-pod-affinity.ts';
import { createNodeAffinity, nodeAffinity } from './node-affinity.ts';
import { nodeDeclaredFeatures } from './node-declared-features.ts';
import { nodeName } from './node-name.ts';
import { nodePorts } from './node-ports.ts';
import { createNodeResourcesBalancedAllocation, nodeResourcesBalancedAllocation } from './node-resources-balanced-allocation.ts';
import { createNodeResourcesFit, nodeResourcesFit } from './node-resources-fit.ts';
import { nodeVolumeLimits } from './node-volume-limits.ts';
import { nodeUnschedulable } from './node-unschedulable.ts';
import { createPodTopologySpread, podTopologySpread } from './pod-topology-spread.ts';
import { taintToleration } from './taint-toleration.ts';
import { createVolumeBinding, volumeBinding } from './volume-binding.ts';
import { volumeRestrictions } from './volume-restrictions.ts';
import { volumeZone } from './volume-zone.ts';

export const plugins: readonly Plugin[] = [
  nodeUnschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  nodeResourcesFit,
  volumeRestrictions,
  nodeVolumeLimits,
  volumeBinding,
  volumeZone,
  podTopologySpread,
  interPodAffinity,
  dynamicResources,
  nodeResourcesBalancedAllocation,
  imageLocality,
  nodeDeclaredFeatures,
];

/** Those that a profile can give arguments to. */
export const configurable: Readonly<Record<string, (args: PluginArgs) => Plugin>> = {
  InterPodAffinity: (args) => createInterPodAffinity(args.InterPodAffinity),
  NodeAffinity: (args) => createNodeAffinity(args.NodeAffinity),
  NodeResourcesBalancedAllocation: (args) => createNodeResourcesBalancedAllocation(args.NodeResourcesBalancedAllocation),
  NodeResourcesFit: (args) => createNodeResourcesFit(args.NodeResourcesFit),
  PodTopologySpread: (args) => createPodTopologySpread(args.PodTopologySpread),
  VolumeBinding: (args) => createVolumeBinding(args.VolumeBinding),
};
