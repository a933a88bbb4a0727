import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MAX_PAYLOAD_BYTES } from '../../../src/audit/codec.ts';
import { CURSOR_NAMES, type Cursor } from '../../../src/audit/cursor.ts';
import { AuditLog, MAX_HELD_BYTES } from '../../../src/audit/log.ts';
import { verifyDirectory } from '../../../src/audit/verify.ts';
import { openLog, readAll, write, writeCursor } from '../../fakes/audit-logs.ts';
import { callRecord, eventRecord, refusalRecord } from '../../fakes/audit-records.ts';
import { FailingDisk } from '../../fakes/segment-files.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

const ZEROS = '0'.repeat(64);

afterEach(() => {
  vi.useRealTimers();
});

function segmentsIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.bkal'))
    .sort();
}

function numbered(from: number, to: number) {
  return Array.from({ length: to - from }, (_, i) => eventRecord({ event: `e${from + i}` }));
}

describe('writing', () => {
  it('puts what was appended into the file at flush, not before, in order', async () => {
    const directory = temporaryDirectory();
    const log = openLog(directory);
    const [file = ''] = segmentsIn(directory);
    const before = statSync(join(directory, file)).size;
    log.append(callRecord({ caller: 'key:one' }));
    log.append(refusalRecord({}));
    expect(statSync(join(directory, file)).size).toBe(before);
    expect(log.flush()).toBe(true);
    expect((await readAll(directory)).map(({ record, number }) => [number, record])).toEqual([
      [1, callRecord({ caller: 'key:one' })],
      [2, refusalRecord({})],
    ]);
    log.close();
    expect((await verifyDirectory(directory)).ok).toBe(true);
  });

  it('makes a directory and files that only their owner can read', () => {
    const directory = join(temporaryDirectory(), 'deep', 'audit');
    openLog(directory).close();
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, 'worker-0-0000000001.bkal')).mode & 0o777).toBe(0o600);
  });

  it('keeps a turn of thousands of records together', async () => {
    const directory = temporaryDirectory();
    const log = openLog(directory);
    write(log, ...numbered(0, 20_000));
    log.close();
    const report = await verifyDirectory(directory);
    expect(report).toMatchObject({ ok: true, writers: [{ records: 20_000 }] });
  });

  it('closes a segment that has reached its size, and not one byte earlier', () => {
    const directory = temporaryDirectory();
    const log = openLog(directory);
    write(log, eventRecord({}));
    const bytes = statSync(join(directory, 'worker-0-0000000001.bkal')).size;
    log.close();
    for (const [segmentBytes, segments] of [
      [bytes, 2],
      [bytes + 1, 1],
    ] as const) {
      const fresh = temporaryDirectory();
      const sized = openLog(fresh, { segmentBytes });
      write(sized, eventRecord({}));
      expect(segmentsIn(fresh)).toHaveLength(segments);
      sized.close();
    }
  });

  it('goes on with the chain after a restart, and after its delivered segments are all gone', async () => {
    const directory = temporaryDirectory();
    for (let start = 0; start < 3; start++) {
      const log = openLog(directory);
      write(log, ...numbered(start * 2, start * 2 + 2));
      log.close();
    }
    const report = await verifyDirectory(directory);
    expect(report).toMatchObject({ ok: true, writers: [{ segments: 3, records: 6 }] });
    expect((await readAll(directory)).map(({ record }) => record)).toEqual(numbered(0, 6));

    const moved = temporaryDirectory();
    const hash = report.writers[0]?.headHash ?? '';
    writeCursor(moved, 'worker-0', 'logs', { sequence: 3, offset: 1_000, record: 2, hash });
    openLog(moved).close();
    expect(segmentsIn(moved)).toEqual(['worker-0-0000000004.bkal']);
    expect(readFileSync(join(moved, 'worker-0-0000000004.bkal')).toString('hex')).toContain(hash);
  });

  it('counts what comes after its end, and holds up nobody', () => {
    const log = openLog(temporaryDirectory());
    log.close();
    log.close();
    log.append(eventRecord({}));
    expect(log.flush()).toBe(true);
    expect(log.dropped).toBe(1);
  });

  it('refuses a writer name that is not a label', () => {
    expect(() => openLog(temporaryDirectory(), { writer: '../worker' })).toThrow(TypeError);
  });
});

