/**
 * The tenants' door: TLS with a client certificate, one tenant per server name, HTTP/2 only.
 */
import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Holding } from '../buffers/ceiling.ts';
import type { ListenerConfig } from '../config/generation.ts';
import type { Settings } from '../config/generation-change.ts';
import { Http2Connection } from '../http2/connection.ts';
import type { ConnectionLimits } from '../http2/limits.ts';
import { establishedProblem, handshakeRefusal, listenerTlsOptions } from '../identity/listener-tls.ts';
import { acceptPeer, type Peer, type PeerAddress } from '../identity/peer.ts';
import { TlsContexts } from '../identity/tls-contexts.ts';
import type { Denial } from '../kernel/denial.ts';
import type { TenantId } from '../kernel/ids.ts';
import type { Turn } from '../kernel/turn.ts';
import type { CallBoundary } from './call-boundary.ts';
import type { CallServices } from './call-services.ts';
import { clientConnectionOptions } from './client-connection-options.ts';
import { ConnectionAge } from './connection-age.ts';
import { CoolOff } from './cool-off.ts';
import { describe } from './describe-denial.ts';
import { acceptedSocket, Door } from './door.ts';
import { Drain, letQueueIn } from './drain.ts';
import { Entrance } from './entrance.ts';
import { LOST_TENANT, lostAuthorization } from './lost-authorization.ts';
import type { Refusals } from './refusals.ts';
import { Review } from './review.ts';
import { Session, type SessionHost } from './session.ts';
import type { TenantRuntime } from './tenant-runtime.ts';
import type { Tenants } from './tenants.ts';

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

/** A tenant's TLS context that no handshake has asked for in so long is compiled anew when one does. */
const CONTEXT_IDLE_MS = 300_000;

