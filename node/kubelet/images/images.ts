// Having an image: pull policy, one pull at a time, back-off per pod and image, and the reasons a container status shows.
import type { Container, Pod } from '#machinery/api/object.ts';
import type { ImageInfo, RegistryCredentials, Runtime } from '../runtime/runtime.ts';

/** `reason` is the waiting reason. */
export class ImageError extends Error {
  override name = 'ImageError';
  readonly reason: string;
  /** When the next try makes sense. */
  readonly retryAtMs: number | undefined;
  constructor(reason: string, message: string, retryAtMs?: number) {
    super(message);
    this.reason = reason;
    this.retryAtMs = retryAtMs;
  }
}

/** `name` with `:latest` where neither tag nor digest is given; throws on a name that cannot be one. */
export function withDefaultTag(image: string): string {
  const match = /^(?<path>(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d+)?\/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)(?<tag>:[\w][\w.-]{0,127})?(?<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$/.exec(image);
  if (!match?.groups) {
    const upper = /[A-Z]/.test(image.split('/').at(-1)?.split(/[:@]/)[0] ?? '');
    throw new Error(`couldn't parse image name "${image}": invalid reference format${upper ? ': repository name must be lowercase' : ''}`);
  }
  return match.groups.tag === undefined && match.groups.digest === undefined ? `${image}:latest` : image;
}

export interface Images {
  ensure(pod: Pod, container: Container, credentials: (image: string) => Promise<RegistryCredentials[]>, event: (type: 'Normal' | 'Warning', reason: string, message: string) => void, signal: AbortSignal): Promise<ImageInfo>;
}

const seconds = (ms: number): string => (ms < 1000 ? `${ms}ms` : ms < 60_000 ? `${ms / 1000}s` : `${Math.floor(ms / 60_000)}m${(ms % 60_000) / 1000}s`);

export function createImages(runtime: Runtime, now: () => number = Date.now): Images {
  const failures = new Map<string, { atMs: number; waitMs: number; text: string }>();
  let queue: Promise<unknown> = Promise.resolve();
  return {
    async ensure(pod, container, credentials, event, signal) {
      const written = container.image ?? '';
      let image: string;
      try {
        image = withDefaultTag(written);
      } catch (error) {
        const message = `Failed to apply default image tag "${written}": ${(error as Error).message}`;
        event('Warning', 'InspectFailed', message);
        throw new ImageError('InvalidImageName', message);
      }
      const policy = container.imagePullPolicy ?? (image.endsWith(':latest') ? 'Always' : 'IfNotPresent');
      if (policy !== 'Always') {
        let present: ImageInfo | undefined;
        try {
          present = await runtime.imageInfo(image, signal);
        } catch (error) {
          const message = `Failed to inspect image "${image}": ${(error as Error).message}`;
          event('Warning', 'InspectFailed', message);
          throw new ImageError('ImageInspectError', message);
        }
        if (present) {
          event('Normal', 'Pulled', `Container image "${written}" already present on machine and can be accessed by the pod`);
          return present;
        }
        if (policy === 'Never') {
          const message = `Container image "${written}" is not present with pull policy of Never`;
          event('Warning', 'ErrImageNeverPull', message);
          throw new ImageError('ErrImageNeverPull', message);
        }
      }
      const key = `${pod.metadata.uid}_${written}`;
      const failure = failures.get(key);
      if (failure && now() - failure.atMs < failure.waitMs) {
        const message = `Back-off pulling image "${written}"`;
        event('Normal', 'BackOff', message);
        throw new ImageError('ImagePullBackOff', `${message}: ${failure.text}`, failure.atMs + failure.waitMs);
      }
      event('Normal', 'Pulling', `Pulling image "${written}"`);
      const startedMs = now();
      let pullingMs = startedMs;
      const pull = queue.then(async () => {
        pullingMs = now();
        const offers = [...await credentials(image), undefined];
        let last: unknown;
        for (const offer of offers) {
          try {
            await runtime.pullImage(image, offer, signal);
            return;
          } catch (error) {
            last = error;
            signal.throwIfAborted();
          }
        }
        throw last;
      });
      queue = pull.catch(() => undefined); // one at a time, whatever became of the one before
      try {
        await pull;
        const info = await runtime.imageInfo(image, signal);
        if (!info) throw new Error(`image ${image} was pulled but is not there`);
        failures.delete(key);
        event('Normal', 'Pulled', `Successfully pulled image "${written}" in ${seconds(now() - pullingMs)} (${seconds(now() - startedMs)} including waiting). Image size: ${info.sizeBytes} bytes.`);
        return info;
      } catch (error) {
        signal.throwIfAborted();
        const text = error instanceof Error ? error.message : String(error);
        event('Warning', 'Failed', `Failed to pull image "${written}": ${text}`);
        const before = failures.get(key);
        const fresh = !before || now() - before.atMs > 600_000;
        if (failures.size > 1000) failures.clear();
        const waitMs = fresh ? 10_000 : Math.min(300_000, before.waitMs * 2);
        failures.set(key, { atMs: now(), waitMs, text: `ErrImagePull: ${text}` });
        // Long before the back-off ends another try only changes the reason, as upstream does at its next sync.
        throw new ImageError('ErrImagePull', text, now() + Math.min(waitMs, 10_000) + 1);
      }
    },
  };
}
