// Cases that upstream's tests of resource.Quantity hold, in our own table, and properties that hold for all of them.
import { expect } from 'chai';
import fc from 'fast-check';
import {
  addQuantities, canonicalQuantity, compareQuantities, formatQuantity, isQuantity, parseQuantity, quantityBytes, quantityMilli,
  quantityOfBytes, quantityToNumber, roundUpToMilli, subtractQuantities,
} from './quantity.ts';

describe('parseQuantity()', () => {
  const canonical: [given: string | number, text: string][] = [
    ['0', '0'], ['0n', '0'], ['0Ki', '0'], ['00', '0'], ['-0', '0'], ['.', '0'], ['-', '0'], ['0e5', '0'],
    ['1', '1'], [1, '1'], [0.5, '500m'], [1.5, '1500m'], ['100m', '100m'], ['0.1', '100m'], ['.5', '500m'], ['1.', '1.'], ['1.G', '1.G'],
    ['1000', '1k'], ['1024', '1024'], ['2000m', '2'], ['1.5', '1500m'], ['1500m', '1500m'], ['5000m', '5'],
    ['1Ki', '1Ki'], ['1024Mi', '1Gi'], ['1536Ki', '1536Ki'], ['1.5Gi', '1536Mi'], ['1024Ki', '1Mi'], ['307200Ki', '300Mi'],
    ['0.5Mi', '512Ki'], ['.001Ki', '1024m'], ['.000001Ki', '1024u'], ['.000000001Ki', '1024n'], ['.000000000001Ki', '2n'],
    ['0.5Ki', '512'], ['1Ei', '1Ei'], ['9Ei', '9223372036854775807'], ['9223372036854775807Ki', '9223372036854775807'],
    ['12E', '12E'], ['1000E', '1000E'], ['9.01', '9010m'], ['-9.01', '-9010m'], ['100.035k', '100.035k'], ['100.0350k', '100035'],
    ['1e3', '1e3'], ['1E6', '1E6'], ['.001e12', '1e9'], ['1000e-12', '1e-9'], ['0.001e0', '1e-3'], ['0.5e0', '500e-3'],
    ['1.3E+6', '1300e3'], ['3.001n', '4n'], ['0.9n', '1n'], ['0.0000000005', '1n'], ['0.00000012345', '124n'],
    ['1080000000n', '1080m'], ['0.001T', '1G'], ['1000M', '1G'], ['50k', '50k'], ['100Ki', '100Ki'], ['1025Mi', '1025Mi'],
    ['1.500', '1.500'], ['1.050', '1.050'], ['0.100', '100m'], ['123456789123456789', '123456789123456789'],
  ];
  for (const [given, text] of canonical) {
    it(`reads ${JSON.stringify(given)} as ${text}`, () => expect(formatQuantity(parseQuantity(given))).to.equal(text));
  }

  const refused: [given: string, error: string][] = [
    ['', 'regular expression'], ['1.1.M', 'regular expression'], ['1+1.0M', 'regular expression'], ['0.1mi', 'suffix'], ['0.1am', 'regular expression'],
    ['aoeu', 'regular expression'], ['.5i', 'suffix'], ['1i', 'suffix'], ['-3.01i', 'suffix'], ['-3.01e-', 'suffix'],
    [' 1', 'regular expression'], ['1 ', 'regular expression'], ['1Kib', 'regular expression'], ['1ki', 'suffix'], ['1e999999999', 'numeric'],
    ['1K', 'suffix'], ['--1', 'suffix'], ['1\n', 'regular expression'],
  ];
  for (const [given, error] of refused) {
    it(`refuses ${JSON.stringify(given)}`, () => {
      expect(() => parseQuantity(given)).to.throw(error);
      expect(isQuantity(given)).to.equal(false);
    });
  }

  it('gives a text back that reads as the same value', () => {
    const suffix = fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'P', 'E', 'Ki', 'Mi', 'Gi', 'Ti', 'e3', 'e-6', 'E2');
    fc.assert(fc.property(fc.integer({ min: -100_000_000, max: 100_000_000 }), fc.nat(9999), suffix, (whole, fraction, unit) => {
      const first = parseQuantity(`${whole}.${fraction}${unit}`);
      const again = parseQuantity(formatQuantity(first));
      expect(again.nanos).to.equal(first.nanos);
    }));
  });
});

describe('canonicalQuantity()', () => {
  it('agrees with parsing and formatting on its short cut', () => {
    fc.assert(fc.property(fc.nat(1100), fc.constantFrom('', 'm', 'k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti'), (n, suffix) => {
      expect(canonicalQuantity(`${n}${suffix}`)).to.equal(formatQuantity(parseQuantity(`${n}${suffix}`)));
    }));
  });
});

describe('quantityMilli(), quantityBytes()', () => {
  const rows: [text: string, milli: number, bytes: number][] = [
    ['1', 1000, 1], ['100m', 100, 1], ['1500m', 1500, 2], ['0.0001', 1, 1], ['2k', 2_000_000, 2000], ['1Ki', 1_024_000, 1024],
    ['1.5Gi', 1_610_612_736_000, 1_610_612_736], ['-1500m', -1500, -2], ['128Mi', 134_217_728_000, 134_217_728], ['1e3', 1_000_000, 1000],
  ];
  for (const [text, milli, bytes] of rows) {
    it(`of ${text}`, () => {
      expect(quantityMilli(text)).to.equal(milli);
      expect(quantityBytes(text)).to.equal(bytes);
      expect(quantityMilli(parseQuantity(text))).to.equal(milli);
      expect(quantityBytes(parseQuantity(text))).to.equal(bytes);
    });
  }
  it('throw on what is no quantity', () => expect(() => quantityMilli('lots')).to.throw('regular expression'));
});

describe('arithmetic of quantities', () => {
  it('addQuantities() keeps the format of the first that is not zero', () => {
    expect(formatQuantity(addQuantities(parseQuantity('1Gi'), parseQuantity('512Mi')))).to.equal('1536Mi');
    expect(formatQuantity(addQuantities(parseQuantity('0'), parseQuantity('1Gi')))).to.equal('1Gi');
    expect(formatQuantity(addQuantities(parseQuantity('100m'), parseQuantity('0.9')))).to.equal('1');
  });
  it('subtractQuantities() goes below zero', () => {
    expect(formatQuantity(subtractQuantities(parseQuantity('1'), parseQuantity('1500m')))).to.equal('-500m');
  });
  it('compareQuantities() looks at values, not texts', () => {
    expect(compareQuantities(parseQuantity('1000m'), parseQuantity('1'))).to.equal(0);
    expect(compareQuantities(parseQuantity('10000T'), parseQuantity('100Gi'))).to.equal(1);
    expect(compareQuantities(parseQuantity('50m'), parseQuantity('100m'))).to.equal(-1);
  });
  it('quantityToNumber() keeps fractions', () => expect(quantityToNumber('1.25')).to.equal(1.25));
  it('quantityOfBytes() prints binary', () => expect(formatQuantity(quantityOfBytes(2 * 1024 ** 3))).to.equal('2Gi'));
  it('roundUpToMilli() rounds away from zero', () => {
    expect(formatQuantity(roundUpToMilli(parseQuantity('1n')))).to.equal('1m');
    expect(formatQuantity(roundUpToMilli(parseQuantity('2500u')))).to.equal('3m');
  });
});
