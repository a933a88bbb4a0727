/**
 * The journal of what was used of windows and totals, so that a process that is killed finds it again.
 *
 * It is written ahead: before a call takes from a limit, a record says that so much of it *may* be used, a part of the limit more than
 * is; and until that is used nothing is written. So what is read after a crash is never less than what was granted, and more by that
 * part at most. A record is in the kernel before its call is granted (one `write`), which outlives the process; the main thread has it
 * on disk within a second, which outlives the machine.
 *
 * Each worker appends to a file of its own. Records are of fixed length with a checksum; of several for one cell and window the
 * greatest counts, so their order does not matter, and a file that ends in a part of one is good up to there.
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { err, ok, type Result } from '../kernel/result.ts';

/** What is known of one cell and one of its windows. */
export interface JournalEntry {
  /** Whose region it is in, as a hash. */
  readonly ownerHigh: number;
  readonly ownerLow: number;
  readonly high: number;
  readonly low: number;
  readonly set: number;
  readonly kind: number;
  /** It is the limit's own cell, and no subject's. */
  readonly own: boolean;
  /** Which window: a later one has a greater mark. */
  readonly mark: number;
  /** So much of it may have been used. */
  readonly amount: number;
  /** Microseconds since the Unix epoch, from when on it does not matter. */
  readonly staleAfter: number;
}

export const RECORD_BYTES = 56;
const MAGIC = 0x51_4a_31_00;

/** The lengths of time, or less, of which a journal would be written for what is over before a process has restarted. */
export const SHORTEST_JOURNALED_MS = 60_000;
/** What is said ahead: this part of the limit. */
export const AHEAD_PARTS = 256;

/** Where the files are: below the audit log's directory, which one process has to itself. */
export function journalDirectory(auditDirectory: string): string {
  return join(auditDirectory, 'quota');
}

export class LimitJournal {
  readonly #directory: string;
  readonly #workerIndex: number;
  /** One Int32: with another number, another file. */
  readonly #epoch: Int32Array;
  #fd: number | undefined;
  #fdEpoch = -1;
  readonly #record = Buffer.alloc(RECORD_BYTES);

  constructor(directory: string, workerIndex: number, epoch: SharedArrayBuffer) {
    this.#directory = directory;
    this.#workerIndex = workerIndex;
    this.#epoch = new Int32Array(epoch);
  }

  /** Writes a record, or says why it cannot: then nothing may be taken on its account. */
  append(entry: JournalEntry): Result<void, string> {
    try {
      const fd = this.#file();
      encode(this.#record, entry);
      const written = writeSync(fd, this.#record);
      if (written === RECORD_BYTES) return ok(undefined);
      // What follows would be behind half a record: another file is begun.
      this.#close();
      return err(`only ${written} of ${RECORD_BYTES} bytes were written`);
    } catch (cause) {
      this.#close();
      return err(cause instanceof Error ? cause.message : String(cause));
    }
  }

  close(): void {
    this.#close();
  }

  #file(): number {
    const epoch = Atomics.load(this.#epoch, 0);
    if (this.#fd !== undefined && this.#fdEpoch === epoch) return this.#fd;
    this.#close();
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const name = `journal-${epoch}-w${this.#workerIndex}-${Math.floor(performance.now() * 1_000)}.log`;
    const fd = openSync(join(this.#directory, name), 'a', 0o600);
    this.#fd = fd;
    this.#fdEpoch = epoch;
    return fd;
  }

  #close(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    try {
      closeSync(fd);
    } catch {
      // What was written is there; a file that cannot be closed is left to the process's end.
    }
  }
}

/** Writes an entry's record into a buffer of `RECORD_BYTES`. */
export function encode(record: Buffer, entry: JournalEntry): void {
  record.writeInt32LE(MAGIC, 0);
  record.writeInt32LE(entry.ownerHigh, 4);
  record.writeInt32LE(entry.ownerLow, 8);
  record.writeInt32LE(entry.high, 12);
  record.writeInt32LE(entry.low, 16);
  record.writeUInt32LE(entry.set, 20);
  record.writeUInt8(entry.kind, 24);
  record.writeUInt8(entry.own ? 1 : 0, 25);
  record.writeUInt16LE(0, 26);
  record.writeDoubleLE(entry.mark, 28);
  record.writeDoubleLE(entry.amount, 36);
  record.writeDoubleLE(entry.staleAfter, 44);
  record.writeUInt32LE(crc32(record.subarray(0, 52)), 52);
}

/** The entries of a file, up to the first that is not whole. */
export function decode(file: Buffer): readonly JournalEntry[] {
  const entries: JournalEntry[] = [];
  for (let at = 0; at + RECORD_BYTES <= file.length; at += RECORD_BYTES) {
    const record = file.subarray(at, at + RECORD_BYTES);
    if (record.readInt32LE(0) !== MAGIC || record.readUInt32LE(52) !== crc32(record.subarray(0, 52))) break;
    entries.push({
      ownerHigh: record.readInt32LE(4),
      ownerLow: record.readInt32LE(8),
      high: record.readInt32LE(12),
      low: record.readInt32LE(16),
      set: record.readUInt32LE(20),
      kind: record.readUInt8(24),
      own: record.readUInt8(25) === 1,
      mark: record.readDoubleLE(28),
      amount: record.readDoubleLE(36),
      staleAfter: record.readDoubleLE(44),
    });
  }
  return entries;
}
