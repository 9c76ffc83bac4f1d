// YAML of request bodies. Reading it may take seconds and much memory for a few kilobytes that somebody made for that, so it
// happens in a process that is bounded in both and ended when it is not needed; JSON, which most of it is, does not go there.
// Not in a thread: one that runs out of memory may take the whole server with it.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { countMembers } from './depth.ts';
import { countColons } from './scan.ts';
import type { Answer, Question } from './yaml-process.ts';

export interface Yaml {
  value: unknown;
  /** Members that are there twice, in the order of the document. */
  duplicates: { line: number; key: string }[];
}
/** The text is no YAML, or more than can be read; the message says which. */
export class YamlError extends Error {
  override name = 'YamlError';
}

/** What a document may take: honest ones need a tenth. */
const limitMs = (text: string): number => 2000 + Math.ceil(text.length / 100);
const idleMs = 10_000;
const limitMb = 384;
/** Later than the process itself gives up. */
const graceMs = 1000;

interface Waiting { question: Question; resolve: (yaml: Yaml) => void; reject: (error: Error) => void }

let reader: ChildProcess | undefined;
let timer: NodeJS.Timeout | undefined;
let nextId = 0;
/** The first one is being read. */
const waiting: Waiting[] = [];

/** Throws YamlError. */
export function parseYaml(bytes: Buffer): Promise<Yaml> {
  const json = asJson(bytes);
  if (json !== undefined) return Promise.resolve({ value: json, duplicates: [] });
  return new Promise((resolve, reject) => {
    nextId += 1;
    const text = bytes.toString();
    waiting.push({ question: { id: nextId, text, limitMs: limitMs(text) }, resolve, reject });
    if (waiting.length === 1) ask();
  });
}

/** Undefined when it is something else, or when members got lost that somebody has to be told of. */
function asJson(bytes: Buffer): unknown {
  if (bytes[0] !== 0x7b) return undefined;
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return countMembers(value) === countColons(bytes) ? value : undefined;
  } catch {
    return undefined; // the YAML reader says what is wrong with it
  }
}

function ask(): void {
  clearTimeout(timer);
  const [next] = waiting;
  if (!next) {
    timer = setTimeout(stop, idleMs).unref();
    reader?.unref();
    reader?.channel?.unref();
    return;
  }
  reader ??= start();
  reader.ref();
  reader.channel?.ref();
  reader.send(next.question, () => undefined); // one that has ended is heard of by `exit`
  timer = setTimeout(() => fail('yaml: the document takes too long to read'), next.question.limitMs + graceMs);
}

function start(): ChildProcess {
  const started = fork(fileURLToPath(new URL('./yaml-process.ts', import.meta.url)), [], { execArgv: [`--max-old-space-size=${limitMb}`], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  started.on('message', (answer: Answer) => {
    if (started !== reader || waiting[0]?.question.id !== answer.id) return;
    const { resolve, reject } = waiting.shift() ?? {};
    if ('error' in answer) reject?.(new YamlError(answer.error));
    else resolve?.({ value: JSON.parse(answer.json), duplicates: answer.duplicates });
    ask();
  });
  // V8 aborts a process whose heap is full.
  started.on('exit', (code, signal) => {
    if (started === reader) fail(signal === 'SIGABRT' || code === 134 ? 'yaml: the document takes too much memory to read' : `yaml: the process that reads it ended with ${signal ?? code}`);
  });
  started.on('error', (error) => {
    if (started === reader) fail(`yaml: ${error.message}`);
  });
  return started;
}

/** The document that is being read was too much; the next one gets a new process. */
function fail(why: string): void {
  const failed = waiting.shift();
  stop();
  failed?.reject(new YamlError(why));
  ask();
}

function stop(): void {
  const stopped = reader;
  reader = undefined;
  stopped?.kill('SIGKILL');
}
