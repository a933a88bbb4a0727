/**
 * What the two directions of a connection share: its state and limits, the windows that it gives back, its end, and every way from
 * the one direction to the other. How a stream ends is in `stream-ends.ts`.
 */
import type { Duplex } from 'node:stream';
import type { Turn } from '../kernel/turn.ts';
import { ClosedStreams } from './closed-streams.ts';
import { ConnectionWatch } from './connection-watch.ts';
import type {
  Connection,
  ConnectionEnd,
  ConnectionOptions,
  ConnectionOwner,
  HeaderBlock,
  OutputBuffers,
  StreamOwner,
} from './contract.ts';
import { ControlFrames } from './control-frames.ts';
import { ErrorCode } from './error-code.ts';
import { FloodMeter } from './flood-meter.ts';
import { DEFAULT_WINDOW_BYTES, MAX_31_BITS } from './frame.ts';
import { type ConnectionLimits, defaultLimits, type RateName } from './limits.ts';
import { PingStrikes } from './ping-strikes.ts';
import { ReceiveWindow } from './receive-window.ts';
import { BLOCK_TOO_LARGE, Sender, type SenderListener } from './sender.ts';
import { SocketWriter, type TakenReport, type WriterListener } from './socket-writer.ts';
import { Http2Stream, type StreamHost } from './stream.ts';
import { StreamEnds } from './stream-ends.ts';
import { StreamTable } from './stream-table.ts';

export class ConnectionCore implements StreamHost, SenderListener, WriterListener {
  readonly face: Connection;
  readonly options: ConnectionOptions;
  readonly limits: ConnectionLimits;
  readonly owner: ConnectionOwner;
  readonly turn: Turn;
  readonly isServer: boolean;
  readonly meter: FloodMeter;
  readonly pingStrikes: PingStrikes;
  readonly watch: ConnectionWatch;
  readonly control: ControlFrames;
  readonly sender: Sender;
  readonly closedStreams = new ClosedStreams();
  readonly streams = new StreamTable<Http2Stream>();
  readonly ends: StreamEnds;
  readonly receiveWindow: ReceiveWindow;
  readonly #writer: SocketWriter;

  /** The connection is over for its owner; the socket may linger to deliver the last word. */
  ended = false;
  /** No new streams: GOAWAY went or came. */
  draining = false;
  /** The last GOAWAY went or came: what is open now is all that there will be. */
  closing = false;
  /** The last stream id that our GOAWAY named; above it nothing is looked at. */
  announcedLastId = MAX_31_BITS;
  /** The last stream id that the peer's GOAWAY named. */
  peerLastId = MAX_31_BITS;
  /** The highest id of a stream that the peer opened. */
  lastPeerId = 0;
  nextLocalId = 1;
  peerSettingsSeen = false;
  peerMaxConcurrentStreams: number = ASSUMED_MAX_CONCURRENT_STREAMS;
  /** What the peer's SETTINGS give to new streams. */
  sendWindowBytes = DEFAULT_WINDOW_BYTES;
  /** What the peer may send on a new stream, as far as it knows: until it acknowledges our SETTINGS, the default if that is more. */
  grantedWindowBytes: number;

