import { expect } from 'chai';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { layers, reserved, typesOnly } from './layers.ts';

const root = normalize(join(import.meta.dirname, '..'));
const skip = /^(node_modules|dist)\//;
const files = globSync('**/*.ts', { cwd: root, exclude: (name) => name === 'node_modules' || name === 'dist' }).filter((f) => !skip.test(f));

function layerOf(path: string): string | undefined {
  const parts = path.split('/');
  for (let n = parts.length; n > 0; n--) {
    const folder = parts.slice(0, n).join('/');
    if (folder in layers) return folder;
  }
  return undefined;
}
const under = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

function imports(file: string): { specifier: string; typeOnly: boolean }[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found: { specifier: string; typeOnly: boolean }[] = [];
  for (const match of text.matchAll(/^\s*(import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)) {
    found.push({ specifier: match[3] ?? '', typeOnly: match[2] !== undefined });
  }
  for (const match of text.matchAll(/\bimport\('([^']+)'\)/g)) found.push({ specifier: match[1] ?? '', typeOnly: false });
  return found;
}

/** What an import line breaks, or undefined. */
export function complaint(file: string, specifier: string, typeOnly: boolean): string | undefined {
  const from = layerOf(file);
  const within = (places: readonly string[] | undefined): boolean => places === undefined || places.some((place) => under(file, place));
  if (specifier.startsWith('.') || specifier.startsWith('#machinery/')) {
    const target = specifier.startsWith('#') ? specifier.slice(1) : relative(root, join(root, dirname(file), specifier));
    if (!/\.(ts|json)$/.test(target)) return `${specifier} has no .ts ending`;
    const to = layerOf(target);
    if (from === to || to === undefined) {
      if (specifier.startsWith('#')) return `${specifier} is the same folder: import it by relative path`;
    } else if (from !== undefined && !layers[from]?.some((folder) => under(to, folder))) return `${from} may not import ${to}`;
    else if (!specifier.startsWith('#') && under(to, 'machinery') && !under(from ?? '', 'machinery')) return `write #${target}`;
    if (target.startsWith('machinery/') && /\/_[^/]*$/.test(target) && dirname(target) !== dirname(file)) return `${specifier} is private to its folder`;
    return undefined;
  }
  const test = file.endsWith('.test.ts') || file.endsWith('suite.ts');
  if (from === 'machinery/base' && !specifier.startsWith('node:') && !test) return 'machinery/base imports only node:';
  const name = specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : specifier.split('/')[0] ?? '';
  if (!typeOnly && !within(typesOnly[name])) return `${name} is for types only here`;
  if (!typeOnly && !test && !within(reserved[name])) return `${name} is loaded only by ${reserved[name]?.join(', ')}`;
  return undefined;
}

describe('layers', () => {
  it('every import line keeps to the table', () => {
    const broken = files.flatMap((file) =>
      imports(file).flatMap(({ specifier, typeOnly }) => {
        const why = complaint(file, specifier, typeOnly);
        return why === undefined ? [] : [`${file}: ${specifier}: ${why}`];
      }));
    expect(broken).to.deep.equal([]);
  });

  it('complaint() refuses what the table does not allow', () => {
    expect(complaint('scheduler/main.ts', '../apiserver/server.ts', false)).to.equal('scheduler may not import apiserver');
    expect(complaint('scheduler/main.ts', '#machinery/schema/table.ts', false)).to.match(/may not import/);
    expect(complaint('scheduler/main.ts', '#machinery/base/log.ts', false)).to.equal(undefined);
    expect(complaint('scheduler/main.ts', '../machinery/base/log.ts', false)).to.equal('write #machinery/base/log.ts');
    expect(complaint('scheduler/main.ts', '@kubernetes/client-node', false)).to.match(/types only/);
    expect(complaint('scheduler/main.ts', '@kubernetes/client-node', true)).to.equal(undefined);
    expect(complaint('scheduler/main.ts', 'dockerode', false)).to.match(/loaded only by/);
    expect(complaint('machinery/base/log.ts', 'ws', false)).to.match(/only node:/);
  });
});
