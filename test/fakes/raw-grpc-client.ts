/**
 * A gRPC client that sends what it is told to, right or wrong, over node:http2 and mTLS, and reports what came back.
 */
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface Access {
  readonly port: number;
  readonly serverName: string | undefined;
  readonly caPem: string;
  readonly certPem?: string | undefined;
  readonly keyPem?: string | undefined;
  /** Default true: the server's certificate must be for `serverName`. */
  readonly verifyName?: boolean;
  /** Of OpenSSL, such as `DEFAULT@SECLEVEL=0` for a client that shows what its own OpenSSL would not load. */
  readonly ciphers?: string;
  /** The window that each response begins with; none of it is given back by a client that does not read. */
  readonly initialWindowBytes?: number;
  /** Where it connects from; default: wherever the kernel says. */
  readonly localAddress?: string;
  /** Calls follow the handshake at once, before the server has said anything: in TLS 1.3, before it has seen the certificate. */
  readonly hasty?: boolean;
}

export interface Answer {
  /** -1: the answer had none. */
  readonly status: number;
  readonly message: string;
  /** `ErrorInfo.reason` of grpc-status-details-bin; empty without. */
  readonly reason: string;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** HTTP/2 error code when the stream was reset. */
  readonly resetCode: number | undefined;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Written one after the other, each in its own DATA frame. */
  readonly chunks?: readonly Buffer[];
  /** Resets the stream after so long; the answer is what came until then. */
  readonly cancelAfterMs?: number;
}

export class RawGrpcClient {
  readonly session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.session = session;
  }

  /** Shakes hands; rejects with what OpenSSL or the peer said. */
  static async connect(access: Access): Promise<RawGrpcClient> {
    const socket = connectTls({
      host: '127.0.0.1',
      port: access.port,
      ca: access.caPem,
      ALPNProtocols: ['h2'],
      ...(access.serverName === undefined ? {} : { servername: access.serverName }),
      ...(access.serverName === undefined || access.verifyName === false
        ? { checkServerIdentity: () => undefined }
        : {}),
      ...(access.certPem === undefined ? {} : { cert: access.certPem }),
      ...(access.keyPem === undefined ? {} : { key: access.keyPem }),
      ...(access.ciphers === undefined ? {} : { ciphers: access.ciphers }),
      ...(access.localAddress === undefined ? {} : { localAddress: access.localAddress }),
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed during the handshake')));
    });
    const session = connect(`https://${access.serverName ?? 'localhost'}`, {
      createConnection: () => socket,
      ...(access.initialWindowBytes === undefined
        ? {}
        : { settings: { initialWindowSize: access.initialWindowBytes } }),
    });
    session.on('error', () => undefined);
    if (access.hasty === true) return new RawGrpcClient(session);
    // In TLS 1.3 a refused client certificate shows only after the client believes itself connected.
    await new Promise<void>((resolve, reject) => {
      session.once('remoteSettings', () => resolve());
      session.once('close', () => reject(new Error('closed after the handshake')));
      socket.once('error', reject);
    });
    return new RawGrpcClient(session);
  }

  /** Connects in clear text, to a port or a Unix socket's path. */
  static async plain(to: number | string): Promise<RawGrpcClient> {
    const socket = typeof to === 'number' ? connectTcp(to, '127.0.0.1') : connectTcp(to);
    const session = connect('http://egress.test', { createConnection: () => socket });
    session.on('error', () => undefined);
    await new Promise<void>((resolve, reject) => {
      session.once('remoteSettings', () => resolve());
      session.once('close', () => reject(new Error('closed before its settings')));
      socket.once('error', reject);
    });
    return new RawGrpcClient(session);
  }

  /** Makes one call and waits for its end, whatever it is. */
  call(path: string, options: CallOptions = {}): Promise<Answer> {
    const stream = this.session.request(
      {
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...options.headers,
      },
      { endStream: false },
    );
    return new Promise((resolve) => {
      let headers: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      const body: Buffer[] = [];
      stream.on('response', (block) => {
        headers = block;
      });
      stream.on('trailers', (block) => {
        trailers = block;
      });
      stream.on('data', (chunk: Buffer) => body.push(chunk));
      stream.on('error', () => undefined);
      stream.on('close', () => {
        const last = 'grpc-status' in trailers ? trailers : headers;
        resolve({
          status: 'grpc-status' in last ? Number(last['grpc-status']) : -1,
          message: String(last['grpc-message'] ?? ''),
          reason: reasonOf(last['grpc-status-details-bin']),
          headers,
          trailers,
          body: Buffer.concat(body),
          resetCode: stream.rstCode === 0 ? undefined : stream.rstCode,
        });
      });
      for (const chunk of options.chunks ?? []) stream.write(chunk);
      stream.end();
      if (options.cancelAfterMs !== undefined) setTimeout(() => stream.close(8), options.cancelAfterMs);
    });
  }

  close(): void {
    this.session.destroy();
  }
}

/** Frames a message: uncompressed unless told otherwise. */
export function frame(message: Buffer, compressed = false): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = compressed ? 1 : 0;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Protobuf: a length-delimited field. */
export function field(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** google.rpc.Status.details (3) → Any.value (2) of ErrorInfo → reason (1). */
export function reasonOf(header: string | string[] | undefined): string {
  if (header === undefined) return '';
  const status = fieldsOf(Buffer.from(String(header), 'base64'));
  for (const any of status.filter(({ number }) => number === 3)) {
    const parts = fieldsOf(any.bytes);
    const type = parts.find(({ number }) => number === 1)?.bytes.toString() ?? '';
    if (!type.endsWith('google.rpc.ErrorInfo')) continue;
    const info = fieldsOf(parts.find(({ number }) => number === 2)?.bytes ?? Buffer.alloc(0));
    return info.find(({ number }) => number === 1)?.bytes.toString() ?? '';
  }
  return '';
}

function fieldsOf(message: Buffer): { readonly number: number; readonly bytes: Buffer }[] {
  const fields: { number: number; bytes: Buffer }[] = [];
  let at = 0;
  const read = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = read();
    const wire = tag & 7;
    if (wire === 0) read();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else {
      const length = read();
      fields.push({ number: tag >> 3, bytes: message.subarray(at, at + length) });
      at += length;
    }
  }
  return fields;
}
