/**
 * Turns what streams have to send into frames: at once when the windows and the output have room, later and in turns when they
 * have not (RFC 9113 §5.2, §6.9). Header blocks are encoded when they are written, so the encoder's order is the wire's.
 */
import { type HeaderBlock, OUTPUT_BUFFER_BYTES } from './contract.ts';
import { ErrorCode } from './error-code.ts';
import { FIELD_OVERHEAD_BYTES } from './field-table.ts';
import {
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_31_BITS,
  putFrameHeader,
} from './frame.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { SendQueue } from './send-queue.ts';
import type { SocketWriter } from './socket-writer.ts';
import type { Http2Stream } from './stream.ts';
import { StreamLine } from './stream-line.ts';

/** Who hears of what was sent. */
export interface SenderListener {
  /** The stream's END_STREAM is in the output. */
  onEndSent(stream: Http2Stream): void;
  /** A DATA frame with payload is in the output. */
  onDataSent(): void;
  /** The block is larger than the peer takes: nothing was sent. */
  onBlockTooLarge(stream: Http2Stream): void;
}

export class Sender {
  readonly #writer: SocketWriter;
  readonly #listener: SenderListener;
  readonly #encoder: HpackEncoder;
  readonly #ready = new StreamLine('ready');
  readonly #windowLess = new StreamLine('connection_window');
  #pumping = false;

  #windowBytes = DEFAULT_WINDOW_BYTES;
  #maxFrameBytes = DEFAULT_MAX_FRAME_BYTES;
  #maxHeaderListBytes = Number.POSITIVE_INFINITY;

  constructor(writer: SocketWriter, encoderTableBytes: number, listener: SenderListener) {
    this.#writer = writer;
    this.#listener = listener;
    this.#encoder = new HpackEncoder(encoderTableBytes);
  }

  sendHeaders(stream: Http2Stream, block: HeaderBlock, endStream: boolean): void {
    if (this.#mayGoFirst(stream)) {
      this.#writeHeaders(stream, block, endStream);
      return;
    }
    stream.endQueued = endStream;
    queueOf(stream).pushBlock(block);
    this.#enqueue(stream);
  }

  sendData(stream: Http2Stream, chunk: Buffer, endStream: boolean): void {
    const length = chunk.length;
    stream.queuedBytes += length;
    if (
      length <= stream.sendWindowBytes &&
      length <= this.#windowBytes &&
      length <= this.#maxFrameBytes &&
      this.#mayGoFirst(stream)
    ) {
      if (length > 0 || endStream) this.#writeData(stream, chunk, endStream);
      return;
    }
    if (length === 0 && !endStream) return;
    stream.endQueued = endStream;
    queueOf(stream).pushData(chunk);
    this.#enqueue(stream);
  }

  /** Drops what the stream has queued. */
  forget(stream: Http2Stream): void {
    stream.queue?.clear();
    stream.endQueued = false;
  }

  /** Takes back what of the stream's reply is not in the output yet; see `Stream.retract`. */
  retract(stream: Http2Stream): number | undefined {
    const { queue } = stream;
    if (queue === undefined || queue.isEmpty) return 0;
    // Trailers alone, or a reply without a body: it has no bytes, and nothing can follow it.
    if (queue.firstBlock !== undefined && queue.isLast && stream.endQueued) return undefined;
    const bytes = queue.retract();
    stream.queuedBytes -= bytes;
    stream.endQueued = false;
    if (stream.waiting === 'stream_window') stream.waiting = 'nowhere';
    return bytes;
  }

