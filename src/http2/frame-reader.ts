/**
 * Cuts a byte stream into frames (RFC 9113 §4.1), whatever the pieces in which it comes. Knows no socket.
 *
 * DATA is passed on piece by piece as it comes: a frame of 16 MiB is never gathered. Every other frame is given whole, out of
 * the piece it came in, and copied only when it is split between pieces.
 */
import { Flag, FRAME_HEADER_BYTES, FrameType, PREFACE, uint8, uint24, uint31 } from './frame.ts';

/** Receives what is read. Any call may stop the reader, or pause it. */
export interface FrameSink {
  /** A frame that is not DATA, in `bytes[start, end)`. */
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** A DATA frame begins; `length` counts against the windows. */
  onDataBegin(flags: number, streamId: number, length: number): void;
  /** The pad length of the DATA frame was read: so many of its octets are no data. */
  onDataPadding(octets: number): void;
  /** Octets of the DATA frame. `last`: no more of it follow but padding. */
  onDataOctets(bytes: Buffer, start: number, end: number, last: boolean): void;
  /** The bytes are not what frames are made of. The reader has stopped. */
  onFrameFault(fault: FrameFault): void;
}

export type FrameFault = 'preface' | 'frame_too_large' | 'padding';

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #maxFrameBytes: number;
  #prefaceLeft: number;
  #stopped = false;
  #paused = false;

  // A frame that began in an earlier piece: its header, and all of it unless it is DATA.
  #held: Buffer = EMPTY;
  #heldLength = 0;
  #heldTarget = 0;

  // The DATA frame that is being passed on.
  #dataLeft = 0;
  #paddingLeft = 0;
  #awaitsPadLength = false;

  /** A server expects the client's preface before the first frame. */
  constructor(sink: FrameSink, maxFrameBytes: number, expectPreface: boolean) {
    this.#sink = sink;
    this.#maxFrameBytes = maxFrameBytes;
    this.#prefaceLeft = expectPreface ? PREFACE.length : 0;
  }

  /** The frame that is held until its rest comes, if there is one. */
  get heldFrame(): object | undefined {
    return this.#heldTarget > 0 ? this.#held : undefined;
  }

  /** Ignores everything from here on. */
  stop(): void {
    this.#stopped = true;
    this.#held = EMPTY;
  }

  /** Has `read` return when the frame at hand is done. */
  pause(): void {
    this.#paused = true;
  }

  /**
   * Reads the next piece of the stream, or what it returned of the last: what a `pause` has left to be read. Views of it are passed
   * on, so it must not be written to again.
   */
  read(bytes: Buffer): Buffer | undefined {
    this.#paused = false;
    let at = this.#prefaceLeft > 0 ? this.#readPreface(bytes) : 0;
    while (at < bytes.length && !this.#stopped && !this.#paused) {
      if (this.#dataLeft > 0) at = this.#readData(bytes, at);
      else if (this.#paddingLeft > 0) at = this.#skipPadding(bytes, at);
      else if (this.#heldTarget > 0) at = this.#fillHeld(bytes, at);
      else at = this.#readFrame(bytes, at);
    }
    return this.#paused && !this.#stopped ? bytes.subarray(at) : undefined;
  }

  #readPreface(bytes: Buffer): number {
    const from = PREFACE.length - this.#prefaceLeft;
    const length = Math.min(this.#prefaceLeft, bytes.length);
    if (bytes.compare(PREFACE, from, from + length, 0, length) !== 0) {
      this.#fail('preface');
      return bytes.length;
    }
    this.#prefaceLeft -= length;
    return length;
  }

  /** Reads a frame that begins at `at`, or holds its beginning. Returns where to go on. */
  #readFrame(bytes: Buffer, at: number): number {
    const available = bytes.length - at;
    if (available < FRAME_HEADER_BYTES) return this.#hold(bytes, at, FRAME_HEADER_BYTES);
    const length = uint24(bytes, at);
    if (length > this.#maxFrameBytes) return this.#fail('frame_too_large');
    const type = uint8(bytes, at + 3);
    const payload = at + FRAME_HEADER_BYTES;
    if (type === FrameType.DATA) {
      this.#beginData(bytes, at, length);
      return payload;
    }
    if (available < FRAME_HEADER_BYTES + length) return this.#hold(bytes, at, FRAME_HEADER_BYTES + length);
    this.#sink.onFrame(type, uint8(bytes, at + 4), uint31(bytes, at + 5), bytes, payload, payload + length);
    return payload + length;
  }

  /** Keeps what there is of a frame, until `target` octets of it are there. */
  #hold(bytes: Buffer, at: number, target: number): number {
    if (target > this.#held.length) this.#held = Buffer.allocUnsafeSlow(target);
    this.#heldLength = bytes.copy(this.#held, 0, at);
    this.#heldTarget = target;
    return bytes.length;
  }

  #fillHeld(bytes: Buffer, at: number): number {
    const copied = bytes.copy(this.#held, this.#heldLength, at, at + this.#heldTarget - this.#heldLength);
    this.#heldLength += copied;
    if (this.#heldLength < this.#heldTarget) return at + copied;
    const held = this.#held;
    const headerOnly = this.#heldTarget === FRAME_HEADER_BYTES;
    this.#heldTarget = 0;
    const length = uint24(held, 0);
    if (!headerOnly || length === 0 || uint8(held, 3) === FrameType.DATA || length > this.#maxFrameBytes) {
      this.#held = EMPTY;
      this.#readFrame(held.subarray(0, this.#heldLength), 0);
      return at + copied;
    }
    // The header is whole: now for the payload. It may be in this piece already, or in later ones.
    this.#hold(held.subarray(0, FRAME_HEADER_BYTES), 0, FRAME_HEADER_BYTES + length);
    return at + copied;
  }

  #beginData(bytes: Buffer, at: number, length: number): void {
    const flags = uint8(bytes, at + 4);
    this.#dataLeft = length;
    this.#awaitsPadLength = (flags & Flag.PADDED) !== 0;
    this.#sink.onDataBegin(flags, uint31(bytes, at + 5), length);
    if (length > 0 || this.#stopped) return;
    if (this.#awaitsPadLength) this.#fail('padding');
    else this.#sink.onDataOctets(bytes, 0, 0, true);
  }

  #readData(bytes: Buffer, at: number): number {
    let start = at;
    if (this.#awaitsPadLength) {
      this.#awaitsPadLength = false;
      const padding = uint8(bytes, at);
      this.#dataLeft -= 1;
      if (padding > this.#dataLeft) return this.#fail('padding');
      this.#paddingLeft = padding;
      this.#dataLeft -= padding;
      this.#sink.onDataPadding(padding + 1);
      start = at + 1;
      if (this.#dataLeft > 0 && start === bytes.length) return start;
    }
    const end = Math.min(bytes.length, start + this.#dataLeft);
    this.#dataLeft -= end - start;
    if (!this.#stopped) this.#sink.onDataOctets(bytes, start, end, this.#dataLeft === 0);
    return end;
  }

  #skipPadding(bytes: Buffer, at: number): number {
    const skipped = Math.min(this.#paddingLeft, bytes.length - at);
    this.#paddingLeft -= skipped;
    return at + skipped;
  }

  #fail(fault: FrameFault): number {
    this.stop();
    this.#sink.onFrameFault(fault);
    return Number.POSITIVE_INFINITY;
  }
}

const EMPTY = Buffer.alloc(0);
