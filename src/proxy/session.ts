/**
 * One client connection, after its handshake: a verified peer of one tenant, and the calls that it makes.
 */
import type {
  Connection,
  ConnectionEnd,
  ConnectionOwner,
  HeaderBlock,
  Stream,
  StreamOwner,
} from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import type { Peer } from '../identity/peer.ts';
import type { TenantId } from '../kernel/ids.ts';
import { Call, type CallServices } from './call.ts';
import type { Refusals } from './refusals.ts';
import type { TenantRuntime } from './tenant-runtime.ts';

/** What a session needs of its listener. */
export interface SessionHost {
  readonly refusals: Refusals;
  services(): CallServices;
  /** The peer's tenant as of now; undefined when it is no longer configured. */
  tenant(id: TenantId): TenantRuntime | undefined;
  ended(session: Session): void;
}

export class Session implements ConnectionOwner {
  readonly peer: Peer;
  readonly serverName: string;
  readonly #host: SessionHost;
  readonly #calls = new Set<Call>();
  #connection: Connection | undefined;
  readonly #forget = (call: Call): void => {
    this.#calls.delete(call);
  };

  constructor(host: SessionHost, peer: Peer, serverName: string) {
    this.#host = host;
    this.peer = peer;
    this.serverName = serverName;
  }

  /** Calls in progress. */
  get calls(): number {
    return this.#calls.size;
  }

  attach(connection: Connection): void {
    this.#connection = connection;
  }

  onStream(stream: Stream, block: HeaderBlock, endStream: boolean): StreamOwner {
    const tenant = this.#host.tenant(this.peer.claim.id);
    if (tenant === undefined) {
      // The tenant was removed while its connection drains: the stream was never looked at, and may be tried elsewhere.
      queueMicrotask(() => stream.reset(ErrorCode.REFUSED_STREAM));
      return REFUSED;
    }
    const call = new Call(this.#host.services(), tenant, this.peer, stream, block, this.#forget);
    this.#calls.add(call);
    try {
      call.begin(block, endStream);
    } catch (cause) {
      call.fault(cause);
    }
    return call.boundary;
  }

  /** Says GOAWAY; running calls end as they would. */
  drain(): void {
    this.#connection?.drain();
  }

  /** Ends at once: the drain limit has passed. */
  destroy(why: string): void {
    this.#connection?.destroy(ErrorCode.NO_ERROR, why);
  }

  onGoaway(): void {
    // The client will open no more streams; those that run end as they would.
  }

  onCapacity(): void {
    // A server opens no streams.
  }

  onEnd(_connection: Connection, end: ConnectionEnd): void {
    if (end.kind === 'protocol') {
      this.#host.refusals.add({
        reason: end.limit === undefined ? 'HTTP2_PROTOCOL_ERROR' : `HTTP2_LIMIT_${end.limit}`,
        serverName: this.serverName,
        tenantClaim: this.peer.claim.id,
        peerAddress: this.peer.address,
        detail: end.why,
      });
    }
    this.#host.ended(this);
  }
}

const REFUSED: StreamOwner = {
  onHeaders: () => undefined,
  onData: (stream, chunk) => stream.credit(chunk.length),
  onReset: () => undefined,
  onWritten: () => undefined,
  onLocalEnd: () => undefined,
};
