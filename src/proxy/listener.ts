/**
 * The tenants' door: TLS with a client certificate, one tenant per server name, HTTP/2 only.
 */
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { StatusHold } from '../authn/client-statuses.ts';
import type { Holding } from '../buffers/ceiling.ts';
import type { ListenerConfig } from '../config/generation.ts';
import type { Settings } from '../config/generation-change.ts';
import { Http2Connection } from '../http2/connection.ts';
import type { ConnectionLimits } from '../http2/limits.ts';
import { establishedProblem, handshakeRefusal } from '../identity/listener-tls.ts';
import type { Peer } from '../identity/peer.ts';
import type { Denial } from '../kernel/denial.ts';
import type { TenantId } from '../kernel/ids.ts';
import type { Turn } from '../kernel/turn.ts';
import { Bustle } from './bustle.ts';
import type { CallBoundary } from './call-boundary.ts';
import type { CallServices } from './call-services.ts';
import { clientConnectionOptions } from './client-connection-options.ts';
import { ConnectionAge } from './connection-age.ts';
import { CoolOff } from './cool-off.ts';
import { describe } from './describe-denial.ts';
import { acceptedSocket, Door } from './door.ts';
import { Drain, letQueueIn } from './drain.ts';
import { Entrance } from './entrance.ts';
import { ListenerContexts } from './listener-contexts.ts';
import { PeerJudge } from './peer-judge.ts';
import type { Refusals } from './refusals.ts';
import { Review, type Reviewable } from './review.ts';
import { Session, type SessionHost, type Traffic } from './session.ts';
import type { TenantRuntime } from './tenant-runtime.ts';
import type { Tenants } from './tenants.ts';
import { MAX_WAITING_CLIENTS, WaitingRoom } from './waiting-room.ts';

export interface ListenerOptions {
  readonly generation: Settings;
  /** Where it listens for its whole life; of the rest, `apply` brings what is new. */
  readonly listen: ListenerConfig;
  readonly tenants: Tenants;
  readonly turn: Turn;
  readonly refusals: Refusals;
  /** What differs from the engine's defaults on every connection. */
  readonly connectionLimits?: Partial<ConnectionLimits>;
  services(): CallServices;
}

