/**
 * One stream of the Workload API, kept open for as long as it is wanted: opened again when it ends, and what comes is taken one
 * message at a time, however fast an agent sends.
 */
import { type ClientReadableStream, type ServiceError, status } from '@grpc/grpc-js';

/** How a stream is. */
export type StreamState =
  /** Asked, and nothing has come yet. */
  | { readonly at: 'asking' }
  /** What came last holds. */
  | { readonly at: 'following' }
  /** It failed, and is asked again. */
  | { readonly at: 'failing'; readonly why: string; readonly sinceMs: number }
  /** It said that asking again is of no use (SPIFFE_Workload_Endpoint.md §6), and is not asked. */
  | { readonly at: 'stopped'; readonly why: string; readonly sinceMs: number };

export interface StreamTimes {
  /** The first message must come "as soon as possible, without delay" (SPIFFE_Workload_API.md §4.3). */
  readonly firstMessageMs: number;
  /** Between two messages that are taken. What an agent sends sooner waits with the agent. */
  readonly paceMs: number;
  /** Before it is asked again, ± 50 %, doubled each time up to the longest. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

export const STREAM_TIMES: StreamTimes = {
  firstMessageMs: 10_000,
  paceMs: 250,
  backoffMs: 1_000,
  maxBackoffMs: 30_000,
};

export interface StreamOwner<M> {
  open(): ClientReadableStream<M>;
  /** Takes a message, or says what is wrong with it; then what came before it still holds. */
  take(message: M): string | undefined;
  changed(state: StreamState): void;
  readonly nowMs: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

export class WorkloadStream<M> {
  readonly #owner: StreamOwner<M>;
  readonly #times: StreamTimes;
  #state: StreamState = { at: 'asking' };
  #call: ClientReadableStream<M> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pace: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;

  constructor(owner: StreamOwner<M>, times: StreamTimes = STREAM_TIMES) {
    this.#owner = owner;
    this.#times = times;
    this.#ask();
  }

  get state(): StreamState {
    return this.#state;
  }

  /** Asks at once if it is waiting, or had stopped. */
  retry(): void {
    if (this.#closed || this.#call !== undefined) return;
    this.#failures = 0;
    this.#ask();
  }

  close(): void {
    this.#closed = true;
    this.#forget();
  }

  #ask(): void {
    clearTimeout(this.#timer);
    const call = this.#owner.open();
    this.#call = call;
    this.#timer = setTimeout(
      () => this.#failed(call, `no answer within ${this.#times.firstMessageMs} ms`),
      this.#times.firstMessageMs,
    ).unref();
    call.on('data', (message: M) => {
      if (call === this.#call) this.#hear(call, message);
    });
    call.on('error', (error: ServiceError) => this.#failed(call, textOf(error), isFinal(error)));
    call.on('end', () => this.#failed(call, 'the stream has ended'));
  }

  #hear(call: ClientReadableStream<M>, message: M): void {
    call.pause();
    this.#pace = setTimeout(() => call.resume(), this.#times.paceMs).unref();
    clearTimeout(this.#timer);
    const problem = this.#owner.take(message);
    if (problem === undefined) {
      this.#failures = 0;
      this.#set({ at: 'following' });
    } else this.#failing(`a message is refused: ${problem}`);
  }

  #failed(call: ClientReadableStream<M>, why: string, final = false): void {
    if (call !== this.#call || this.#closed) return;
    this.#forget();
    if (final) return this.#set({ at: 'stopped', why, sinceMs: this.#owner.nowMs() });
    this.#failing(why);
    const { backoffMs, maxBackoffMs } = this.#times;
    const delay = Math.min(backoffMs * 2 ** this.#failures, maxBackoffMs) * (0.5 + this.#owner.random());
    this.#failures = Math.min(this.#failures + 1, 30);
    this.#timer = setTimeout(() => this.#ask(), delay).unref();
  }

  /** A failure lasts since the first one. */
  #failing(why: string): void {
    const sinceMs = this.#state.at === 'failing' ? this.#state.sinceMs : this.#owner.nowMs();
    this.#set({ at: 'failing', why, sinceMs });
  }

  /** The same again is no news. */
  #set(state: StreamState): void {
    const before = this.#state;
    this.#state = state;
    const isSame = before.at === state.at && (!('why' in before) || !('why' in state) || before.why === state.why);
    if (!isSame) this.#owner.changed(state);
  }

  #forget(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#pace);
    const call = this.#call;
    this.#call = undefined;
    call?.cancel();
  }
}

/** SPIFFE_Workload_Endpoint.md, appendix A: these two are mistakes of ours or of the endpoint's, and stay. */
function isFinal({ code }: ServiceError): boolean {
  return code === status.INVALID_ARGUMENT || code === status.UNIMPLEMENTED;
}

/** An agent's words in one short line. */
function textOf({ code, details }: ServiceError): string {
  return `${status[code] ?? String(code)}: ${details.slice(0, 300).replaceAll(/\p{Cc}/gu, ' ')}`;
}
