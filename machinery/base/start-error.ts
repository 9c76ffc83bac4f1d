// Something that a person must mend before a process can run: trying again by itself would not help.

/** Stops the start; the message is one line that says what to do. Exit code 1. */
export class StartError extends Error {
  override name = 'StartError';
}