export class Listener implements SessionHost {
  readonly refusals: Refusals;
  readonly #options: ListenerOptions;
  readonly #contexts = new TlsContexts();
  readonly #sessions = new Set<Session>();
  readonly #door = new Door(() => this.#drain?.check());
  readonly #coolOff = new CoolOff();
  readonly #server: Server;
  readonly #entrance: Entrance;
  #generation: Settings;
  #minTlsVersion: ListenerConfig['minTlsVersion'];
  /** What a peer was let in with, to be judged again when its tenant's trust changes. */
  readonly #certificates = new WeakMap<Peer, X509Certificate>();
  readonly #review = new Review();
  readonly #idleSweep: NodeJS.Timeout;
  #drain: Drain | undefined;
  #drained: Promise<number> | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.refusals = options.refusals;
    this.#generation = options.generation;
    this.#minTlsVersion = options.listen.minTlsVersion;
    this.#server = createServer({ ...this.#tlsOptions(), noDelay: true });
    this.#entrance = new Entrance({
      tls: this.#server,
      proxyProtocol: options.listen.proxyProtocol,
      handshakeTimeoutMs: () => this.#generation.limits.handshakeTimeoutMs,
      refused: (socket, reason, detail) => this.#note(socket, '', reason, detail),
    });
    const { server } = this.#entrance;
    server.maxConnections = options.generation.limits.maxConnections;
    this.#idleSweep = setInterval(() => this.#contexts.dropIdle(), CONTEXT_IDLE_MS).unref();
    server.on('connection', (socket: Socket) => this.#onConnection(socket));
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      try {
        this.#accept(socket);
      } catch (cause) {
        // A tenant that cannot be compiled keeps its own clients out, and nobody else's.
        this.#refuse(socket, '', 'INTERNAL', cause instanceof Error ? cause.message : String(cause));
      }
      // Not before there is a session: a drain must see one or the other.
      const accepted = acceptedSocket(socket);
      if (accepted !== undefined) this.#door.answered(accepted);
    });
    this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      const { serverName, reason, detail } = handshakeRefusal(error, socket);
      const accepted = acceptedSocket(socket);
      if (accepted !== undefined) this.#door.answered(accepted);
      this.#note(socket, serverName, reason, detail);
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
    this.#applyTls(generation.listener);
    this.#contexts.retain((id, digest) => this.#options.tenants.config(id)?.digest === digest);
    if (retrust.length > 0) this.#lookAgain(new Set(retrust));
    this.review();
  }

  /** Calls that run are judged again where that may come out otherwise, by what their tenants are and what is revoked now. */
  review(): void {
    this.#review.begin(unjudged(this.#sessions));
  }

  #lookAgain(ids: ReadonlySet<TenantId>): void {
    for (const session of this.#sessions) {
      const { id } = session.peer.claim;
      if (!ids.has(id)) continue;
      const lost = this.#lost(session);
      // A server name that is another's now is no credential: what was begun by it may end.
      if (lost === undefined && this.#options.tenants.claimed(session.serverName)?.id === id) continue;
      if (lost !== undefined) session.lapse(lost);
      session.distrust();
      session.drain();
    }
  }

  /** Why this peer would not be let in now. */
  #lost({ peer }: Session): Denial | undefined {
    const tenant = this.tenant(peer.claim.id);
    if (tenant === undefined || tenant.config.slot !== peer.claim.slot) return LOST_TENANT;
    const certificate = this.#certificates.get(peer);
    const judged = certificate === undefined ? undefined : this.#judge(certificate, peer, tenant);
    return judged?.ok === false ? lostAuthorization(judged.error) : undefined;
  }

  #judge(
    certificate: X509Certificate,
    remote: PeerAddress,
    { config, clientCas }: TenantRuntime,
  ): ReturnType<typeof acceptPeer> {
    const claim = { id: config.id, slot: config.slot, by: 'sni' } as const;
    const trust = { trustDomain: config.trustDomain, clientCas };
    return acceptPeer(claim, certificate, remote, trust, this.#options.turn.now());
  }

  /** The versions that a handshake may have are those of the context that it begins with, before it names its tenant. */
  #applyTls(listen: ListenerConfig | undefined): void {
    if (listen === undefined || listen.minTlsVersion === this.#minTlsVersion) return;
    this.#minTlsVersion = listen.minTlsVersion;
    this.#server.setSecureContext(this.#tlsOptions());
  }

  #tlsOptions(): TlsOptions {
    return listenerTlsOptions({
      minVersion: this.#minTlsVersion,
      handshakeTimeoutMs: this.#generation.limits.handshakeTimeoutMs,
      contextOf: (serverName) => this.#contextOf(serverName),
      mayBegin: (serverName, socket) => {
        const { address } = this.#entrance.remoteOf(socket);
        return !this.#isCoolingOff(this.#options.tenants.claimed(serverName)?.id, address);
      },
      onUnusable: (serverName, error) => {
        const detail = error instanceof Error ? error.message : String(error);
        this.#noteFrom('', serverName, 'TLS_CONTEXT_UNUSABLE', detail);
      },
    });
  }

  /**
   * Stops accepting, lets running calls end, and after `timeoutMs` ends what is left. Whoever had connected before is let in, and
   * asked to connect anew. Returns how many calls did not get to their own end. Called again, it can only end sooner.
   */
  drain(timeoutMs: number): Promise<number> {
    this.#drain ??= new Drain(() => this.#closed && this.#sessions.size === 0 && this.#door.handshakes === 0);
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
    clearInterval(this.#idleSweep);
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

  #contextOf(serverName: string): ReturnType<TlsContexts['contextFor']> | undefined {
    const tenant = this.#options.tenants.claimed(serverName);
    return tenant === undefined ? undefined : this.#contexts.contextFor(tenant, this.#minTlsVersion);
  }

  #isCoolingOff(tenant: TenantId | undefined, address: string): boolean {
    return tenant !== undefined && this.#coolOff.has(address, tenant, this.#options.turn.now());
  }

  #onConnection(socket: Socket): void {
    const { limits } = this.#generation;
    const crowdedOut = this.#door.knock(socket, limits);
    this.#entrance.enter(socket);
    if (crowdedOut === undefined) return;
    this.#note(crowdedOut, '', 'HANDSHAKE_LIMIT', `more than ${limits.maxHandshakes} handshakes at once`);
    crowdedOut.destroy();
  }

  #accept(socket: TLSSocket): void {
    // Until the engine listens, and for what it leaves to the socket: a socket's error must have a listener.
    socket.on('error', () => socket.destroy());
    const problem = establishedProblem(socket);
    if (problem !== undefined) return this.#refuse(socket, problem.serverName, problem.reason, problem.detail);
    const serverName = 'servername' in socket && typeof socket.servername === 'string' ? socket.servername : '';
    const config = this.#options.tenants.claimed(serverName);
    const tenant = config === undefined ? undefined : this.tenant(config.id);
    const certificate = socket.getPeerX509Certificate();
    if (config === undefined || tenant === undefined) {
      // Its tenant was removed between the handshake's start and its end.
      return this.#refuse(socket, serverName, 'TLS_UNKNOWN_SERVER_NAME', '');
    }
    if (certificate === undefined) return this.#refuse(socket, serverName, 'TLS_CLIENT_CERT_REQUIRED', '');
    const remote = { ...this.#entrance.remoteOf(socket), serverName: serverName.toLowerCase() };
    const peer = this.#judge(certificate, remote, tenant);
    if (!peer.ok) {
      const why = peer.error.kind === 'certificate_unacceptable' ? peer.error.why : peer.error.kind;
      return this.#refuse(socket, serverName, 'TLS_CLIENT_CERT_UNACCEPTABLE', why);
    }
    if (this.#isCoolingOff(config.id, remote.address)) return this.#refuse(socket, serverName, 'COOLING_OFF', '');
    const revoked = tenant.gates.revoked(peer.value, this.#options.turn.now());
    if (revoked !== undefined) {
      return this.#refuse(socket, serverName, reasonOf(revoked.error), describe(revoked.error));
    }
    this.#certificates.set(peer.value, certificate);
    this.#begin(socket, peer.value, serverName, tenant);
  }

  #begin(socket: TLSSocket, peer: Peer, serverName: string, tenant: TenantRuntime): void {
    const { limits } = this.#generation;
    const refusal = this.#door.enter(peer.address, tenant.occupancy.connections, limits);
    if (refusal !== undefined) {
      return this.#refuse(socket, serverName, refusal, 'its tenant or address has as many connections as it may');
    }
    const session = new Session(this, peer, serverName, tenant.occupancy);
    this.#sessions.add(session);
    tenant.occupancy.connections++;
    const connection = new Http2Connection(
      socket,
      clientConnectionOptions(limits, this.#options.connectionLimits),
      session,
      this.#options.turn,
      tenant.slabs,
    );
    session.attach(connection, new ConnectionAge(limits, session));
    // It was shaking hands when the others were asked to leave.
    if (this.#closed && this.#drain !== undefined) session.drain();
  }

  #refuse(socket: TLSSocket, serverName: string, reason: string, detail: string): void {
    this.#note(socket, serverName, reason, detail);
    socket.destroy();
  }

  #note(socket: Socket, serverName: string, reason: string, detail: string): void {
    const { address, proxy } = this.#entrance.remoteOf(socket);
    const said = proxy === undefined ? detail : `${detail}${detail === '' ? '' : ', '}by way of ${proxy}`;
    this.#noteFrom(address, serverName, reason, said);
  }

  #noteFrom(peerAddress: string, serverName: string, reason: string, detail: string): void {
    const tenantClaim = serverName === '' ? '' : (this.#options.tenants.claimed(serverName)?.id ?? '');
    this.refusals.add({ reason, serverName, tenantClaim, peerAddress, detail });
  }
}

function reasonOf(refusal: Denial): string {
  return 'revokedBy' in refusal ? 'TLS_CLIENT_CERT_REVOKED' : 'TLS_CLIENT_CERT_STATUS_UNKNOWN';
}

/** Of each session when its turn comes: it may have ended by then. */
function* unjudged(sessions: Iterable<Session>): Generator<CallBoundary> {
  for (const session of sessions) yield* session.unjudged();
}
