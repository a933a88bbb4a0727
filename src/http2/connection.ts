/**
 * One HTTP/2 connection over a socket, in either role (RFC 9113): the public face of the engine.
 *
 * `connection-core.ts` holds what both directions share, `inbound.ts` reads, `sender.ts` and `socket-writer.ts` write. The
 * engine knows frames, header compression, streams and flow control, and nothing of what the streams are for. It sets no
 * socket options: `noDelay` and the time that a handshake or a preface may take are its user's.
 */
import type { Duplex } from 'node:stream';
import type { Turn } from '../kernel/turn.ts';
import { ConnectionCore } from './connection-core.ts';
import type {
  Connection,
  ConnectionEnd,
  ConnectionOptions,
  ConnectionOwner,
  HeaderBlock,
  OutputBuffers,
  Stream,
  StreamOwner,
} from './contract.ts';
import type { ErrorCode } from './error-code.ts';
import { ErrorCode as Code } from './error-code.ts';
import { MAX_31_BITS } from './frame.ts';
import { fieldValue } from './header-rules.ts';
import { Inbound } from './inbound.ts';
import { OwnSettings } from './own-settings.ts';

export class Http2Connection implements Connection {
  readonly #core: ConnectionCore;
  readonly #inbound: Inbound;

  /** Takes the socket over, and says our SETTINGS (a client its preface before them) at the end of this turn. */
  constructor(socket: Duplex, options: ConnectionOptions, owner: ConnectionOwner, turn: Turn, buffers: OutputBuffers) {
    const core = new ConnectionCore(this, socket, options, owner, turn, buffers);
    const ownSettings = new OwnSettings(core);
    this.#core = core;
    this.#inbound = new Inbound(core, socket, ownSettings, (bytes, start) => this.#onPingAck(bytes, start));
    if (!core.isServer) core.control.preface();
    ownSettings.send();
    core.watch.start();
    this.#listen(socket);
  }

  get openStreams(): number {
    return this.#core.streams.size;
  }

  get availableStreams(): number {
    const core = this.#core;
    if (core.isServer || core.draining) return 0;
    const idsLeft = Math.floor((MAX_31_BITS - core.nextLocalId) / 2) + 1;
    return Math.max(0, Math.min(core.peerMaxConcurrentStreams - core.streams.size, idsLeft));
  }

  get acceptsStreams(): boolean {
    return !this.#core.draining;
  }

  get outputBytes(): number {
    return this.#core.outputBytes;
  }

  get owners(): readonly StreamOwner[] {
    return this.#core.streams.all().flatMap(({ owner }) => owner ?? []);
  }

  open(block: HeaderBlock, endStream: boolean, owner: StreamOwner): Stream {
    const core = this.#core;
    if (this.availableStreams === 0) throw new RangeError('no stream can be opened on this connection');
    const id = core.nextLocalId;
    core.nextLocalId += 2;
    const stream = core.newStream(id, false);
    stream.owner = owner;
    stream.isHead = fieldValue(block, ':method') === 'HEAD';
    core.sender.sendHeaders(stream, block, endStream);
    return stream;
  }

  drain(): void {
    const core = this.#core;
    if (core.draining) return;
    core.draining = true;
    if (!core.isServer) {
      core.closing = true;
      core.control.goaway(0, Code.NO_ERROR);
      core.closeIfDrained();
      return;
    }
    core.control.goaway(MAX_31_BITS, Code.NO_ERROR);
    core.control.ping(DRAIN_PING);
    core.watch.drainBegins(() => this.#finishDrain());
  }

  destroy(code: ErrorCode, why: string): void {
    this.#core.goAway(code, { kind: 'destroyed', why });
  }

  #listen(socket: Duplex): void {
    let failure: Error | undefined;
    socket.on('data', (chunk: Buffer) => this.#inbound.read(chunk));
    socket.on('error', (error: Error) => {
      failure = error;
    });
    // A peer that has nothing more to send cannot take part any more: it could not even widen a window.
    // A TLS alert is an error that the end follows: it is the alert that says why.
    socket.on('end', () => this.#core.socketEnded(endOf(failure)));
    socket.on('close', () => this.#core.socketClosed(endOf(failure)));
    // A socket that died before it was handed over has said so already.
    if (socket.destroyed) queueMicrotask(() => this.#core.socketClosed(endOf(socket.errored ?? undefined)));
  }

  #onPingAck(bytes: Buffer, start: number): void {
    if (bytes.compare(DRAIN_PING, 0, DRAIN_PING.length, start, start + DRAIN_PING.length) === 0) this.#finishDrain();
  }

  /** The round trip is over: streams that the peer opened before it heard of the end have come. */
  #finishDrain(): void {
    const core = this.#core;
    if (core.ended || core.closing || !core.isServer || !core.draining) return;
    core.watch.drainOver();
    core.closing = true;
    core.announcedLastId = core.lastPeerId;
    core.control.goaway(core.lastPeerId, Code.NO_ERROR);
    core.closeIfDrained();
  }
}

/** Told apart from other PINGs by its payload. */
const DRAIN_PING = Buffer.from('bulkhead', 'latin1');

function endOf(failure: Error | undefined): ConnectionEnd {
  return failure === undefined ? { kind: 'closed' } : { kind: 'socket_error', error: failure };
}
