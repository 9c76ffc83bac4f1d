// Collects the messages of parser and checker and prints them as cel-go does: position, message, the line and a mark under it.

import type { CelIssue } from './cel.ts';
import { codePointsOf } from './values.ts';

const maxIssues = 100;
const maxSnippet = 16384;

export interface Reporter {
  /** `at` undefined: the message belongs to no place. */
  add(at: number | undefined, message: string): void;
  readonly count: number;
  /** Sorted by place. */
  issues(): CelIssue[];
}

export function createReporter(source: string): Reporter {
  const found: { line: number; column: number; message: string }[] = [];
  let truncated = 0;
  const starts = lineStarts(source);
  const lines = source.split('\n');
  return {
    add(at, message) {
      if (found.length >= maxIssues) {
        truncated++;
        return;
      }
      if (at === undefined) {
        found.push({ line: -1, column: -1, message });
        return;
      }
      if (source === '') {
        // Nothing has no first column.
        found.push({ line: 1, column: -1, message });
        return;
      }
      let line = starts.length - 1;
      while (line > 0 && starts[line]! > at) line--;
      found.push({ line: line + 1, column: at - starts[line]!, message });
    },
    get count() { return found.length; },
    issues() {
      const issues = found.toSorted((a, b) => a.line - b.line || a.column - b.column).map(issue => ({ ...issue, text: display(issue, lines) }));
      if (truncated === 0) return issues;
      const message = `${truncated} more errors were truncated`;
      return [...issues, { line: -1, column: -1, message, text: message }];
    },
  };
}

function lineStarts(source: string): number[] {
  const starts = [0];
  let at = 0;
  for (const character of source) {
    at++;
    if (character === '\n') starts.push(at);
  }
  return starts;
}

function display(issue: { line: number; column: number; message: string }, lines: readonly string[]): string {
  const head = `ERROR: <input>:${issue.line}:${issue.column + 1}: ${issue.message}`;
  // A source without characters has no line to show.
  const line = issue.line > 0 && (lines.length > 1 || lines[0] !== '') ? lines[issue.line - 1] : undefined;
  if (line === undefined || Buffer.byteLength(line) > maxSnippet) return head;
  const characters = codePointsOf(line.replaceAll('\t', ' '));
  let mark = '';
  for (let i = 0; i < issue.column && i < characters.length; i++) mark += isWide(characters[i]) ? '．' : '.';
  return `${head}\n | ${characters.join('')}\n | ${mark}${isWide(characters[issue.column]) ? '＾' : '^'}`;
}

function isWide(character: string | undefined): boolean {
  return character !== undefined && character.codePointAt(0)! > 0x7f;
}