describe('a torn tail', () => {
  it.each([1, 7, 8, 40, 60])('of %i bytes is moved aside, and the record of it stands in the chain', async (torn) => {
    const directory = temporaryDirectory();
    const log = openLog(directory);
    write(log, ...numbered(0, 3));
    log.close();
    const path = join(directory, 'worker-0-0000000001.bkal');
    const whole = readFileSync(path);
    const again = openLog(temporaryDirectory());
    again.close();
    writeFileSync(path, Buffer.concat([whole, whole.subarray(whole.length - 94, whole.length - 94 + torn)]));
    const next = openLog(directory);
    write(next, eventRecord({ event: 'after' }));
    next.close();
    expect(readFileSync(path)).toEqual(whole);
    expect(statSync(`${path}.torn`)).toMatchObject({ size: torn });
    expect(statSync(`${path}.torn`).mode & 0o777).toBe(0o600);
    expect(await verifyDirectory(directory)).toMatchObject({ ok: true, writers: [{ records: 5 }] });
    const [recovered, after] = (await readAll(directory)).slice(3).map(({ record }) => record);
    expect(recovered).toMatchObject({
      event: 'audit.tail_recovered',
      detail: expect.stringContaining(`${torn} bytes`),
    });
    expect(after).toMatchObject({ event: 'after' });
  });

  it('of a segment whose header was not finished gives its number to the next', async () => {
    const directory = temporaryDirectory();
    const log = openLog(directory);
    write(log, ...numbered(0, 3));
    log.close();
    writeFileSync(join(directory, 'worker-0-0000000002.bkal'), 'BKAL');
    const next = openLog(directory);
    next.close();
    expect(segmentsIn(directory)).toEqual(['worker-0-0000000001.bkal', 'worker-0-0000000002.bkal']);
    expect(await verifyDirectory(directory)).toMatchObject({ ok: true, writers: [{ records: 4, segments: 2 }] });
  });
});

describe('a disk that is full, with refuse', () => {
  it('holds the turn back, keeps the records, and releases when they are written', async () => {
    vi.useFakeTimers();
    const directory = temporaryDirectory();
    const files = new FailingDisk();
    const onBlocked = vi.fn();
    const onUnblocked = vi.fn();
    const log = openLog(directory, { files, onBlocked, onUnblocked });
    // The first record fits, the second only in part: its first bytes stay in the file and are completed later.
    write(log, eventRecord({ event: 'e0' }));
    files.room = 30;
    log.append(eventRecord({ event: 'e1' }));
    expect(log.flush()).toBe(false);
    expect(log.blocked).toContain('ENOSPC');
    log.append(eventRecord({ event: 'e2' }));
    expect(log.flush()).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(onBlocked).toHaveBeenCalledTimes(1);
    expect(onUnblocked).not.toHaveBeenCalled();
    files.room = Number.POSITIVE_INFINITY;
    await vi.advanceTimersByTimeAsync(50);
    expect(onUnblocked).toHaveBeenCalledTimes(1);
    expect(log.blocked).toBeUndefined();
    write(log, eventRecord({ event: 'e3' }));
    log.close();
    expect((await readAll(directory)).map(({ record }) => record)).toEqual(numbered(0, 4));
    expect((await verifyDirectory(directory)).ok).toBe(true);
  });

  it('counts what is more than memory is set aside for, and says so in the chain', async () => {
    vi.useFakeTimers();
    const directory = temporaryDirectory();
    const files = new FailingDisk();
    const log = openLog(directory, { files });
    files.room = 0;
    const record = callRecord({ detail: 'x'.repeat(1024), rule: '€'.repeat(1024) });
    for (let i = 0; i < 20_000; i++) log.append(record);
    expect(log.flush()).toBe(false);
    expect(log.dropped).toBeGreaterThan(0);
    const held = 20_000 - log.dropped;
    files.room = Number.POSITIVE_INFINITY;
    await vi.advanceTimersByTimeAsync(50);
    log.close();
    const written = segmentsIn(directory).reduce((sum, file) => sum + statSync(join(directory, file)).size, 0);
    // Held to the last record that fits, whatever the longest may need.
    expect(written).toBeGreaterThan(MAX_HELD_BYTES - 2 * MAX_PAYLOAD_BYTES);
    expect(written).toBeLessThan(MAX_HELD_BYTES + MAX_PAYLOAD_BYTES);
    const records = await readAll(directory);
    expect(records).toHaveLength(held + 1);
    expect(records.at(-1)?.record).toMatchObject({
      event: 'audit.records_lost',
      detail: expect.stringContaining(`${log.dropped} records`),
    });
  });
});

