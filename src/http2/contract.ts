/**
 * What the engine and its user say to each other. The engine knows frames, header compression, streams and flow control;
 * its user knows what the streams mean. No emitters: one owner object per connection and one per stream, called directly.
 */

import type { Standing } from '../kernel/standing.ts';
import type { TurnShare } from '../kernel/turn-share.ts';
import type { ErrorCode } from './error-code.ts';
import type { ConnectionLimits } from './limits.ts';

/**
 * A header block, flat: name, value, name, value, … in wire order. Names are lower-case. Strings are latin1: one char per
 * octet. A string that a peer indexed is the *same* string each time it is sent, so it is cheap as a Map key. A whole block
 * that a peer repeats may be the same frozen array, and a frozen block that is sent again is encoded only once.
 */
export type HeaderBlock = readonly string[];

/**
 * One stream, on either side of a connection. The engine's record; it has no events.
 *
 * Once the stream has ended or was reset, and after one's own END_STREAM, what is sent on it is dropped without a word: that
 * race with the peer cannot be avoided. A client's stream that has ended owes credit as before, for the connection; one that was
 * reset, and a server's stream that has ended, owe nothing more: the connection gets its window back by itself.
 */
export interface Stream {
  readonly id: number;
  readonly connection: Connection;
  /** True once the peer's END_STREAM or RST_STREAM was seen. */
  readonly remoteEnded: boolean;
  /** DATA payload bytes accepted by `sendData` and not yet taken by the socket. A reset leaves it as it was, and no `onWritten` follows. */
  readonly queuedBytes: number;
  /** Sends a header block: informational, initial or trailing, after all DATA queued before it. */
  sendHeaders(block: HeaderBlock, endStream: boolean): void;
  /**
   * Queues DATA; it leaves as the peer's windows and the socket allow. The chunk is not copied when it is large: the
   * caller no longer writes to it. An empty chunk with `endStream` is a bare END_STREAM.
   */
  sendData(chunk: Buffer, endStream: boolean): void;
  /** Gives the peer back `bytes` of receive window, on the stream (if still open) and the connection: the bytes have moved on. */
  credit(bytes: number): void;
  /** Sends RST_STREAM, drops what is queued, and forgets the stream. `onReset` is not called for one's own reset. */
  reset(code: ErrorCode): void;
  /** After our END_STREAM has left, tells the peer with RST_STREAM(NO_ERROR) to stop sending (RFC 9113 §8.1). Discards what still comes. */
  refuseRest(): void;
  /**
   * Takes back what is queued and not in the output, DATA, trailers and END_STREAM, so that something else may be said; response
   * headers stay. Returns the octets of DATA, whose `onWritten` never comes; undefined when END_STREAM has left, or is all that waits.
   */
  retract(): number | undefined;
}

/** Receives what happens on one stream. */
export interface StreamOwner {
  /** A further header block: for a client the informational and initial response and trailers, for a server trailers. */
  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void;
  /** DATA without padding. The chunk is a view of what the socket read, never written to again. Owes `stream.credit(chunk.length)`. */
  onData(stream: Stream, chunk: Buffer, endStream: boolean): void;
  /** The stream died: peer's RST_STREAM, a stream error that we answered, or the connection's end. Exactly once, and last. */
  onReset(stream: Stream, cause: ResetCause): void;
  /** The socket has taken so many of the DATA bytes queued on this stream. */
  onWritten(stream: Stream, bytes: number): void;
  /**
   * Our END_STREAM is being put into this turn's output: the call's last byte leaves with the end of this turn, after the
   * turn's gate. Called exactly once unless the stream is reset before.
   */
  onLocalEnd(stream: Stream): void;
  /**
   * Server: which of its messages the peer has begun and must go on with, counted from 0; undefined when it may be silent
   * for as long as it likes. Without the method it may be so always.
   */
  unfinishedMessage?(): number | undefined;
}

