/**
 * Delivers one signal: follows all writers' segments, sends what is new, and moves the cursors when the collector has
 * acknowledged. At least once: what was not acknowledged is sent again, after a restart too. While the collector is away
 * there is one batch in memory, and everything else stays where it is, in the segments.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readCursor, type Signal, writeCursor } from '../audit/cursor.ts';
import { listAllSegments, listWriters } from '../audit/segment-list.ts';
import type { ExportOutcome, OtlpRequest } from './otlp-export.ts';
import type { OtlpBatch } from './otlp-request.ts';
import { type RecordEncoder, recordEncoder } from './record-encoder.ts';
import { type TailFrame, WriterTail } from './writer-tail.ts';

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

/** How often the segments are looked at: the age that a record may have before it is sent. */
const POLL_MS = 50;
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
  readonly #tails = new Map<string, WriterTail>();
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
        if (!more) await this.#pause(POLL_MS);
        if (performance.now() >= this.#drainUntil) return;
      }
    } finally {
      for (const tail of this.#tails.values()) tail.close();
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
    const tails = this.#discover();
    // Each round begins with another writer, so that a busy one does not keep the others waiting.
    for (let i = 0; i < tails.length; i++) {
      const tail = tails[(this.#firstTail + i) % tails.length];
      tail?.read((frame) => this.#take(frame));
      if (batch.isFull) {
        this.#firstTail += i + 1;
        return true;
      }
    }
    return false;
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
    return !batch.isFull;
  }

  #discover(): readonly WriterTail[] {
    const { directory, signal } = this.#options;
    const now = performance.now();
    if (now - this.#discoveredAt >= DISCOVER_MS) {
      this.#discoveredAt = now;
      for (const writer of listWriters(directory)) {
        if (this.#tails.has(writer)) continue;
        const cursor = readCursor(directory, writer, signal);
        this.#tails.set(writer, new WriterTail(directory, writer, cursor, this.#buffer));
      }
    }
    return [...this.#tails.values()];
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
          await this.#pause(this.#isDraining() ? POLL_MS : backoffMs);
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
    const { directory, signal } = this.#options;
    this.#delivered += this.#batchRecords;
    for (const tail of this.#tails.values()) {
      if (tail.cursor !== undefined) this.#write(directory, tail.writer, signal, tail.cursor);
    }
  }

  readonly #written = new Map<string, object>();

  #write(...[directory, writer, signal, cursor]: Parameters<typeof writeCursor>): void {
    // A tail makes a new cursor whenever it moves.
    if (this.#written.get(writer) === cursor) return;
    writeCursor(directory, writer, signal, cursor);
    this.#written.set(writer, cursor);
  }

  #isDraining(): boolean {
    return this.#wake.signal.aborted;
  }

  /** Waits, or less when draining begins. While draining, waits are short and never skipped: they bound the loop. */
  async #pause(milliseconds: number): Promise<void> {
    if (this.#isDraining()) await sleep(Math.min(milliseconds, POLL_MS));
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
