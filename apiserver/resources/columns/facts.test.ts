// Column definitions of every kind against the table of upstream's, where that is at hand; a few of them always.
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { builtinRows } from '../registry.ts';

const file = new URL('../../../../shared/facts/printer-columns.json', import.meta.url);
interface Column { name: string; type: string; format?: string; priority: number }
interface Kind { default?: boolean; columns: Column[] }
const show = ({ name, type, format = '', priority }: Column): string => [name, type, format, priority].join(' ').replaceAll('  ', ' ');

function columnsOf(key: string): string[] | undefined {
  const row = builtinRows().find((one) => `${one.group === '' ? 'core' : one.group}/${one.version}/${one.kind}` === key);
  return row && (row.strategy.columns ?? []).map(show);
}

describe('columns', () => {
  it('of a few kinds are those of upstream', () => {
    expect(columnsOf('batch/v1/Job')).to.deep.equal(['Name string name 0', 'Status string 0', 'Completions string 0', 'Duration string 0', 'Age string 0', 'Containers string 1', 'Images string 1', 'Selector string 1']);
    expect(columnsOf('storage.k8s.io/v1/VolumeAttachment')).to.deep.equal(['Name string name 0', 'Attacher string name 0', 'PV string 0', 'Node string 0', 'Attached boolean 0', 'Age string 0']);
    expect(columnsOf('rbac.authorization.k8s.io/v1/Role')).to.deep.equal([]);
  });

  const title = 'of every kind are those of upstream';
  if (!existsSync(file)) it.skip(`${title} (skipped: no table of upstream's columns beside the project)`);
  else it(title, () => {
    const { kinds } = JSON.parse(readFileSync(file, 'utf8')) as { kinds: Record<string, Kind> };
    let compared = 0;
    for (const [key, kind] of Object.entries(kinds)) {
      const ours = columnsOf(key);
      if (ours === undefined) continue; // not served
      expect(ours, key).to.deep.equal(kind.default ? [] : kind.columns.map(show));
      compared += 1;
    }
    expect(compared).to.be.greaterThan(50);
  });
});
