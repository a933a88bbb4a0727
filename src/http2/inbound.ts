/**
 * What a peer sends, frame by frame: the connection's own frames here, header blocks in `inbound-headers.ts`, DATA in
 * `inbound-data.ts` (RFC 9113 §6).
 */
import type { TurnShare } from '../kernel/turn-share.ts';
import type { ConnectionCore } from './connection-core.ts';
import { ErrorCode } from './error-code.ts';
import { DEFAULT_MAX_FRAME_BYTES, Flag, FrameType, uint31, uint32 } from './frame.ts';
import { type FrameFault, FrameReader, type FrameSink } from './frame-reader.ts';
import { InboundData } from './inbound-data.ts';
import { InboundHeaders } from './inbound-headers.ts';
import type { OwnSettings } from './own-settings.ts';
import { applyPeerSettings } from './peer-settings.ts';
import { parseSettings, SETTINGS_ENTRY_BYTES } from './settings.ts';

/** What the bytes come from. */
export interface InboundSource {
  pause(): unknown;
  resume(): unknown;
}

export class Inbound implements FrameSink {
  readonly #core: ConnectionCore;
  readonly #source: InboundSource;
  readonly #ownSettings: OwnSettings;
  readonly #headers: InboundHeaders;
  readonly #data: InboundData;
  readonly #reader: FrameReader;
  readonly #onPingAck: (bytes: Buffer, start: number) => void;
  #settingsSeen = false;
  /** The source is paused, until what was read of it is done. */
  #paused = false;

  constructor(
    core: ConnectionCore,
    source: InboundSource,
    ownSettings: OwnSettings,
    onPingAck: (bytes: Buffer, start: number) => void,
  ) {
    this.#core = core;
    this.#source = source;
    this.#ownSettings = ownSettings;
    this.#headers = new InboundHeaders(core);
    this.#data = new InboundData(core);
    this.#reader = new FrameReader(this, DEFAULT_MAX_FRAME_BYTES, core.isServer);
    this.#onPingAck = onPingAck;
  }

