/**
 * Asks one model server how it is, over and over, on a connection of its own: a tenant's stalled reader, the limits of its calls and
 * its circuit have no part in it, and it takes no stream from them. What it says is nobody's call: no tenant's headers, no record.
 *
 * It asks by Watch where the server has it, so that a change is known when it happens, and otherwise by Check (gRFC A17,
 * health-checking.md). A Watch is opened anew after each interval, as a Check is: that its first answer comes in time is what shows
 * that the server is alive. So there is never more than one stream, and no PING that the server did not ask for (gRFC A8).
 */
import type { Socket } from 'node:net';
import type { HealthCheckConfig, UpstreamConfig } from '../config/upstream-config.ts';
import { formatTimeout } from '../grpc/timeout.ts';
import { Http2Connection } from '../http2/connection.ts';
import type {
  Connection,
  ConnectionOwner,
  HeaderBlock,
  OutputBuffers,
  ResetCause,
  Stream,
  StreamOwner,
} from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import type { Turn } from '../kernel/turn.ts';
import { ProtobufWriter } from '../protobuf/writer.ts';
import { dial } from './dial.ts';
import { HealthAnswer, type HealthMethod } from './health-answer.ts';
import type { Observation } from './upstream-health.ts';

export interface HealthProbeOptions {
  readonly upstream: UpstreamConfig;
  readonly check: HealthCheckConfig;
  readonly turn: Turn;
  readonly buffers: OutputBuffers;
  /** 0..1 */
  readonly random: () => number;
  /** Told of each answer and of each failure to get one. */
  readonly onObservation: (observation: Observation) => void;
}

type State =
  /** Until it asks again. The Watch that has answered may stand. */
  | { readonly at: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly at: 'connecting' }
  /** Until the answer has come, or the time is over. */
  | { readonly at: 'asking'; readonly timer: NodeJS.Timeout }
  | { readonly at: 'stopped' };

/** The first question is asked no later than this, however long the interval is. */
const START_WITHIN_MS = 5_000;
/** A server without a health service is asked so much less often whether it has one now. */
const NO_SERVICE_INTERVALS = 12;
/** A Watch that is cut sooner is not opened anew before the interval is over: the server may cut each of them. */
const LASTING_WATCH_MS = 1_000;
/** Of each interval, so that workers and pods do not ask at the same time. */
const JITTER = 0.1;

export class HealthProbe implements ConnectionOwner {
  readonly #options: HealthProbeOptions;
  readonly #request: Buffer;
  #state: State;
  #connection: Http2Connection | undefined;
  /** It is asked on a connection that was there before, and may have ended since. */
  #isReused = false;
  #settingsSeen = false;
  /** Of this connection: a server that does not know it is not asked again. */
  #method: HealthMethod = 'Watch';
  #call: ProbeCall | undefined;

  /** Begins to ask within `START_WITHIN_MS`, and the interval: tenants that come at once are not to ask at once. */
  constructor(options: HealthProbeOptions) {
    this.#options = options;
    const message = new ProtobufWriter(64).string(1, options.check.service).view();
    this.#request = Buffer.alloc(5 + message.length);
    this.#request.writeUInt32BE(message.length, 1);
    message.copy(this.#request, 5);
    this.#state = this.#waiting(Math.min(START_WITHIN_MS, options.check.intervalMs) * options.random());
  }

  /** Ends its timers, its stream and its connection. */
  stop(): void {
    this.#enter({ at: 'stopped' });
    this.#hangUp('nobody wants to know any more');
  }

  #enter(state: State): void {
    if ('timer' in this.#state) clearTimeout(this.#state.timer);
    this.#state = state;
  }

  #waiting(forMs: number): State {
    return { at: 'waiting', timer: setTimeout(() => this.#begin(), forMs).unref() };
  }

  #begin(): void {
    this.#drop();
    const connection = this.#connection;
    if (connection?.acceptsStreams !== true) return this.#connect();
    this.#isReused = true;
    this.#askInTime();
    this.#ask(connection);
  }

  #connect(): void {
    this.#hangUp('another takes its place');
    this.#isReused = false;
    this.#enter({ at: 'connecting' });
    dial(this.#options.upstream, (result) => {
      if (result.ok) this.#connected(result.value);
      else if (this.#state.at === 'connecting') this.#settle({ kind: 'failed', why: result.error });
    });
  }

  #connected(socket: Socket): void {
    if (this.#state.at !== 'connecting') {
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    this.#method = 'Watch';
    this.#settingsSeen = false;
    this.#askInTime();
    this.#connection = new Http2Connection(socket, CONNECTION, this, this.#options.turn, this.#options.buffers);
  }

  #askInTime(): void {
    const { timeoutMs } = this.#options.check;
    const why = `no answer within ${timeoutMs} ms`;
    const timer = setTimeout(() => this.#settle({ kind: 'failed', why }), timeoutMs).unref();
    this.#enter({ at: 'asking', timer });
  }

