#!/usr/bin/env -S node --max-semi-space-size=8
// The door to the `proa` command (cli.ts). JavaScript, because the compile cache must be on before the first TypeScript file is
// read: stripping types from a single one loads Node's compiler for it, 45 ms of every start.
import module from 'node:module';
import { homedir } from 'node:os';

// In a folder that nobody else writes to: what is in there gets executed.
module.enableCompileCache(`${process.env.XDG_CACHE_HOME ?? `${homedir()}/.cache`}/proa/compiled`);

// Where an import of ours leads is written in it. Node would look for links, package.json files and types of modules on the way:
// a third of the time that all imports take.
const root = new URL('..', import.meta.url).href;
module.registerHooks({
  resolve(specifier, context, next) {
    const path = specifier.startsWith('.') ? new URL(specifier, context.parentURL).href : specifier.startsWith('#machinery/') ? root + specifier.slice(1) : '';
    if (!path.startsWith(root) || !path.endsWith('.ts') || path.includes('/node_modules/')) return next(specifier, context);
    return { url: path, format: 'module-typescript', shortCircuit: true };
  },
});
await import('./cli.ts');
