/**
 * Sends the messages of one direction on with their names changed: the head of each is held back until its names are known and its
 * length with them; the rest follows as it comes. What has no names leaves as it came, in the same pieces if it came whole.
 */
import type { Standing } from '../kernel/standing.ts';
import { NameEdits, type NameMapping } from '../protobuf/name-edits.ts';

/** So much of a message is held back while names may still come: no name may come behind it. */
export const NAME_WINDOW_BYTES = 32 * 1024;

export class MessageRewrite {
  readonly edits: NameEdits;
  readonly #windowBytes: number;
  /** Pays for what is held: its sender gets its window back at once, for what is held waits for more from it. */
  standing: Standing | undefined;
  #length = 0;
  #flag = 0;
  /** The head is still here. */
  #held = false;
  #head = NOTHING;
  #headBytes = 0;
  /** What is put out: nearly always one piece, which takes no list. */
  #first: Buffer | undefined;
  #others: Buffer[] | undefined;

  constructor(mapping: NameMapping, windowBytes = NAME_WINDOW_BYTES) {
    this.edits = new NameEdits(mapping, windowBytes);
    this.#windowBytes = windowBytes;
  }

  /** A message of so many bytes begins; `flag`: as its frame has it. */
  begin(length: number, flag = 0): void {
    this.#length = length;
    this.#flag = flag;
    this.#held = true;
    this.#headBytes = 0;
  }

  /**
   * Takes `chunk[start, end)` of the message, when the scanner has read it; `last`: the message ends there. `from`: where its frame
   * begins in the chunk, or -1 when that was before.
   */
  take(chunk: Buffer, from: number, start: number, end: number, last: boolean): void {
    if (!this.#held) {
      // A chunk as it came is no garbage of ours.
      if (start === 0 && end === chunk.length) this.put(chunk);
      else if (end > start) this.put(chunk.subarray(start, end));
      return;
    }
    if (this.#headBytes === 0 && from >= 0 && (last || end - start >= this.#windowBytes)) {
      this.#release(chunk, from, start, end);
      return;
    }
    const stop = Math.min(end, start + this.#windowBytes - this.#headBytes);
    this.#gather(chunk, start, stop);
    if (!last && this.#headBytes < this.#windowBytes) return;
    this.#releaseHead();
    if (stop < end) this.put(chunk.subarray(stop, end));
  }

  /** What may be sent on now, if that is one piece; undefined: nothing, or `takeOutput` has more. */
  takeOnly(): Buffer | undefined {
    if (this.#others !== undefined) return undefined;
    const only = this.#first;
    this.#first = undefined;
    return only;
  }

  /** What may be sent on now. */
  takeOutput(): readonly Buffer[] {
    if (this.#first === undefined) return NONE;
    const output = [this.#first, ...(this.#others ?? NONE)];
    this.#first = undefined;
    this.#others = undefined;
    return output;
  }

  /** Sends on what was rewritten. */
  put(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (this.#first === undefined) this.#first = bytes;
    else (this.#others ??= []).push(bytes);
  }

  /** The message does not come to its end: what is held of it goes on as it came. */
  flush(): void {
    if (!this.#held) return;
    this.edits.abandon();
    this.#releaseHead();
  }

  /** The call is over, or done with it: what it holds of it is forgotten. */
  close(): void {
    this.#drop();
    this.edits.begin();
    this.#held = false;
    this.standing = undefined;
    this.#first = undefined;
    this.#others = undefined;
  }

  /** What was gathered goes on. */
  #releaseHead(): void {
    const [head, bytes] = [this.#head, this.#headBytes];
    this.#drop();
    this.#release(head, -1, 0, bytes);
  }

  /** `chunk[start, end)` goes on, with what has become of its frame's header, which begins at `from` if it is in the chunk. */
  #release(chunk: Buffer, from: number, start: number, end: number): void {
    this.#held = false;
    const growth = this.edits.close();
    const changed = this.edits.changedBytes;
    if (changed === 0 && from >= 0) {
      this.put(from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end));
      return;
    }
    // A little more is copied rather than sent by itself.
    const copied = end - start - changed <= MAX_COPIED_BYTES ? end : start + changed;
    const head = this.edits.apply(chunk, start, copied, growth, FRAME_HEADER_BYTES);
    writeFrameHeader(head, this.#length + growth, this.#flag);
    this.put(head);
    if (copied < end) this.put(chunk.subarray(copied, end));
  }

  #gather(chunk: Buffer, start: number, end: number): void {
    const bytes = this.#headBytes + end - start;
    if (bytes > this.#head.length) this.#enlarge(bytes);
    chunk.copy(this.#head, this.#headBytes, start, end);
    this.#headBytes = bytes;
  }

  #enlarge(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#windowBytes, Math.max(LEAST_HEAD_BYTES, bytes * 2)));
    this.standing?.hold(larger.length - this.#head.length);
    this.#head.copy(larger, 0, 0, this.#headBytes);
    this.#head = larger;
  }

  #drop(): void {
    this.standing?.letGo(this.#head.length);
    this.#head = NOTHING;
    this.#headBytes = 0;
  }
}

/** Compressed-Flag and Message-Length (gRPC over HTTP/2, Length-Prefixed-Message). */
export function frameHeader(length: number, flag = 0): Buffer {
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  writeFrameHeader(header, length, flag);
  return header;
}

/** The same, into the first bytes of what is there. */
export function writeFrameHeader(into: Buffer, length: number, flag = 0): void {
  if (length > MAX_MESSAGE_BYTES) throw new RangeError(`a message of ${length} bytes`);
  into[0] = flag;
  into[1] = length >>> 24;
  into[2] = length >>> 16;
  into[3] = length >>> 8;
  into[4] = length;
}

/** Message-Length has 32 bits. */
const MAX_MESSAGE_BYTES = 2 ** 32 - 1;
const NOTHING = Buffer.alloc(0);
const NONE: readonly Buffer[] = [];
export const FRAME_HEADER_BYTES = 5;
const LEAST_HEAD_BYTES = 1_024;
/** Beyond it a piece of its own is cheaper than a copy. */
const MAX_COPIED_BYTES = 2_048;
