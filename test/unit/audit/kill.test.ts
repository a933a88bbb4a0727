import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { readRecords } from '../../../src/audit/reader.ts';
import { verifyDirectory } from '../../../src/audit/verify.ts';
import { openLog, readAll, write } from '../../fakes/audit-logs.ts';
import { eventRecord } from '../../fakes/audit-records.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

const CHILD = fileURLToPath(new URL('../../fakes/audit-writer-child.ts', import.meta.url));
const KILLS = 3;

/** Runs the writer until it has acknowledged some two hundred flushes, then kills it; returns how many records it acknowledged. */
async function writeAndKill(directory: string, start: number): Promise<number> {
  const child = spawn(process.execPath, [CHILD, directory, String(start)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let told = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => {
    told += chunk;
    if (told.length > 1_000) child.kill('SIGKILL');
  });
  const [, signal] = await once(child, 'close');
  expect(signal).toBe('SIGKILL');
  // The last line may be cut by the kill; the one before it was acknowledged in full.
  return Number(told.slice(0, told.lastIndexOf('\n')).split('\n').at(-1));
}

/** What the records of calls say, in order. The kill may have cut the write of records whose flush was never acknowledged. */
async function recordedCalls(directory: string): Promise<readonly number[]> {
  const calls: number[] = [];
  const torn: string[] = [];
  for await (const item of readRecords(directory, {})) {
    if (!('record' in item)) torn.push(item.why);
    else if (item.record.type === 'call') calls.push(item.record.requestBytes);
  }
  expect([[], ['not all of it is there']]).toContainEqual(torn);
  return calls;
}

it('kill -9 while writing loses no record whose flush was acknowledged, and the chain goes on', async () => {
  const directory = temporaryDirectory();
  let written = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const acknowledged = await writeAndKill(directory, written);
    expect(acknowledged).toBeGreaterThan(written);
    expect(await verifyDirectory(directory)).toMatchObject({ ok: true });
    const calls = await recordedCalls(directory);
    expect(calls.length).toBeGreaterThanOrEqual(acknowledged);
    expect(calls).toEqual(Array.from({ length: calls.length }, (_, i) => i));
    written = calls.length;
  }
  // The killed process left its lock behind; the name is free all the same.
  openLog(directory).close();
  const report = await verifyDirectory(directory);
  expect(report).toMatchObject({ ok: true, writers: [{ firstSequence: 1 }] });
  expect(report.writers[0]?.segments).toBeGreaterThan(KILLS);
}, 60_000);

it('a thread that ended without closing its log leaves the name to the next, and one that lives does not', async () => {
  const directory = temporaryDirectory();
  const thread = new Worker(new URL('../../fakes/audit-writer-thread.ts', import.meta.url), {
    workerData: { directory },
  });
  expect(await once(thread, 'message')).toEqual([true]);
  expect(() => openLog(directory)).toThrow('is held by');
  await thread.terminate();
  const log = openLog(directory);
  write(log, eventRecord({ event: 'next.wrote' }));
  log.close();
  expect((await readAll(directory)).map(({ record }) => record)).toMatchObject([
    { event: 'thread.wrote' },
    { event: 'next.wrote' },
  ]);
  expect((await verifyDirectory(directory)).ok).toBe(true);
});
