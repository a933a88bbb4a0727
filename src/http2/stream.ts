/** The engine's record of one stream. It has no behaviour of its own: whoever holds it talks to its connection. */
import type { Connection, HeaderBlock, ResetCause, Stream, StreamOwner } from './contract.ts';
import type { ErrorCode } from './error-code.ts';
import type { ReceiveWindow } from './receive-window.ts';
import type { SendQueue } from './send-queue.ts';
import type { StreamProgress } from './stream-progress.ts';

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly face: Connection;
  sendHeaders(stream: Http2Stream, block: HeaderBlock, endStream: boolean): void;
  sendData(stream: Http2Stream, chunk: Buffer, endStream: boolean): void;
  credit(stream: Http2Stream, bytes: number): void;
  reset(stream: Http2Stream, code: ErrorCode): void;
  refuseRest(stream: Http2Stream): void;
  retract(stream: Http2Stream): number | undefined;
}

/** Where a stream with something to send waits. It is in at most one line. */
export type Waiting = 'nowhere' | 'ready' | 'stream_window' | 'connection_window';

export class Http2Stream implements Stream {
  readonly id: number;
  readonly #host: StreamHost;
  /** Undefined while the connection's owner is being asked who it is. */
  owner: StreamOwner | undefined;
  readonly openedAtMicros: number;

  remoteEnded = false;
  localEnded = false;
  /** Both sides have ended, or one has reset it. */
  closed = false;
  /** Closed before its time: its owner hears nothing more of it. */
  wasReset = false;
  /** Why it was lost while it had no owner. */
  lostBeforeAdopted: ResetCause | undefined;

  // Receiving.
  readonly receiveWindow: ReceiveWindow;
  /** Given to the owner and not yet credited. */
  owedBytes = 0;
  /** What content-length promises, or -1. */
  expectedBytes = -1;
  receivedBytes = 0;
  /** Client: the final response's header block has come; what follows are trailers. */
  responded = false;
  /** Client: the request was HEAD. */
  isHead = false;
  /** What still comes is discarded, and the peer told to stop once our END_STREAM has left. */
  refusesRest = false;

  // Sending.
  sendWindowBytes: number;
  queuedBytes = 0;
  takenBytes = 0;
  queue: SendQueue | undefined;
  /** END_STREAM goes with the last of the queue. */
  endQueued = false;
  /** The stream is known to the peer: its first header block came from there, or is in the output. */
  announced: boolean;
  /** What the last look for stalls saw; most streams do not live until the first. */
  progress: StreamProgress | undefined;
  waiting: Waiting = 'nowhere';
  next: Http2Stream | undefined;

  constructor(
    id: number,
    host: StreamHost,
    openedAtMicros: number,
    windows: { receive: ReceiveWindow; sendBytes: number },
    announced: boolean,
  ) {
    this.id = id;
    this.#host = host;
    this.openedAtMicros = openedAtMicros;
    this.receiveWindow = windows.receive;
    this.sendWindowBytes = windows.sendBytes;
    this.announced = announced;
  }

  get connection(): Connection {
    return this.#host.face;
  }

  sendHeaders(block: HeaderBlock, endStream: boolean): void {
    if (!this.closed && !this.localEnded && !this.endQueued) this.#host.sendHeaders(this, block, endStream);
  }

  sendData(chunk: Buffer, endStream: boolean): void {
    if (!this.closed && !this.localEnded && !this.endQueued) this.#host.sendData(this, chunk, endStream);
  }

  credit(bytes: number): void {
    this.#host.credit(this, bytes);
  }

  reset(code: ErrorCode): void {
    if (!this.closed) this.#host.reset(this, code);
  }

  refuseRest(): void {
    if (!this.closed && !this.remoteEnded) this.#host.refuseRest(this);
  }

  retract(): number | undefined {
    return this.closed || this.localEnded ? undefined : this.#host.retract(this);
  }
}
