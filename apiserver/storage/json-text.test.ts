import { expect } from 'chai';
import fc from 'fast-check';
import { endOfValue, metadataText } from './json-text.ts';

describe('parts of ready-made JSON', () => {
  it('metadata is found as it stands, whatever is in it', () => {
    fc.assert(fc.property(fc.string(), fc.string(), fc.dictionary(fc.string(), fc.json().map((text): unknown => JSON.parse(text))), fc.jsonValue(), (kind, apiVersion, metadata, spec) => {
      fc.pre(JSON.stringify(kind + apiVersion).length === kind.length + apiVersion.length + 2); // names of kinds need no escapes
      const object = { kind, apiVersion, metadata, spec };
      expect(JSON.parse(metadataText(object, Buffer.from(JSON.stringify(object))) ?? 'null')).to.deep.equal(JSON.parse(JSON.stringify(metadata)));
    }), { numRuns: 300 });
  });
  it('is not found where something else comes first', () => {
    const object = { kind: 'Pod', apiVersion: 'v1', spec: { metadata: { name: 'inner' } }, metadata: { name: 'a' } };
    expect(metadataText(object, Buffer.from(JSON.stringify(object)))).to.equal(undefined);
    expect(metadataText(object, Buffer.from('{}'))).to.equal(undefined);
  });
  it('quotes and braces in strings end nothing', () => {
    const text = '{"a":"}\\"]","b":[{"c":"\\\\"}]},"next":1}';
    expect(text.slice(0, endOfValue(Buffer.from(text), 0))).to.equal('{"a":"}\\"]","b":[{"c":"\\\\"}]}');
    expect(() => endOfValue(Buffer.from('{"a":['), 0)).to.throw('in the middle');
  });
});
