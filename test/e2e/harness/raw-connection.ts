/**
 * A TLS connection with a tenant's certificate on which a test writes what octets it likes, and sees what frames come back.
 */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { Sidecar } from './sidecar.ts';

export const FRAME = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const FLAG = { endStream: 1, endHeaders: 4 } as const;

export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export class RawConnection {
  readonly #socket: TLSSocket;
  #received: Buffer = Buffer.alloc(0);
  #closed = false;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
    });
  }

  /** Connects and finishes the handshake; sends nothing else. */
  static async open(sidecar: Sidecar, tenant: string): Promise<RawConnection> {
    const { pki } = sidecar.tenant(tenant);
    const socket = connect({
      host: '127.0.0.1',
      port: sidecar.port,
      servername: pki.serverName,
      ca: pki.ca.certPem,
      cert: pki.client.certPem,
      key: pki.client.keyPem,
      ALPNProtocols: ['h2'],
    });
    await once(socket, 'secureConnect');
    return new RawConnection(socket);
  }

  /** Connects and sends the preface with empty SETTINGS. */
  static async openHttp2(sidecar: Sidecar, tenant: string): Promise<RawConnection> {
    const connection = await RawConnection.open(sidecar, tenant);
    connection.write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0, Buffer.alloc(0)));
    return connection;
  }

  write(...chunks: readonly Buffer[]): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(chunks));
  }

  /** Ends our side. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The whole frames that came so far. */
  get frames(): readonly RawFrame[] {
    const frames: RawFrame[] = [];
    for (let at = 0; at + 9 <= this.#received.length; ) {
      const length = this.#received.readUIntBE(at, 3);
      if (at + 9 + length > this.#received.length) break;
      frames.push({
        type: this.#received.readUInt8(at + 3),
        flags: this.#received.readUInt8(at + 4),
        stream: this.#received.readUInt32BE(at + 5) & 0x7fff_ffff,
        payload: this.#received.subarray(at + 9, at + 9 + length),
      });
      at += 9 + length;
    }
    return frames;
  }
}

/** One frame's octets, with any length that its payload has. */
export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header block without compression: each field a literal without indexing and without Huffman (RFC 7541 §6.2.2). */
export function literalHeaders(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length: number[] = [127];
  let left = bytes.length - 127;
  for (; left >= 128; left >>>= 7) length.push((left & 127) | 128);
  return Buffer.concat([Buffer.from([...length, left]), bytes]);
}
