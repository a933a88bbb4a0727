import { copyFileSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { segmentFileName } from '../../../src/audit/segment.ts';
import { type Frame, scanSegment } from '../../../src/audit/segment-scan.ts';
import { type BadRecord, verifyDirectory } from '../../../src/audit/verify.ts';
import { openLog, write, writeCursor } from '../../fakes/audit-logs.ts';
import { callRecord, eventRecord, micros } from '../../fakes/audit-records.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

interface Place {
  readonly offset: number;
  readonly end: number;
}

/** Three segments of five records each; the middle one is where tests tamper. */
class Chain {
  readonly directory = temporaryDirectory();

  constructor() {
    for (let segment = 0; segment < 3; segment++) {
      const log = openLog(this.directory);
      for (let i = 0; i < 5; i++) write(log, callRecord({ startedAt: micros(segment * 10 + i), requestBytes: i }));
      log.close();
    }
  }

  path(sequence: number): string {
    return join(this.directory, segmentFileName({ writer: 'worker-0', sequence }));
  }

  places(sequence: number): Place[] {
    const frames: Place[] = [];
    for (const frame of scanSegment(this.path(sequence))) frames.push(placeOf(frame));
    return frames;
  }

  edit(sequence: number, change: (bytes: Buffer, records: readonly Place[]) => Buffer): void {
    const changed = change(readFileSync(this.path(sequence)), this.places(sequence));
    writeFileSync(this.path(sequence), changed);
  }

  async bad(): Promise<BadRecord | undefined> {
    const report = await verifyDirectory(this.directory);
    expect(report.ok).toBe(report.writers[0]?.bad === undefined);
    return report.writers[0]?.bad;
  }
}

function placeOf(frame: Frame): Place {
  return { offset: frame.offset, end: frame.offset + 8 + frame.payload.length + 32 };
}

function at(records: readonly Place[], index: number): Place {
  const place = records[index];
  if (place === undefined) throw new Error(`no record ${index}`);
  return place;
}

describe('an intact directory', () => {
  it('is told by its numbers, per writer', async () => {
    const { directory } = new Chain();
    const log = openLog(directory, { writer: 'main' });
    write(log, eventRecord({ at: micros(99) }));
    log.close();
    const report = await verifyDirectory(directory);
    expect(report).toMatchObject({
      ok: true,
      writers: [
        { writer: 'main', segments: 1, records: 1, firstAtMicros: micros(99), lastAtMicros: micros(99) },
        {
          writer: 'worker-0',
          segments: 3,
          firstSequence: 1,
          records: 15,
          firstAtMicros: micros(0),
          lastAtMicros: micros(24),
        },
      ],
    });
    expect(report.writers[1]?.headHash).toMatch(/^[0-9a-f]{64}$/);
  });

  it('may lack its oldest segments, which were delivered and removed', async () => {
    const chain = new Chain();
    unlinkSync(chain.path(1));
    expect(await verifyDirectory(chain.directory)).toMatchObject({
      ok: true,
      writers: [{ firstSequence: 2, segments: 2, records: 10 }],
    });
  });

  it('may end in a record that is being written', async () => {
    const chain = new Chain();
    chain.edit(3, (bytes) => bytes.subarray(0, bytes.length - 1));
    const report = await verifyDirectory(chain.directory);
    expect(report).toMatchObject({ ok: true, writers: [{ records: 14 }] });
    expect(report.writers[0]?.unfinishedBytes).toBeGreaterThan(200);
  });
});

describe('tampering is found and named', () => {
  it('when any single bit is flipped, in any segment, header or record', async () => {
    const chain = new Chain();
    for (const sequence of [1, 2, 3]) {
      const original = readFileSync(chain.path(sequence));
      const records = chain.places(sequence);
      for (let byte = 0; byte < original.length; byte += sequence === 2 ? 1 : 13) {
        chain.edit(sequence, () => {
          const flipped = Buffer.from(original);
          flipped[byte] = (flipped[byte] ?? 0) ^ (1 << (byte % 8));
          return flipped;
        });
        const report = await verifyDirectory(chain.directory);
        const bad = report.writers[0]?.bad;
        const record = records.findIndex(({ offset, end }) => byte >= offset && byte < end) + 1;
        // A length that reaches beyond the newest segment's end looks like a record being written: it is not counted.
        if (report.ok) expect([sequence, report.writers[0]?.records]).toEqual([3, 9 + record]);
        else
          expect([byte, bad?.file, bad?.record]).toEqual([
            byte,
            segmentFileName({ writer: 'worker-0', sequence }),
            record,
          ]);
      }
      writeFileSync(chain.path(sequence), original);
    }
    expect(await chain.bad()).toBeUndefined();
  });

  it('when a record is removed', async () => {
    const chain = new Chain();
    chain.edit(2, (bytes, records) =>
      Buffer.concat([bytes.subarray(0, at(records, 1).offset), bytes.subarray(at(records, 1).end)]),
    );
    expect(await chain.bad()).toMatchObject({
      file: 'worker-0-0000000002.bkal',
      record: 2,
      why: 'record 2 was removed: record 3 follows here',
    });
  });

  it('when several records are removed', async () => {
    const chain = new Chain();
    chain.edit(2, (bytes, records) =>
      Buffer.concat([bytes.subarray(0, at(records, 1).offset), bytes.subarray(at(records, 2).end)]),
    );
    expect(await chain.bad()).toMatchObject({ record: 2, why: expect.stringContaining('records 2 to 3 were removed') });
  });

  it('when the last records of a segment that has a successor are removed', async () => {
    const chain = new Chain();
    chain.edit(2, (bytes, records) => bytes.subarray(0, at(records, 3).offset));
    expect(await chain.bad()).toMatchObject({
      file: 'worker-0-0000000002.bkal',
      record: 4,
      why: expect.stringContaining('removed'),
    });
  });

  it('when part of a record is cut from a segment that has a successor', async () => {
    const chain = new Chain();
    chain.edit(2, (bytes) => bytes.subarray(0, bytes.length - 3));
    expect(await chain.bad()).toMatchObject({ record: 5, why: expect.stringContaining('bytes of it are there') });
  });

  it('when two records change places', async () => {
    const chain = new Chain();
    chain.edit(2, (bytes, records) =>
      Buffer.concat([
        bytes.subarray(0, at(records, 1).offset),
        bytes.subarray(at(records, 2).offset, at(records, 2).end),
        bytes.subarray(at(records, 1).offset, at(records, 1).end),
        bytes.subarray(at(records, 2).end),
      ]),
    );
    expect(await chain.bad()).toMatchObject({ record: 2, why: expect.stringContaining('removed') });
  });

  it('when a record is repeated', async () => {
    const chain = new Chain();
    chain.edit(2, (bytes, records) =>
      Buffer.concat([bytes.subarray(0, at(records, 1).end), bytes.subarray(at(records, 1).offset)]),
    );
    expect(await chain.bad()).toMatchObject({ record: 3, why: expect.stringContaining('repeated') });
  });

  it('when a segment in the middle is removed', async () => {
    const chain = new Chain();
    unlinkSync(chain.path(2));
    expect(await chain.bad()).toEqual({
      file: 'worker-0-0000000002.bkal',
      offset: 0,
      record: 0,
      why: 'the segment was removed',
    });
  });

  it('when segments change places', async () => {
    const chain = new Chain();
    renameSync(chain.path(2), chain.path(9));
    renameSync(chain.path(3), chain.path(2));
    renameSync(chain.path(9), chain.path(3));
    expect(await chain.bad()).toMatchObject({
      file: 'worker-0-0000000002.bkal',
      why: 'it is worker-0-0000000003.bkal under another name',
    });
  });

  it('when a segment is replaced by one of another chain', async () => {
    const chain = new Chain();
    const other = new Chain();
    copyFileSync(other.path(2), chain.path(2));
    expect(await chain.bad()).toMatchObject({ file: 'worker-0-0000000001.bkal', record: 6 });
  });

  it('when records that the collector has are no longer there', async () => {
    const chain = new Chain();
    const hash = 'a'.repeat(64);
    writeCursor(chain.directory, 'worker-0', 'logs', { sequence: 3, offset: 1_500, record: 5, hash });
    expect(await chain.bad()).toMatchObject({ record: 5, why: expect.stringContaining('delivered') });
    writeCursor(chain.directory, 'worker-0', 'logs', { sequence: 3, offset: 1_500, record: 6, hash });
    expect(await chain.bad()).toMatchObject({ record: 6, why: expect.stringContaining('up to record 6') });
    writeCursor(chain.directory, 'worker-0', 'logs', { sequence: 4, offset: 1_500, record: 6, hash });
    expect(await chain.bad()).toMatchObject({ file: 'worker-0-0000000004.bkal' });
  });
});
