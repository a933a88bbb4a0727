/**
 * One call as its client has it: writes letters, holds every answer against the one that must come, and tells the ledger of the end
 * exactly once.
 */
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { frame } from '../fakes/raw-grpc-client.ts';
import type { CallEnd, Ledger, SoakCall } from './ledger.ts';
import { encodeRequest, type Letter, type Noise, whyWrong } from './letter.ts';
import type { Line } from './line.ts';
import { MessageSplitter } from './message-splitter.ts';

export interface ConversationOptions {
  readonly ledger: Ledger;
  readonly noise: Noise;
  readonly line: Line;
  readonly call: SoakCall;
  readonly path: string;
  readonly streaming: boolean;
  readonly model?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Reads nothing until `read` is called. */
  readonly paused?: boolean;
  /** The call must have ended by then, in milliseconds from its begin. */
  readonly boundMs: number;
}

const NO_ERROR = 0;
const REFUSED_STREAM = 7;
const CANCEL = 8;

export class Conversation {
  readonly ended: Promise<CallEnd>;
  readonly #options: ConversationOptions;
  readonly #stream: ClientHttp2Stream | undefined;
  readonly #splitter = new MessageSplitter();
  readonly #expected: { readonly letter: Letter; readonly part: number }[] = [];
  readonly #waiting: { readonly answers: number; readonly resolve: () => void }[] = [];
  #answers = 0;
  #status: number | undefined;
  #trailers = 0;
  #cancelled = false;
  #over = false;
  #resolve: (end: CallEnd) => void = () => undefined;
  #bound: NodeJS.Timeout | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#stream = this.#request();
    if (this.#stream === undefined) this.#end({ kind: this.#options.line.lost ? 'connection' : 'unsent' });
    else this.#listen(this.#stream);
  }

  get over(): boolean {
    return this.#over;
  }