export class Listener implements SessionHost {
  readonly refusals: Refusals;
  readonly traffic: Traffic = { running: 0, begun: 0 };
  readonly #bustle = new Bustle(this.traffic);
  readonly #options: ListenerOptions;
  readonly #contexts: ListenerContexts;
  readonly #sessions = new Set<Session>();
  readonly #door = new Door(() => this.#drain?.check());
  readonly #waitingRoom = new WaitingRoom(() => this.#drain?.check());
  readonly #coolOff = new CoolOff();
  readonly #server: Server;
  readonly #entrance: Entrance;
  #generation: Settings;
  readonly #judge: PeerJudge;
  readonly #review = new Review();
  #drain: Drain | undefined;
  #drained: Promise<number> | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.refusals = options.refusals;
    this.#generation = options.generation;
    const { listen, tenants } = options;
    this.#judge = new PeerJudge(tenants, () => options.turn.now(), listen.shared);
    this.#contexts = new ListenerContexts({
      listen,
      tenants,
      judge: this.#judge,
      handshakeTimeoutMs: () => this.#generation.limits.handshakeTimeoutMs,
      mayBegin: (serverName, socket) => {
        this.#entrance.named(socket, serverName);
        const { address } = this.#entrance.remoteOf(socket);
        return !this.#isCoolingOff(tenants.claimed(serverName)?.id, address);
      },
      onUnusable: (serverName, detail) => this.#noteFrom('', serverName, 'TLS_CONTEXT_UNUSABLE', detail),
    });
    this.#server = createServer(this.#contexts.serverOptions());
    this.#entrance = new Entrance({
      tls: this.#server,
      proxyProtocol: listen.proxyProtocol,
      handshakeTimeoutMs: () => this.#generation.limits.handshakeTimeoutMs,
      handshakeShare: () => this.#generation.limits.handshakeShare,
      isBusy: () => this.#bustle.isThere(performance.now()),
      refused: (socket, reason, detail, serverName) => this.#note(socket, serverName, reason, detail),
    });
    const { server } = this.#entrance;
    server.maxConnections = options.generation.limits.maxConnections;
    server.on('connection', (socket: Socket) => this.#onConnection(socket));
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      this.#welcome(socket);
    });
    this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      const { serverName, reason, detail } = handshakeRefusal(error, socket);
      if (this.#answered(socket)) this.#note(socket, serverName, reason, detail);
      // Node leaves a handshake that timed out open.
      socket.destroy();
    });
    server.on('drop', (data) => {
      const { maxConnections } = this.#generation.limits;
      const address = data?.remoteAddress ?? '';
      this.#noteFrom(address, '', 'CONNECTION_LIMIT', `more than ${maxConnections} connections`);
    });
  }

  /** Binds; several workers bind the same port, and the kernel spreads connections over them. Returns the port. */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const { server } = this.#entrance;
      server.once('error', reject);
      server.listen({ host: this.#options.listen.address, port, reusePort: true }, () => {
        server.off('error', reject);
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  get connections(): number {
    return this.#sessions.size;
  }

  get calls(): number {
    let calls = 0;
    for (const session of this.#sessions) calls += session.calls;
    return calls;
  }

  /** Calls of the tenant in this slot, with what each holds. */
  holdings(slot: number): readonly Holding[] {
    return this.connectionsOf(slot).flatMap((session) => session.holdings());
  }

  connectionsOf(slot: number): readonly Session[] {
    return [...this.#sessions].filter((session) => session.peer.claim.slot === slot);
  }

  services(): CallServices {
    return this.#options.services();
  }

  tenant(id: TenantId): TenantRuntime | undefined {
    return this.#options.tenants.runtime(id);
  }

  ended(session: Session, expelled: boolean): void {
    this.#sessions.delete(session);
    if (expelled) {
      const { address, claim } = session.peer;
      this.#coolOff.begin(address, claim.id, this.#options.turn.now(), this.#generation.limits.coolOffMs);
    }
    session.occupancy.connections--;
    this.#door.leave(session.peer.address);
    this.#drain?.check();
  }

  /**
   * A new generation: new handshakes see it at once. Peers of tenants in `retrust` are looked at again; who would no longer be let in
   * is asked to go, and all others notice nothing.
   */
  apply(generation: Settings, retrust: readonly TenantId[]): void {
    this.#generation = generation;
    this.#entrance.server.maxConnections = generation.limits.maxConnections;
    this.#entrance.apply(generation.listener?.proxyProtocol);
    const sharesOtherwise = this.#contexts.apply(this.#server, generation.listener);
    if (retrust.length > 0 || sharesOtherwise) this.#lookAgain(new Set(retrust), sharesOtherwise);
    this.review();
  }

  /** Calls that run are judged again where that may come out otherwise, by what their tenants are and what is revoked now. */
  review(of?: Reviewable): void {
    this.#review.begin(unjudged(this.#sessions, of));
  }

  /** `shared`: at all whose certificates have said whose they are, too. */
  #lookAgain(ids: ReadonlySet<TenantId>, shared: boolean): void {
    for (const session of this.#sessions) {
      const { peer, serverName } = session;
      if (!ids.has(peer.claim.id) && !(shared && peer.claim.by === 'certificate')) continue;
      const lost = this.#judge.lost(peer);
      // A name that is another's now, or nobody's, is no credential: what was begun by it may end.
      if (lost === undefined && this.#judge.trusts(peer, serverName)) continue;
      if (lost !== undefined) session.lapse(lost);
      session.distrust();
      session.drain();
    }
  }

  /**
   * Stops accepting, lets running calls end, and after `timeoutMs` ends what is left. Whoever had connected before is let in, and
   * asked to connect anew. Returns how many calls did not get to their own end. Called again, it can only end sooner.
   */
  drain(timeoutMs: number): Promise<number> {
    this.#drain ??= new Drain(() => this.#closed && this.#sessions.size === 0 && this.#arriving === 0);
    this.#drain.within(timeoutMs);
    this.#drained ??= this.#leave(this.#drain);
    return this.#drained;
  }

  /** Stops accepting; resolves when nobody can connect any more. Whoever had stays, until `drain`. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#contexts.close();
    await letQueueIn(this.#entrance.server);
    this.#entrance.server.close();
    this.#closed = true;
  }

  async #leave(drain: Drain): Promise<number> {
    await this.close();
    for (const session of this.#sessions) session.drain();
    drain.check();
    await drain.over;
    const unfinished = this.calls;
    for (const session of this.#sessions) session.destroy('the drain limit has passed');
    return unfinished;
  }

  /** Who has connected, and is neither let in nor refused yet. */
  get #arriving(): number {
    return this.#door.handshakes + this.#waitingRoom.size;
  }

  #isCoolingOff(tenant: TenantId | undefined, address: string): boolean {
    return tenant !== undefined && this.#coolOff.has(address, tenant, this.#options.turn.now());
  }

  #onConnection(socket: Socket): void {
    const { limits } = this.#generation;
    const crowdedOut = this.#door.knock(socket, socket.remoteAddress ?? '', limits);
    this.#entrance.enter(socket);
    if (crowdedOut === undefined) return;
    this.#note(crowdedOut, '', 'HANDSHAKE_LIMIT', `more than ${limits.maxHandshakes} handshakes at once`);
    this.#entrance.dismiss(crowdedOut);
  }

  /** A handshake is over. Gives whether what came of it is still to be said. */
  #answered(socket: TLSSocket): boolean {
    const accepted = acceptedSocket(socket);
    if (accepted === undefined) return true;
    this.#door.answered(accepted);
    return this.#entrance.answered(accepted);
  }

  #welcome(socket: TLSSocket): void {
    // Until the engine listens, and for what it leaves to the socket: a socket's error must have a listener.
    socket.on('error', () => socket.destroy());
    this.#tryToAccept(socket, undefined);
    // Not before there is a session, or it waits: a drain must see it somewhere.
    this.#answered(socket);
  }

  #tryToAccept(socket: TLSSocket, asked: StatusHold | undefined): void {
    try {
      this.#accept(socket, asked);
    } catch (cause) {
      // A tenant that cannot be compiled keeps its own clients out, and nobody else's.
      this.#refuse(socket, '', 'INTERNAL', cause instanceof Error ? cause.message : String(cause));
    }
    // Of who was refused nothing is asked any more.
    if (socket.destroyed) asked?.release();
  }

  /** Lets a client in or not; `asked`: somebody has been asked about its certificate already. */
  #accept(socket: TLSSocket, asked: StatusHold | undefined): void {
    const problem = establishedProblem(socket);
    if (problem !== undefined) return this.#refuse(socket, problem.serverName, problem.reason, problem.detail);
    const serverName = 'servername' in socket && typeof socket.servername === 'string' ? socket.servername : '';
    const remote = { ...this.#entrance.remoteOf(socket), serverName: serverName.toLowerCase() };
    const verdict = this.#judge.judge({
      serverName,
      certificate: socket.getPeerX509Certificate(),
      openssl: socket.authorized ? undefined : String(socket.authorizationError),
      remote,
    });
    if (!verdict.ok) {
      const { reason, detail, claim } = verdict.error;
      return this.#refuse(socket, serverName, reason, detail, claim);
    }
    const { claim } = verdict.value;
    const tenant = this.tenant(claim.id);
    if (tenant === undefined) throw new Error(`the tenant ${claim.id} of a peer that was let in is not there`);
    if (this.#isCoolingOff(claim.id, remote.address)) {
      return this.#refuse(socket, serverName, 'COOLING_OFF', '', claim.id);
    }
    if (asked === undefined) {
      const hold = tenant.gates.hold(verdict.value);
      if (hold !== undefined) return this.#afterAsking(socket, serverName, claim.id, hold);
    }
    const revoked = tenant.gates.revoked(verdict.value, this.#options.turn.now());
    if (revoked !== undefined) {
      return this.#refuse(socket, serverName, reasonOf(revoked.error), describe(revoked.error), claim.id);
    }
    this.#begin(socket, verdict.value, serverName, tenant, asked);
  }

  /** Decides when it is known what the certificate is worth. Everything anew: the configuration may be another by then. */
  #afterAsking(socket: TLSSocket, serverName: string, tenant: TenantId, hold: StatusHold): void {
    const decide = (): void => {
      if (socket.destroyed) hold.release();
      else this.#tryToAccept(socket, hold);
    };
    if (hold.settled === undefined) return decide();
    if (this.#waitingRoom.isFull(tenant)) {
      hold.release();
      const detail = `${MAX_WAITING_CLIENTS} clients of its tenant wait until somebody says what their certificates are worth`;
      return this.#refuse(socket, serverName, 'TLS_CLIENT_CERT_STATUS_UNKNOWN', detail, tenant);
    }
    void this.#waitingRoom.wait(tenant, socket, hold.settled, decide);
  }

  #begin(socket: TLSSocket, peer: Peer, serverName: string, tenant: TenantRuntime, hold: StatusHold | undefined): void {
    const { limits } = this.#generation;
    const refusal = this.#door.enter(peer.address, tenant.occupancy.connections, limits);
    if (refusal !== undefined) {
      const detail = 'its tenant or address has as many connections as it may';
      return this.#refuse(socket, serverName, refusal, detail, peer.claim.id);
    }
    const session = new Session(this, peer, serverName, tenant.occupancy, hold);
    this.#sessions.add(session);
    tenant.occupancy.connections++;
    const connection = new Http2Connection(
      socket,
      { ...clientConnectionOptions(limits, this.#options.connectionLimits), share: tenant.share },
      session,
      this.#options.turn,
      tenant.slabs,
    );
    session.attach(connection, new ConnectionAge(limits, session));
    // It was shaking hands when the others were asked to leave.
    if (this.#closed && this.#drain !== undefined) session.drain();
  }

  /** `claim`: the tenant whose client it says to be, where the server name does not say it. */
  #refuse(socket: TLSSocket, serverName: string, reason: string, detail: string, claim?: string): void {
    this.#note(socket, serverName, reason, detail, claim);
    socket.destroy();
  }

  #note(socket: Socket, serverName: string, reason: string, detail: string, claim?: string): void {
    const { address, proxy } = this.#entrance.remoteOf(socket);
    const said = proxy === undefined ? detail : `${detail}${detail === '' ? '' : ', '}by way of ${proxy}`;
    this.#noteFrom(address, serverName, reason, said, claim);
  }

  #noteFrom(peerAddress: string, serverName: string, reason: string, detail: string, claim?: string): void {
    const named = serverName === '' ? undefined : this.#options.tenants.claimed(serverName)?.id;
    const tenantClaim = named ?? claim ?? '';
    this.refusals.add({ reason, serverName, tenantClaim, peerAddress, detail });
  }
}

function reasonOf(refusal: Denial): string {
  return 'revokedBy' in refusal ? 'TLS_CLIENT_CERT_REVOKED' : 'TLS_CLIENT_CERT_STATUS_UNKNOWN';
}

/** Of each session when its turn comes: it may have ended by then. */
function* unjudged(sessions: Iterable<Session>, of: Reviewable | undefined): Generator<CallBoundary> {
  for (const session of sessions) if (of === undefined || isOf(session.peer, of)) yield* session.unjudged();
}

function isOf({ claim, certificate }: Peer, { tenant, certificate: sha256 }: Reviewable): boolean {
  return claim.id === tenant && (sha256 === undefined || certificate.sha256 === sha256);
}