  #ask(connection: Connection): void {
    if (connection.availableStreams === 0) {
      this.#settle({ kind: 'failed', why: 'it allows no stream' });
      return;
    }
    const call = new ProbeCall(this.#method, this);
    this.#call = call;
    call.open(connection, this.#headers(), this.#request);
  }

  #headers(): HeaderBlock {
    const { upstream, check } = this.#options;
    const block = [':method', 'POST', ':scheme', upstream.tls === undefined ? 'http' : 'https'];
    block.push(':path', `/grpc.health.v1.Health/${this.#method}`, ':authority', upstream.authority, 'te', 'trailers');
    // A Watch has no deadline: it stands until it is opened anew.
    if (this.#method === 'Check') block.push('grpc-timeout', formatTimeout(check.timeoutMs * 1_000));
    block.push('content-type', 'application/grpc', 'user-agent', 'bulkhead-health-check');
    return block;
  }

  /** A call says what it has read. */
  heard(call: ProbeCall, observation: Observation): void {
    if (call !== this.#call) return;
    if (observation.kind === 'no_service' && this.#method === 'Watch' && this.#connection !== undefined) {
      this.#method = 'Check';
      this.#drop();
      this.#ask(this.#connection);
    } else if (this.#state.at === 'asking' || observation.kind === 'failed') this.#settle(observation);
    else this.#options.onObservation(observation);
  }

  /** The call's stream is gone, whoever ended it. A Watch that had answered says nothing by that. */
  ended(call: ProbeCall, why: string, byConnection = false): void {
    if (call !== this.#call) return;
    this.#call = undefined;
    if (this.#state.at === 'asking' && byConnection && this.#isReused) this.#connect();
    else if (this.#state.at === 'asking') this.#settle({ kind: 'failed', why });
    else if (this.#state.at === 'waiting' && call.ageMs >= LASTING_WATCH_MS) this.#enter(this.#waiting(0));
  }

  /** What the asking has come to. Who gives no answer is asked on another connection, by Watch again. */
  #settle(observation: Observation): void {
    const { check, random, onObservation } = this.#options;
    const pauseMs = check.intervalMs * (observation.kind === 'no_service' ? NO_SERVICE_INTERVALS : 1);
    this.#enter(this.#waiting(pauseMs * (1 - JITTER + 2 * JITTER * random())));
    if (observation.kind === 'failed') this.#hangUp(observation.why);
    else if (this.#method === 'Check') this.#drop();
    onObservation(observation);
  }

  #drop(): void {
    const call = this.#call;
    this.#call = undefined;
    call?.cancel();
  }

  #hangUp(why: string): void {
    this.#drop();
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.destroy(ErrorCode.NO_ERROR, why);
  }

  onStream(): StreamOwner {
    // The engine refuses PUSH_PROMISE, the only way in which a server could open a stream.
    throw new Error('a server opened a stream');
  }

  onCapacity(connection: Connection): void {
    if (connection !== this.#connection || this.#settingsSeen) return;
    this.#settingsSeen = true;
    if (this.#state.at === 'asking') this.#ask(connection);
  }

  /** A server that wants to stop is not to wait for a Watch to end. */
  onGoaway(connection: Connection): void {
    if (connection !== this.#connection || this.#state.at !== 'waiting') return;
    const call = this.#call;
    if (call !== undefined) this.ended(call, 'it went away');
    call?.cancel();
    this.#hangUp('it went away');
  }

  onEnd(connection: Connection): void {
    if (connection !== this.#connection) return;
    this.#connection = undefined;
    if (this.#state.at === 'asking') this.#settle({ kind: 'failed', why: 'the connection ended' });
  }
}

/** One Check or Watch. */
class ProbeCall implements StreamOwner {
  readonly #answer: HealthAnswer;
  readonly #probe: HealthProbe;
  readonly #openedAt = performance.now();
  #stream: Stream | undefined;

  constructor(method: HealthMethod, probe: HealthProbe) {
    this.#answer = new HealthAnswer(method);
    this.#probe = probe;
  }

  get ageMs(): number {
    return performance.now() - this.#openedAt;
  }

  open(connection: Connection, headers: HeaderBlock, request: Buffer): void {
    this.#stream = connection.open(headers, false, this);
    this.#stream.sendData(request, true);
  }

  cancel(): void {
    this.#stream?.reset(ErrorCode.CANCEL);
  }

  onHeaders(_stream: Stream, block: HeaderBlock, endStream: boolean): void {
    this.#hear(this.#answer.headers(block, endStream), endStream);
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    stream.credit(chunk.length);
    this.#hear(this.#answer.data(chunk, endStream), endStream);
  }

  onReset(_stream: Stream, cause: ResetCause): void {
    if (cause.by === 'connection') this.#probe.ended(this, 'the connection ended', true);
    else this.#probe.ended(this, 'the stream was reset');
  }

  onWritten(): void {
    // Nothing waits for it.
  }

  onLocalEnd(): void {
    // The request is whole; the answer is what counts.
  }

  #hear(observation: Observation | undefined, endStream: boolean): void {
    if (observation !== undefined) this.#probe.heard(this, observation);
    if (endStream) this.#probe.ended(this, 'it ended without a word');
  }
}

/** What it may send us is a few bytes: nothing here is larger than the protocol asks for. */
const CONNECTION = {
  role: 'client',
  maxConcurrentStreams: 0,
  streamWindowBytes: 4_096,
  connectionWindowBytes: 65_535,
  maxHeaderListBytes: 8_192,
  idleTimeoutMs: 0,
} as const;