  /** Reads what the socket delivered. */
  read(chunk: Buffer): void {
    if (this.#core.ended) return;
    this.#core.watch.heard();
    const { share } = this.#core.options;
    if (share === undefined) this.#readNow(chunk);
    else if (share.mayBegin(this.#core.turn.now())) this.#readWithin(share, chunk);
    else this.#readLater(chunk);
  }

  #readWithin(share: TurnShare, chunk: Buffer): void {
    share.begin();
    this.#readNow(chunk);
    share.end();
  }

  #readNow(chunk: Buffer): void {
    if (this.#core.ended) return;
    const rest = this.#reader.read(chunk);
    if (this.#core.ended) {
      this.#reader.stop();
      return;
    }
    this.#core.watch.unfinished(this.#headers.assembling ?? this.#reader.heldFrame);
    this.#core.checkQueue();
    if (rest !== undefined) this.#readLater(rest);
    else if (this.#paused) {
      this.#paused = false;
      this.#source.resume();
    }
  }

  /**
   * Lets the thread's other connections have their turn first: what an immediate schedules runs after the next poll, so they have
   * been read by then. Where there is a share of the turn, it comes behind all that waits for it already.
   */
  #readLater(rest: Buffer): void {
    if (!this.#paused) this.#source.pause();
    this.#paused = true;
    const { share } = this.#core.options;
    if (share === undefined) setImmediate(() => setImmediate(() => this.#readNow(rest)));
    else share.wait(() => this.#readWithin(share, rest));
  }

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (this.#mayCome(type, flags)) this.#dispatch(type, flags, streamId, bytes, start, end);
    this.#frameDone();
    // A call begins with it, and nothing costs more; what else costs is seen then.
    if (type === FrameType.HEADERS && this.#core.options.share?.isUp() === true) this.#reader.pause();
  }

  onDataBegin(flags: number, streamId: number, length: number): void {
    if (this.#mayCome(FrameType.DATA, flags)) this.#data.begin(flags, streamId, length);
    if (this.#core.ended) this.#reader.stop();
  }

  onDataPadding(octets: number): void {
    this.#data.padding(octets);
  }

  onDataOctets(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#data.octets(bytes, start, end, last);
    this.#frameDone();
  }

  #frameDone(): void {
    if (this.#core.ended) this.#reader.stop();
    else if (this.#core.meter.hasThrownAway(THROWN_AWAY_PER_TURN)) this.#reader.pause();
  }

  onFrameFault(fault: FrameFault): void {
    switch (fault) {
      case 'preface':
        this.#core.fail(ErrorCode.PROTOCOL_ERROR, 'not the preface of HTTP/2');
        return;
      case 'frame_too_large':
        this.#core.fail(ErrorCode.FRAME_SIZE_ERROR, 'a frame above MAX_FRAME_SIZE');
        return;
      case 'padding':
        this.#core.fail(ErrorCode.PROTOCOL_ERROR, 'DATA with more padding than payload');
        return;
    }
  }

  /** SETTINGS come first, and nothing comes between the frames of a header block. */
  #mayCome(type: number, flags: number): boolean {
    if (!this.#settingsSeen) {
      if (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0) {
        this.#core.fail(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS');
        return false;
      }
      this.#settingsSeen = true;
    }
    if (this.#headers.assembling !== undefined && type !== FrameType.CONTINUATION) {
      this.#core.fail(ErrorCode.PROTOCOL_ERROR, 'a frame amid a header block');
      return false;
    }
    return true;
  }

  #dispatch(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.HEADERS:
        this.#headers.headers(flags, streamId, bytes, start, end);
        return;
      case FrameType.CONTINUATION:
        this.#headers.continuation(flags, streamId, bytes, start, end);
        return;
      case FrameType.PRIORITY:
        this.#priority(streamId, bytes, start, end);
        return;
      case FrameType.RST_STREAM:
        this.#rstStream(streamId, bytes, start, end);
        return;
      case FrameType.SETTINGS:
        this.#settings(flags, streamId, bytes, start, end);
        return;
      case FrameType.PUSH_PROMISE:
        this.#core.fail(ErrorCode.PROTOCOL_ERROR, 'PUSH_PROMISE, which our SETTINGS forbid');
        return;
      case FrameType.PING:
        this.#ping(flags, streamId, bytes, start, end);
        return;
      case FrameType.GOAWAY:
        this.#goaway(streamId, bytes, start, end);
        return;
      case FrameType.WINDOW_UPDATE:
        this.#windowUpdate(streamId, bytes, start, end);
        return;
      default:
        this.#core.allow('unknownFrames');
    }
  }

  /** Priorities mean nothing any more, but their form is checked (RFC 9113 §5.3.2, §6.3). */
  #priority(streamId: number, bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (streamId === 0) return core.fail(ErrorCode.PROTOCOL_ERROR, 'PRIORITY on stream 0');
    if (!core.allow('priorities')) return;
    const stream = core.streams.get(streamId);
    if (end - start !== 5) {
      const why = 'PRIORITY whose length is not five';
      if (stream === undefined) core.fail(ErrorCode.FRAME_SIZE_ERROR, why);
      else core.ends.byFault(stream, ErrorCode.FRAME_SIZE_ERROR, why);
      return;
    }
    if (uint31(bytes, start) !== streamId) return;
    const why = 'a stream that depends on itself';
    if (stream !== undefined) core.ends.byFault(stream, ErrorCode.PROTOCOL_ERROR, why);
    else if (core.isIdle(streamId)) core.fail(ErrorCode.PROTOCOL_ERROR, why);
  }

  #rstStream(streamId: number, bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (streamId === 0) return core.fail(ErrorCode.PROTOCOL_ERROR, 'RST_STREAM on stream 0');
    if (end - start !== 4) return core.fail(ErrorCode.FRAME_SIZE_ERROR, 'RST_STREAM whose length is not four');
    const stream = core.streams.get(streamId);
    if (stream === undefined) {
      if (core.isIdle(streamId)) core.fail(ErrorCode.PROTOCOL_ERROR, 'RST_STREAM on an idle stream');
      else core.allow('lateFrames');
      return;
    }
    const ageMs = (core.turn.now() - stream.openedAtMicros) / 1_000;
    if (core.isServer && ageMs < core.limits.youngStreamMs && !core.allow('youngResets')) return;
    core.ends.byPeer(stream, uint32(bytes, start));
  }

  #settings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (streamId !== 0) return core.fail(ErrorCode.PROTOCOL_ERROR, 'SETTINGS on a stream');
    if (!core.allow('settings')) return;
    if ((flags & Flag.ACK) !== 0) {
      if (end !== start) return core.fail(ErrorCode.FRAME_SIZE_ERROR, 'an acknowledgement of SETTINGS with a payload');
      if (!this.#ownSettings.acknowledged()) core.fail(ErrorCode.PROTOCOL_ERROR, 'an acknowledgement of no SETTINGS');
      return;
    }
    if ((end - start) / SETTINGS_ENTRY_BYTES > core.limits.maxSettingsEntries) return core.exceed('maxSettingsEntries');
    const settings = parseSettings(bytes, start, end);
    if (!settings.ok) return core.fail(settings.error.code, settings.error.why);
    const fault = applyPeerSettings(core, settings.value);
    if (fault !== undefined) return core.fail(fault.code, fault.why);
    core.control.settingsAck();
    core.sender.pump();
    core.owner.onCapacity(core.face);
  }

  #ping(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (streamId !== 0) return core.fail(ErrorCode.PROTOCOL_ERROR, 'PING on a stream');
    if (end - start !== 8) return core.fail(ErrorCode.FRAME_SIZE_ERROR, 'PING whose length is not eight');
    if (!core.allow('pings')) return;
    if ((flags & Flag.ACK) !== 0) return this.#onPingAck(bytes, start);
    if (!core.pingStrikes.allows(core.turn.now(), core.streams.size)) return core.exceed('maxPingStrikes');
    core.control.pingAck(bytes, start);
  }

  #goaway(streamId: number, bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (streamId !== 0) return core.fail(ErrorCode.PROTOCOL_ERROR, 'GOAWAY on a stream');
    if (end - start < 8) return core.fail(ErrorCode.FRAME_SIZE_ERROR, 'GOAWAY shorter than eight');
    if (!core.allow('goaways')) return;
    const lastId = uint31(bytes, start);
    // The peer may narrow what it said before, never widen it (RFC 9113 §6.8).
    core.peerLastId = Math.min(core.peerLastId, lastId);
    core.draining = true;
    core.owner.onGoaway(core.face, lastId, uint32(bytes, start + 4));
    if (core.ended) return;
    // What a server's peer names are pushed streams, of which there are none.
    if (!core.isServer) core.ends.unprocessed();
    core.closing = true;
    core.closeIfDrained();
  }

  #windowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (end - start !== 4) return core.fail(ErrorCode.FRAME_SIZE_ERROR, 'WINDOW_UPDATE whose length is not four');
    if (!core.allow('windowUpdates')) return;
    const increment = uint31(bytes, start);
    if (streamId === 0) {
      if (increment === 0) core.fail(ErrorCode.PROTOCOL_ERROR, 'a WINDOW_UPDATE of nothing');
      else if (!core.sender.widen(increment)) core.fail(ErrorCode.FLOW_CONTROL_ERROR, 'a window above 2^31-1');
      return;
    }
    const stream = core.streams.get(streamId);
    if (stream === undefined) {
      if (core.isIdle(streamId)) core.fail(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE on an idle stream');
      return;
    }
    if (increment === 0) core.ends.byFault(stream, ErrorCode.PROTOCOL_ERROR, 'a WINDOW_UPDATE of nothing');
    else if (!core.sender.widenStream(stream, increment)) {
      core.ends.byFault(stream, ErrorCode.FLOW_CONTROL_ERROR, 'a window above 2^31-1');
    }
  }
}

/**
 * Streams that a peer may begin and throw away before it is others' turn. Some 80 fit into one TLS record, and
 * nobody else of the thread is served while they are done.
 */
const THROWN_AWAY_PER_TURN = 10;
