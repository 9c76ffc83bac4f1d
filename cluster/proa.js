#!/usr/bin/env -S node --max-semi-space-size=8
// The door to the `proa` command (cli.ts). JavaScript, because the compile cache must be on before the first TypeScript file is
// read: stripping types from a single one loads Node's compiler for it, 45 ms of every start.
import module from 'node:module';
import { homedir } from 'node:os';

// In a folder that nobody else writes to: what is in there gets executed.
module.enableCompileCache(`${process.env.XDG_CACHE_HOME ?? `${homedir()}/.cache`}/proa/compiled`);
await import('./cli.ts');
