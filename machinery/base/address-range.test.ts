import { expect } from 'chai';
import { addressToNumber, contains, covers, numberToAddress, overlap, parseRange } from './address-range.ts';

describe('address ranges', () => {
  it('parseRange() knows what hosts can have', () => {
    const range = (cidr: string): (string | undefined)[] => {
      const found = parseRange(cidr);
      return found === undefined ? [] : [found.cidr, ...[found.first, found.last].map((one) => numberToAddress(one, found.family))];
    };
    expect(range('10.43.0.0/16')).to.deep.equal(['10.43.0.0/16', '10.43.0.1', '10.43.255.254']);
    expect(range('10.0.0.77/24')).to.deep.equal(['10.0.0.0/24', '10.0.0.1', '10.0.0.254']);
    expect(range('10.0.0.0/28')).to.deep.equal(['10.0.0.0/28', '10.0.0.1', '10.0.0.14']);
    expect(range('fd00::/112')).to.deep.equal(['fd00::/112', 'fd00::1', 'fd00::ffff']);
    for (const bad of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0/8', 'x/8', '10.0.0.0/-1', '10.0.0.0/']) expect(range(bad), bad).to.deep.equal([]);
  });
  it('addresses go to numbers and back in canonical form', () => {
    const canonical = (text: string): string => numberToAddress(addressToNumber(text), text.includes(':') ? 'IPv6' : 'IPv4');
    for (const [text, expected] of [
      ['255.0.1.2', '255.0.1.2'], ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'], ['::', '::'], ['::1', '::1'], ['1::', '1::'],
      ['::ffff:1.2.3.4', '::ffff:102:304'], ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ] as const) expect(canonical(text), text).to.equal(expected);
  });
  it('contains() knows its family', () => {
    const range = parseRange('10.0.0.0/24');
    if (range === undefined) throw new Error('not a range');
    expect(['10.0.0.0', '10.0.0.1', '10.0.0.254', '10.0.0.255', '10.0.1.0', '::a00:1', 'x'].map((one) => contains(range, one))).to.deep.equal([false, true, true, false, false, false, false]);
  });
  it('overlap() and covers() compare networks of one family', () => {
    const compare = (a: string, b: string): [boolean, boolean] | undefined => {
      const [one, two] = [parseRange(a), parseRange(b)];
      return one && two && [overlap(one, two), covers(one, two)];
    };
    for (const [a, b, expected] of [
      ['10.0.0.0/16', '10.0.1.0/24', [true, true]], ['10.0.1.0/24', '10.0.0.0/16', [true, false]], ['10.0.0.0/24', '10.0.0.0/24', [true, true]],
      ['10.0.0.0/24', '10.0.1.0/24', [false, false]], ['0.0.0.0/0', '::/0', [false, false]], ['fd00::/64', 'fd00::/112', [true, true]],
    ] as const) expect(compare(a, b), `${a} ${b}`).to.deep.equal(expected);
  });
});
