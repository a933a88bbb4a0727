/**
 * Where a stream dies: by both sides' END_STREAM, by a reset from either, or with its connection.
 *
 * Streams leave here and nowhere else, so that each owner hears of its stream's end exactly once and the counts are right.
 */
import type { ConnectionCore } from './connection-core.ts';
import type { ConnectionEnd, ResetCause } from './contract.ts';
import { ErrorCode } from './error-code.ts';
import type { Http2Stream } from './stream.ts';

export class StreamEnds {
  readonly #core: ConnectionCore;

  constructor(core: ConnectionCore) {
    this.#core = core;
  }

  /** Removes the stream if both sides have ended. */
  finishIfDone(stream: Http2Stream): void {
    if (!stream.localEnded || !stream.remoteEnded || stream.closed) return;
    this.#core.closedStreams.addEnded(stream.id);
    this.#core.meter.finished();
    this.#forget(stream);
  }

  /** The owner gives the stream up: it hears nothing more of it. */
  byOwner(stream: Http2Stream, code: ErrorCode): void {
    stream.wasReset = true;
    this.#sendReset(stream, code);
    this.#forget(stream);
  }

  /** Our END_STREAM has left: the peer need not send the rest (RFC 9113 §8.1). */
  stopPeer(stream: Http2Stream): void {
    this.#sendReset(stream, ErrorCode.NO_ERROR);
    this.#forget(stream);
  }

  /** The peer reset the stream. */
  byPeer(stream: Http2Stream, code: number): void {
    stream.remoteEnded = true;
    this.#core.closedStreams.addEnded(stream.id);
    this.#lose(stream, { by: 'peer', code });
  }

  /** The peer broke a rule on this stream: resets it. */
  byFault(stream: Http2Stream, code: ErrorCode, why: string): void {
    this.byUs(stream, code, why);
    this.#core.control.countAnswer();
    this.#core.allow('provokedResets');
  }

  /** Resets the stream for a reason that is not the peer's. */
  byUs(stream: Http2Stream, code: ErrorCode, why: string): void {
    this.#sendReset(stream, code);
    this.#lose(stream, { by: 'us', code, why });
  }

  /** Resets a stream that never was one here. */
  refuse(id: number, code: ErrorCode, why: string): void {
    const core = this.#core;
    core.owner.onRefused?.(core.face, why);
    core.closedStreams.addReset(id);
    core.control.reset(id, code);
    core.control.countAnswer();
    core.allow('provokedResets');
  }

  /** The peer said GOAWAY: streams above its last id were never looked at. */
  unprocessed(): void {
    const core = this.#core;
    for (const stream of core.streams.all()) {
      if (stream.id <= core.peerLastId) continue;
      core.closedStreams.addReset(stream.id);
      this.#lose(stream, { by: 'connection', end: { kind: 'closed' }, unprocessed: true });
    }
  }

  /** The connection has ended, and every stream with it. */
  byConnection(end: ConnectionEnd): void {
    const core = this.#core;
    for (const stream of core.streams.all()) {
      const unprocessed = !core.isServer && stream.id > core.peerLastId;
      this.#lose(stream, { by: 'connection', end, unprocessed });
    }
  }

  #sendReset(stream: Http2Stream, code: ErrorCode): void {
    this.#core.closedStreams.addReset(stream.id);
    if (stream.announced && !this.#core.ended) this.#core.control.reset(stream.id, code);
  }

  #lose(stream: Http2Stream, cause: ResetCause): void {
    stream.wasReset = true;
    this.#forget(stream);
    if (stream.owner === undefined) stream.lostBeforeAdopted = cause;
    else stream.owner.onReset(stream, cause);
  }

  #forget(stream: Http2Stream): void {
    const core = this.#core;
    stream.closed = true;
    core.sender.forget(stream);
    core.streams.delete(stream.id);
    if (core.ended) return;
    if (stream.owedBytes > 0 && (core.isServer || stream.wasReset)) this.#settleDebt(stream);
    core.watch.streamEnded();
    core.owner.onCapacity(core.face);
    core.closeIfDrained();
  }

  /** What its owner has of a stream whose call is over will not move on: the connection's window must not shrink by it. */
  #settleDebt(stream: Http2Stream): void {
    const owed = stream.owedBytes;
    stream.owedBytes = 0;
    this.#core.creditConnection(owed);
  }
}
