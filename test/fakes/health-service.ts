/**
 * A model server's grpc.health.v1.Health, as far as a test says that it has one. On node:http2, behind `FakeUpstream`; calls of other
 * services are answered as usual.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { type FakeUpstream, respond, type UpstreamCall } from './fake-upstream.ts';
import { frame } from './raw-grpc-client.ts';

export const SERVING = 1;
export const NOT_SERVING = 2;

const PREFIX = '/grpc.health.v1.Health/';

export class HealthService {
  /** Undefined: it hangs. */
  status: number | undefined = SERVING;
  hasWatch = true;
  hasCheck = true;
  /** Questions that have come: `Watch`, `Check`, in order. */
  readonly asked: string[] = [];
  /** Watches that stand. */
  readonly watches = new Set<ServerHttp2Stream>();
  readonly #upstream: FakeUpstream;

  constructor(upstream: FakeUpstream) {
    this.#upstream = upstream;
    upstream.answer = (stream, call) => this.#answer(stream, call);
  }

  /** The calls of other services. */
  get calls(): readonly UpstreamCall[] {
    return this.#upstream.calls.filter(({ path }) => !path.startsWith(PREFIX));
  }

  /** The questions' calls. */
  get questions(): readonly UpstreamCall[] {
    return this.#upstream.calls.filter(({ path }) => path.startsWith(PREFIX));
  }

  /** Says a status to all who watch, and from now on. */
  say(status: number): void {
    this.status = status;
    for (const stream of this.watches) stream.write(wordOf(status));
  }

  /** Ends the Watches that stand. */
  cut(): void {
    for (const stream of this.watches) stream.close();
  }

  #answer(stream: ServerHttp2Stream, call: UpstreamCall): void {
    if (!call.path.startsWith(PREFIX)) {
      stream.on('end', () => !stream.destroyed && respond(stream));
      return;
    }
    const method = call.path.slice(PREFIX.length);
    this.asked.push(method);
    if (!(method === 'Watch' ? this.hasWatch : this.hasCheck)) {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }, { endStream: true });
    } else if (this.status === undefined) return;
    else if (method === 'Check') respond(stream, 0, wordOf(this.status));
    else {
      this.watches.add(stream);
      stream.on('close', () => this.watches.delete(stream));
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.write(wordOf(this.status));
    }
  }
}

/** A HealthCheckResponse, framed. */
export function wordOf(status: number): Buffer {
  return frame(Buffer.from([8, status]));
}
