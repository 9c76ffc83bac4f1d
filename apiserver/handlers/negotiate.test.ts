import { expect } from 'chai';
import { StatusError } from '#machinery/api/status.ts';
import { negotiateAggregated, negotiateInput, negotiateOutput, negotiatePlain, parseAccept, wantsPretty } from './negotiate.ts';

const json = 'application/json';
const yaml = 'application/yaml';
const protobuf = 'application/vnd.kubernetes.protobuf';
const table = ';as=Table;v=v1;g=meta.k8s.io';

function refusal(work: () => unknown): [number, string] {
  try {
    work();
  } catch (error) {
    if (error instanceof StatusError) return [error.status.code, error.message];
    throw error;
  }
  return [0, 'was accepted'];
}

describe('negotiation', () => {
  describe('parseAccept()', () => {
    const cases: [string, string][] = [
      ['text/html, application/json;q=0.8', 'text/html application/json'],
      ['application/json;q=0.3, application/yaml;q=0.9', 'application/yaml application/json'],
      ['*/*, application/json', 'application/json */*'],
      ['application/*, application/yaml', 'application/yaml application/*'],
      ['*', '*/*'],
      ['a/b/c, , nonsense, application/json', 'application/json'],
      ['application/json;q=wrong, application/yaml;q=0.1', 'application/yaml application/json'],
    ];
    for (const [header, order] of cases) {
      it(`reads ${header}`, () => expect(parseAccept(header).map(({ type, subtype }) => `${type}/${subtype}`).join(' ')).to.equal(order));
    }
    it('keeps parameters, but none without a value', () => {
      expect(parseAccept('application/json; as=Table ;v=v1;x;y=1=2;q=0.5')[0]).to.deep.equal({ type: 'application', subtype: 'json', params: { as: 'Table', v: 'v1' }, q: 0.5 });
    });
  });

  describe('negotiateOutput()', () => {
    const accepted: [string, string | undefined, boolean, string][] = [
      ['nothing', undefined, true, json],
      ['anything', '*/*', true, json],
      ['an application', 'application/*', true, json],
      ['YAML', yaml, true, yaml],
      ['protobuf first', `${protobuf},${json}`, true, protobuf],
      ['protobuf of a kind without a message', `${protobuf},${json}`, false, json],
      ['the preferred one', `${json};q=0.5,${yaml}`, true, yaml],
      ['what is unknown first', `text/html, ${json}`, true, json],
      ['a Table', `${json}${table}`, true, `${json} Table v1`],
      ['a Table as YAML', `${yaml}${table}`, true, `${yaml} Table v1`],
      ['a Table as protobuf, else plain', `${protobuf}${table},${json}`, true, json],
      ['metadata of a kind without a message', `${protobuf};as=PartialObjectMetadata;g=meta.k8s.io;v=v1`, false, `${protobuf} PartialObjectMetadata v1`],
      ['an old Table', `${json};as=Table;v=v1beta1;g=meta.k8s.io`, true, `${json} Table v1beta1`],
      ['an unknown Table, else a known one', `${json};as=Table;v=v2;g=meta.k8s.io,${json}${table}`, true, `${json} Table v1`],
      ['the server\'s own version', `${json};sv=v1`, true, json],
      ['CBOR, which is off, else JSON', `application/cbor,${json}`, true, json],
    ];
    for (const [title, accept, hasMessage, result] of accepted) {
      it(`gives ${title}`, () => {
        const { mediaType, transform } = negotiateOutput(accept, false, hasMessage);
        expect(transform ? `${mediaType} ${transform.kind} ${transform.version}` : mediaType).to.equal(result);
      });
    }
    const refused: [string, string, boolean][] = [
      ['text/html', 'text/html', true], ['CBOR', 'application/cbor', true], ['a Table as protobuf', `${protobuf}${table}`, true],
      ['protobuf of a kind without a message', protobuf, false], ['another version of the server', `${json};sv=v2`, true],
      ['an unknown stream', `${json};stream=listen`, true], ['an unknown conversion', `${json};as=Chair;g=meta.k8s.io;v=v1`, true], ['a header of nothing', ' ', true],
    ];
    for (const [title, accept, hasMessage] of refused) {
      it(`refuses ${title}`, () => expect(refusal(() => negotiateOutput(accept, false, hasMessage)))
        .to.deep.equal([406, `only the following media types are accepted: ${json}, ${yaml}, ${protobuf}`]));
    }
    it('gives no watch as YAML, not even as second choice', () => {
      const text = `only the following media types are accepted: ${json};stream=watch, ${protobuf};stream=watch`;
      expect(refusal(() => negotiateOutput(`${yaml},${json}`, true, true))).to.deep.equal([406, text]);
      expect(negotiateOutput(`${json};stream=watch`, true, true).mediaType).to.equal(json);
      expect(negotiateOutput(`${yaml};stream=watch,${json}`, true, true).mediaType).to.equal(json);
    });
    it('hears pretty=1', () => expect(negotiateOutput(`${json};pretty=1`, false).pretty).to.equal(true));
  });

  it('negotiateAggregated() finds the aggregated form wherever it stands, and no removed version', () => {
    const aggregated = ';g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
    expect(negotiateAggregated(`${json},${json}${aggregated};q=0.1`)?.mediaType).to.equal(json);
    expect(negotiateAggregated(`${protobuf}${aggregated}`)?.mediaType).to.equal(protobuf);
    expect(negotiateAggregated(`${json}${aggregated.replace('v2', 'v2beta1')}`)).to.equal(undefined);
    expect(negotiateAggregated(json)).to.equal(undefined);
  });
  it('negotiatePlain() takes no conversion', () => {
    expect(negotiatePlain(`${json}${table},${yaml}`)?.mediaType).to.equal(yaml);
    expect(negotiatePlain(`${json}${table}`)).to.equal(undefined);
  });

  it('negotiateInput() knows three types and tells them of another', () => {
    expect([undefined, json, `${json}; charset=utf-8`, yaml, protobuf].map(negotiateInput)).to.deep.equal(['json', 'json', 'json', 'yaml', 'protobuf']);
    for (const type of ['application/cbor', 'text/plain', 'application/x-www-form-urlencoded']) {
      expect(refusal(() => negotiateInput(type))).to.deep.equal([415, `the body of the request was in an unknown format - accepted media types include: ${json}, ${yaml}, ${protobuf}`]);
    }
  });
  it('wantsPretty() hears the parameter before the program', () => {
    expect(wantsPretty(new URLSearchParams('pretty=true'), undefined)).to.equal(true);
    expect(wantsPretty(new URLSearchParams('pretty=false'), 'curl/8')).to.equal(false);
    expect(wantsPretty(new URLSearchParams('pretty=maybe'), 'curl/8')).to.equal(false);
    expect(wantsPretty(new URLSearchParams(), 'Wget/1')).to.equal(true);
    expect(wantsPretty(new URLSearchParams(), 'kubectl')).to.equal(false);
  });
});
