// Joins the field manager to what is served: the tracked kind of a request, and who the request says it is.
import type { IncomingMessage } from 'node:http';
import type { KubeObject } from '#machinery/api/object.ts';
import { parseApiVersion } from '#machinery/api/object.ts';
import type { Schema } from '#machinery/schema/schema.ts';
import type { Served, ServedResources } from '../handlers/served.ts';
import { deducedAtom } from './atom.ts';
import type { Atom } from './atom.ts';
import { atomOf } from './builtin.ts';
import type { TrackedKind } from './field-manager.ts';
import { resetFilter } from './reset-fields.ts';
import { copyJson } from '../patch/json-value.ts';

const kinds = new WeakMap<Served, Map<string, TrackedKind>>();

/** Made once a resource and subresource. */
export function trackedKind(served: Served, subresource: string, resources: ServedResources, schema: Schema): TrackedKind {
  let bySubresource = kinds.get(served);
  if (!bySubresource) kinds.set(served, bySubresource = new Map());
  let kind = bySubresource.get(subresource);
  if (!kind) {
    const atomOfServed = ({ row }: Served): Atom => {
      const type = schema.typeFor(row.group, row.version, row.kind);
      return type ? atomOf(type) : deducedAtom;
    };
    kind = {
      apiVersion: served.apiVersion, kind: served.row.kind, subresource, atom: atomOfServed(served), reset: resetFilter(served.id, subresource),
      inVersion(object, apiVersion) {
        const find = (name: string): Served | undefined => {
          const { group, version } = parseApiVersion(name);
          const found = resources.find(group, version, served.row.resource);
          return found?.stored && found.stored.prefix === served.stored?.prefix ? found : undefined;
        };
        const [from, other] = [find(object.apiVersion ?? served.apiVersion), find(apiVersion)];
        if (!from || !other) return undefined;
        if (other === from) return { object, atom: atomOfServed(other) };
        const converted = other.fromStored(from.toStored(copyJson(object) as KubeObject)); // converters may work in place
        other.row.strategy.default?.(converted);
        return { object: converted, atom: atomOfServed(other) };
      },
    };
    bySubresource.set(subresource, kind);
  }
  return kind;
}

const maxNameBytes = 128;

/** The name a request gives, else its program: what the user agent says before the first slash. */
export function managerOf(fieldManager: string, request: IncomingMessage): string {
  if (fieldManager !== '') return fieldManager;
  let name = '';
  let bytes = 0;
  for (const character of (request.headers['user-agent'] ?? '').split('/', 1)[0] ?? '') {
    if (!printable.test(character)) continue;
    bytes += Buffer.byteLength(character);
    if (bytes > maxNameBytes) break;
    name += character;
  }
  return name;
}
/** Go's unicode.IsPrint. */
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