  /** The peer widened the connection's window. False when it is then too wide. */
  widen(bytes: number): boolean {
    this.#windowBytes += bytes;
    if (this.#windowBytes > MAX_31_BITS) return false;
    for (let stream = this.#windowLess.shift(); stream !== undefined; stream = this.#windowLess.shift()) {
      this.#ready.push(stream);
    }
    this.pump();
    return true;
  }

  /** The peer widened the stream's window. False when it is then too wide. */
  widenStream(stream: Http2Stream, bytes: number): boolean {
    if (!this.shiftWindow(stream, bytes)) return false;
    this.pump();
    return true;
  }

  /** Widens or narrows the stream's window; nothing leaves before `pump`. False when it is then too wide. */
  shiftWindow(stream: Http2Stream, bytes: number): boolean {
    stream.sendWindowBytes += bytes;
    if (stream.sendWindowBytes > MAX_31_BITS) return false;
    if (stream.waiting === 'stream_window' && stream.sendWindowBytes > 0) this.#ready.push(stream);
    return true;
  }

  setMaxFrameBytes(bytes: number): void {
    this.#maxFrameBytes = bytes;
  }

  setMaxHeaderListBytes(bytes: number): void {
    this.#maxHeaderListBytes = bytes;
  }

  setPeerMaxTableBytes(bytes: number): void {
    this.#encoder.setPeerMaxTableBytes(bytes);
  }

  /** Writes what is ready, a frame per stream and round, while the output has room. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#writer.isFull) {
      const stream = this.#ready.shift();
      if (stream === undefined) break;
      this.#writeNext(stream);
    }
    this.#pumping = false;
  }

  /** Nobody waits before this stream. */
  #mayGoFirst(stream: Http2Stream): boolean {
    return (stream.queue === undefined || stream.queue.isEmpty) && this.#ready.isEmpty && !this.#writer.isFull;
  }

