import { expect } from 'chai';
import { missingCapabilities, missingCapabilitiesMessage } from './capabilities.ts';

const status = (bits: string): string => `Name:\tnode\nCapEff:\t0000000000000000\nCapBnd:\t${bits}\nCapAmb:\t0000000000000000\n`;

describe('missingCapabilities()', () => {
  it('finds none where all are there, or more than we know', () => {
    expect(missingCapabilities(status('0000003fffffffff'))).to.deep.equal([]);
    expect(missingCapabilities(status('000001ffffffffff'))).to.deep.equal([]);
  });
  it('names what is missing from the bounding set', () => {
    expect(missingCapabilities(status('0000003ffeffffff'))).to.deep.equal(['SYS_RESOURCE']);
    expect(missingCapabilities(status('0000003ffefffffe'))).to.deep.equal(['CHOWN', 'SYS_RESOURCE']);
  });
  it('takes nothing from containers when the kernel does not tell', () => expect(missingCapabilities('Name:\tnode\n')).to.deep.equal([]));
});

describe('missingCapabilitiesMessage()', () => {
  it('names each by its full name and what follows from it', () => {
    expect(missingCapabilitiesMessage(['CHOWN'])).to.match(/CAP_CHOWN: containers go without, also privileged ones$/);
    expect(missingCapabilitiesMessage(['SYS_RESOURCE'])).to.match(/CAP_SYS_RESOURCE.*negative score$/);
  });
});
