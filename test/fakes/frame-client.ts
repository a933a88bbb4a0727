/** A client made of frames, over mTLS or in clear text: says what no HTTP/2 library would let one say, and reads what comes back. */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Flag, FRAME_HEADER_BYTES, FrameType, PREFACE, putFrameHeader } from '../../src/http2/frame.ts';
import { HpackDecoder } from '../../src/http2/hpack-decoder.ts';
import { HpackEncoder } from '../../src/http2/hpack-encoder.ts';
import { eventually } from './hostile-ground.ts';
import type { Access } from './raw-grpc-client.ts';

export interface StreamAnswer {
  /** Names and values of all header blocks, in order. */
  readonly fields: string[];
  body: Buffer;
  ended: boolean;
  resetCode: number | undefined;
}

export class FrameClient {
  readonly #socket: Socket;
  readonly #streams = new Map<number, StreamAnswer>();
  readonly #decoder = new HpackDecoder({ maxHeaderListBytes: 1 << 20, maxHeaderFields: 1_000 });
  #input = Buffer.alloc(0);
  #nextId = 1;
  goawayCode: number | undefined;
  closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.write(PREFACE);
    this.frame(FrameType.SETTINGS, 0, 0);
  }

  static async connect(access: Access): Promise<FrameClient> {
    const socket = connectTls({
      host: '127.0.0.1',
      port: access.port,
      ca: access.caPem,
      ALPNProtocols: ['h2'],
      ...(access.serverName === undefined ? {} : { servername: access.serverName }),
      ...(access.certPem === undefined ? {} : { cert: access.certPem }),
      ...(access.keyPem === undefined ? {} : { key: access.keyPem }),
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    return new FrameClient(socket);
  }

  /** Without TLS, to an egress listener. */
  static async plain(port: number): Promise<FrameClient> {
    const socket = connectTcp(port, '127.0.0.1');
    await once(socket, 'connect');
    return new FrameClient(socket);
  }

  frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): void {
    if (!this.closed) this.#socket.write(frameBytes(type, flags, streamId, payload));
  }

  /** Many frames in one write: they arrive in one turn. */
  write(...frames: readonly Buffer[]): void {
    this.#socket.write(Buffer.concat(frames));
  }

  /** Opens a stream with this block, as it is. Returns its id. */
  open(block: readonly string[], endStream = false): number {
    const id = this.#nextId;
    this.#nextId += 2;
    this.headers(id, block, endStream);
    return id;
  }

  headers(id: number, block: readonly string[], endStream: boolean): void {
    this.write(headerFrame(id, block, endStream));
  }

  data(id: number, payload: Uint8Array, endStream = false): void {
    this.frame(FrameType.DATA, endStream ? Flag.END_STREAM : 0, id, payload);
  }

  stream(id: number): StreamAnswer {
    let answer = this.#streams.get(id);
    if (answer === undefined) {
      answer = { fields: [], body: Buffer.alloc(0), ended: false, resetCode: undefined };
      this.#streams.set(id, answer);
    }
    return answer;
  }

  /** Waits for a stream's end, or the connection's. */
  async settled(id: number): Promise<StreamAnswer> {
    const answer = this.stream(id);
    await eventually(
      `the end of stream ${id}`,
      () => answer.ended || answer.resetCode !== undefined || this.closed || (this.goawayCode ?? 0) !== 0,
    );
    return answer;
  }

  /** `grpc-status` of a stream, or what became of it instead. */
  async outcome(id: number): Promise<string> {
    const { fields, resetCode } = await this.settled(id);
    const status = valueOf(fields, 'grpc-status');
    if (status !== undefined) return `status ${status}`;
    if (valueOf(fields, ':status') === '415') return 'HTTP 415';
    return resetCode === undefined ? `connection ended with ${this.goawayCode}` : `reset ${resetCode}`;
  }

  /** Reads nothing more. */
  stopReading(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    while (this.#input.length >= FRAME_HEADER_BYTES) {
      const length = this.#input.readUIntBE(0, 3);
      if (this.#input.length < FRAME_HEADER_BYTES + length) return;
      const type = this.#input[3] ?? 0;
      const flags = this.#input[4] ?? 0;
      const streamId = this.#input.readUInt32BE(5);
      const payload = Buffer.from(this.#input.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length));
      this.#input = this.#input.subarray(FRAME_HEADER_BYTES + length);
      this.#take(type, flags, streamId, payload);
    }
  }

  #take(type: number, flags: number, streamId: number, payload: Buffer): void {
    const acks = (flags & Flag.ACK) !== 0;
    if (type === FrameType.SETTINGS && !acks) this.frame(FrameType.SETTINGS, Flag.ACK, 0);
    if (type === FrameType.PING && !acks) this.frame(FrameType.PING, Flag.ACK, 0, payload);
    if (type === FrameType.GOAWAY) this.goawayCode = payload.readUInt32BE(4);
    if (streamId === 0) return;
    const answer = this.stream(streamId);
    if (type === FrameType.HEADERS) {
      this.#decoder.decode(payload, 0, payload.length);
      answer.fields.push(...this.#decoder.block);
    }
    if (type === FrameType.DATA) answer.body = Buffer.concat([answer.body, payload]);
    if (type === FrameType.RST_STREAM) answer.resetCode = payload.readUInt32BE(0);
    if ((type === FrameType.HEADERS || type === FrameType.DATA) && (flags & Flag.END_STREAM) !== 0) answer.ended = true;
  }
}

/** The value of a field, or undefined. */
export function valueOf(fields: readonly string[], name: string): string | undefined {
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1];
  return undefined;
}

export function frameBytes(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.set(payload, putFrameHeader(bytes, 0, payload.length, type, flags, streamId));
  return bytes;
}

export function headerFrame(streamId: number, block: readonly string[], endStream: boolean): Buffer {
  const encoder = new HpackEncoder(0);
  const into = Buffer.alloc(encoder.bound(block));
  const payload = into.subarray(0, encoder.encode(block, into, 0));
  return frameBytes(FrameType.HEADERS, Flag.END_HEADERS | (endStream ? Flag.END_STREAM : 0), streamId, payload);
}

export function dataFrame(streamId: number, payload: Uint8Array, endStream = false): Buffer {
  return frameBytes(FrameType.DATA, endStream ? Flag.END_STREAM : 0, streamId, payload);
}
