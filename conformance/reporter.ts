// Mocha reporter of `npm test`: the usual list, and the counts as JSON in the file that PROA_COUNTS names.
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

export default class CountingReporter extends Mocha.reporters.Spec { // mocha takes a reporter file's default export
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const counts = { passed: 0, failed: 0, skipped: 0 };
    runner.on('pass', () => { counts.passed += 1; });
    runner.on('fail', () => { counts.failed += 1; });
    runner.on('pending', () => { counts.skipped += 1; });
    runner.on('end', () => {
      const file = process.env.PROA_COUNTS;
      if (file) writeFileSync(file, JSON.stringify(counts));
    });
  }
}
