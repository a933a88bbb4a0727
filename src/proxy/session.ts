/**
 * One client connection, after its handshake: a verified peer of one tenant, and the calls that it makes.
 */
import type { StatusHold } from '../authn/client-statuses.ts';
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
import type { Peer } from '../identity/peer.ts';
import type { Denial } from '../kernel/denial.ts';
import type { TenantId } from '../kernel/ids.ts';
import { Call, type CallHost } from './call.ts';
import { CallBoundary } from './call-boundary.ts';
import type { CallServices } from './call-services.ts';
import type { ConnectionAge } from './connection-age.ts';
import { LeaseWatch } from './lease-watch.ts';
import type { Refusals } from './refusals.ts';
import type { Occupancy, TenantRuntime } from './tenant-runtime.ts';

/** Calls of all sessions of a listener. */
export interface Traffic {
  running: number;
  /** Since the listener was made. */
  begun: number;
}

/** What a session needs of its listener. */
export interface SessionHost {
  readonly refusals: Refusals;
  readonly traffic: Traffic;
  services(): CallServices;
  /** The peer's tenant as of now; undefined when it is no longer configured. */
  tenant(id: TenantId): TenantRuntime | undefined;
  /** It is over; `expelled`: since its peer broke the protocol or a limit. */
  ended(session: Session, expelled: boolean): void;
}

export class Session implements ConnectionOwner, Holding {
  readonly peer: Peer;
  readonly serverName: string;
  readonly occupancy: Occupancy;
  readonly #host: SessionHost;
  #status: StatusHold | undefined;
  #calls = 0;
  #connection: Connection | undefined;
  #age: ConnectionAge | undefined;
  #distrusted = false;
  #lost: Denial | undefined;
  /** By which configuration its calls were last judged, and what had been revoked by then. */
  #judge: TenantRuntime | undefined;
  #judgedAt: number;
  /** One for all of its calls. */
  readonly #callHost: CallHost = {
    leased: (until) => this.#leases.note(until),
    tenant: () => this.#tenant(),
    lost: () => this.#lost,
    ended: () => {
      this.#calls -= 1;
      this.#host.traffic.running -= 1;
    },
  };
  readonly #leases = new LeaseWatch(
    () => this.#host.services().now(),
    () => this.#running(),
  );

  /** `status`: what its certificate is known by; let go with the connection. */
  constructor(host: SessionHost, peer: Peer, serverName: string, occupancy: Occupancy, status?: StatusHold) {
    this.#host = host;
    this.#status = status;
    this.peer = peer;
    this.serverName = serverName;
    this.occupancy = occupancy;
    this.#judge = this.#tenant();
    this.#judgedAt = this.#judge?.revocationEpoch ?? -1;
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
    const tenant = this.#tenant();
    if (tenant === undefined) return this.#refuseStream(stream, 'TENANT_REMOVED');
    if (this.#distrusted) return this.#refuseStream(stream, 'PEER_NO_LONGER_TRUSTED');
    const call = new Call(this.#host.services(), tenant, this.peer, stream, block, this.#callHost);
    this.#calls += 1;
    this.#host.traffic.running += 1;
    this.#host.traffic.begun += 1;
    try {
      call.begin(block, endStream);
    } catch (cause) {
      call.fault(cause);
    }
    return call.boundary;
  }

  /** The tenant as of now. One that was removed and is back is another one: its slot says so. */
  #tenant(): TenantRuntime | undefined {
    const tenant = this.#host.tenant(this.peer.claim.id);
    return tenant?.config.slot === this.peer.claim.slot ? tenant : undefined;
  }

  /** The tenant's trust has changed, and this peer has no place in it: it begins no more calls. */
  distrust(): void {
    this.#distrusted = true;
  }

  /** Ends all of its calls: what the connection was let in by does not count any more. One whose credential is being verified ends after that. */
  lapse(denial: Denial): void {
    this.#lost = denial;
    for (const call of this.#running()) call.lapse(denial);
  }

  /**
   * The calls that are to be judged again, since the tenant's configuration or what is revoked is another than at the last time. A
   * client whose certificate is revoked is asked to go.
   */
  unjudged(): readonly CallBoundary[] {
    const tenant = this.#tenant();
    const epoch = tenant?.revocationEpoch ?? -1;
    if (tenant === this.#judge && epoch === this.#judgedAt) return NO_CALLS;
    this.#judge = tenant;
    this.#judgedAt = epoch;
    // Who was let in when nobody was asked is asked about from now on.
    this.#status ??= tenant?.gates.hold(this.peer);
    if (tenant?.gates.revoked(this.peer, this.#host.services().now()) !== undefined) this.drain();
    return this.#running();
  }

  /** Its calls, with what each holds. */
  holdings(): readonly Holding[] {
    return this.#running();
  }

  #running(): readonly CallBoundary[] {
    return this.#connection?.owners.filter((owner) => owner instanceof CallBoundary) ?? [];
  }

  get heldBytes(): number {
    return this.#connection?.outputBytes ?? 0;
  }

  /** Ends it, whose output is not read, for its memory. */
  shed(): void {
    this.#refused('TENANT_BUFFER_EXCEEDED', NOT_READ);
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

  onGoaway(): void {
    // The client will open no more streams; those that run end as they would.
  }

  onCapacity(): void {
    // A server opens no streams.
  }

  onEnd(_connection: Connection, end: ConnectionEnd): void {
    this.#age?.stop();
    this.#leases.stop();
    this.#status?.release();
    if (end.kind === 'protocol') {
      this.#refused(end.limit === undefined ? 'HTTP2_PROTOCOL_ERROR' : `HTTP2_LIMIT_${end.limit}`, end.why);
    }
    this.#host.ended(this, end.kind === 'protocol');
  }

  onRefused(_connection: Connection, why: string): void {
    this.#refused('HTTP2_REQUEST_REFUSED', why);
  }

  /** The stream was never looked at, and may be tried again on a new connection. */
  #refuseStream(stream: Stream, reason: string): StreamOwner {
    this.#refused(reason, 'a call while its connection drains');
    queueMicrotask(() => stream.reset(ErrorCode.REFUSED_STREAM));
    return REFUSED;
  }

  #refused(reason: string, detail: string): void {
    const { serverName, peer } = this;
    this.#host.refusals.add({ reason, serverName, tenantClaim: peer.claim.id, peerAddress: peer.address, detail });
  }
}

const NO_CALLS: readonly CallBoundary[] = [];
const NOT_READ = 'memory is full, and its output is not read';

const REFUSED: StreamOwner = {
  onHeaders: () => undefined,
  onData: (stream, chunk) => stream.credit(chunk.length),
  onReset: () => undefined,
  onWritten: () => undefined,
  onLocalEnd: () => undefined,
};