export type ResetCause =
  | { readonly by: 'peer'; readonly code: number }
  /** The peer broke a rule on this stream, and we reset it. */
  | { readonly by: 'us'; readonly code: ErrorCode; readonly why: string }
  /** The connection ended. `unprocessed`: the peer said (GOAWAY's last stream id) that it never looked at this stream. */
  | { readonly by: 'connection'; readonly end: ConnectionEnd; readonly unprocessed: boolean };

/** Why a connection ended. */
export type ConnectionEnd =
  | { readonly kind: 'closed' }
  | { readonly kind: 'socket_error'; readonly error: Error }
  /** The peer broke the protocol or a limit; we said GOAWAY with this code. `limit` names the field that was exceeded. */
  | { readonly kind: 'protocol'; readonly code: ErrorCode; readonly why: string; readonly limit: string | undefined }
  | { readonly kind: 'idle' }
  | { readonly kind: 'destroyed'; readonly why: string };

/** Receives what happens on one connection. */
export interface ConnectionOwner {
  /** Server: a new request. Returns who owns the stream. Called only with a header block that satisfies RFC 9113 §8.3. */
  onStream(stream: Stream, block: HeaderBlock, endStream: boolean): StreamOwner;
  /**
   * Server: a request that never became a stream was answered with RST_STREAM: malformed, too large, or more than may run at once.
   * `why` is for the record.
   */
  onRefused?(connection: Connection, why: string): void;
  /** The peer said GOAWAY: no new streams here; those above `lastStreamId` get `onReset` with `unprocessed: true`. */
  onGoaway(connection: Connection, lastStreamId: number, code: number): void;
  /** The peer's SETTINGS were applied, or a stream ended: `availableStreams` may have changed. */
  onCapacity(connection: Connection): void;
  /** The end; every stream has had its `onReset` before. Exactly once. */
  onEnd(connection: Connection, end: ConnectionEnd): void;
}

export interface Connection {
  /** Streams open now. */
  readonly openStreams: number;
  /** Client: how many more streams may be opened now (peer's MAX_CONCURRENT_STREAMS, id space, GOAWAY). */
  readonly availableStreams: number;
  /** True until GOAWAY (either way) or the end. */
  readonly acceptsStreams: boolean;
  /** Memory of the output that the socket has not taken yet. */
  readonly outputBytes: number;
  /** Whose streams are open now. Goes through all of them: not for each call. */
  readonly owners: readonly StreamOwner[];
  /** Client: opens a stream and sends its request headers. Throws a RangeError when `availableStreams` is 0. */
  open(block: HeaderBlock, endStream: boolean, owner: StreamOwner): Stream;
  /**
   * Graceful end (RFC 9113 §6.8): GOAWAY with 2^31-1, then after one round trip (PING) the real last id; closes when the last
   * stream has ended.
   */
  drain(): void;
  /** Sends GOAWAY with the code and closes, resetting every stream. */
  destroy(code: ErrorCode, why: string): void;
}

/** What one side of a connection is told. Every field has its reason in `limits.ts`. */
export interface ConnectionOptions {
  readonly role: 'client' | 'server';
  /** Server: how many streams the peer may have open. A client's peer may open none, so a client leaves it 0. */
  readonly maxConcurrentStreams: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly maxHeaderListBytes: number;
  /** Close when there was no stream for so long; 0: never. */
  readonly idleTimeoutMs: number;
  /** What differs from `defaultLimits`. */
  readonly limits?: Partial<ConnectionLimits>;
  /** What this connection and others of its tenant may take of a turn by reading; absent: as much as there is. */
  readonly share?: TurnShare;
}

/**
 * Where a connection's output is gathered: buffers of `OUTPUT_BUFFER_BYTES`, from `Buffer.allocUnsafeSlow`, taken when there
 * is something to write and given back when the socket has taken it. Whoever gives one to another tenant zeroes it first.
 */
export interface OutputBuffers {
  take(): Buffer;
  give(buffer: Buffer): void;
  /** Pays for chunks that are in the output as they are, until the socket has taken them; absent: nobody does. */
  readonly standing?: Standing | undefined;
}

/** The length of each buffer of `OutputBuffers`. */
export const OUTPUT_BUFFER_BYTES = 65_536;
