/**
 * One writer's audit log: what the data path calls.
 *
 * `append` encodes a record into memory and links it into the chain; `flush`, the turn's gate, puts all of a turn's records
 * into the kernel with one write. A record that `flush` has acknowledged survives `kill -9`; a power cut can take the last
 * second (`fdatasync` runs once a second, at rotation and at close).
 *
 * A log that cannot be written (disk full, I/O error, `maxBytes` reached with nothing delivered to remove) does what the
 * operator chose. `refuse`: `flush` returns false, so that nothing of the turn leaves, and the log tries again every 50 ms
 * and says when it could. `drop`: the records are counted and forgotten, and the next record that can be written says how many.
 */
import type { Clock } from '../kernel/clock.ts';
import { systemClock } from '../kernel/clock.ts';
import { encodeRecord, MAX_PAYLOAD_BYTES } from './codec.ts';
import type { AuditRecord } from './record.ts';
import { recoverChain } from './recovery.ts';
import { FRAME_HEAD_BYTES, FRAME_OVERHEAD_BYTES, HASH_BYTES, isWriterName, sha256 } from './segment.ts';
import { diskFiles, type SegmentFiles } from './segment-files.ts';
import { SegmentWriter } from './segment-writer.ts';
import { WriterLock } from './writer-lock.ts';

export interface AuditLogOptions {
  /** Created with mode 0700 when it is not there. */
  readonly directory: string;
  /** `worker-0`: an RFC 1123 label. One process at a time writes under a name. */
  readonly writer: string;
  /** A segment is closed once it holds so many bytes or more, or a sixteenth of `maxBytes`. */
  readonly segmentBytes: number;
  /** Most bytes of all segments of the directory together. Delivered ones are removed to stay below it, undelivered ones never. */
  readonly maxBytes: number;
  readonly whenFull: 'refuse' | 'drop';
  /** The log cannot be written, why in the operator's words. Only for `refuse`. */
  readonly onBlocked: (why: string) => void;
  /** All that was held back is in the kernel: the turn's output may leave (`Turn.release()`). */
  readonly onUnblocked: () => void;
  readonly clock?: Clock;
  readonly files?: SegmentFiles;
}

/** How long a blocked log waits before it tries again. */
const RETRY_MS = 50;
/** How much may be lost to a power cut, in time. */
const SYNC_INTERVAL_MS = 1_000;
const INITIAL_BUFFER_BYTES = 256 * 1024;
/** What is held in memory while the log is blocked. More is lost, and counted: memory must not follow a full disk. */
export const MAX_HELD_BYTES = 64 * 1024 * 1024;

