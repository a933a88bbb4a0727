import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/kernel/clock.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import { openLog } from '../../fakes/audit-logs.ts';
import { callRecord } from '../../fakes/audit-records.ts';
import { FailingDisk } from '../../fakes/segment-files.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

/** A turn that writes a record and has a call's last byte to send; tells what the file held when the byte left. */
function callEnding(gated: boolean, files = new FailingDisk()) {
  const directory = temporaryDirectory();
  const turn = new Turn(systemClock);
  const log = openLog(directory, { files, onUnblocked: () => turn.release() });
  if (gated) turn.setGate(() => log.flush());
  const onFile = () => readFileSync(join(directory, 'worker-0-0000000001.bkal'), 'latin1').includes('key:first');
  const left: boolean[] = [];
  log.append(callRecord({ caller: 'key:first' }));
  turn.defer({ flush: () => left.push(onFile()) });
  return { left, log, files };
}

const turnEnds = () => new Promise((resolve) => setImmediate(resolve));

describe('the log as the turn’s gate', () => {
  it('has the record in the file before the call’s last byte leaves', async () => {
    const { left, log } = callEnding(true);
    await turnEnds();
    expect(left).toEqual([true]);
    log.close();
  });

  it('is what makes it so: without the gate the byte leaves first', async () => {
    const { left, log } = callEnding(false);
    await turnEnds();
    expect(left).toEqual([false]);
    log.close();
  });

  it('holds the byte back while the disk is full, and lets it go when the record is written', async () => {
    const files = new FailingDisk();
    const { left, log } = callEnding(true, files);
    files.room = 20;
    await turnEnds();
    expect(left).toEqual([]);
    expect(log.blocked).toContain('ENOSPC');
    files.room = Number.POSITIVE_INFINITY;
    await expect.poll(() => left).toEqual([true]);
    log.close();
  });
});
