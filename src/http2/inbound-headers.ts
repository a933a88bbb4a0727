/**
 * Header blocks: gathered from HEADERS and CONTINUATION, decoded, checked, and given to whom they belong (RFC 9113 §4.3, §6.2,
 * §6.10, §8). Every block is decoded, wanted or not, since the tables must stay in step.
 */
import type { ConnectionCore } from './connection-core.ts';
import { ErrorCode } from './error-code.ts';
import { Flag, uint8, uint31 } from './frame.ts';
import { requestFault, responseFault, trailerFault } from './header-rules.ts';
import { Trait } from './header-traits.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import type { Http2Stream } from './stream.ts';

export class InboundHeaders {
  readonly #core: ConnectionCore;
  readonly #decoder: HpackDecoder;
  #assembling: Assembly | undefined;

  constructor(core: ConnectionCore) {
    this.#core = core;
    this.#decoder = new HpackDecoder({
      maxHeaderListBytes: core.options.maxHeaderListBytes,
      maxHeaderFields: core.limits.maxHeaderFields,
    });
  }

  /** The block between its HEADERS and the CONTINUATION that ends it. */
  get assembling(): object | undefined {
    return this.#assembling;
  }

  headers(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (streamId === 0) return core.fail(ErrorCode.PROTOCOL_ERROR, 'HEADERS on stream 0');
    let from = start;
    let to = end;
    if ((flags & Flag.PADDED) !== 0) {
      if (to - from < 1) return core.fail(ErrorCode.FRAME_SIZE_ERROR, 'HEADERS without its pad length');
      to -= uint8(bytes, from);
      from += 1;
    }
    let dependsOnItself = false;
    if ((flags & Flag.PRIORITY) !== 0) {
      if (end - from < 5) return core.fail(ErrorCode.FRAME_SIZE_ERROR, 'HEADERS without its priority');
      dependsOnItself = uint31(bytes, from) === streamId;
      from += 5;
    }
    if (from > to) return core.fail(ErrorCode.PROTOCOL_ERROR, 'HEADERS with more padding than payload');
    const endStream = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.#complete(streamId, endStream, dependsOnItself, bytes, from, to);
      return;
    }
    const assembly: Assembly = { streamId, endStream, dependsOnItself, fragments: [], bytes: 0, continuations: 0 };
    this.#assembling = assembly;
    this.#append(assembly, bytes, from, to);
  }

  continuation(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    const assembly = this.#assembling;
    if (assembly === undefined || assembly.streamId !== streamId) {
      return core.fail(ErrorCode.PROTOCOL_ERROR, 'CONTINUATION of no header block');
    }
    if (++assembly.continuations > core.limits.maxContinuationFrames) return core.exceed('maxContinuationFrames');
    if (!this.#append(assembly, bytes, start, end) || (flags & Flag.END_HEADERS) === 0) return;
    this.#assembling = undefined;
    const block = Buffer.concat(assembly.fragments, assembly.bytes);
    this.#complete(streamId, assembly.endStream, assembly.dependsOnItself, block, 0, block.length);
  }

  #append(assembly: Assembly, bytes: Buffer, start: number, end: number): boolean {
    assembly.bytes += end - start;
    if (assembly.bytes > this.#core.limits.maxHeaderBlockBytes) {
      this.#core.exceed('maxHeaderBlockBytes');
      return false;
    }
    if (end > start) assembly.fragments.push(Buffer.from(bytes.subarray(start, end)));
    return true;
  }

  #complete(
    streamId: number,
    endStream: boolean,
    dependsOnItself: boolean,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const core = this.#core;
    const fault = this.#decoder.decode(bytes, start, end);
    if (fault !== undefined) return core.fail(ErrorCode.COMPRESSION_ERROR, fault);
    if (this.#decoder.isBomb) return core.exceed('maxHeaderListBytes');
    const stream = core.streams.get(streamId);
    if (stream === undefined) this.#onUnknown(streamId, endStream, dependsOnItself);
    else if (stream.remoteEnded) core.ends.byFault(stream, ErrorCode.STREAM_CLOSED, 'HEADERS after END_STREAM');
    else if (dependsOnItself) core.ends.byFault(stream, ErrorCode.PROTOCOL_ERROR, DEPENDS_ON_ITSELF);
    else if (this.#decoder.exceeded !== undefined) {
      core.ends.byFault(stream, ErrorCode.ENHANCE_YOUR_CALM, `${this.#decoder.exceeded} exceeded`);
    } else if (core.isServer || stream.responded) this.#onTrailers(stream, endStream);
    else this.#onResponse(stream, endStream);
  }

  /** A block on a stream that is not open: a new request, a late frame, or a wrong one. */
  #onUnknown(streamId: number, endStream: boolean, dependsOnItself: boolean): void {
    const core = this.#core;
    // Behind our GOAWAY: not looked at, not remembered.
    if (streamId > core.announcedLastId) {
      core.allow('lateFrames');
      return;
    }
    if (!core.isIdle(streamId)) {
      if (core.closedStreams.wasResetByUs(streamId)) core.allow('lateFrames');
      else if (core.closedStreams.hasEnded(streamId))
        core.fail(ErrorCode.STREAM_CLOSED, 'HEADERS on a stream that has ended');
      else core.fail(ErrorCode.PROTOCOL_ERROR, 'HEADERS on a stream that was skipped');
      return;
    }
    if (!core.isServer || streamId % 2 === 0) {
      return core.fail(ErrorCode.PROTOCOL_ERROR, 'HEADERS on a stream that the peer cannot open');
    }
    core.lastPeerId = streamId;
    if (dependsOnItself) core.ends.refuse(streamId, ErrorCode.PROTOCOL_ERROR, DEPENDS_ON_ITSELF);
    else if (core.streams.size >= core.options.maxConcurrentStreams) {
      core.ends.refuse(streamId, ErrorCode.REFUSED_STREAM, 'maxConcurrentStreams exceeded');
    } else if (this.#decoder.exceeded !== undefined) {
      core.ends.refuse(streamId, ErrorCode.ENHANCE_YOUR_CALM, `${this.#decoder.exceeded} exceeded`);
    } else this.#onRequest(streamId, endStream);
  }

  #onRequest(streamId: number, endStream: boolean): void {
    const core = this.#core;
    const { block, traits, contentLength } = this.#decoder;
    const fault = requestFault(block, traits);
    if (fault !== undefined) return core.ends.refuse(streamId, ErrorCode.PROTOCOL_ERROR, fault);
    if (endStream && contentLength > 0) {
      return core.ends.refuse(streamId, ErrorCode.PROTOCOL_ERROR, 'less DATA than content-length says');
    }
    const stream = core.newStream(streamId, true);
    stream.expectedBytes = contentLength;
    stream.remoteEnded = endStream;
    core.adopt(stream, core.owner.onStream(stream, block, endStream));
  }

  #onResponse(stream: Http2Stream, endStream: boolean): void {
    const core = this.#core;
    const { block, traits, contentLength } = this.#decoder;
    const fault = responseFault(block, traits, endStream);
    if (fault !== undefined) return core.ends.byFault(stream, ErrorCode.PROTOCOL_ERROR, fault);
    if ((traits & Trait.INFORMATIONAL) === 0) {
      stream.responded = true;
      const bodyless = stream.isHead || (traits & Trait.NO_CONTENT) !== 0;
      stream.expectedBytes = bodyless ? 0 : contentLength;
    }
    this.#deliver(stream, endStream);
  }

  #onTrailers(stream: Http2Stream, endStream: boolean): void {
    const { block, traits } = this.#decoder;
    const fault = trailerFault(block, traits, endStream);
    if (fault !== undefined) return this.#core.ends.byFault(stream, ErrorCode.PROTOCOL_ERROR, fault);
    this.#deliver(stream, endStream);
  }

  #deliver(stream: Http2Stream, endStream: boolean): void {
    const core = this.#core;
    if (endStream && stream.expectedBytes >= 0 && stream.expectedBytes !== stream.receivedBytes) {
      return core.ends.byFault(stream, ErrorCode.PROTOCOL_ERROR, 'less DATA than content-length says');
    }
    stream.remoteEnded = endStream;
    if (!stream.refusesRest) stream.owner?.onHeaders(stream, this.#decoder.block, endStream);
    if (endStream) core.ends.finishIfDone(stream);
  }
}

interface Assembly {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly dependsOnItself: boolean;
  readonly fragments: Buffer[];
  bytes: number;
  continuations: number;
}

const DEPENDS_ON_ITSELF = 'a stream that depends on itself';
