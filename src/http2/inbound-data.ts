/**
 * DATA: counted against both windows when the frame begins, passed on as its octets come (RFC 9113 §6.1, §6.9.1).
 *
 * Who must give the window back: the stream's owner for what it was given; here for padding and for what nobody wants.
 */
import type { ConnectionCore } from './connection-core.ts';
import { ErrorCode } from './error-code.ts';
import { Flag } from './frame.ts';
import type { Http2Stream } from './stream.ts';

export class InboundData {
  readonly #core: ConnectionCore;
  /** Whose DATA is coming; undefined when nobody wants it and its window has been given back. */
  #stream: Http2Stream | undefined;
  #ends = false;
  #length = 0;

  constructor(core: ConnectionCore) {
    this.#core = core;
  }

  begin(flags: number, streamId: number, length: number): void {
    const core = this.#core;
    this.#stream = undefined;
    this.#ends = (flags & Flag.END_STREAM) !== 0;
    this.#length = length;
    if (streamId === 0) return core.fail(ErrorCode.PROTOCOL_ERROR, 'DATA on stream 0');
    if (!core.receiveWindow.take(length)) {
      return core.fail(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window");
    }
    const stream = core.streams.get(streamId);
    if (stream === undefined) this.#late(streamId, length);
    else if (this.#accept(stream, length)) {
      this.#stream = stream;
      if (length > 0) core.meter.useful();
    } else core.creditConnection(length);
    if (length === 0 && !this.#ends) core.allow('emptyData');
  }

  padding(octets: number): void {
    this.#length -= octets;
    if (this.#length === 0 && !this.#ends && !this.#core.allow('emptyData')) return;
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#core.creditStream(stream, octets);
    this.#core.creditConnection(octets);
  }

  octets(bytes: Buffer, start: number, end: number, last: boolean): void {
    const core = this.#core;
    const stream = this.#stream;
    // A connection that is idle must not keep the last call that it carried.
    if (last) this.#stream = undefined;
    if (stream === undefined || core.ended) return;
    const count = end - start;
    if (stream.closed) return core.creditConnection(count);
    const ends = last && this.#ends;
    if (count === 0 && !ends) return;
    stream.receivedBytes += count;
    if (!fitsContentLength(stream, ends)) {
      core.creditConnection(count);
      return core.ends.byFault(stream, ErrorCode.PROTOCOL_ERROR, 'DATA that is not as long as content-length says');
    }
    stream.remoteEnded = ends;
    if (stream.refusesRest) {
      core.creditStream(stream, count);
      core.creditConnection(count);
    } else {
      stream.owedBytes += count;
      const whole = start === 0 && end === bytes.length;
      stream.owner?.onData(stream, whole ? bytes : bytes.subarray(start, end), ends);
    }
    if (ends) core.ends.finishIfDone(stream);
  }

  #accept(stream: Http2Stream, length: number): boolean {
    const core = this.#core;
    if (stream.remoteEnded) {
      core.ends.byFault(stream, ErrorCode.STREAM_CLOSED, 'DATA after END_STREAM');
      return false;
    }
    if (!core.isServer && !stream.responded) {
      core.ends.byFault(stream, ErrorCode.PROTOCOL_ERROR, 'DATA before the response');
      return false;
    }
    if (!stream.receiveWindow.take(length)) {
      core.ends.byFault(stream, ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream's window");
      return false;
    }
    return true;
  }

  /** DATA on a stream that is not open. */
  #late(streamId: number, length: number): void {
    const core = this.#core;
    if (streamId > core.announcedLastId || core.closedStreams.wasResetByUs(streamId)) {
      // A large frame that was on its way is paid for by its bytes.
      if (length < SMALL_DATA_BYTES) core.allow('lateFrames');
    } else if (core.isIdle(streamId)) core.fail(ErrorCode.PROTOCOL_ERROR, 'DATA on an idle stream');
    else core.ends.refuse(streamId, ErrorCode.STREAM_CLOSED, 'DATA on a stream that is closed');
    core.creditConnection(length);
  }
}

const SMALL_DATA_BYTES = 1_024;

function fitsContentLength(stream: Http2Stream, ends: boolean): boolean {
  if (stream.expectedBytes < 0) return true;
  return ends ? stream.receivedBytes === stream.expectedBytes : stream.receivedBytes <= stream.expectedBytes;
}
