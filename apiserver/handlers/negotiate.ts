// Which form the answer takes: the Accept header against what is served. Rules: apiserver's endpoints/handlers/negotiation.
import { notAcceptable, unsupportedMediaType } from '#machinery/api/status.ts';

export interface Transform { kind: 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList'; version: 'v1' | 'v1beta1' }
export interface OutputForm {
  mediaType: (typeof bodies)[number];
  pretty: boolean;
  transform: Transform | undefined;
}
export interface Clause { type: string; subtype: string; params: Record<string, string>; q: number }

/** Clauses in the order of preference. Parts that make no sense are passed over, and values stay quoted, as in upstream's goautoneg. */
export function parseAccept(header: string): Clause[] {
  const clauses: Clause[] = [];
  for (const part of header.split(',')) {
    const [range = '', ...rest] = part.trim().split(';');
    const [type = '', subtype = '', ...more] = range.split('/').map((text) => text.trim());
    if (more.length > 0 || (subtype === '' && type !== '*')) continue;
    const clause: Clause = { type, subtype: subtype === '' ? '*' : subtype, params: {}, q: 1 };
    for (const param of rest) {
      const [name = '', value = '', ...tail] = param.split('=');
      if (value === '' || tail.length > 0) continue;
      if (name.trim() === 'q') clause.q = Number(value) || 0;
      else clause.params[name.trim()] = value.trim();
    }
    // What is preferred is no order in the strict sense, so the way of sorting matters.
    let at = clauses.length;
    for (; at > 0; at -= 1) {
      const before = clauses[at - 1];
      if (!before || !isPreferred(clause, before)) break;
    }
    clauses.splice(at, 0, clause);
  }
  return clauses;
}

function isPreferred(one: Clause, other: Clause): boolean {
  return one.q > other.q || (one.type !== '*' && other.type === '*') || (one.subtype !== '*' && other.subtype === '*');
}

export const protobufType = 'application/vnd.kubernetes.protobuf';
const bodies = ['application/json', 'application/yaml', protobufType] as const;
const streams = ['application/json', protobufType] as const;
type MediaType = (typeof bodies)[number];

/** What `as`, `g` and `v` of a clause ask the answer to be turned into. */
interface Conversion { kind: string; group: string; version: string }
interface Choice { mediaType: MediaType; pretty: boolean; conversion: Conversion | undefined }

/** The first clause and type that are allowed. `serverVersion`: what `sv` may say. */
function choose(accept: string, allows: (mediaType: MediaType, conversion: Conversion | undefined) => boolean, serverVersion = ''): Choice | undefined {
  for (const { type, subtype, params } of parseAccept(accept)) {
    for (const mediaType of bodies) {
      const [ownType, ownSubtype] = mediaType.split('/');
      if (!(type === ownType && (subtype === ownSubtype || subtype === '*')) && !(type === '*' && subtype === '*')) continue;
      const { as, g, v, stream, sv, pretty } = params;
      if (stream && (stream !== 'watch' || mediaType === 'application/yaml')) continue;
      if (sv && sv !== serverVersion) continue;
      const conversion = as === undefined && g === undefined && v === undefined ? undefined : { kind: as ?? '', group: g ?? '', version: v ?? '' };
      if (allows(mediaType, conversion)) return { mediaType, pretty: pretty === '1', conversion };
    }
  }
  return undefined;
}

const json: OutputForm = { mediaType: 'application/json', pretty: false, transform: undefined };
const known = new Map<string, OutputForm | undefined>();

/** Answers that follow from the header alone are found once. */
function remembered(key: string, find: () => OutputForm | undefined): OutputForm | undefined {
  let form = known.get(key);
  if (form === undefined && !known.has(key)) {
    form = find();
    if (known.size < 500) known.set(key, form);
  }
  return form;
}

/** Throws 406. `stream`: a watch, which does not come as YAML. `protobuf`: the kind has a message; without one only its metadata comes as protobuf. */
export function negotiateOutput(accept: string | undefined, stream: boolean, protobuf = false): OutputForm {
  if (accept === undefined || accept === '') return json;
  const form = remembered(`${protobuf ? 'protobuf' : 'object'} ${accept}`, () => {
    const choice = choose(accept, (mediaType, conversion) => conversion ? transformOf(mediaType, conversion) !== undefined : protobuf || mediaType !== protobufType, 'v1');
    return choice && { mediaType: choice.mediaType, pretty: choice.pretty, transform: choice.conversion && transformOf(choice.mediaType, choice.conversion) };
  });
  if (!form || (stream && form.mediaType === 'application/yaml')) throw unacceptable(stream);
  return form;
}

function transformOf(mediaType: MediaType, { kind, group, version }: Conversion): Transform | undefined {
  if (group !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) return undefined;
  if (kind === 'Table') return mediaType === protobufType ? undefined : { kind, version }; // its cells have no message
  return kind === 'PartialObjectMetadata' || kind === 'PartialObjectMetadataList' ? { kind, version } : undefined;
}

/** For what comes in one shape only: discovery, a Status. Undefined: no form is agreed on. */
export function negotiatePlain(accept: string | undefined): OutputForm | undefined {
  if (accept === undefined || accept === '') return json;
  return remembered(`plain ${accept}`, () => {
    const choice = choose(accept, (_mediaType, conversion) => conversion === undefined);
    return choice && { mediaType: choice.mediaType, pretty: choice.pretty, transform: undefined };
  });
}

/** The form of aggregated discovery, if any clause asks for it: it is preferred to the plain one whatever their order. */
export function negotiateAggregated(accept: string | undefined): OutputForm | undefined {
  if (!accept?.includes('APIGroupDiscoveryList')) return undefined;
  return remembered(`aggregated ${accept}`, () => {
    const choice = choose(accept, (_mediaType, conversion) => conversion?.kind === 'APIGroupDiscoveryList' && conversion.group === 'apidiscovery.k8s.io' && conversion.version === 'v2');
    return choice && { mediaType: choice.mediaType, pretty: choice.pretty, transform: undefined };
  });
}

export function unacceptable(stream = false): Error {
  return notAcceptable(`only the following media types are accepted: ${(stream ? streams.map((type) => `${type};stream=watch`) : bodies).join(', ')}`);
}

/** Whether it is worth looking for the kind's message at all. */
export function namesProtobuf(accept: string | undefined): boolean {
  return accept !== undefined && accept.includes(protobufType);
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
