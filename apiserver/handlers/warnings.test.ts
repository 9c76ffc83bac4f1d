import { expect } from 'chai';
import { writeWarnings } from './warnings.ts';

function headersOf(warnings: string[]): string[] {
  const headers: string[] = [];
  writeWarnings({ setHeader: (_name: string, value: unknown) => headers.push(...value as string[]) } as unknown as Parameters<typeof writeWarnings>[0], warnings);
  return headers;
}

describe('writeWarnings()', () => {
  it('quotes what needs it and drops what no header can carry', () => expect(headersOf(['a "b" \\', 'x\ny'])).to.deep.equal(['299 - "a \\"b\\" \\\\"', '299 - "xy"']));
  it('says nothing without warnings', () => expect(headersOf([])).to.deep.equal([]));
  it('keeps long texts as long as all fit', () => expect(headersOf(['a'.repeat(4096)])[0]).to.have.length(4096 + 8));
  it('shortens all of them when together they are too long', () => {
    expect(headersOf(['a'.repeat(4000), 'b'.repeat(97)])).to.deep.equal([`299 - "${'a'.repeat(256)}"`, `299 - "${'b'.repeat(97)}"`]);
  });
  it('stops where even the shortened ones are too long', () => expect(headersOf(Array.from({ length: 40 }, (_, at) => `${at}${'x'.repeat(1000)}`))).to.have.length(16));
});
