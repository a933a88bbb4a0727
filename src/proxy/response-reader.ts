/**
 * Reads of a response's messages what they say of the call's cost, before they go on: each is kept here until it has been read and paid
 * for, so that what the client has had are messages that were. One that is longer than a piece of text is goes on while it is read, and is
 * paid for at its end.
 */
import type { Denial } from '../kernel/denial.ts';
import type { FieldPlan } from '../protobuf/field-plan.ts';
import type { Measures } from '../protobuf/measures.ts';
import { WireScanner } from '../protobuf/scanner.ts';
import { TextCache } from '../protobuf/text-cache.ts';

/** The longest message that is kept until it is paid for: no smaller than what a window lets come. */
export const MAX_KEPT_BYTES = 16 * 1024;

export interface ResponseReading {
  /** Captures no texts. */
  readonly plan: FieldPlan;
  readonly measures: Measures;
  /** A message has been read, and its measures are there. Says why it may not go on. */
  read(): Denial | undefined;
}

export class ResponseReader {
  readonly #reading: ResponseReading;
  readonly #scanner: WireScanner;
  #flag = 0;
  #headerBytes = 0;
  #length = 0;
  #inMessage = false;
  #remaining = 0;
  /** The message is read, as far as it can be. */
  #reads = false;
  /** Of the message that is under way, all that has come, if none of it has gone on. */
  #kept = NOTHING;
  #keptBytes = 0;
  #denial: Denial | undefined;

  constructor(reading: ResponseReading) {
    this.#reading = reading;
    this.#scanner = new WireScanner(reading.plan, NO_TEXTS);
    this.#scanner.measures = reading.measures;
  }

  /** Why nothing more may go on. Final. */
  get denial(): Denial | undefined {
    return this.#denial;
  }

  /** What is here of a message that does not come to its end. */
  get kept(): Buffer {
    return Buffer.from(this.#kept.subarray(0, this.#keptBytes));
  }

  /** What may go on when this has come. */
  pass(chunk: Buffer): Buffer {
    /** Where the message under way begins in the chunk; with what is kept of it before: 0. */
    let from = 0;
    let at = 0;
    while (at < chunk.length) {
      if (!this.#inMessage) {
        at = this.#readHeader(chunk, at);
        if (!this.#inMessage) break;
      }
      const stop = Math.min(at + this.#remaining, chunk.length);
      if (this.#reads && !this.#scanner.push(chunk, at, stop)) this.#reads = false;
      this.#remaining -= stop - at;
      at = stop;
      if (this.#remaining > 0) break;
      this.#inMessage = false;
      this.#denial = this.#reads && this.#scanner.finish() ? this.#reading.read() : undefined;
      if (this.#denial !== undefined) return this.#upTo(chunk, this.#length > MAX_KEPT_BYTES ? at : from);
      from = at;
    }
    return this.#isKept ? this.#keepFrom(chunk, from) : this.#upTo(chunk, chunk.length);
  }

  /** Whether what has come of the message under way stays here. */
  get #isKept(): boolean {
    return this.#headerBytes > 0 || (this.#inMessage && this.#length <= MAX_KEPT_BYTES);
  }

  #readHeader(chunk: Buffer, offset: number): number {
    let at = offset;
    while (at < chunk.length && this.#headerBytes < FRAME_HEADER_BYTES) {
      const byte = chunk[at++] ?? 0;
      if (this.#headerBytes++ === 0) {
        this.#flag = byte;
        this.#length = 0;
      } else this.#length = this.#length * 0x100 + byte;
    }
    if (this.#headerBytes < FRAME_HEADER_BYTES) return at;
    this.#headerBytes = 0;
    this.#inMessage = true;
    this.#remaining = this.#length;
    this.#reads = this.#flag === 0;
    this.#scanner.begin(this.#length);
    return at;
  }

  /** What was kept, and the chunk up to there. Where that is nothing of the message that was kept, it is let go. */
  #upTo(chunk: Buffer, end: number): Buffer {
    const kept = this.#keptBytes;
    this.#keptBytes = 0;
    if (kept === 0 || end === 0) return end === chunk.length ? chunk : chunk.subarray(0, end);
    return Buffer.concat([this.#kept.subarray(0, kept), chunk.subarray(0, end)]);
  }

  #keepFrom(chunk: Buffer, from: number): Buffer {
    const more = chunk.length - from;
    const passed = from === 0 ? NOTHING : this.#upTo(chunk, from);
    const bytes = this.#keptBytes + more;
    if (bytes > this.#kept.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(LONGEST_KEPT, Math.max(LEAST_KEPT, bytes * 2)));
      this.#kept.copy(larger, 0, 0, this.#keptBytes);
      this.#kept = larger;
    }
    chunk.copy(this.#kept, this.#keptBytes, from);
    this.#keptBytes = bytes;
    return passed;
  }
}

const NOTHING = Buffer.alloc(0);
const NO_TEXTS = new TextCache();
/** Compressed-Flag and Message-Length (gRPC over HTTP/2, Length-Prefixed-Message). */
const FRAME_HEADER_BYTES = 5;
const LONGEST_KEPT = MAX_KEPT_BYTES + FRAME_HEADER_BYTES;
const LEAST_KEPT = 512;
