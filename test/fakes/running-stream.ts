/**
 * A bidirectional stream that goes on: its client has sent one message, its model server has answered with one, and either may send
 * more when the test says so. What the client gets is read, and the end is timed.
 */
import type { ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { eventually, type HostileGround, inferRequest, STREAM_INFER } from './hostile-ground.ts';
import { frame, type RawGrpcClient, reasonOf } from './raw-grpc-client.ts';

/** What the model server says first. */
export const FIRST_MESSAGE = frame(Buffer.from('first'));

/** How a stream ended. */
export interface StreamEnd {
  /** -1: there was none. */
  readonly status: number;
  readonly reason: string;
  readonly body: Buffer;
  readonly resetCode: number;
  /** The status came in trailers, after response headers. */
  readonly inTrailers: boolean;
  /** `performance.now()`. */
  readonly at: number;
}

export class RunningStream {
  readonly client: ClientHttp2Stream;
  /** The model server's side. */
  readonly server: ServerHttp2Stream;
  readonly ended: Promise<StreamEnd>;
  #isOver = false;

  private constructor(client: ClientHttp2Stream, server: ServerHttp2Stream, ended: Promise<StreamEnd>) {
    this.client = client;
    this.server = server;
    this.ended = ended.then((end) => {
      this.#isOver = true;
      return end;
    });
  }

  /** Begins one, whose first message has come back. `silent`: the model server answers nothing at all. */
  static async begin(
    ground: Pick<HostileGround, 'upstream'>,
    client: RawGrpcClient,
    headers: Readonly<Record<string, string>> = {},
    { silent = false, model }: { readonly silent?: boolean; readonly model?: string } = {},
  ): Promise<RunningStream> {
    let server: ServerHttp2Stream | undefined;
    ground.upstream.answer = (stream) => {
      server = stream;
      if (silent) return;
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.write(FIRST_MESSAGE);
    };
    const stream = client.session.request(
      { ':method': 'POST', ':path': STREAM_INFER, 'content-type': 'application/grpc', te: 'trailers', ...headers },
      { endStream: false },
    );
    const body: Buffer[] = [];
    const ended = endOf(stream, body);
    stream.write(inferRequest(model));
    const isRunning = (): boolean => server !== undefined && (silent || Buffer.concat(body).equals(FIRST_MESSAGE));
    await eventually('the stream runs', () => isRunning() || stream.closed);
    if (server === undefined) throw new Error(`it did not begin: ${(await ended).reason}`);
    return new RunningStream(stream, server, ended);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Shows that it still runs: a further message goes there, for this model, and another comes back. */
  async goesOn(model?: string): Promise<void> {
    const answer = frame(Buffer.from('still there'));
    let received = 0;
    this.client.on('data', (chunk: Buffer) => (received += chunk.length));
    this.client.write(inferRequest(model));
    this.server.write(answer);
    await eventually('the stream goes on', () => received >= answer.length);
    if (this.#isOver) throw new Error('the stream is over');
  }
}

function endOf(stream: ClientHttp2Stream, body: Buffer[]): Promise<StreamEnd> {
  return new Promise((resolve) => {
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders | undefined;
    stream.on('response', (block) => {
      headers = block;
    });
    stream.on('trailers', (block) => {
      trailers = block;
    });
    stream.on('data', (chunk: Buffer) => body.push(chunk));
    stream.on('error', () => undefined);
    stream.on('close', () => {
      const last = trailers ?? headers;
      resolve({
        status: 'grpc-status' in last ? Number(last['grpc-status']) : -1,
        reason: reasonOf(last['grpc-status-details-bin']),
        body: Buffer.concat(body),
        resetCode: stream.rstCode,
        inTrailers: trailers !== undefined,
        at: performance.now(),
      });
    });
  });
}
