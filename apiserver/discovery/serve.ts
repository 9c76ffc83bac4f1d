// Answers discovery requests: `/api`, `/apis` and what lies above resources. Documents are made anew only when rows change.
import type { ServerResponse } from 'node:http';
import { StatusError } from '#machinery/api/status.ts';
import type { RequestState } from '../filters/context.ts';
import { negotiateOutput, parseAccept } from '../handlers/negotiate.ts';
import { respond, send } from '../handlers/respond.ts';
import type { ServedResources } from '../handlers/served.ts';
import { aggregated, apiGroup, apiGroupList, apiResourceList, apiVersions } from './documents.ts';
import type { Document } from './documents.ts';

export interface Discovery {
  /** False: the path is not one of discovery's, or not served. */
  serve(context: RequestState, response: ServerResponse): Promise<boolean>;
}

export function createDiscovery(resources: ServedResources, address: () => string): Discovery {
  let generation = -1;
  const documents = new Map<string, Document | Buffer | undefined>();
  function made<T extends Document | Buffer | undefined>(key: string, make: () => T): T {
    if (generation !== resources.generation) {
      documents.clear();
      generation = resources.generation;
    }
    if (!documents.has(key)) {
      if (documents.size > 500) documents.clear();
      documents.set(key, make());
    }
    return documents.get(key) as T; // stored under its own key by its own maker
  }
  const json = (value: object | undefined): Buffer | undefined => value && Buffer.from(JSON.stringify(value));

  return {
    async serve(context, response) {
      const [prefix = '', second, third, ...more] = context.info.path.split('/').filter((part) => part !== '');
      if (more.length > 0) return false;
      let body: Buffer | undefined;
      if (second === undefined) {
        const version = aggregatedVersion(context.request.headers.accept);
        if (version !== undefined) {
          const document = made(`${prefix} ${version}`, () => aggregated(resources, prefix === 'api', version));
          response.setHeader('ETag', document.etag);
          response.setHeader('Vary', 'Accept');
          response.setHeader('Cache-Control', 'public');
          if (context.request.headers['if-none-match'] === document.etag) {
            response.statusCode = 304;
            response.end();
            return true;
          }
          await send(context, response, 200, `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`, [document.body]);
          return true;
        }
        response.setHeader('Vary', 'Accept');
        body = made(prefix, () => json(prefix === 'api' ? apiVersions(address()) : apiGroupList(resources)));
      } else if (prefix === 'api') {
        if (third !== undefined) return false;
        body = made(`api/${second}`, () => json(apiResourceList(resources, '', second)));
      } else if (third === undefined) body = made(`apis/${second}`, () => json(apiGroup(resources, second)));
      else body = made(`apis/${second}/${third}`, () => json(apiResourceList(resources, second, third)));
      if (!body) return false;
      if (context.request.method !== 'GET' && context.request.method !== 'HEAD') throw new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
      await respond(context, response, plainForm(context.request.headers.accept), 200, body);
      return true;
    },
  };
}

/** Which aggregated form the client wants most, if it wants that more than the plain one. */
export function aggregatedVersion(accept: string | undefined): 'v2' | 'v2beta1' | undefined {
  for (const { type, subtype, params } of parseAccept(accept ?? '')) {
    if (type !== 'application' || subtype !== 'json') {
      if (type === '*' || subtype === '*') return undefined;
      continue;
    }
    if (params['as'] === undefined) return undefined;
    if (params['g'] === 'apidiscovery.k8s.io' && params['as'] === 'APIGroupDiscoveryList' && (params['v'] === 'v2' || params['v'] === 'v2beta1')) return params['v'];
  }
  return undefined;
}

function plainForm(accept: string | undefined): ReturnType<typeof negotiateOutput> {
  // What asks for a shape that only objects have gets the plain document, as upstream's fallback does.
  const plain = parseAccept(accept ?? '').filter(({ params }) => params['as'] === undefined).map(({ type, subtype, q }) => `${type}/${subtype};q=${q}`);
  return negotiateOutput(plain.join(',') || undefined, false);
}
