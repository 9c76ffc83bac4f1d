// What a soak run is: a load or fault run that checks an invariant to its end. The long form is a script (`npm run soak -- NAME`), the
// short form of the same code a test (soak.integration.test.ts).

export interface SoakRun {
  /** The form that fits into `npm test`: at most ten seconds or so. */
  readonly short: boolean;
  /** A temporary folder of its own, removed afterwards. */
  readonly folder: string;
  /** Aborted by Ctrl-C; whatever was started has to be gone when `run` settles. */
  readonly signal: AbortSignal;
  /** Progress, for people. */
  say: (line: string) => void;
}

export interface Soak {
  name: string;
  /** One line for the list of names. */
  summary: string;
  /** Why it cannot run on this machine (a binary that is missing), if so. */
  missing?(): string | undefined;
  /** Throws when an invariant broke; otherwise one line for each thing that was checked, with its numbers. */
  run(run: SoakRun): Promise<string[]>;
}