describe('a disk that is full, with drop', () => {
  it('lets the turn go, takes half-written records back, and later says how many were lost', async () => {
    const directory = temporaryDirectory();
    const files = new FailingDisk();
    const log = openLog(directory, { files, whenFull: 'drop' });
    write(log, eventRecord({ event: 'e0' }));
    files.room = 100;
    for (const record of numbered(10, 13)) log.append(record);
    expect(log.flush()).toBe(true);
    expect(log.dropped).toBe(3);
    expect(log.blocked).toBeUndefined();
    expect((await verifyDirectory(directory)).writers[0]).toMatchObject({ records: 1, unfinishedBytes: 0 });
    files.room = Number.POSITIVE_INFINITY;
    write(log, eventRecord({ event: 'e1' }));
    log.close();
    const records = (await readAll(directory)).map(({ record }) => record);
    expect(records.slice(0, 2)).toEqual(numbered(0, 2));
    expect(records[2]).toMatchObject({ event: 'audit.records_lost', detail: expect.stringContaining('3 records') });
    expect((await verifyDirectory(directory)).ok).toBe(true);
  });

  it('keeps what it cannot take back, and completes it', async () => {
    const directory = temporaryDirectory();
    const files = new FailingDisk();
    const log = openLog(directory, { files, whenFull: 'drop' });
    files.room = 30;
    files.truncateFails = true;
    log.append(eventRecord({ event: 'e0' }));
    expect(log.flush()).toBe(true);
    files.room = Number.POSITIVE_INFINITY;
    write(log, eventRecord({ event: 'e1' }));
    log.close();
    expect((await readAll(directory)).map(({ record }) => record)).toEqual(numbered(0, 2));
  });
});

function deliver(directory: string, writer: string, cursor: Cursor): void {
  for (const signal of CURSOR_NAMES) writeCursor(directory, writer, signal, cursor);
}

