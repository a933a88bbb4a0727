/**
 * What a stream has to send and may not yet: header blocks and DATA, in order.
 *
 * A small chunk is a view of something large that it would keep alive, and an object of its own is larger than itself. So
 * small chunks are copied together, and what waits costs no more than a few times its bytes: whoever mixes what waits with what
 * moves on must not make us keep all that the socket read with it.
 */
import type { HeaderBlock } from './contract.ts';

export class SendQueue {
  readonly #items: (Buffer | HeaderBlock)[] = [];
  #head = 0;
  /** Octets of the first chunk that have left. */
  #offset = 0;
  /** Where small chunks are copied together: the last item is a view of its first `#tailUsed` octets. */
  #tail: Buffer | undefined;
  #tailUsed = 0;

  get isEmpty(): boolean {
    return this.#head === this.#items.length;
  }

  /** True when the first item is the only one. */
  get isLast(): boolean {
    return this.#head === this.#items.length - 1;
  }

  /** The first header block, if it is one that comes first. */
  get firstBlock(): HeaderBlock | undefined {
    const item = this.#items[this.#head];
    return item === undefined || Buffer.isBuffer(item) ? undefined : item;
  }

  /** How much is left of the chunk that comes first. */
  get firstBytes(): number {
    const item = this.#items[this.#head];
    return item !== undefined && Buffer.isBuffer(item) ? item.length - this.#offset : 0;
  }

  pushBlock(block: HeaderBlock): void {
    this.#tail = undefined;
    this.#items.push(block);
  }

  pushData(chunk: Buffer): void {
    if (chunk.length === 0 || !isCopied(chunk)) {
      this.#tail = undefined;
      this.#items.push(chunk);
      return;
    }
    const used = this.#tail === undefined ? 0 : this.#tailUsed;
    const appends = this.#tail !== undefined && used + chunk.length <= MAX_TAIL_BYTES;
    const tail = appends ? this.#roomFor(used + chunk.length) : Buffer.allocUnsafeSlow(Math.max(256, chunk.length));
    const at = appends ? used : 0;
    chunk.copy(tail, at);
    this.#tail = tail;
    this.#tailUsed = at + chunk.length;
    if (appends) this.#items.pop();
    this.#items.push(tail.subarray(0, this.#tailUsed));
  }

  shiftBlock(): void {
    this.#shift();
  }

  /** Takes up to `bytes` of the chunk that comes first. */
  takeData(bytes: number): Buffer {
    const item = this.#items[this.#head];
    if (item === undefined || !Buffer.isBuffer(item)) return EMPTY;
    const start = this.#offset;
    if (start + bytes < item.length) {
      this.#offset += bytes;
      return item.subarray(start, start + bytes);
    }
    this.#shift();
    return start === 0 ? item : item.subarray(start);
  }

  /** Drops all but a header block that comes first. Returns how many octets of chunks that was. */
  retract(): number {
    const first = this.firstBlock;
    let octets = -this.#offset;
    for (let at = this.#head; at < this.#items.length; at++) {
      const item = this.#items[at];
      if (Buffer.isBuffer(item)) octets += item.length;
    }
    this.clear();
    if (first !== undefined) this.pushBlock(first);
    return octets;
  }

  clear(): void {
    this.#items.length = 0;
    this.#head = 0;
    this.#offset = 0;
    this.#tail = undefined;
  }

  #shift(): void {
    this.#head++;
    this.#offset = 0;
    if (this.#head === this.#items.length) {
      this.clear();
    } else if (this.#head >= 64 && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** The tail, with room for `bytes` in all. */
  #roomFor(bytes: number): Buffer {
    const tail = this.#tail ?? EMPTY;
    if (bytes <= tail.length) return tail;
    const larger = Buffer.allocUnsafeSlow(Math.min(MAX_TAIL_BYTES, Math.max(bytes, tail.length * 2)));
    tail.copy(larger, 0, 0, this.#tailUsed);
    return larger;
  }
}

function isCopied(chunk: Buffer): boolean {
  return chunk.length < COPY_BELOW_BYTES || chunk.length < chunk.buffer.byteLength * LEAST_PART;
}

const EMPTY = Buffer.alloc(0);
const COPY_BELOW_BYTES = 2_048;
/** A view of less than this part of what it keeps alive is copied. A DATA frame of usual size is one of all that a socket reads. */
const LEAST_PART = 1 / 4;
const MAX_TAIL_BYTES = 16_384;