  constructor(
    face: Connection,
    socket: Duplex,
    options: ConnectionOptions,
    owner: ConnectionOwner,
    turn: Turn,
    buffers: OutputBuffers,
  ) {
    this.face = face;
    this.options = options;
    this.limits = { ...defaultLimits, ...options.limits };
    this.owner = owner;
    this.turn = turn;
    this.isServer = options.role === 'server';
    this.meter = new FloodMeter(this.limits);
    this.pingStrikes = new PingStrikes(this.limits);
    this.watch = new ConnectionWatch(this, socket);
    this.ends = new StreamEnds(this);
    this.#writer = new SocketWriter(socket, turn, buffers, this);
    this.control = new ControlFrames(this.#writer);
    this.sender = new Sender(this.#writer, this.limits.encoderTableBytes, this);
    const windowBytes = Math.max(DEFAULT_WINDOW_BYTES, options.connectionWindowBytes);
    this.receiveWindow = new ReceiveWindow(windowBytes);
    this.grantedWindowBytes = Math.max(DEFAULT_WINDOW_BYTES, options.streamWindowBytes);
  }

  newStream(id: number, announced: boolean): Http2Stream {
    const windows = {
      receive: new ReceiveWindow(this.options.streamWindowBytes, this.grantedWindowBytes),
      sendBytes: this.sendWindowBytes,
    };
    const stream = new Http2Stream(id, this, this.turn.now(), windows, announced);
    this.streams.add(stream);
    this.meter.useful();
    return stream;
  }

  /** No frame but HEADERS and PRIORITY may come on it: nobody has opened it (RFC 9113 §5.1). */
  isIdle(id: number): boolean {
    const isLocal = id % 2 === (this.isServer ? 0 : 1);
    if (isLocal) return this.isServer || id >= this.nextLocalId;
    return id > this.lastPeerId && id <= this.announcedLastId;
  }

  // What streams ask for.

  sendHeaders(stream: Http2Stream, block: HeaderBlock, endStream: boolean): void {
    if (this.ended) return;
    this.pingStrikes.sent();
    this.sender.sendHeaders(stream, block, endStream);
  }

  sendData(stream: Http2Stream, chunk: Buffer, endStream: boolean): void {
    if (!this.ended) this.sender.sendData(stream, chunk, endStream);
  }

  credit(stream: Http2Stream, bytes: number): void {
    const owed = Math.min(bytes, stream.owedBytes);
    stream.owedBytes -= owed;
    if (owed <= 0 || this.ended) return;
    this.creditStream(stream, owed);
    this.creditConnection(owed);
  }

  reset(stream: Http2Stream, code: ErrorCode): void {
    this.ends.byOwner(stream, code);
  }

  refuseRest(stream: Http2Stream): void {
    stream.refusesRest = true;
    if (stream.localEnded) this.ends.stopPeer(stream);
  }

  get outputBytes(): number {
    return this.#writer.heldBytes;
  }

  retract(stream: Http2Stream): number | undefined {
    return this.ended ? undefined : this.sender.retract(stream);
  }

  // Receive windows.

  creditStream(stream: Http2Stream, bytes: number): void {
    if (stream.closed || stream.remoteEnded) return;
    const increment = stream.receiveWindow.credit(bytes);
    if (increment > 0) this.control.windowUpdate(stream.id, increment);
  }

  creditConnection(bytes: number): void {
    if (this.ended) return;
    const increment = this.receiveWindow.credit(bytes);
    if (increment > 0) this.control.windowUpdate(0, increment);
  }

  // Ends of the connection.

  /** Counts one against a rate. False when that ended the connection. */
  allow(name: RateName): boolean {
    if (this.ended) return false;
    if (this.meter.allows(name, this.turn.now())) return true;
    this.exceed(name);
    return false;
  }

  /** A limit was exceeded. */
  exceed(limit: keyof ConnectionLimits | 'maxHeaderListBytes'): void {
    this.fail(ErrorCode.ENHANCE_YOUR_CALM, `${limit} exceeded`, limit);
  }

  /** The peer broke the protocol, or a limit. */
  fail(code: ErrorCode, why: string, limit?: string): void {
    this.goAway(code, { kind: 'protocol', code, why, limit });
  }

  /** Says GOAWAY, ends every stream, and lets the socket linger until the peer has read it. */
  goAway(code: ErrorCode, end: ConnectionEnd): void {
    if (this.ended) return;
    this.control.goaway(Math.min(this.lastPeerId, this.announcedLastId), code, debugOf(end));
    this.#endWith(end);
    this.#writer.end();
    this.watch.linger(end.kind === 'protocol');
  }

  /** Closes once the last stream of a draining connection has ended. */
  closeIfDrained(): void {
    if (this.closing && this.streams.size === 0 && !this.ended) this.goAway(ErrorCode.NO_ERROR, { kind: 'closed' });
  }

  /** The peer will send nothing more. */
  socketEnded(end: ConnectionEnd): void {
    if (!this.ended) this.#endWith(end);
    this.#writer.end();
    this.watch.linger(false);
  }

  /** The socket is gone. */
  socketClosed(end: ConnectionEnd): void {
    this.#writer.close();
    if (!this.ended) this.#endWith(end);
    this.watch.stop();
  }

  // What the sender and the writer report.

  onEndSent(stream: Http2Stream): void {
    stream.localEnded = true;
    // Without an owner yet, `adopt` tells it.
    stream.owner?.onLocalEnd(stream);
    if (stream.closed) return;
    if (stream.refusesRest && !stream.remoteEnded) this.ends.stopPeer(stream);
    else this.ends.finishIfDone(stream);
  }

  onDataSent(): void {
    this.meter.useful();
    this.pingStrikes.sent();
  }

  /** The owner hears of it when it has returned from sending. */
  onBlockTooLarge(stream: Http2Stream): void {
    queueMicrotask(() => {
      if (!stream.closed) this.ends.byUs(stream, BLOCK_TOO_LARGE.code, BLOCK_TOO_LARGE.why);
    });
  }

  onTaken(report: TakenReport): void {
    for (let index = 0; index < report.streams.length; index++) {
      const stream = report.streams[index];
      if (!(stream instanceof Http2Stream)) continue;
      const bytes = report.counts[index] ?? 0;
      if (stream.wasReset) continue;
      stream.queuedBytes -= bytes;
      stream.takenBytes += bytes;
      if (stream.queuedBytes === 0) stream.progress?.read();
      stream.owner?.onWritten(stream, bytes);
    }
  }

  onRoom(): void {
    if (!this.ended) this.sender.pump();
  }

  onWriting(writing: boolean): void {
    if (writing) this.control.sent();
    this.watch.writing(writing);
  }

  /** Asks the owner who a new stream is. It may have reset the stream, or ended the connection, by the time it answers. */
  adopt(stream: Http2Stream, owner: StreamOwner): void {
    stream.owner = owner;
    if (stream.localEnded) owner.onLocalEnd(stream);
    const lost = stream.lostBeforeAdopted;
    if (lost !== undefined) owner.onReset(stream, lost);
  }

  /** Holds the answers that wait for the peer to read to their limit. */
  checkQueue(): void {
    if (this.control.waitingAnswers > this.limits.maxQueuedControlFrames) this.exceed('maxQueuedControlFrames');
  }

  #endWith(end: ConnectionEnd): void {
    this.ended = true;
    this.draining = true;
    this.watch.stop();
    this.ends.byConnection(end);
    this.owner.onEnd(this.face, end);
  }
}

/** Until the peer's SETTINGS say more (RFC 9113 §6.5.2 recommends no less). */
const ASSUMED_MAX_CONCURRENT_STREAMS = 100;

/** By this text a gRPC client knows that it must send PINGs less often (gRFC A8). */
const TOO_MANY_PINGS = Buffer.from('too_many_pings', 'latin1');

function debugOf(end: ConnectionEnd): Buffer | undefined {
  const tooMany = end.kind === 'protocol' && (end.limit === 'pings' || end.limit === 'maxPingStrikes');
  return tooMany ? TOO_MANY_PINGS : undefined;
}