describe('the size of the directory', () => {
  /** Three segments of 40 records each. */
  function filled(directory: string, writer: string): number {
    let bytes = 0;
    for (let start = 0; start < 3; start++) {
      const log = openLog(directory, { writer });
      write(log, ...numbered(100, 140));
      bytes = log.bytes;
      log.close();
    }
    return bytes;
  }
  const record = eventRecord({ event: 'e1' });
  const RECORD_BYTES = 40 + 9 + 3 + 13;
  const HEADER_BYTES = 57 + 8 + 32;

  it('is reached with the last byte, and not exceeded by one more', () => {
    for (const [spare, acknowledged] of [
      [0, true],
      [-1, false],
    ] as const) {
      const directory = temporaryDirectory();
      const bytes = filled(directory, 'worker-0');
      const log = openLog(directory, { maxBytes: bytes + HEADER_BYTES + RECORD_BYTES + spare });
      log.append(record);
      expect(log.flush()).toBe(acknowledged);
      if (acknowledged) expect(log.bytes).toBe(bytes + HEADER_BYTES + RECORD_BYTES);
      else expect(log.blocked).toContain('has reached its');
      log.close();
    }
  });

  it('is kept by removing what is delivered, oldest first, also of other writers, and nothing else', async () => {
    const directory = temporaryDirectory();
    filled(directory, 'worker-0');
    const bytes = filled(directory, 'worker-1');
    const segmentBytes = bytes / 6;
    deliver(directory, 'worker-0', { sequence: 2, offset: 97, record: 0, hash: ZEROS });
    deliver(directory, 'worker-1', { sequence: 3, offset: 97, record: 0, hash: ZEROS });
    const log = openLog(directory, { maxBytes: bytes + HEADER_BYTES, segmentBytes: 1e6 });
    write(log, record);
    expect(segmentsIn(directory)).not.toContain('worker-0-0000000001.bkal');
    expect(segmentsIn(directory)).toContain('worker-1-0000000001.bkal');
    for (let written = RECORD_BYTES; written < 2.5 * segmentBytes; written += RECORD_BYTES) {
      write(log, record);
    }
    const kept = segmentsIn(directory).filter((name) => !/0000000004|000000000[5-9]|000000001/.test(name));
    expect(kept).toEqual(['worker-0-0000000002.bkal', 'worker-0-0000000003.bkal', 'worker-1-0000000003.bkal']);
    for (const lost of numbered(100, 140)) log.append(lost);
    expect(log.flush()).toBe(false);
    expect(segmentsIn(directory)).toEqual(expect.arrayContaining(kept));
    log.close();
  });
});

describe('the name of a writer', () => {
  it('is one log’s at a time', () => {
    const directory = temporaryDirectory();
    const log = openLog(directory);
    expect(() => openLog(directory)).toThrow('is held by');
    openLog(directory, { writer: 'worker-1' }).close();
    log.close();
    openLog(directory).close();
  });

  it('is free when its holder is gone', () => {
    const directory = temporaryDirectory();
    const log = openLog(directory);
    const held = readFileSync(join(directory, 'worker-0.lock'), 'utf8');
    log.close();
    const lock = join(directory, 'worker-0.lock');
    const holder = JSON.parse(held);
    for (const gone of [
      { ...holder, startedAt: '1' },
      { ...holder, thread: `${process.pid}/task/1` },
      { ...holder, boot: 'before the machine was restarted' },
    ]) {
      writeFileSync(lock, JSON.stringify(gone));
      openLog(directory).close();
    }
    writeFileSync(lock, held);
    expect(() => openLog(directory)).toThrow('is held by');
  });

  it('is taken to be held, by whom one cannot see, while the lock is touched', () => {
    const directory = temporaryDirectory();
    const log = openLog(directory);
    const holder = JSON.parse(readFileSync(join(directory, 'worker-0.lock'), 'utf8'));
    log.close();
    const lock = join(directory, 'worker-0.lock');
    writeFileSync(lock, JSON.stringify({ ...holder, namespace: 'pid:[1]' }));
    expect(() => openLog(directory)).toThrow('is held by');
    vi.useFakeTimers({ now: Date.now() + 6_000, toFake: ['Date'] });
    openLog(directory).close();
  });

  it('comes back when the start fails', () => {
    const directory = temporaryDirectory();
    const files = new FailingDisk();
    files.room = 10;
    expect(() => openLog(directory, { files })).toThrow();
    expect(readdirSync(directory)).toEqual([]);
    expect(() => new AuditLog({ ...OPTIONS, directory })).not.toThrow();
  });
});

const OPTIONS = {
  writer: 'worker-0',
  segmentBytes: 1e6,
  maxBytes: 1e7,
  whenFull: 'refuse',
  onBlocked: () => undefined,
  onUnblocked: () => undefined,
} as const;
