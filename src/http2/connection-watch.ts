/**
 * What must have happened on a connection by some time, and what follows when it has not: the peer acknowledges, reads, is
 * there, has something to do.
 */
import type { Duplex } from 'node:stream';
import type { ConnectionCore } from './connection-core.ts';
import { type DeadlineName, Deadlines } from './deadlines.ts';
import { ErrorCode } from './error-code.ts';
import { StreamProgress } from './stream-progress.ts';

export class ConnectionWatch {
  readonly #core: ConnectionCore;
  readonly #socket: Duplex;
  readonly #deadlines: Deadlines;
  #onDrainDue: () => void = () => {};
  /** Something came since the last look. */
  #heard = false;
  #probing = false;
  #unfinished: object | undefined;

  constructor(core: ConnectionCore, socket: Duplex) {
    this.#core = core;
    this.#socket = socket;
    this.#deadlines = new Deadlines(core.turn, (name) => this.#onDeadline(name));
  }

  /** The connection begins: it has no streams yet, and its peer may be silent from the start. */
  start(): void {
    this.streamEnded();
    this.#watchSilence();
    if (this.#core.isServer) this.#deadlines.set('stall', this.#core.limits.streamStallMs);
  }

  heard(): void {
    this.#heard = true;
  }

  settingsSent(): void {
    this.#deadlines.set('settings', this.#core.limits.settingsAckTimeoutMs);
  }

  settingsAcknowledged(): void {
    this.#deadlines.clear('settings');
  }

  /** Idleness counts from here, unless another stream is open by the time that it is looked at. */
  streamEnded(): void {
    const { streams, options } = this.#core;
    if (streams.size === 0 && options.idleTimeoutMs > 0) this.#deadlines.set('idle', options.idleTimeoutMs);
  }

  writing(writing: boolean): void {
    if (writing) this.#deadlines.set('write', this.#core.limits.writeStallTimeoutMs);
    else this.#deadlines.clear('write');
  }

  /** What of the peer's input waits for its rest: a frame, a header block, or undefined. */
  unfinished(piece: object | undefined): void {
    if (piece === this.#unfinished) return;
    this.#unfinished = piece;
    if (piece === undefined) this.#deadlines.clear('frame');
    else this.#deadlines.set('frame', this.#core.limits.frameTimeoutMs);
  }

  /** Calls `onDue` unless the drain is over before. */
  drainBegins(onDue: () => void): void {
    this.#onDrainDue = onDue;
    this.#deadlines.set('drain', this.#core.limits.drainRoundTripMs);
  }

  drainOver(): void {
    this.#deadlines.clear('drain');
  }

  /**
   * The last word is said: the socket has a while to deliver it, and nothing else matters any more. `deaf`: of a peer that broke the
   * rules nothing more is read. What a flood has on its way would be decrypted for nothing, megabytes of it in one turn.
   */
  linger(deaf: boolean): void {
    if (deaf) this.#socket.pause();
    this.#deadlines.clearAll();
    this.#deadlines.set('linger', this.#core.limits.lingerMs);
  }

  stop(): void {
    this.#deadlines.clearAll();
  }

  #watchSilence(): void {
    const { isServer, limits } = this.#core;
    this.#deadlines.set('keepalive', isServer ? limits.serverKeepaliveMs : limits.clientKeepaliveMs);
  }

  /** A peer from which nothing was heard gets a PING, and a while to answer it. */
  #onSilence(): void {
    const core = this.#core;
    const silent = !this.#heard && core.streams.size > 0;
    this.#heard = false;
    if (silent && this.#probing) {
      core.fail(ErrorCode.NO_ERROR, 'the peer does not answer', 'keepaliveTimeoutMs');
      return;
    }
    this.#probing = silent;
    if (!silent) return this.#watchSilence();
    core.control.ping(KEEPALIVE_PING);
    this.#deadlines.set('keepalive', core.limits.keepaliveTimeoutMs);
  }

  #lookForStalls(): void {
    const core = this.#core;
    for (const stream of core.streams.all()) {
      if (core.ended) return;
      stream.progress ??= new StreamProgress();
      const stalled = stream.progress.look(stream, core.limits.streamStallBytes);
      if (stalled !== undefined)
        core.ends.byFault(stream, ErrorCode.ENHANCE_YOUR_CALM, `streamStallMs exceeded: ${stalled}`);
    }
  }

  #onDeadline(name: DeadlineName): void {
    const core = this.#core;
    switch (name) {
      case 'idle':
        if (core.streams.size === 0) core.goAway(ErrorCode.NO_ERROR, { kind: 'idle' });
        return;
      case 'settings':
        core.fail(ErrorCode.SETTINGS_TIMEOUT, 'SETTINGS were not acknowledged in time', 'settingsAckTimeoutMs');
        return;
      case 'keepalive':
        this.#onSilence();
        return;
      case 'write':
        core.fail(ErrorCode.ENHANCE_YOUR_CALM, 'the peer does not read', 'writeStallTimeoutMs');
        // It would not read the GOAWAY either.
        this.#socket.destroy();
        return;
      case 'frame':
        core.fail(ErrorCode.ENHANCE_YOUR_CALM, 'a frame or header block does not come whole', 'frameTimeoutMs');
        return;
      case 'stall':
        this.#deadlines.set('stall', core.limits.streamStallMs);
        this.#lookForStalls();
        return;
      case 'drain':
        this.#onDrainDue();
        return;
      case 'linger':
        this.#socket.destroy();
        return;
    }
  }
}

const KEEPALIVE_PING = Buffer.from('keepaliv', 'latin1');
