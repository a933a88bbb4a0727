/**
 * A thread that claims tokens in memory that it shares with others, as fast as it can.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { ReplayTable } from '../../src/authn/replay-table.ts';
import type { EpochMicros } from '../../src/kernel/ids.ts';

interface Race {
  readonly memory: SharedArrayBuffer;
  /** Counts the threads that are ready, as they begin together; then how far each is. */
  readonly start: SharedArrayBuffer;
  readonly threads: number;
  readonly holder: string;
  readonly tokens: number;
}

// The test starts this file with exactly this.
const { memory, start, threads, holder, tokens } = workerData as Race;
const table = new ReplayTable(memory);
const ready = new Int32Array(start, 0, 1);
Atomics.add(ready, 0, 1);
Atomics.notify(ready, 0);
while (Atomics.load(ready, 0) < threads) Atomics.wait(ready, 0, Atomics.load(ready, 0), 50);

const own: number[] = [];
const mine = holder === 'a' ? 0 : 1;
const progress = new Int32Array(start, 4, 2);
const MAX_AHEAD = 30;
for (let token = 0; token < tokens; token += 1) {
  // The other one is less than a minute behind, as its clock would be.
  Atomics.store(progress, mine, token);
  while (token > Atomics.load(progress, 1 - mine) + MAX_AHEAD) continue;
  const now = (token * 1_000_000) as EpochMicros;
  const expiresAt = (now + 40_000_000) as EpochMicros;
  if (table.claim({ issuer: 'i', id: String(token), holder, expiresAt }, now) === 'own') own.push(token);
}
// Nobody waits for one that is done.
Atomics.store(progress, mine, tokens);
parentPort?.postMessage(own);
