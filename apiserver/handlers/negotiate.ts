// Which form the answer takes: the Accept header against what is served. Rules: apiserver's endpoints/handlers/negotiation.
import { notAcceptable, unsupportedMediaType } from '#machinery/api/status.ts';

export interface Transform { kind: 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList'; version: 'v1' | 'v1beta1' }
export interface OutputForm {
  mediaType: (typeof bodies)[number];
  pretty: boolean;
  transform: Transform | undefined;
}
export interface Clause { type: string; subtype: string; params: Record<string, string>; q: number }

/** Clauses by falling q, otherwise in the order given. Parts that make no sense are passed over, as upstream does. */
export function parseAccept(header: string): Clause[] {
  const clauses: Clause[] = [];
  for (const part of header.split(',')) {
    const [range = '', ...rest] = part.trim().split(';');
    const [type = '', subtype = ''] = range.trim().split('/');
    if (type === '' || (subtype === '' && type !== '*')) continue;
    const clause: Clause = { type, subtype: subtype === '' ? '*' : subtype, params: {}, q: 1 };
    for (const param of rest) {
      const at = param.indexOf('=');
      const [name, value] = at < 0 ? [param.trim(), ''] : [param.slice(0, at).trim(), param.slice(at + 1).trim().replace(/^"(.*)"$/, '$1')];
      if (name === 'q') clause.q = Number.isNaN(Number(value)) ? 1 : Number(value);
      else clause.params[name] = value;
    }
    clauses.push(clause);
  }
  return clauses.sort((a, b) => b.q - a.q);
}

export const protobufType = 'application/vnd.kubernetes.protobuf';
const bodies = ['application/json', 'application/yaml', protobufType] as const;
const streams = ['application/json', protobufType] as const;
const known = new Map<string, OutputForm | undefined>();

/** Throws 406. `stream`: a watch, which does not come as YAML. `protobuf`: the kind has a message; without one only its metadata comes as protobuf. */
export function negotiateOutput(accept: string | undefined, stream: boolean, protobuf = false): OutputForm {
  const key = `${stream ? 'watch' : 'object'} ${protobuf ? 'protobuf' : ''} ${accept ?? ''}`;
  let form = known.get(key);
  if (form === undefined && !known.has(key)) {
    form = choose(accept ?? '', stream, protobuf);
    if (known.size < 500) known.set(key, form);
  }
  if (!form) {
    const accepted = (stream ? streams : bodies).filter((type) => protobuf || type !== protobufType).map((type) => (stream ? `${type};stream=watch` : type));
    throw notAcceptable(`only the following media types are accepted: ${accepted.join(', ')}`);
  }
  return form;
}

/** Whether it is worth looking for the kind's message at all. */
export function namesProtobuf(accept: string | undefined): boolean {
  return accept !== undefined && accept.includes(protobufType);
}

function choose(accept: string, stream: boolean, protobuf: boolean): OutputForm | undefined {
  if (accept.trim() === '') return { mediaType: 'application/json', pretty: false, transform: undefined };
  for (const clause of parseAccept(accept)) {
    for (const mediaType of stream ? streams : bodies) {
      const [type, subtype] = mediaType.split('/');
      if (!(clause.type === type && (clause.subtype === subtype || clause.subtype === '*')) && !(clause.type === '*' && clause.subtype === '*')) continue;
      const { as, g, v, stream: streaming, sv, pretty } = clause.params;
      if (streaming !== undefined && streaming !== '' && streaming !== 'watch') continue;
      if (sv !== undefined && sv !== '') continue;
      if (as === undefined && g === undefined && v === undefined) {
        if (mediaType === protobufType && !protobuf) continue;
        return { mediaType, pretty: pretty === '1', transform: undefined };
      }
      if (g !== 'meta.k8s.io' || (v !== 'v1' && v !== 'v1beta1')) continue;
      if (as === 'Table' && mediaType === protobufType) continue; // its cells have no message
      if (as === 'Table' || as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return { mediaType, pretty: pretty === '1', transform: { kind: as, version: v } };
    }
  }
  return undefined;
}

export type BodyFormat = 'json' | 'yaml' | 'protobuf';

/** The body's media type; throws 415. */
export function negotiateInput(contentType: string | undefined): BodyFormat {
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === '' || type === 'application/json') return 'json';
  if (type === 'application/yaml') return 'yaml';
  if (type === protobufType) return 'protobuf';
  throw unsupportedBody(bodies);
}

export function unsupportedBody(accepted: readonly string[]): Error {
  return unsupportedMediaType(`the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`);
}

/** Asked for by parameter, or by the kind of program that people read from. */
export function wantsPretty(query: URLSearchParams, userAgent: string | undefined): boolean {
  const given = query.get('pretty');
  if (given !== null && given !== '') return given === 'true' || given === '1' || given === 't' || given === 'T' || given === 'TRUE' || given === 'True';
  return userAgent !== undefined && /^(curl|Wget|Mozilla\/5\.0)/.test(userAgent);
}
