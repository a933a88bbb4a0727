/**
 * A model server made of frames: over TCP it says whatever a test wants, in any order, also what no server may say.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { Flag, FRAME_HEADER_BYTES, FrameType, PREFACE, putFrameHeader, putUint32 } from '../../src/http2/frame.ts';
import { HpackEncoder } from '../../src/http2/hpack-encoder.ts';

export const GRPC_HEADERS = [':status', '200', 'content-type', 'application/grpc'] as const;
export const OK_TRAILERS = ['grpc-status', '0'] as const;

/** What a connection does when a request's HEADERS have come. */
export type Script = (connection: RawUpstreamConnection, streamId: number) => void;

export interface RawUpstreamOptions {
  /** Says nothing at all, not even SETTINGS. */
  readonly mute?: boolean;
  /** MAX_CONCURRENT_STREAMS of its SETTINGS. */
  readonly maxConcurrentStreams?: number;
}

export class RawUpstreamConnection {
  readonly socket: Socket;
  /** Streams whose HEADERS have come, in order. */
  readonly opened: number[] = [];
  /** DATA payload octets that have come, by stream. */
  readonly received = new Map<number, number>();
  /** Streams that the client has reset, with the code. */
  readonly resets = new Map<number, number>();
  /** Streams that the client has half-closed. */
  readonly ended = new Set<number>();
  /** How many have had a whole answer. */
  answered = 0;
  #input = Buffer.alloc(0);
  #prefaceSeen = false;

  constructor(socket: Socket, script: () => Script, { mute = false, maxConcurrentStreams }: RawUpstreamOptions) {
    this.socket = socket;
    socket.on('error', () => undefined);
    if (!mute) {
      const settings = Buffer.alloc(maxConcurrentStreams === undefined ? 0 : 6);
      if (maxConcurrentStreams !== undefined) {
        settings.writeUInt16BE(3, 0);
        settings.writeUInt32BE(maxConcurrentStreams, 2);
      }
      this.frame(FrameType.SETTINGS, 0, 0, settings);
    }
    socket.on('data', (chunk: Buffer) => this.#read(chunk, script, mute));
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): void {
    const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
    bytes.set(payload, putFrameHeader(bytes, 0, payload.length, type, flags, streamId));
    this.socket.write(bytes);
  }

  headers(streamId: number, block: readonly string[], endStream: boolean): void {
    const encoder = new HpackEncoder(0);
    const into = Buffer.alloc(encoder.bound(block));
    const payload = into.subarray(0, encoder.encode(block, into, 0));
    this.frame(FrameType.HEADERS, Flag.END_HEADERS | (endStream ? Flag.END_STREAM : 0), streamId, payload);
  }

  data(streamId: number, payload: Uint8Array, endStream = false): void {
    this.frame(FrameType.DATA, endStream ? Flag.END_STREAM : 0, streamId, payload);
  }

  reset(streamId: number, code: number): void {
    this.frame(FrameType.RST_STREAM, 0, streamId, word(code));
  }

  goaway(lastStreamId: number, code: number): void {
    this.frame(FrameType.GOAWAY, 0, 0, Buffer.concat([word(lastStreamId), word(code)]));
  }

  /** A whole unary answer: headers, one message, trailers. */
  answer(streamId: number, message: Uint8Array = Buffer.alloc(5)): void {
    this.answered++;
    this.headers(streamId, GRPC_HEADERS, false);
    this.data(streamId, message);
    this.headers(streamId, OK_TRAILERS, true);
  }

  #read(chunk: Buffer, script: () => Script, mute: boolean): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    if (!this.#prefaceSeen) {
      if (this.#input.length < PREFACE.length) return;
      this.#input = this.#input.subarray(PREFACE.length);
      this.#prefaceSeen = true;
    }
    while (this.#input.length >= FRAME_HEADER_BYTES) {
      const length = this.#input.readUIntBE(0, 3);
      if (this.#input.length < FRAME_HEADER_BYTES + length) return;
      const type = this.#input[3] ?? 0;
      const flags = this.#input[4] ?? 0;
      const streamId = this.#input.readUInt32BE(5);
      const payload = this.#input.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length);
      this.#input = this.#input.subarray(FRAME_HEADER_BYTES + length);
      if (!mute) this.#take(type, flags, streamId, payload, script);
    }
  }

  #take(type: number, flags: number, streamId: number, payload: Buffer, script: () => Script): void {
    const acks = (flags & Flag.ACK) !== 0;
    if (type === FrameType.SETTINGS && !acks) this.frame(FrameType.SETTINGS, Flag.ACK, 0);
    if (type === FrameType.PING && !acks) this.frame(FrameType.PING, Flag.ACK, 0, payload);
    if (type === FrameType.RST_STREAM) this.resets.set(streamId, payload.readUInt32BE(0));
    if (type === FrameType.DATA) this.received.set(streamId, (this.received.get(streamId) ?? 0) + payload.length);
    if ((type === FrameType.DATA || type === FrameType.HEADERS) && (flags & Flag.END_STREAM) !== 0) {
      this.ended.add(streamId);
    }
    if (type === FrameType.HEADERS) {
      this.opened.push(streamId);
      script()(this, streamId);
    }
  }
}

export class RawUpstream {
  readonly connections: RawUpstreamConnection[] = [];
  readonly #server: Server;
  /** What happens at each request's HEADERS. */
  script: Script = (connection, streamId) => connection.answer(streamId);
  /** What happens at each connection, before anything is said. */
  onConnection: (connection: RawUpstreamConnection) => void = () => undefined;
  /** Ends each further connection before it says anything. */
  hangsUp = false;
  /** How many it has ended so. */
  hungUp = 0;
  #port = 0;

  private constructor(options: RawUpstreamOptions) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      if (this.hangsUp) {
        this.hungUp++;
        socket.on('error', () => undefined).destroy();
        return;
      }
      const connection = new RawUpstreamConnection(socket, () => this.script, options);
      this.connections.push(connection);
      this.onConnection(connection);
    });
  }

  static async start(options: RawUpstreamOptions = {}): Promise<RawUpstream> {
    const upstream = new RawUpstream(options);
    await new Promise<void>((resolve) => upstream.#server.listen(0, '127.0.0.1', resolve));
    const address = upstream.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not a TCP address');
    upstream.#port = address.port;
    return upstream;
  }

  /** For a tenant's configuration. */
  config(changes: Partial<TenantConfig['upstream']> = {}): TenantConfig['upstream'] {
    const authority = `127.0.0.1:${this.#port}`;
    return {
      target: { kind: 'tcp', host: '127.0.0.1', port: this.#port },
      tls: undefined,
      display: `http://${authority}`,
      connectTimeoutMs: 1_000,
      maxConnections: 4,
      maxPendingCalls: 100,
      authority,
      ...changes,
    };
  }

  async stop(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  putUint32(bytes, 0, value);
  return bytes;
}
