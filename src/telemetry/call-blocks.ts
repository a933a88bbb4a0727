/**
 * Parts of a call's telemetry as they were written for an earlier call that had the same. A connection's calls are much alike, so what the
 * last one with its port was written as is looked at first, and used if the record has the very same bytes or numbers.
 */
import { type CallView, TEXT } from '../audit/call-view.ts';
import { blockOf } from './attributes.ts';
import type { OtlpBytes } from './otlp-bytes.ts';

/** Different callers, models, … whose blocks are kept. Beyond it the cache starts anew. */
export const MAX_CACHED_BLOCKS = 4_096;

type Write = (out: OtlpBytes, view: CallView) => void;

/** What is written from the record's run of bytes that seldom change: who called what. */
export class StableBlocks {
  readonly #write: Write;
  readonly #capacity: number;
  #known = new Map<string, Known>();
  readonly #recent: (Known | undefined)[] = [];

  constructor(write: Write, capacity = MAX_CACHED_BLOCKS) {
    this.#write = write;
    this.#capacity = capacity;
  }

  of(view: CallView): Buffer {
    const end = view.textEnd[TEXT.upstream] ?? view.stableAt;
    const slot = view.peerPort & (SLOTS - 1);
    const recent = this.#recent[slot];
    if (recent !== undefined && recent.run.length === end - view.stableAt && equals(recent.run, view))
      return recent.block;
    const found = this.#find(view, end);
    while (this.#recent.length <= slot) this.#recent.push(undefined);
    this.#recent[slot] = found;
    return found.block;
  }

  #find(view: CallView, end: number): Known {
    const key = view.bytes.toString('latin1', view.stableAt, end);
    let known = this.#known.get(key);
    if (known === undefined) {
      known = { run: Buffer.from(key, 'latin1'), block: blockOf((out) => this.#write(out, view)) };
      if (this.#known.size >= this.#capacity) this.#known = new Map();
      this.#known.set(key, known);
    }
    return known;
  }
}

interface Known {
  readonly run: Buffer;
  readonly block: Buffer;
}

/** What is written from the numbers of a record that are the same for calls of one kind. */
export class NumberBlocks {
  readonly #write: Write;
  readonly #recent: (Numbers | undefined)[] = [];

  constructor(write: Write) {
    this.#write = write;
  }

  write(out: OtlpBytes, view: CallView): void {
    const numbers = this.#of(view.peerPort & (SLOTS - 1));
    if (isSame(numbers, view)) {
      out.reserve(numbers.length);
      out.copy(numbers.bytes, 0, numbers.length);
      return;
    }
    const start = out.length;
    this.#write(out, view);
    keep(numbers, view, out, start);
  }

  #of(slot: number): Numbers {
    while (this.#recent.length <= slot) this.#recent.push(undefined);
    const known = this.#recent[slot];
    if (known !== undefined) return known;
    const bytes = Buffer.allocUnsafeSlow(NUMBER_BYTES);
    const none = {
      peerPort: 0,
      requestBytes: 0,
      responseBytes: 0,
      requestMessages: 0,
      responseMessages: 0,
      generation: 0,
    };
    return (this.#recent[slot] = { ...none, bytes, length: 0 });
  }
}

interface Numbers {
  peerPort: number;
  requestBytes: number;
  responseBytes: number;
  requestMessages: number;
  responseMessages: number;
  generation: number;
  readonly bytes: Buffer;
  /** Zero: nothing is here yet. */
  length: number;
}

function isSame(numbers: Numbers, view: CallView): boolean {
  return (
    numbers.length > 0 &&
    numbers.peerPort === view.peerPort &&
    numbers.requestBytes === view.requestBytes &&
    numbers.responseBytes === view.responseBytes &&
    numbers.requestMessages === view.requestMessages &&
    numbers.responseMessages === view.responseMessages &&
    numbers.generation === view.generation
  );
}

function keep(numbers: Numbers, view: CallView, out: OtlpBytes, start: number): void {
  numbers.length = out.copyTo(numbers.bytes, start);
  numbers.peerPort = view.peerPort;
  numbers.requestBytes = view.requestBytes;
  numbers.responseBytes = view.responseBytes;
  numbers.requestMessages = view.requestMessages;
  numbers.responseMessages = view.responseMessages;
  numbers.generation = view.generation;
}

function equals(run: Buffer, view: CallView): boolean {
  return view.bytes.compare(run, 0, run.length, view.stableAt, view.stableAt + run.length) === 0;
}

/** Power of two. */
const SLOTS = 64;
/** Six attributes of integers below 2^53 take less. */
const NUMBER_BYTES = 512;
