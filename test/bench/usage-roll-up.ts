/**
 * What it costs to roll up a call's record, on the main thread: `node test/bench/usage-roll-up.ts [CALLERS]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RollUp } from '../../src/usage/roll-up.ts';
import { openLog } from '../fakes/audit-logs.ts';
import { callRecord, micros } from '../fakes/audit-records.ts';

const callers = Number(process.argv[2] ?? 50);
const CALLS = 400_000;
const CALLS_PER_TURN = 50;
const ROUNDS = 5;

const directory = mkdtempSync(join(tmpdir(), 'bulkhead-bench-'));
try {
  const log = openLog(directory, { maxBytes: 1024 ** 3 });
  for (let call = 0; call < CALLS; call++) {
    log.append(
      callRecord({ startedAt: micros(call), tenant: `t${call % 10}`, caller: `key:k${(call * 7) % callers}` }),
    );
    if (call % CALLS_PER_TURN === 0) log.flush();
  }
  log.close();
  for (let round = 0; round < ROUNDS; round++) {
    const rollUp = new RollUp({
      auditDirectory: directory,
      maxRows: () => 1_000,
      now: () => micros(0),
      warn: (what) => console.log(what),
      readOnly: true,
    });
    const before = process.cpuUsage();
    const from = performance.now();
    await rollUp.advance();
    const { user, system } = process.cpuUsage(before);
    const wallMs = performance.now() - from;
    console.log(
      `${callers} callers: ${((user + system) / CALLS).toFixed(2)} µs CPU a call, ${((wallMs * 1_000) / CALLS).toFixed(2)} µs of time`,
    );
    rollUp.close();
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