  #enqueue(stream: Http2Stream): void {
    if (stream.waiting !== 'nowhere') return;
    this.#ready.push(stream);
    this.pump();
  }

  #writeNext(stream: Http2Stream): void {
    const queue = stream.queue;
    if (queue === undefined || queue.isEmpty || stream.closed) return;
    const block = queue.firstBlock;
    if (block !== undefined) {
      const ends = stream.endQueued && queue.isLast;
      queue.shiftBlock();
      this.#writeHeaders(stream, block, ends);
    } else if (!this.#writeNextData(stream, queue)) {
      return;
    }
    if (!queue.isEmpty && !stream.closed) this.#ready.push(stream);
  }

  /** Writes a frame of the chunk that comes first. False when a window is empty: the stream then waits for it. */
  #writeNextData(stream: Http2Stream, queue: SendQueue): boolean {
    const left = queue.firstBytes;
    const bytes = Math.min(left, this.#maxFrameBytes, OUTPUT_BUFFER_BYTES, stream.sendWindowBytes, this.#windowBytes);
    if (bytes <= 0 && left > 0) {
      if (stream.sendWindowBytes <= 0) stream.waiting = 'stream_window';
      else this.#windowLess.push(stream);
      return false;
    }
    const ends = stream.endQueued && queue.isLast && bytes === left;
    this.#writeData(stream, queue.takeData(bytes), ends);
    return true;
  }

  #writeData(stream: Http2Stream, chunk: Buffer, endStream: boolean): void {
    const writer = this.#writer;
    const length = chunk.length;
    stream.sendWindowBytes -= length;
    this.#windowBytes -= length;
    const flags = endStream ? Flag.END_STREAM : 0;
    if (length >= PASS_FROM_BYTES) {
      const at = writer.reserve(FRAME_HEADER_BYTES);
      writer.commit(putFrameHeader(writer.buffer, at, length, FrameType.DATA, flags, stream.id));
      writer.pass(chunk);
    } else {
      const at = writer.reserve(FRAME_HEADER_BYTES + length);
      const payload = putFrameHeader(writer.buffer, at, length, FrameType.DATA, flags, stream.id);
      if (length > LOOP_OCTETS) writer.buffer.set(chunk, payload);
      else for (let index = 0; index < length; index++) writer.buffer[payload + index] = chunk[index] ?? 0;
      writer.commit(payload + length);
    }
    if (length > 0) {
      writer.note(stream, length);
      this.#listener.onDataSent();
    }
    if (endStream) this.#listener.onEndSent(stream);
  }

  #writeHeaders(stream: Http2Stream, block: HeaderBlock, endStream: boolean): void {
    if (this.#maxHeaderListBytes !== Number.POSITIVE_INFINITY && listBytes(block) > this.#maxHeaderListBytes) {
      this.#listener.onBlockTooLarge(stream);
      return;
    }
    stream.announced = true;
    const known = this.#encoder.recall(block);
    if (known === undefined) this.#writeNewBlock(stream, block, endStream);
    else this.#writeKnownBlock(stream, known, endStream);
    if (endStream) this.#listener.onEndSent(stream);
  }

  #writeNewBlock(stream: Http2Stream, block: HeaderBlock, endStream: boolean): void {
    const bound = this.#encoder.bound(block);
    if (bound <= DEFAULT_MAX_FRAME_BYTES) this.#writeWholeBlock(stream, block, bound, endStream);
    else this.#writeSplitBlock(stream, block, bound, endStream);
  }

  #writeKnownBlock(stream: Http2Stream, octets: Uint8Array, endStream: boolean): void {
    const writer = this.#writer;
    const length = octets.length;
    const at = writer.reserve(FRAME_HEADER_BYTES + length);
    const flags = Flag.END_HEADERS | (endStream ? Flag.END_STREAM : 0);
    const payload = putFrameHeader(writer.buffer, at, length, FrameType.HEADERS, flags, stream.id);
    const into = writer.buffer;
    for (let index = 0; index < length; index++) into[payload + index] = octets[index] ?? 0;
    writer.commit(payload + length);
  }

  #writeWholeBlock(stream: Http2Stream, block: HeaderBlock, bound: number, endStream: boolean): void {
    const writer = this.#writer;
    const at = writer.reserve(FRAME_HEADER_BYTES + bound);
    const payload = at + FRAME_HEADER_BYTES;
    const end = this.#encoder.encode(block, writer.buffer, payload);
    const flags = Flag.END_HEADERS | (endStream ? Flag.END_STREAM : 0);
    putFrameHeader(writer.buffer, at, end - payload, FrameType.HEADERS, flags, stream.id);
    writer.commit(end);
  }

  /** A block that may need CONTINUATION. Its frames follow each other with nothing between (RFC 9113 §4.3). */
  #writeSplitBlock(stream: Http2Stream, block: HeaderBlock, bound: number, endStream: boolean): void {
    const writer = this.#writer;
    const encoded = Buffer.allocUnsafeSlow(bound);
    const length = this.#encoder.encode(block, encoded, 0);
    for (let start = 0; start === 0 || start < length; start += DEFAULT_MAX_FRAME_BYTES) {
      const end = Math.min(length, start + DEFAULT_MAX_FRAME_BYTES);
      const type = start === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
      const flags = (start === 0 && endStream ? Flag.END_STREAM : 0) | (end === length ? Flag.END_HEADERS : 0);
      const at = writer.reserve(FRAME_HEADER_BYTES + end - start);
      const payload = putFrameHeader(writer.buffer, at, end - start, type, flags, stream.id);
      encoded.copy(writer.buffer, payload, start, end);
      writer.commit(payload + end - start);
    }
  }
}

/**
 * From so many octets a chunk is passed to the socket as it is. It costs the same CPU as a copy (measured, 1 MiB in 16 KiB frames,
 * TLS in and TCP out); below, pieces cost more than they save, above, a copy would hold the bytes twice.
 */
const PASS_FROM_BYTES = 8_192;
/** Up to so many octets a loop is faster than a call. */
const LOOP_OCTETS = 32;

/** Why a block that the peer does not take resets its stream. */
export const BLOCK_TOO_LARGE = {
  code: ErrorCode.INTERNAL_ERROR,
  why: "a header block above the peer's MAX_HEADER_LIST_SIZE",
} as const;

function queueOf(stream: Http2Stream): SendQueue {
  stream.queue ??= new SendQueue();
  return stream.queue;
}

function listBytes(block: HeaderBlock): number {
  let bytes = 0;
  for (let at = 0; at < block.length; at++) bytes += block[at]?.length ?? 0;
  return bytes + (block.length >> 1) * FIELD_OVERHEAD_BYTES;
}
