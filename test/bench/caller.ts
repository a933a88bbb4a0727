/**
 * A gRPC client on our own engine, for what h2load cannot do: look at an answer, send at given times, hold connections.
 */
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Http2Connection } from '../../src/http2/connection.ts';
import type {
  Connection,
  ConnectionEnd,
  ConnectionOwner,
  HeaderBlock,
  ResetCause,
  Stream,
  StreamOwner,
} from '../../src/http2/contract.ts';
import { ErrorCode } from '../../src/http2/error-code.ts';
import { OutputBufferPool } from '../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { Turn } from '../../src/kernel/turn.ts';
import { CIPHER_SUITE, METHOD } from './load.ts';

export interface CallTarget {
  readonly port: number;
  readonly tls: boolean;
  readonly serverName: string;
  /** Certificate and key in one file; empty: none is presented. */
  readonly clientPem: string;
}

/** How a call ended. */
export interface Answer {
  readonly httpStatus: string;
  readonly grpcStatus: string;
  /** DATA bytes, with the message's prefix. */
  readonly bytes: number;
  /** Reset or cut off, and why. */
  readonly broken: string;
}

const CONNECT_TIMEOUT_MS = 10_000;

const OPTIONS = {
  role: 'client',
  maxConcurrentStreams: 0,
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  maxHeaderListBytes: 16_384,
  idleTimeoutMs: 0,
} as const;

const turn = new Turn(systemClock);
const buffers = new OutputBufferPool();

/** One connection, and calls on it. */
export class Caller {
  readonly #connection: Connection;
  readonly #socket: Socket;
  #end: ConnectionEnd | undefined;

  private constructor(socket: Socket) {
    const owner: ConnectionOwner = {
      onStream: () => {
        throw new Error('a server opened a stream');
      },
      onGoaway: () => undefined,
      onCapacity: () => undefined,
      onEnd: (_connection, end) => {
        this.#end = end;
      },
    };
    this.#socket = socket;
    this.#connection = new Http2Connection(socket, OPTIONS, owner, turn, buffers);
  }

  /** Connects with a full handshake. */
  static async open(target: CallTarget): Promise<Caller> {
    return new Caller(await connected(target));
  }

  get usable(): boolean {
    return this.#end === undefined && this.#connection.availableStreams > 0;
  }

  /** Begins a call; `done` hears of its end, exactly once. */
  call(head: HeaderBlock, message: Buffer, done: (answer: Answer) => void): void {
    const stream = this.#connection.open(head, false, new CallOwner(done));
    stream.sendData(message, true);
  }

  /** Begins a call, sends a part of its message, and returns how to cancel it. */
  begin(head: HeaderBlock, part: Buffer): () => void {
    const stream = this.#connection.open(head, false, new CallOwner(() => undefined));
    stream.sendData(part, false);
    return () => stream.reset(ErrorCode.CANCEL);
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** The request headers of the bench's call. */
export function requestHead(serverName: string, authorization: string | undefined): HeaderBlock {
  const head = [':method', 'POST', ':scheme', 'https', ':path', METHOD, ':authority', serverName];
  head.push('content-type', 'application/grpc', 'te', 'trailers');
  if (authorization !== undefined) head.push('authorization', authorization);
  return Object.freeze(head);
}

function connected({ port, tls, serverName, clientPem }: CallTarget): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const ready = (): void => {
      socket.setTimeout(0);
      resolve(socket);
    };
    const socket: Socket = tls
      ? connectTls(
          {
            host: '127.0.0.1',
            port,
            servername: serverName,
            ...(clientPem === '' ? {} : clientIdentity(clientPem)),
            ALPNProtocols: ['h2'],
            // The bench judges speed, and issued the certificate a minute ago.
            rejectUnauthorized: false,
            ciphers: CIPHER_SUITE,
            minVersion: 'TLSv1.3',
          },
          ready,
        )
      : connectTcp({ host: '127.0.0.1', port }, ready);
    socket.setNoDelay(true);
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error('no connection in time')));
    socket.once('error', (error) => {
      socket.destroy();
      reject(error);
    });
  });
}

const identities = new Map<string, { readonly cert: string; readonly key: string }>();

function clientIdentity(file: string): { readonly cert: string; readonly key: string } {
  const known = identities.get(file);
  if (known !== undefined) return known;
  const pem = readFileSync(file, 'utf8');
  const identity = { cert: pem, key: pem };
  identities.set(file, identity);
  return identity;
}

class CallOwner implements StreamOwner {
  readonly #done: (answer: Answer) => void;
  #httpStatus = '';
  #grpcStatus = '';
  #bytes = 0;

  constructor(done: (answer: Answer) => void) {
    this.#done = done;
  }

  onHeaders(_stream: Stream, block: HeaderBlock, endStream: boolean): void {
    for (let i = 0; i < block.length; i += 2) {
      if (block[i] === ':status') this.#httpStatus = block[i + 1] ?? '';
      else if (block[i] === 'grpc-status') this.#grpcStatus = block[i + 1] ?? '';
    }
    if (endStream) this.#finish('');
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    stream.credit(chunk.length);
    this.#bytes += chunk.length;
    if (endStream) this.#finish('');
  }

  onReset(_stream: Stream, cause: ResetCause): void {
    this.#finish(JSON.stringify(cause));
  }

  onWritten(): void {
    // Nobody waits for it.
  }

  onLocalEnd(): void {
    // The caller keeps no record.
  }

  #finish(broken: string): void {
    this.#done({ httpStatus: this.#httpStatus, grpcStatus: this.#grpcStatus, bytes: this.#bytes, broken });
  }
}
