// Prefers nodes that hold the pod's images already, less so the rarer an image is.
import type { Plugin } from '../plugin.ts';

const mb = 1024 * 1024;
const minBytes = 23 * mb;
const maxBytesPerContainer = 1000 * mb;

function normalized(image: string): string {
  return image.lastIndexOf(':') <= image.lastIndexOf('/') ? `${image}:latest` : image;
}

export const imageLocality: Plugin = {
  name: 'ImageLocality',
  weight: 1,
  wakes: [],
  prepareScore({ pod: { spec } }, { snapshot }) {
    const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
    const images: string[] = [];
    for (const container of containers) if (container.image) images.push(normalized(container.image));
    for (const volume of spec?.volumes ?? []) if (volume.image?.reference) images.push(normalized(volume.image.reference));
    const present = images.filter((image) => snapshot.imageNodes(image) > 0);
    if (present.length === 0) return undefined;
    const shares = present.map((image) => snapshot.imageNodes(image) / snapshot.size);
    const maxBytes = maxBytesPerContainer * containers.length;
    return {
      score(node) {
        let sum = 0;
        for (let i = 0; i < present.length; i += 1) sum += Math.trunc((node.images.get(present[i] ?? '') ?? 0) * (shares[i] ?? 0));
        return Math.trunc((100 * (Math.min(maxBytes, Math.max(minBytes, sum)) - minBytes)) / (maxBytes - minBytes));
      },
    };
  },
};
