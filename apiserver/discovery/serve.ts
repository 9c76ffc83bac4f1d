// Answers discovery requests: `/api`, `/apis` and what lies above resources. Documents are made anew only when rows change.
import type { ServerResponse } from 'node:http';
import { StatusError } from '#machinery/api/status.ts';
import type { RequestState } from '../filters/context.ts';
import { negotiateAggregated, negotiatePlain, unacceptable } from '../handlers/negotiate.ts';
import { respond } from '../handlers/respond.ts';
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
        const aggregatedForm = negotiateAggregated(context.request.headers.accept);
        if (aggregatedForm) {
          const document = made(`${prefix} aggregated`, () => aggregated(resources, prefix === 'api'));
          response.setHeader('ETag', document.etag);
          response.setHeader('Vary', 'Accept');
          response.setHeader('Cache-Control', 'public');
          if (context.request.headers['if-none-match'] === document.etag) {
            response.statusCode = 304;
            response.end();
            return true;
          }
          await respond(context, response, aggregatedForm, 200, document.body, ';g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList');
          return true;
        }
        body = made(prefix, () => json(prefix === 'api' ? apiVersions(address()) : apiGroupList(resources)));
      } else if (prefix === 'api') {
        if (third !== undefined) return false;
        body = made(`api/${second}`, () => json(apiResourceList(resources, '', second)));
      } else if (third === undefined) body = made(`apis/${second}`, () => json(apiGroup(resources, second)));
      else body = made(`apis/${second}/${third}`, () => json(apiResourceList(resources, second, third)));
      if (!body) return false;
      if (context.request.method !== 'GET' && context.request.method !== 'HEAD') throw new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
      const form = negotiatePlain(context.request.headers.accept);
      if (!form) throw unacceptable();
      await respond(context, response, form, 200, body);
      return true;
    },
  };
}
