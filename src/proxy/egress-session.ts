/**
 * One connection of a program of this pod, and the calls that it makes.
 */
import type { Holding } from '../buffers/ceiling.ts';
import type {
  Connection,
  ConnectionEnd,
  ConnectionOwner,
  HeaderBlock,
  Stream,
  StreamOwner,
} from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import { CallBoundary } from './call-boundary.ts';
import type { CallServices } from './call-services.ts';
import type { ConnectionAge } from './connection-age.ts';
import { EgressCall } from './egress-call.ts';
import type { EgressMethods } from './egress-methods.ts';
import type { EgressRuntime } from './egress-runtime.ts';
import type { TrailPeer } from './trail.ts';

/** What a session needs of its listener. */
export interface EgressSessionHost {
  readonly methods: EgressMethods;
  /** As of now: each call keeps those that it began with. */
  runtime(): EgressRuntime;
  services(): CallServices;
  /** Something was refused that never became a call. */
  refused(reason: string, peerAddress: string, detail: string): void;
  ended(session: EgressSession): void;
}

export class EgressSession implements ConnectionOwner, Holding {
  readonly peer: TrailPeer;
  readonly #host: EgressSessionHost;
  #calls = 0;
  #connection: Connection | undefined;
  #age: ConnectionAge | undefined;
  readonly #callEnded = (): void => {
    this.#calls -= 1;
  };

  constructor(host: EgressSessionHost, peer: TrailPeer) {
    this.#host = host;
    this.peer = peer;
  }

  /** Calls in progress. */
  get calls(): number {
    return this.#calls;
  }

  attach(connection: Connection, age: ConnectionAge): void {
    this.#connection = connection;
    this.#age = age;
  }

  onStream(stream: Stream, block: HeaderBlock, endStream: boolean): StreamOwner {
    const { methods } = this.#host;
    const call = new EgressCall(
      {
        services: this.#host.services(),
        runtime: this.#host.runtime(),
        methods,
        peer: this.peer,
        ended: this.#callEnded,
      },
      stream,
      block,
    );
    this.#calls += 1;
    try {
      call.begin(block, endStream);
    } catch (cause) {
      call.fault(cause);
    }
    return call.boundary;
  }

  /** Its calls, with what each holds. */
  holdings(): readonly Holding[] {
    return this.#connection?.owners.filter((owner) => owner instanceof CallBoundary) ?? [];
  }

  get heldBytes(): number {
    return this.#connection?.outputBytes ?? 0;
  }

  /** Ends it, whose output is not read, for its memory. */
  shed(): void {
    this.#host.refused('TENANT_BUFFER_EXCEEDED', this.peer.address, NOT_READ);
    this.#connection?.destroy(ErrorCode.ENHANCE_YOUR_CALM, NOT_READ);
  }

  /** Says GOAWAY; running calls end as they would. */
  drain(): void {
    this.#connection?.drain();
  }

  /** Ends at once: the drain limit has passed. */
  destroy(why: string): void {
    this.#connection?.destroy(ErrorCode.NO_ERROR, why);
  }

  onRefused(_connection: Connection, why: string): void {
    this.#host.refused('HTTP2_REQUEST_REFUSED', this.peer.address, why);
  }

  onGoaway(): void {
    // The client will open no more streams; those that run end as they would.
  }

  onCapacity(): void {
    // A server opens no streams.
  }

  onEnd(_connection: Connection, end: ConnectionEnd): void {
    this.#age?.stop();
    if (end.kind === 'protocol') {
      const reason = end.limit === undefined ? 'HTTP2_PROTOCOL_ERROR' : `HTTP2_LIMIT_${end.limit}`;
      this.#host.refused(reason, this.peer.address, end.why);
    }
    this.#host.ended(this);
  }
}

const NOT_READ = 'memory is full, and its output is not read';
