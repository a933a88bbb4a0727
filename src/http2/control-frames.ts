/** The frames that no flow control holds back. Answers to the peer's frames are counted until a write takes them along. */
import type { ErrorCode } from './error-code.ts';
import {
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  PREFACE,
  putFrameHeader,
  putGoaway,
  putPing,
  putWordFrame,
} from './frame.ts';
import { MAX_SETTINGS_FRAME_BYTES, putSettings, type Settings } from './settings.ts';
import type { SocketWriter } from './socket-writer.ts';

export class ControlFrames {
  readonly #writer: SocketWriter;
  #waitingAnswers = 0;

  constructor(writer: SocketWriter) {
    this.#writer = writer;
  }

  /** Answers in the output that no write has taken along yet. */
  get waitingAnswers(): number {
    return this.#waitingAnswers;
  }

  /** A frame was sent only because the peer sent one. */
  countAnswer(): void {
    this.#waitingAnswers++;
  }

  /** A write takes the output along. */
  sent(): void {
    this.#waitingAnswers = 0;
  }

  preface(): void {
    const at = this.#writer.reserve(PREFACE.length);
    PREFACE.copy(this.#writer.buffer, at);
    this.#writer.commit(at + PREFACE.length);
  }

  settings(settings: Settings): void {
    const at = this.#writer.reserve(MAX_SETTINGS_FRAME_BYTES);
    this.#writer.commit(putSettings(this.#writer.buffer, at, settings));
  }

  settingsAck(): void {
    const at = this.#writer.reserve(FRAME_HEADER_BYTES);
    this.#writer.commit(putFrameHeader(this.#writer.buffer, at, 0, FrameType.SETTINGS, Flag.ACK, 0));
    this.countAnswer();
  }

  ping(payload: Uint8Array): void {
    const at = this.#writer.reserve(FRAME_HEADER_BYTES + 8);
    this.#writer.commit(putPing(this.#writer.buffer, at, 0, payload, 0));
  }

  pingAck(payload: Uint8Array, from: number): void {
    const at = this.#writer.reserve(FRAME_HEADER_BYTES + 8);
    this.#writer.commit(putPing(this.#writer.buffer, at, Flag.ACK, payload, from));
    this.countAnswer();
  }

  windowUpdate(streamId: number, increment: number): void {
    this.#word(FrameType.WINDOW_UPDATE, streamId, increment);
  }

  reset(streamId: number, code: ErrorCode): void {
    this.#word(FrameType.RST_STREAM, streamId, code);
  }

  /** `debug` is for whoever reads the peer's log, and for gRPC clients, which know one text. */
  goaway(lastStreamId: number, code: ErrorCode, debug: Uint8Array = NO_DEBUG): void {
    const at = this.#writer.reserve(FRAME_HEADER_BYTES + 8 + debug.length);
    this.#writer.commit(putGoaway(this.#writer.buffer, at, lastStreamId, code, debug));
  }

  #word(type: number, streamId: number, word: number): void {
    const at = this.#writer.reserve(FRAME_HEADER_BYTES + 4);
    this.#writer.commit(putWordFrame(this.#writer.buffer, at, type, streamId, word));
  }
}

const NO_DEBUG = new Uint8Array(0);
