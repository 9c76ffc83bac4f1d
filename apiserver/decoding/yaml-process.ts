// Reads YAML in a process of its own, started by yaml.ts, which may end it at any time. As upstream's library: version 1.1 (yes, no, on and off are booleans, 0644 is
// octal), times stay text, only the first document counts, members that are there twice are told.
import { runInNewContext } from 'node:vm';
import { isMap, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml';
import type { Document, ParsedNode } from 'yaml';

export interface Question { id: number; text: string; limitMs: number }
export type Answer = { id: number } & ({ json: string; duplicates: { line: number; key: string }[] } | { error: string });

const maxDuplicates = 100;
/** The commonest mistakes in the words of upstream's library, which does not name the first line. */
const upstreamTexts: Readonly<Record<string, string>> = {
  BLOCK_AS_IMPLICIT_KEY: 'mapping values are not allowed in this context',
  TAB_AS_INDENT: 'found character that cannot start any token',
};

function read(text: string): { json: string; duplicates: { line: number; key: string }[] } | { error: string } {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    // The library's own search for duplicates takes quadratic time.
    version: '1.1', merge: true, uniqueKeys: false, lineCounter: lines, prettyErrors: false,
    customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || (tag.tag !== 'tag:yaml.org,2002:timestamp' && tag.format !== 'TIME')),
  });
  const [document] = documents;
  if (!document || !('errors' in document)) return { json: 'null', duplicates: [] };
  const [problem] = document.errors;
  if (problem) {
    const { line } = lines.linePos(problem.pos[0]);
    const known = upstreamTexts[problem.code];
    return { error: `yaml: ${known !== undefined && line === 1 ? '' : `line ${line}: `}${known ?? problem.message}` };
  }
  return { json: JSON.stringify(document.toJS({ maxAliasCount: 100 })) ?? 'null', duplicates: duplicatesIn(document, lines) };
}

function duplicatesIn(document: Document.Parsed<ParsedNode>, lines: LineCounter): { line: number; key: string }[] {
  const found: { line: number; key: string }[] = [];
  visit(document, {
    Map(_, node) {
      if (!isMap(node)) return;
      const seen = new Set<unknown>();
      for (const { key } of node.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value) && found.length < maxDuplicates) found.push({ line: lines.linePos(key.range?.[0] ?? 0).line, key: String(key.value) });
        seen.add(key.value);
      }
    },
  });
  return found.sort((a, b) => a.line - b.line);
}

/** Ends by itself even when nobody is left to end the process: V8 interrupts what runs in here. */
function within(limitMs: number, work: () => ReturnType<typeof read>): ReturnType<typeof read> {
  return runInNewContext('work()', { work }, { timeout: limitMs }) as ReturnType<typeof read>; // it is what it returns
}

function explain(error: unknown): string {
  if (error instanceof ReferenceError) return 'document contains excessive aliasing';
  if (error instanceof RangeError) return 'exceeded max depth'; // nesting that no stack can hold
  return (error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT' ? 'the document takes too long to read' : String(error);
}

process.on('disconnect', () => process.exit());
process.on('message', ({ id, text, limitMs }: Question) => {
  let answer: Answer;
  try {
    answer = { id, ...within(limitMs, () => read(text)) };
  } catch (error) {
    answer = { id, error: `yaml: ${explain(error)}` };
  }
  process.send?.(answer);
});