export class AuditLog {
  readonly #options: AuditLogOptions;
  readonly #clock: Clock;
  readonly #lock: WriterLock;
  readonly #segment: SegmentWriter;
  readonly #syncTimer: NodeJS.Timeout;
  /** The hash of the last record written stands right before `#start`; then come the frames that are not yet written. */
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BUFFER_BYTES);
  #start = HASH_BYTES;
  #end = HASH_BYTES;
  /** Of the held bytes, how many the kernel took before it refused the rest. */
  #taken = 0;
  #heldRecords = 0;
  #blocked: string | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #unreportedLoss = 0;
  #lossReason = '';
  #dropped = 0;
  #closed = false;

  /** Opens the log: takes the lock, recovers a torn tail, starts a new segment. Throws when it cannot: start nothing without it. */
  constructor(options: AuditLogOptions) {
    if (!isWriterName(options.writer))
      throw new TypeError(`audit writer ${JSON.stringify(options.writer)} is not a label`);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#lock = new WriterLock(options.directory, options.writer);
    try {
      const chain = recoverChain(options.directory, options.writer);
      const files = options.files ?? diskFiles;
      const { directory, writer, segmentBytes, maxBytes } = options;
      this.#segment = new SegmentWriter({ directory, writer, segmentBytes, maxBytes, files }, chain, this.#clock.now());
      this.#buffer.write(this.#segment.headerHash, 0, 'hex');
      if (chain.recovered !== undefined) this.#appendEvent('audit.tail_recovered', chain.recovered);
      if (!this.flush()) throw new Error(`audit log cannot be written: ${this.#blocked}`);
    } catch (error) {
      clearTimeout(this.#retryTimer);
      this.#lock.release();
      throw error;
    }
    this.#syncTimer = setInterval(() => this.#everySecond(), SYNC_INTERVAL_MS);
    this.#syncTimer.unref();
  }

  /** Why nothing can be written now; undefined when all is well. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** Records lost since start: dropped by the operator's choice, or beyond what may be held in memory. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Bytes of all segments of the directory, delivered or not. */
  get bytes(): number {
    return this.#segment.totalBytes;
  }

  /** Encodes a record and links it into the chain. It is written with the next `flush`; after `close` it is only counted. */
  append(record: AuditRecord): void {
    if (this.#closed) {
      this.#dropped++;
      return;
    }
    if (this.#buffer.length - this.#end < MAX_PAYLOAD_BYTES + FRAME_OVERHEAD_BYTES && !this.#makeRoom()) {
      this.#countLoss(1, 'more records held back than memory is set aside for');
      return;
    }
    const buffer = this.#buffer;
    const start = this.#end;
    const payloadEnd = encodeRecord(record, buffer, start + FRAME_HEAD_BYTES);
    writeU32(buffer, start, payloadEnd - start - FRAME_HEAD_BYTES);
    writeU32(buffer, start + 4, this.#segment.records + this.#heldRecords + 1);
    // The previous record's hash lies right before this frame, so that one call hashes both.
    buffer.write(sha256(buffer.subarray(start - HASH_BYTES, payloadEnd)), payloadEnd, HASH_BYTES, 'latin1');
    this.#end = payloadEnd + HASH_BYTES;
    this.#heldRecords++;
  }

  /**
   * The turn's gate: puts every record appended so far into the kernel. True: done (or dropped, where the operator chose
   * that). False: `onUnblocked` will be called when it is.
   */
  flush(): boolean {
    if (this.#blocked !== undefined) return false;
    if (this.#end === this.#start) return true;
    const why = this.#write();
    if (why === undefined) {
      if (this.#unreportedLoss > 0) this.#reportLoss();
      return true;
    }
    if (this.#options.whenFull === 'drop') {
      this.#forgetHeld(why);
      return true;
    }
    this.#block(why);
    return false;
  }

  /** Writes what is left, has the disk take it, and gives the name back. What a full disk would not take is lost. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    clearInterval(this.#syncTimer);
    try {
      this.#write();
      this.#segment.close();
    } finally {
      this.#lock.release();
    }
  }

  #write(): string | undefined {
    const length = this.#end - this.#start;
    const why = this.#segment.reserve(length) ?? this.#writeBytes();
    if (why !== undefined) return why;
    this.#segment.written(length, this.#heldRecords);
    this.#buffer.copyWithin(0, this.#end - HASH_BYTES, this.#end);
    this.#emptyBuffer();
    if (this.#segment.isFull) this.#rotate();
    return undefined;
  }

  #rotate(): void {
    const lastHash = this.#buffer.toString('hex', 0, HASH_BYTES);
    const headerHash = this.#segment.rotate(lastHash, this.#clock.now());
    if (headerHash !== undefined) this.#buffer.write(headerHash, 0, 'hex');
  }

  #writeBytes(): string | undefined {
    try {
      while (this.#start + this.#taken < this.#end) {
        const at = this.#start + this.#taken;
        this.#taken += this.#segment.write(this.#buffer, at, this.#end - at);
      }
      return undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }

  #emptyBuffer(): void {
    if (this.#buffer.length > INITIAL_BUFFER_BYTES) {
      const smaller = Buffer.allocUnsafeSlow(INITIAL_BUFFER_BYTES);
      this.#buffer.copy(smaller, 0, 0, HASH_BYTES);
      this.#buffer = smaller;
    }
    this.#start = HASH_BYTES;
    this.#end = HASH_BYTES;
    this.#taken = 0;
    this.#heldRecords = 0;
  }

  /** Makes room for one more record: by writing early, which is always allowed, or by holding more. */
  #makeRoom(): boolean {
    if (this.flush() && this.#end === this.#start) return true;
    if (this.#buffer.length >= MAX_HELD_BYTES) return false;
    const larger = Buffer.allocUnsafeSlow(this.#buffer.length * 2);
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
    return true;
  }

  #block(why: string): void {
    this.#blocked = why;
    this.#retryLater();
    this.#options.onBlocked(why);
  }

  #retryLater(): void {
    this.#retryTimer = setTimeout(() => {
      const why = this.#write();
      if (why !== undefined) {
        this.#blocked = why;
        this.#retryLater();
        return;
      }
      this.#blocked = undefined;
      if (this.#unreportedLoss > 0) this.#reportLoss();
      this.#options.onUnblocked();
    }, RETRY_MS);
  }

  /** `drop`: forgets what is held, and takes back the part that the kernel had taken of it. */
  #forgetHeld(why: string): void {
    const records = this.#heldRecords;
    try {
      if (this.#taken > 0) this.#segment.undo();
    } catch {
      // Half a record stays in the file: it can only be completed, so what is held is kept, and tried again next turn.
      return;
    }
    this.#emptyBuffer();
    this.#countLoss(records, why);
  }

  #countLoss(records: number, why: string): void {
    this.#unreportedLoss += records;
    this.#dropped += records;
    this.#lossReason = why;
  }

  #reportLoss(): void {
    const lost = this.#unreportedLoss;
    this.#unreportedLoss = 0;
    this.#appendEvent('audit.records_lost', `${lost} records were not written: ${this.#lossReason}`);
    this.flush();
  }

  #appendEvent(event: string, detail: string): void {
    this.append({ type: 'event', at: this.#clock.now(), event, detail });
  }

  #everySecond(): void {
    try {
      this.#lock.touch(new Date(this.#clock.now() / 1000));
      this.#segment.sync((error) => this.#syncFailed(error));
    } catch (error) {
      this.#syncFailed(error);
    }
  }

  #syncFailed(error: unknown): void {
    if (this.#closed) return;
    this.#appendEvent('audit.sync_failed', reasonOf(error));
    this.flush();
  }
}

function writeU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value & 0xff;
  target[at + 1] = (value >>> 8) & 0xff;
  target[at + 2] = (value >>> 16) & 0xff;
  target[at + 3] = value >>> 24;
}

/** `ENOSPC: no space left on device, write`. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
