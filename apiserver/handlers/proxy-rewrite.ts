// What the proxies change in answers, so that a page behind `…/proxy/` finds its own links: absolute paths in Location headers and
// in HTML get the proxy's path in front. Pages are changed as they stream by. Upstream: apimachinery/pkg/util/proxy/transport.go.
import { Transform } from 'node:stream';
import type { TransformCallback } from 'node:stream';

/** Where the answer came from, as its links see it. */
export interface ProxySite {
  /** The path up to `…/proxy`, percent-encoded. */
  prefix: string;
  /** `host:port` that was connected to, and the Host header of the request. */
  backend: string;
  requested: string;
}

/** One link. What points elsewhere, is relative, or goes through the proxy already stays as it is. */
export function rewriteLink(link: string, site: ProxySite): string {
  const match = /^(?:(https?):)?(?:\/\/([^/?#]*))?(\/[^?#]*)(.*)$/is.exec(link);
  if (!match) return link;
  const [, scheme, host, path = '', rest = ''] = match;
  if (scheme !== undefined && host === undefined) return link;
  if (host !== undefined && host !== '' && host !== site.backend && host !== site.requested) return link;
  // A name the client used goes on working for it; the backend's own address may be out of its reach.
  const origin = host !== undefined && host !== '' && host === site.requested ? `${scheme === undefined ? '' : `${scheme}:`}//${host}` : '';
  return `${origin}${path.startsWith(site.prefix) ? '' : site.prefix}${path}${rest}`;
}

const linkAttributes = new Map<string, ReadonlySet<string>>(Object.entries({
  a: ['href'], applet: ['codebase'], area: ['href'], audio: ['src'], base: ['href'], blockquote: ['cite'], body: ['background'], button: ['formaction'],
  command: ['icon'], del: ['cite'], embed: ['src'], form: ['action'], frame: ['longdesc', 'src'], head: ['profile'], html: ['manifest'],
  iframe: ['longdesc', 'src'], img: ['longdesc', 'src', 'usemap'], input: ['src', 'usemap', 'formaction'], ins: ['cite'], link: ['href'],
  object: ['classid', 'codebase', 'data', 'usemap'], q: ['cite'], script: ['src'], source: ['src'], video: ['poster', 'src'],
}).map(([element, names]) => [element, new Set(names)]));

/** Elements whose content is text, whatever looks like a tag in it. */
const rawText = new Set(['iframe', 'noembed', 'noframes', 'noscript', 'plaintext', 'script', 'style', 'textarea', 'title', 'xmp']);

/** A tag longer than this is passed on unread: what is kept back of a page stays bounded. */
const longestTag = 1 << 16;

function rewriteTag(tag: string, element: string, site: ProxySite): string {
  const names = linkAttributes.get(element);
  if (!names) return tag;
  const head = element.length + 1;
  return tag.slice(0, head) + tag.slice(head).replace(/([^\s"'>/=]+)(\s*=\s*)(?:"([^"]*)"|'([^']*)'|([^\s"'>][^\s>]*))/g, (whole, name: string, equals: string, double?: string, single?: string, bare?: string) => {
    if (!names.has(name.toLowerCase())) return whole;
    const quote = double !== undefined ? '"' : single !== undefined ? '\'' : '';
    return `${name}${equals}${quote}${rewriteLink(double ?? single ?? bare ?? '', site)}${quote}`;
  });
}

/** The index after the tag's `>`, quotes considered; -1 while it has not come. */
function endOfTag(text: string, start: number): number {
  const step = /"[^"]*("|$)|'[^']*('|$)|>/g;
  // A quote counts only where a value may begin: after an equals sign.
  let at = start;
  for (;;) {
    step.lastIndex = at;
    const found = step.exec(text);
    if (!found) return -1;
    if (found[0] === '>') return found.index + 1;
    const quoted = /=\s*$/.test(text.slice(Math.max(start, found.index - 64), found.index));
    if (quoted && found[1] === '' || quoted && found[2] === '') return -1;
    at = quoted ? found.index + found[0].length : found.index + 1;
  }
}

/** Rewrites the links of a page. Bytes are taken one by one, so the page may be in any encoding that has ASCII in it. */
export class LinkRewriter extends Transform {
  readonly #site: ProxySite;
  #kept = '';
  /** The end that is awaited when inside an element of raw text or a comment. */
  #until: { mark: RegExp; longest: number } | undefined;

  constructor(site: ProxySite) {
    super();
    this.#site = site;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#kept += chunk.toString('latin1');
    done(null, Buffer.from(this.#take(), 'latin1'));
  }

  override _flush(done: TransformCallback): void {
    done(null, Buffer.from(this.#kept, 'latin1'));
  }

  /** What can be told by now; the rest is kept. */
  #take(): string {
    const text = this.#kept;
    let out = '';
    let at = 0;
    while (at < text.length) {
      if (this.#until) {
        const { mark, longest } = this.#until;
        const end = text.slice(at).search(mark);
        if (end < 0) {
          const safe = Math.max(at, text.length - longest);
          out += text.slice(at, safe);
          at = safe;
          break;
        }
        out += text.slice(at, at + end);
        at += end;
        this.#until = undefined;
        // The mark itself is read as an end tag, or as the last sign of a comment.
        continue;
      }
      const open = text.indexOf('<', at);
      if (open < 0) {
        out += text.slice(at);
        at = text.length;
        break;
      }
      out += text.slice(at, open);
      at = open;
      if (text.length - at < 4 && '<!--'.startsWith(text.slice(at))) break;
      if (text.startsWith('<!--', at)) {
        // `<!-->` is a whole comment.
        out += '<!';
        at += 2;
        this.#until = { mark: /(?<=--)>/, longest: 2 };
        const end = text.slice(at).search(this.#until.mark);
        if (end < 0) {
          // The dashes before the end may be in what has been passed on already: keep the last two.
          const safe = Math.max(at, text.length - 2);
          out += text.slice(at, safe);
          at = safe;
          break;
        }
        continue;
      }
      const name = /^<([a-z][^\s/>]*)/i.exec(text.slice(at, at + 64))?.[1]?.toLowerCase();
      if (name === undefined && !/^<[!?/]/.test(text.slice(at, at + 2))) {
        out += '<';
        at += 1;
        continue;
      }
      const end = name === undefined ? text.indexOf('>', at) + 1 || -1 : endOfTag(text, at + 1);
      if (end < 0) {
        if (text.length - at < longestTag) break;
        out += '<';
        at += 1;
        continue;
      }
      const tag = text.slice(at, end);
      out += name === undefined ? tag : rewriteTag(tag, name, this.#site);
      at = end;
      if (name !== undefined && rawText.has(name)) this.#until = name === 'plaintext' ? { mark: /(?!)/, longest: 0 } : { mark: new RegExp(`</${name}[\\s/>]`, 'i'), longest: name.length + 2 };
    }
    this.#kept = text.slice(at);
    return out;
  }
}
