// Mocha root hooks: a promise that rejects with nobody listening fails the run instead of passing by.
const seen: unknown[] = [];
process.on('unhandledRejection', (reason) => seen.push(reason));

export const mochaHooks = {
  async afterEach(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const [first] = seen.splice(0);
    if (first !== undefined) throw first instanceof Error ? first : new Error(`unhandled rejection: ${String(first)}`);
  },
};
