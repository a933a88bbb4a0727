#!/usr/bin/env node
/**
 * The entry of the command line.
 *
 * The compiled program is kept under node_modules/.cache: the next start neither strips types nor compiles again, which saves
 * time and, in every thread, the memory of the compiler. Where the folder cannot be written, only that is lost. With
 * NODE_COMPILE_CACHE set from outside (the image does it) this file comes from the cache too, and no thread holds a compiler.
 */
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

const cache = process.env['NODE_COMPILE_CACHE'] ?? join(import.meta.dirname, '../node_modules/.cache/bulkhead');
enableCompileCache(cache);
// The threads that it starts find the cache by this.
process.env['NODE_COMPILE_CACHE'] = cache;

const { runProgram } = await import('./cli/program.ts');
await runProgram();
