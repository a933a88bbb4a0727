/** Owners that write down what they hear, and can be told how to answer. */
import type {
  Connection,
  ConnectionEnd,
  ConnectionOwner,
  HeaderBlock,
  ResetCause,
  Stream,
  StreamOwner,
} from '../../../src/http2/contract.ts';

export class RecordingStreamOwner implements StreamOwner {
  readonly headers: { block: HeaderBlock; endStream: boolean }[] = [];
  readonly chunks: Buffer[] = [];
  ended = false;
  readonly resets: ResetCause[] = [];
  written = 0;
  localEnds = 0;
  /** Whether DATA is credited at once. */
  credits = true;
  react: (stream: Stream, event: 'headers' | 'data', endStream: boolean, chunk?: Buffer) => void = () => {};
  readonly #waiting: { when: () => boolean; done: () => void }[] = [];

  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    this.headers.push({ block, endStream });
    this.ended ||= endStream;
    this.react(stream, 'headers', endStream);
    this.#wake();
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    this.chunks.push(chunk);
    this.ended ||= endStream;
    if (this.credits) stream.credit(chunk.length);
    this.react(stream, 'data', endStream, chunk);
    this.#wake();
  }

  onReset(_stream: Stream, cause: ResetCause): void {
    this.resets.push(cause);
    this.#wake();
  }

  onWritten(_stream: Stream, bytes: number): void {
    this.written += bytes;
    this.#wake();
  }

  onLocalEnd(_stream: Stream): void {
    this.localEnds++;
    this.#wake();
  }

  /** Resolves once `when` holds. */
  until(when: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ when, done: resolve });
      this.#wake();
    });
  }

  whenEnded(): Promise<void> {
    return this.until(() => this.ended || this.resets.length > 0);
  }

  #wake(): void {
    for (const waiter of [...this.#waiting]) {
      if (!waiter.when()) continue;
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      waiter.done();
    }
  }
}

export class RecordingConnectionOwner implements ConnectionOwner {
  readonly streams: { stream: Stream; block: HeaderBlock; endStream: boolean; owner: RecordingStreamOwner }[] = [];
  readonly goaways: { lastStreamId: number; code: number }[] = [];
  readonly ends: ConnectionEnd[] = [];
  capacityCalls = 0;
  answer: (stream: Stream, block: HeaderBlock, endStream: boolean, owner: RecordingStreamOwner) => void = () => {};
  readonly ended: Promise<ConnectionEnd>;
  #resolveEnded: (end: ConnectionEnd) => void = () => {};

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  onStream(stream: Stream, block: HeaderBlock, endStream: boolean): StreamOwner {
    const owner = new RecordingStreamOwner();
    owner.ended = endStream;
    this.streams.push({ stream, block, endStream, owner });
    this.answer(stream, block, endStream, owner);
    return owner;
  }

  onGoaway(_connection: Connection, lastStreamId: number, code: number): void {
    this.goaways.push({ lastStreamId, code });
  }

  onCapacity(): void {
    this.capacityCalls++;
  }

  onEnd(_connection: Connection, end: ConnectionEnd): void {
    this.ends.push(end);
    this.#resolveEnded(end);
  }
}
