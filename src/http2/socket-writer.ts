/**
 * A connection's way out: frames are gathered in a pooled buffer and leave in one write per turn of the event loop.
 *
 * While a write is under way, the next one is gathered in one buffer and no more: `isFull` then keeps what flow control can
 * hold back where it is. Small payloads are copied; large ones are passed to the socket as they are.
 */
import type { Duplex } from 'node:stream';
import type { Flushable, Turn } from '../kernel/turn.ts';
import { OUTPUT_BUFFER_BYTES, type OutputBuffers } from './contract.ts';

/** Who hears of the writer. */
export interface WriterListener {
  /** The socket has taken so many DATA bytes of the stream. */
  onTaken(report: TakenReport): void;
  /** There is room again. Called when a write has completed. */
  onRoom(): void;
  /** A write began (true) or completed (false). */
  onWriting(writing: boolean): void;
}

/** Which streams' DATA went with a write: parallel arrays, since there is an entry per frame. */
export interface TakenReport {
  readonly streams: WrittenStream[];
  readonly counts: number[];
}

/** What the writer knows of a stream: only whose bytes they are. */
export type WrittenStream = object;

export class SocketWriter implements Flushable {
  readonly #socket: Duplex;
  readonly #turn: Turn;
  readonly #buffers: OutputBuffers;
  readonly #listener: WriterListener;

  /** The buffer that is being gathered into. Write between `reserve` and `commit` only. */
  buffer: Buffer = EMPTY;
  #start = 0;
  #position = 0;
  #segments: Buffer[] = [];
  #segmentBytes = 0;
  #held: Buffer[] = [];
  /** Bytes of chunks that are passed on as they are. */
  #passedBytes = 0;
  #gathered: TakenReport = { streams: [], counts: [] };

  #writing = false;
  #writingHeld: Buffer[] = [];
  #writingPassedBytes = 0;
  #writingReport: TakenReport = { streams: [], counts: [] };

  #deferred = false;
  #ending = false;
  #closed = false;
  readonly #onWritten = (): void => this.#completeWrite();

  constructor(socket: Duplex, turn: Turn, buffers: OutputBuffers, listener: WriterListener) {
    this.#socket = socket;
    this.#turn = turn;
    this.#buffers = buffers;
    this.#listener = listener;
  }

  /** True when what flow control can hold back must wait. */
  get isFull(): boolean {
    const bytes = this.#segmentBytes + this.#position - this.#start;
    return bytes >= (this.#writing ? FULL_WHILE_WRITING_BYTES : FULL_BYTES);
  }

  /** Memory of what the socket has not taken. */
  get heldBytes(): number {
    const buffers = this.#held.length + this.#writingHeld.length;
    return buffers * OUTPUT_BUFFER_BYTES + this.#passedBytes + this.#writingPassedBytes;
  }

  /** Makes room for `bytes` (at most an output buffer) in `buffer` and returns where they go. */
  reserve(bytes: number): number {
    if (this.#position + bytes > this.buffer.length) this.#nextBuffer();
    return this.#position;
  }

  /** What was written up to `end` in `buffer` is output. */
  commit(end: number): void {
    this.#position = end;
    if (!this.#deferred && !this.#writing) this.#defer();
  }

  /** Puts a chunk into the output without copying it. */
  pass(chunk: Buffer): void {
    this.#cut();
    this.#segments.push(chunk);
    this.#segmentBytes += chunk.length;
    this.#passedBytes += chunk.length;
    this.#buffers.standing?.hold(chunk.length);
    if (!this.#deferred && !this.#writing) this.#defer();
  }

  /** Notes that `bytes` of the output are DATA of `stream`. */
  note(stream: WrittenStream, bytes: number): void {
    this.#gathered.streams.push(stream);
    this.#gathered.counts.push(bytes);
  }

  /** Ends the socket once all output has left. */
  end(): void {
    this.#ending = true;
    if (!this.#deferred && !this.#writing) this.#defer();
  }

  /** The socket is gone: nothing leaves any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#giveBack(this.#held, this.#passedBytes);
    this.#passedBytes = 0;
    this.buffer = EMPTY;
    this.#position = 0;
    this.#start = 0;
    this.#segments.length = 0;
    this.#segmentBytes = 0;
  }

  flush(): void {
    this.#deferred = false;
    if (this.#writing || this.#closed) return;
    if (!this.#socket.writable) {
      this.close();
      return;
    }
    const position = this.#position;
    if (position === this.#start && this.#segments.length === 0) {
      if (this.#ending) {
        this.#socket.end();
        this.close();
      }
      return;
    }
    this.#writing = true;
    this.#swap();
    this.#listener.onWriting(true);
    if (this.#segments.length === 0) {
      const output = this.buffer.subarray(this.#start, position);
      this.#reset();
      this.#socket.write(output, this.#onWritten);
      return;
    }
    this.#cut();
    const segments = this.#segments;
    this.#segments = [];
    this.#reset();
    this.#socket.cork();
    for (let index = 0; index < segments.length - 1; index++) this.#socket.write(segments[index]);
    this.#socket.write(segments[segments.length - 1], this.#onWritten);
    this.#socket.uncork();
  }

  #completeWrite(): void {
    this.#writing = false;
    this.#giveBack(this.#writingHeld, this.#writingPassedBytes);
    this.#writingPassedBytes = 0;
    if (this.#closed) return;
    this.#listener.onWriting(false);
    const report = this.#writingReport;
    if (report.streams.length > 0) {
      this.#listener.onTaken(report);
      report.streams.length = 0;
      report.counts.length = 0;
    }
    this.#listener.onRoom();
    if (!this.#deferred && !this.#writing && (this.#hasOutput() || this.#ending)) this.#defer();
  }

  #hasOutput(): boolean {
    return this.#position > this.#start || this.#segments.length > 0;
  }

  #defer(): void {
    if (this.#closed) return;
    this.#deferred = true;
    this.#turn.defer(this);
  }

  #swap(): void {
    const report = this.#writingReport;
    this.#writingReport = this.#gathered;
    this.#gathered = report;
    const held = this.#writingHeld;
    this.#writingHeld = this.#held;
    this.#held = held;
    this.#writingPassedBytes = this.#passedBytes;
    this.#passedBytes = 0;
  }

  #reset(): void {
    this.buffer = EMPTY;
    this.#start = 0;
    this.#position = 0;
    this.#segmentBytes = 0;
  }

  #nextBuffer(): void {
    this.#cut();
    this.buffer = this.#buffers.take();
    this.#held.push(this.buffer);
    this.#start = 0;
    this.#position = 0;
  }

  /** Closes the piece of the buffer that was written since the last cut. */
  #cut(): void {
    if (this.#position === this.#start) return;
    this.#segments.push(this.buffer.subarray(this.#start, this.#position));
    this.#segmentBytes += this.#position - this.#start;
    this.#start = this.#position;
  }

  #giveBack(buffers: Buffer[], passedBytes: number): void {
    for (const buffer of buffers) this.#buffers.give(buffer);
    buffers.length = 0;
    if (passedBytes > 0) this.#buffers.standing?.letGo(passedBytes);
  }
}

const EMPTY = Buffer.alloc(0);
/** What one turn may gather: about what a busy turn reads. */
const FULL_BYTES = 4 * OUTPUT_BUFFER_BYTES;
/** What a peer that reads slowly may hold beside the write that it holds up. */
const FULL_WHILE_WRITING_BYTES = OUTPUT_BUFFER_BYTES;
