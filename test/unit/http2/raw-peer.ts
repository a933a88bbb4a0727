/** A peer made of frames: says whatever a test wants, in any order, and writes down every frame that it hears. */
import { type Duplex, duplexPair } from 'node:stream';
import { Http2Connection } from '../../../src/http2/connection.ts';
import type { ConnectionOptions, HeaderBlock } from '../../../src/http2/contract.ts';
import {
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  PREFACE,
  putFrameHeader,
  putUint32,
  uint31,
  uint32,
} from '../../../src/http2/frame.ts';
import { FrameReader } from '../../../src/http2/frame-reader.ts';
import { HpackEncoder } from '../../../src/http2/hpack-encoder.ts';
import type { Turn } from '../../../src/kernel/turn.ts';
import { buffers, eventually, options, turn } from './loopback.ts';
import { RecordingConnectionOwner } from './recording-owner.ts';

export interface HeardFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.set(payload, putFrameHeader(bytes, 0, payload.length, type, flags, streamId));
  return bytes;
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  putUint32(bytes, 0, value);
  return bytes;
}

export const SETTINGS = frame(FrameType.SETTINGS, 0, 0);
export const SETTINGS_ACK = frame(FrameType.SETTINGS, Flag.ACK, 0);
export const PING = frame(FrameType.PING, 0, 0, Buffer.from('12345678'));

/** Encodes blocks without any state, so that a test can send them in any order. */
export function encode(block: HeaderBlock): Buffer {
  const encoder = new HpackEncoder(0);
  const into = Buffer.alloc(encoder.bound(block));
  return into.subarray(0, encoder.encode(block, into, 0));
}

export class RawPeer {
  readonly socket: Duplex;
  readonly engineSocket: Duplex;
  readonly owner = new RecordingConnectionOwner();
  readonly connection: Http2Connection;
  readonly heard: HeardFrame[] = [];
  closed = false;

  /** `onTurn`: for a test that has a clock of its own. */
  constructor(role: 'client' | 'server', over: Partial<ConnectionOptions> = {}, onTurn: Turn = turn) {
    const [socket, engineSocket] = duplexPair();
    this.socket = socket;
    this.engineSocket = engineSocket;
    const reader = new FrameReader(
      {
        onFrame: (type, flags, streamId, bytes, start, end) =>
          this.heard.push({ type, flags, streamId, payload: Buffer.from(bytes.subarray(start, end)) }),
        onDataBegin: (flags, streamId) =>
          this.heard.push({ type: FrameType.DATA, flags, streamId, payload: Buffer.alloc(0) }),
        onDataPadding: () => {},
        onDataOctets: (bytes, start, end) => {
          const begun = this.heard.pop();
          if (begun === undefined) return;
          this.heard.push({ ...begun, payload: Buffer.concat([begun.payload, bytes.subarray(start, end)]) });
        },
        onFrameFault: () => {},
      },
      16_384,
      role === 'client',
    );
    socket.on('data', (chunk: Buffer) => reader.read(chunk));
    socket.on('end', () => {
      this.closed = true;
    });
    this.connection = new Http2Connection(engineSocket, options(role, over), this.owner, onTurn, buffers);
  }

  /** Against a server: says the preface and SETTINGS first, and acknowledges the server's. */
  static server(over: Partial<ConnectionOptions> = {}, onTurn: Turn = turn): RawPeer {
    const peer = new RawPeer('server', over, onTurn);
    peer.say(PREFACE, SETTINGS, SETTINGS_ACK);
    return peer;
  }

  /** Against a client: says SETTINGS first, and acknowledges the client's. */
  static client(over: Partial<ConnectionOptions> = {}, onTurn: Turn = turn): RawPeer {
    const peer = new RawPeer('client', over, onTurn);
    peer.say(SETTINGS, SETTINGS_ACK);
    return peer;
  }

  say(...pieces: Uint8Array[]): void {
    this.socket.write(Buffer.concat(pieces));
  }

  headers(streamId: number, block: HeaderBlock, endStream: boolean): Buffer {
    return frame(FrameType.HEADERS, Flag.END_HEADERS | (endStream ? Flag.END_STREAM : 0), streamId, encode(block));
  }

  of(type: number): HeardFrame[] {
    return this.heard.filter((frame) => frame.type === type);
  }

  /** The code of the GOAWAY that was heard, the first that was not NO_ERROR if there are several. */
  get goawayCode(): number | undefined {
    const codes = this.of(FrameType.GOAWAY).map(({ payload }) => uint32(payload, 4));
    return codes.find((code) => code !== 0) ?? codes[0];
  }

  /** The debug data of the last GOAWAY that was heard. */
  get goawayDebug(): string | undefined {
    return this.of(FrameType.GOAWAY).at(-1)?.payload.toString('latin1', 8);
  }

  /** The codes with which the stream was reset. */
  resetCodes(streamId: number): number[] {
    return this.of(FrameType.RST_STREAM)
      .filter((frame) => frame.streamId === streamId)
      .map(({ payload }) => uint32(payload, 0));
  }

  windowUpdates(streamId: number): number[] {
    return this.of(FrameType.WINDOW_UPDATE)
      .filter((frame) => frame.streamId === streamId)
      .map(({ payload }) => uint31(payload, 0));
  }

  /** Waits until the engine has read all that was said: it answers a PING. */
  async settle(): Promise<void> {
    const payload = Buffer.from(String(++this.#pings).padStart(8, '_'));
    this.say(frame(FrameType.PING, 0, 0, payload));
    await eventually(() => this.closed || this.of(FrameType.PING).some((frame) => frame.payload.equals(payload)));
  }

  #pings = 0;
}
