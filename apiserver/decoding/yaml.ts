// YAML of request bodies. Reading it may take seconds and much memory for a few kilobytes that somebody made for that, so it
// happens in a thread that is bounded in both and ended when it is not needed; JSON, which most of it is, does not go there.
import { Worker } from 'node:worker_threads';
import { countMembers } from './depth.ts';
import { countColons } from './scan.ts';
import type { Answer, Question } from './yaml-worker.ts';

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
const limitMs = (text: string): number => 2000 + text.length / 100;
const idleMs = 10_000;
const limitMb = 192;

interface Waiting { question: Question; resolve: (yaml: Yaml) => void; reject: (error: Error) => void }

let worker: Worker | undefined;
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
    waiting.push({ question: { id: nextId, text: bytes.toString() }, resolve, reject });
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
    worker?.unref();
    return;
  }
  worker ??= start();
  worker.ref();
  worker.postMessage(next.question);
  timer = setTimeout(() => fail('yaml: the document takes too long to read'), limitMs(next.question.text));
}

function start(): Worker {
  const started = new Worker(new URL('./yaml-worker.ts', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: limitMb } });
  started.on('message', (answer: Answer) => {
    if (started !== worker || waiting[0]?.question.id !== answer.id) return;
    const { resolve, reject } = waiting.shift() ?? {};
    if ('error' in answer) reject?.(new YamlError(answer.error));
    else resolve?.({ value: JSON.parse(answer.json), duplicates: answer.duplicates });
    ask();
  });
  started.on('error', (error: NodeJS.ErrnoException) => {
    if (started === worker) fail(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'yaml: the document takes too much memory to read' : `yaml: ${error.message}`);
  });
  return started;
}

/** The document that is being read was too much; the next one gets a new thread. */
function fail(why: string): void {
  const failed = waiting.shift();
  stop();
  failed?.reject(new YamlError(why));
  ask();
}

function stop(): void {
  const stopped = worker;
  worker = undefined;
  stopped?.terminate().catch(() => undefined); // it is gone either way
}
