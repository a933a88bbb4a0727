/**
 * Delivers one signal: follows all writers' segments, sends what is new, and moves the cursors when the collector has
 * acknowledged. At least once: what was not acknowledged is sent again, after a restart too. While the collector is away
 * there is one batch in memory, and everything else stays where it is, in the segments.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cursor, CursorFile, readCursor, type Signal } from '../audit/cursor.ts';
import { listAllSegments, listWriters } from '../audit/segment-list.ts';
import { type TailFrame, WriterTail } from '../audit/writer-tail.ts';
import type { ExportOutcome, OtlpRequest } from './otlp-export.ts';
import type { OtlpBatch } from './otlp-request.ts';
import { type RecordEncoder, recordEncoder } from './record-encoder.ts';

export interface DeliveryOptions {
  readonly signal: Signal;
  readonly directory: string;
  readonly batch: OtlpBatch;
  readonly exporter: Exporter;
}

/** Sends one request at a time; never rejects. */
export interface Exporter {
  export(request: OtlpRequest): Promise<ExportOutcome>;
}

interface Followed {
  readonly tail: WriterTail;
  readonly file: CursorFile;
  /** What the file says. */
  readonly written: Cursor | undefined;
}

/** How often the segments are looked at while there is much to send, so that it is sent in small portions. */
const BUSY_POLL_MS = 50;
/** And while there is little: the age that a record may have before it is sent. A request costs more than the records in it. */
const QUIET_POLL_MS = 150;
/** A round ends after so many records also when few of them are sampled: the thread has messages to hear. */
const MAX_BATCH_RECORDS = 20_000;
const BUSY_BATCH_BYTES = 128 * 1024;
/** How often new writers are looked for: they appear at starts only. */
const DISCOVER_MS = 1_000;
/** Between attempts while the collector is away, doubling. The first ones are quick: most outages are restarts. */
const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 5_000;
const READ_BUFFER_BYTES = 512 * 1024;

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #encode: RecordEncoder;
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
  readonly #followed = new Map<string, Followed>();
  readonly #wake = new AbortController();
  #discoveredAt = Number.NEGATIVE_INFINITY;
  #firstTail = 0;
  #batchRecords = 0;
  #drainUntil = Number.POSITIVE_INFINITY;
  #delivered = 0;
  #rejected = 0;
  #lastError: string | undefined;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#encode = recordEncoder(options.signal);
  }

  /** Records acknowledged, also those of which this signal makes nothing. */
  get deliveredRecords(): number {
    return this.#delivered;
  }

  /** Entries that the collector has refused for good, and records that could not be read. */
  get rejectedRecords(): number {
    return this.#rejected;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** Bytes of segments that are not acknowledged. */
  backlogBytes(): number {
    const { directory, signal } = this.#options;
    let backlog = 0;
    const cursors = new Map(listWriters(directory).map((writer) => [writer, readCursor(directory, writer, signal)]));
    for (const { writer, sequence, bytes } of listAllSegments(directory)) {
      const cursor = cursors.get(writer);
      if (cursor === undefined || sequence > cursor.sequence) backlog += bytes;
      else if (sequence === cursor.sequence) backlog += Math.max(0, bytes - cursor.offset);
    }
    return backlog;
  }

  /** Delivers until drained. Rejects only when the directory or a cursor cannot be read or written. */
  async run(): Promise<void> {
    try {
      for (;;) {
        const more = this.#collect();
        if (this.#batchRecords > 0) {
          if (!(await this.#send(0, this.#options.batch.size))) return;
          this.#commit();
        } else if (this.#isDraining()) return;
        if (!more) await this.#pause(this.#options.batch.bytes >= BUSY_BATCH_BYTES ? BUSY_POLL_MS : QUIET_POLL_MS);
        if (performance.now() >= this.#drainUntil) return;
      }
    } finally {
      for (const { tail, file } of this.#followed.values()) {
        tail.close();
        file.close();
      }
    }
  }

  /** Has `run` deliver what is there and return, at the latest after so long. */
  drain(timeoutMs: number): void {
    this.#drainUntil = performance.now() + timeoutMs;
    this.#discoveredAt = Number.NEGATIVE_INFINITY;
    this.#wake.abort();
  }

  /** Fills the batch with what is new; true when there is more than fits. */
  #collect(): boolean {
    const { batch } = this.#options;
    batch.clear();
    this.#batchRecords = 0;
    const followed = this.#discover();
    // Each round begins with another writer, so that a busy one does not keep the others waiting.
    for (let i = 0; i < followed.length; i++) {
      const next = followed[(this.#firstTail + i) % followed.length];
      next?.tail.read((frame) => this.#take(frame));
      if (this.#isFull()) {
        this.#firstTail += i + 1;
        return true;
      }
    }
    return false;
  }

  #isFull(): boolean {
    return this.#options.batch.isFull || this.#batchRecords >= MAX_BATCH_RECORDS;
  }

  #take(frame: TailFrame): boolean {
    const { batch } = this.#options;
    const problem = this.#encode(frame, batch.entries);
    this.#batchRecords++;
    if (typeof problem === 'string') {
      this.#rejected++;
      this.#lastError = `${frame.writer} segment ${frame.sequence} record ${frame.number}: ${problem}`;
    }
    batch.endRecord();
    return !this.#isFull();
  }

  #discover(): readonly Followed[] {
    const { directory, signal } = this.#options;
    const now = performance.now();
    if (now - this.#discoveredAt >= DISCOVER_MS) {
      this.#discoveredAt = now;
      for (const writer of listWriters(directory)) {
        if (this.#followed.has(writer)) continue;
        const written = readCursor(directory, writer, signal);
        const tail = new WriterTail(directory, writer, written, this.#buffer);
        this.#followed.set(writer, { tail, file: new CursorFile(directory, writer, signal), written });
      }
    }
    return [...this.#followed.values()];
  }

  /** Sends the records of the batch until they are taken or refused for good; false when draining ran out of time. */
  async #send(from: number, to: number): Promise<boolean> {
    if (from === to) return true;
    const request = { bytes: this.#options.batch.request(from, to), entries: to - from };
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      const outcome = await this.#exportInTime(request);
      if (outcome === undefined) return false;
      switch (outcome.kind) {
        case 'delivered':
          this.#rejected += outcome.rejected;
          this.#lastError = outcome.rejected > 0 ? `the collector rejected ${outcome.rejected} entries` : undefined;
          return true;
        case 'refused': {
          this.#lastError = outcome.why;
          if (to - from === 1) {
            this.#rejected++;
            return true;
          }
          // One of them spoils the request: find it, and deliver the others.
          const middle = (from + to) >> 1;
          return (await this.#send(from, middle)) && (await this.#send(middle, to));
        }
        case 'unavailable':
          this.#lastError = outcome.why;
          await this.#pause(backoffMs);
          if (performance.now() >= this.#drainUntil) return false;
      }
    }
  }

  /** Undefined: draining ran out of time before the collector answered. */
  async #exportInTime(request: OtlpRequest): Promise<ExportOutcome | undefined> {
    const done = new AbortController();
    try {
      return await Promise.race([this.#options.exporter.export(request), this.#outOfTime(done.signal)]);
    } finally {
      done.abort();
    }
  }

  async #outOfTime(done: AbortSignal): Promise<undefined> {
    if (!this.#isDraining()) await aborted(AbortSignal.any([this.#wake.signal, done]));
    const left = this.#drainUntil - performance.now();
    if (!done.aborted && left > 0) await pause(left, done);
    return undefined;
  }

  #commit(): void {
    this.#delivered += this.#batchRecords;
    for (const { tail, file, written } of this.#followed.values()) {
      // A tail makes a new cursor whenever it moves.
      if (tail.cursor === undefined || tail.cursor === written) continue;
      file.write(tail.cursor);
      this.#followed.set(tail.writer, { tail, file, written: tail.cursor });
    }
  }

  #isDraining(): boolean {
    return this.#wake.signal.aborted;
  }

  /** Waits, or less when draining begins. While draining, waits are short and never skipped: they bound the loop. */
  async #pause(milliseconds: number): Promise<void> {
    if (this.#isDraining()) await sleep(Math.min(milliseconds, BUSY_POLL_MS));
    else await pause(milliseconds, this.#wake.signal);
  }
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch {
    // Woken: that is what the signal is for.
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