  #request(): ClientHttp2Stream | undefined {
    const { line, call, path, headers } = this.#options;
    if (!line.usable) return undefined;
    try {
      return line.session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        traceparent: `00-${call.traceId}-${call.id.toString(16).padStart(16, '0')}-01`,
        ...headers,
      });
    } catch {
      return undefined;
    }
  }

  #listen(stream: ClientHttp2Stream): void {
    const { call, boundMs, paused } = this.#options;
    this.#bound = setTimeout(() => this.#hung(), boundMs);
    stream.on('error', () => undefined);
    stream.on('response', (headers) => {
      call.sawHeaders = true;
      this.#statusIn(headers);
    });
    stream.on('trailers', (trailers) => {
      this.#trailers += 1;
      call.sawTrailers = true;
      this.#statusIn(trailers);
      // All of it is here. node:http2 throws away what is unread when the connection, asked to end, does so.
      this.read();
    });
    if (paused !== true) this.read();
    // What a dying connection means for its streams is known a little after they have died.
    stream.on('close', () => setImmediate(() => this.#closed(stream)));
  }

  /** Begins to read. */
  read(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    if (stream.listenerCount('data') === 0) stream.on('data', (chunk: Buffer) => this.#received(chunk));
    stream.resume();
  }

  /** Sends a letter, in so many writes. Resolves when the next may be sent; at once when the call is over. */
  async send(letter: Letter, pieces = 1, gzip = false): Promise<void> {
    const { noise, model } = this.#options;
    const message = encodeRequest(letter, model ?? 'digits', noise);
    for (let part = 0; part < letter.answers && letter.fail === 0; part++) this.#expected.push({ letter, part });
    const framed = gzip ? frame(gzipSync(message, { level: 1 }), true) : frame(message);
    const size = Math.ceil(framed.length / pieces);
    for (let at = 0; at < framed.length; at += size) await this.#write(framed.subarray(at, at + size));
  }

  /** Sends the beginning of a letter, `share` of it. */
  async sendPart(letter: Letter, share: number): Promise<void> {
    const framed = frame(encodeRequest(letter, 'digits', this.#options.noise));
    await this.#write(framed.subarray(0, Math.max(1, Math.floor(framed.length * share))));
  }

  async #write(chunk: Buffer): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed || stream.closed) return;
    this.#options.call.sentBytes += chunk.length;
    if (!stream.write(chunk)) await happens(stream, 'drain');
  }

  /** Half-closes. */
  finish(): void {
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed || stream.closed) return;
    this.#options.call.sentAll = true;
    stream.end();
  }

  cancel(): void {
    if (this.#over || this.#stream === undefined || this.#stream.closed) return;
    this.#cancelled = true;
    this.#stream.close(CANCEL);
  }

  /** Resolves when so many answers have come, or the call is over. */
  answered(answers: number): Promise<void> {
    if (this.#answers >= answers || this.#over) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ answers, resolve }));
  }

  /** Resolves when response headers have come, or the call is over. */
  async headers(): Promise<void> {
    if (this.#stream === undefined || this.#over || this.#options.call.sawHeaders) return;
    await happens(this.#stream, 'response');
  }

  #statusIn(headers: IncomingHttpHeaders): void {
    const status = headers['grpc-status'];
    if (status !== undefined) this.#status = Number(status);
  }

  #received(chunk: Buffer): void {
    const { call, ledger, noise, streaming } = this.#options;
    call.receivedBytes += chunk.length;
    try {
      for (const message of this.#splitter.push(chunk)) {
        const expected = this.#expected[this.#answers];
        this.#answers += 1;
        const why =
          expected === undefined
            ? 'an answer too many'
            : whyWrong(message, expected.letter, expected.part, streaming, noise);
        if (why !== undefined)
          ledger.violate(`WRONG BYTES in call ${call.id} (${call.kind} of ${call.tenant}): ${why}`);
      }
    } catch (cause) {
      ledger.violate(`WRONG BYTES in call ${call.id} (${call.kind} of ${call.tenant}): ${String(cause)}`);
    }
    this.#tell();
  }

  #tell(): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const waiting = this.#waiting[i];
      if (waiting === undefined || (!this.#over && waiting.answers > this.#answers)) continue;
      this.#waiting.splice(i, 1);
      waiting.resolve();
    }
  }

  #closed(stream: ClientHttp2Stream): void {
    if (this.#over) return;
    const { line, call, ledger } = this.#options;
    if (this.#status !== undefined) {
      if (this.#trailers > 1) ledger.violate(`call ${call.id}: ${this.#trailers} times trailers`);
      if (this.#status === 0) this.#checkWhole();
      this.#end({ kind: 'status', status: this.#status });
    } else if (this.#cancelled) this.#end({ kind: 'cancelled' });
    else if (line.lost) this.#end({ kind: 'connection' });
    else if (stream.rstCode === REFUSED_STREAM && line.firstGoawayOnly) this.#end({ kind: 'unsent' });
    else if (stream.rstCode === NO_ERROR) this.#end({ kind: 'status', status: -1 });
    else this.#end({ kind: 'reset', code: stream.rstCode });
  }

  /** OK: every answer must be there. */
  #checkWhole(): void {
    const { call, ledger } = this.#options;
    if (this.#answers === this.#expected.length && this.#splitter.unfinished === 0) return;
    ledger.violate(
      `WRONG BYTES in call ${call.id} (${call.kind} of ${call.tenant}): OK after ${this.#answers} of ` +
        `${this.#expected.length} answers and ${this.#splitter.unfinished} octets of another`,
    );
  }

  #hung(): void {
    if (this.#over) return;
    const { ledger, call, line } = this.#options;
    const { state, readableFlowing, readableLength } = this.#stream ?? {};
    this.#end({ kind: 'hung' });
    ledger.explain(call, JSON.stringify({ readableFlowing, readableLength, state, session: line.session.state }));
    this.#stream?.close(CANCEL);
  }

  #end(end: CallEnd): void {
    this.#over = true;
    clearTimeout(this.#bound);
    const { ledger, call, line } = this.#options;
    ledger.end(call, end);
    if (ledger.suspects.has(call)) ledger.explain(call, `stream ${this.#stream?.id}, its line heard: ${line.told}`);
    this.#tell();
    this.#resolve(end);
  }
}

/** Resolves when it happens, or the stream closes before. */
function happens(stream: ClientHttp2Stream, event: 'drain' | 'response'): Promise<void> {
  if (stream.destroyed || stream.closed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off(event, done);
      stream.off('close', done);
      resolve();
    };
    stream.on(event, done);
    stream.on('close', done);
  });
}
