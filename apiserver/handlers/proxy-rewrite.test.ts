// Links of proxied pages: which are changed, and that it does not matter where the chunks of a page end.
import { expect } from 'chai';
import { LinkRewriter, rewriteLink } from './proxy-rewrite.ts';

const site = { prefix: '/api/v1/namespaces/n/pods/p:80/proxy', backend: '10.0.0.1:80', requested: 'localhost:8001' };

async function page(text: string, size: number): Promise<string> {
  const rewriter = new LinkRewriter(site);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) rewriter.write(bytes.subarray(at, at + size));
  rewriter.end();
  let out = Buffer.alloc(0);
  for await (const chunk of rewriter) out = Buffer.concat([out, chunk as Buffer]);
  return out.toString();
}

describe('links behind a proxy', () => {
  it('absolute paths of the same site get the proxy\'s path in front', () => {
    for (const [link, expected] of [
      ['/', `${site.prefix}/`],
      ['/a/b/?q=/x#f', `${site.prefix}/a/b/?q=/x#f`],
      [`${site.prefix}/a`, `${site.prefix}/a`],
      ['http://10.0.0.1:80/a', `${site.prefix}/a`],
      ['//10.0.0.1:80/a', `${site.prefix}/a`],
      ['http://localhost:8001/a', `http://localhost:8001${site.prefix}/a`],
      [`http://localhost:8001${site.prefix}/a`, `http://localhost:8001${site.prefix}/a`],
    ]) expect(rewriteLink(link ?? '', site), link).to.equal(expected);
  });
  it('other hosts, relative links and other schemes stay', () => {
    for (const link of ['', '#f', '?q', 'a/b', '../a', 'http://example.com/a', '//example.com/a', 'http://10.0.0.1:81/a', 'http://10.0.0.1:80', 'http://u@10.0.0.1:80/a', 'mailto:a@b', 'data:/x', 'javascript:/x/.test(1)']) {
      expect(rewriteLink(link, site), link).to.equal(link);
    }
  });

  const p = site.prefix;
  const pages: [string, string, string][] = [
    ['quotes of all kinds', '<a href="/x">é</a><A class=b HREF=\'/x\'>t</A><img alt="a>b" src=/i.png>', `<a href="${p}/x">é</a><A class=b HREF='${p}/x'>t</A><img alt="a>b" src=${p}/i.png>`],
    ['attributes that are no links', '<a title="/x" data-href="/y">href="/z"</a><p href="/x">', '<a title="/x" data-href="/y">href="/z"</a><p href="/x">'],
    ['scripts and styles', '<script src="/s.js">let a = \'<a href="/x">\';</script><a href="/y">', `<script src="${p}/s.js">let a = '<a href="/x">';</script><a href="${p}/y">`],
    ['comments', '<!-- <a href="/x"> --><a href="/y"><!--><a href="/z">', `<!-- <a href="/x"> --><a href="${p}/y"><!--><a href="${p}/z">`],
    ['doctype and lonely signs', '<!DOCTYPE html>1 < 2 <3 </a ><a href="/y">', `<!DOCTYPE html>1 < 2 <3 </a ><a href="${p}/y">`],
    ['a page that breaks off', 'x<a href="/y', 'x<a href="/y'],
    ['a quote that opens no value', '<a " href="/y">z</a>', `<a " href="${p}/y">z</a>`],
    ['plaintext to the end', '<plaintext><a href="/x">', '<plaintext><a href="/x">'],
  ];
  for (const [name, text, expected] of pages) {
    it(`pages: ${name}`, async () => {
      for (const size of [1, 2, 3, 7, 10_000]) expect(await page(text, size), `chunks of ${size}`).to.equal(expected);
    });
  }
});
