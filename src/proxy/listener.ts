/**
 * The tenants' door: TLS with a client certificate, one tenant per server name, HTTP/2 only.
 */
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Generation, TenantConfig } from '../config/generation.ts';
import { Http2Connection } from '../http2/connection.ts';
import { acceptPeer } from '../identity/peer.ts';
import { listenerTlsOptions, TlsContexts } from '../identity/tls-contexts.ts';
import type { TenantId } from '../kernel/ids.ts';
import type { Turn } from '../kernel/turn.ts';
import type { CallServices } from './call.ts';
import { handshakeRefusal } from './handshake-refusal.ts';
import type { Refusals } from './refusals.ts';
import { Session, type SessionHost } from './session.ts';
import type { TenantRuntime } from './tenant-runtime.ts';
import type { Tenants } from './tenants.ts';

export interface ListenerOptions {
  readonly generation: Generation;
  readonly tenants: Tenants;
  readonly turn: Turn;
  readonly refusals: Refusals;
  services(): CallServices;
}

export class Listener implements SessionHost {
  readonly refusals: Refusals;
  readonly #options: ListenerOptions;
  readonly #contexts = new TlsContexts();
  readonly #sessions = new Set<Session>();
  readonly #server: Server;
  #generation: Generation;
  #whenEmpty: (() => void) | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.refusals = options.refusals;
    this.#generation = options.generation;
    const { listener, limits } = options.generation;
    this.#server = createServer({
      ...listenerTlsOptions({
        minVersion: listener.minTlsVersion,
        handshakeTimeoutMs: limits.handshakeTimeoutMs,
        contextFor: (serverName) => this.#contextFor(serverName),
      }),
      noDelay: true,
    });
    this.#server.maxConnections = limits.maxConnections;
    this.#server.on('secureConnection', (socket: TLSSocket) => this.#accept(socket));
    this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      this.refusals.add(handshakeRefusal(error, socket, (name) => options.tenants.claimed(name)));
    });
    this.#server.on('drop', (data) => {
      const peerAddress = data?.remoteAddress ?? '';
      const detail = `more than ${limits.maxConnections} connections`;
      this.refusals.add({ reason: 'CONNECTION_LIMIT', serverName: '', tenantClaim: '', peerAddress, detail });
    });
  }

  /** Binds; several workers bind the same port, and the kernel spreads connections over them. Returns the port. */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: this.#generation.listener.address, port, reusePort: true }, () => {
        this.#server.off('error', reject);
        const address = this.#server.address();
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

  services(): CallServices {
    return this.#options.services();
  }

  tenant(id: TenantId): TenantRuntime | undefined {
    return this.#options.tenants.runtime(id);
  }

  ended(session: Session): void {
    this.#sessions.delete(session);
    const tenant = this.tenant(session.peer.claim.id);
    if (tenant !== undefined) tenant.connections--;
    if (this.#sessions.size === 0) this.#whenEmpty?.();
  }

  /** A new generation: new handshakes see it at once; peers of tenants in `reconnect` are asked to shake hands again. */
  apply(generation: Generation, reconnect: readonly TenantId[]): void {
    this.#generation = generation;
    this.#contexts.retain(new Set(generation.tenants.map((tenant) => tenant.digest)));
    if (reconnect.length === 0) return;
    const ids = new Set(reconnect);
    for (const session of this.#sessions) if (ids.has(session.peer.claim.id)) session.drain();
  }

  /**
   * Stops accepting, lets running calls end, and after `timeoutMs` ends what is left. Returns how many calls did not get to
   * their own end.
   */
  async drain(timeoutMs: number): Promise<number> {
    this.#server.close();
    for (const session of this.#sessions) session.drain();
    if (this.#sessions.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#whenEmpty = (): void => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const unfinished = this.calls;
    for (const session of this.#sessions) session.destroy('the drain limit has passed');
    return unfinished;
  }

  #contextFor(serverName: string): ReturnType<TlsContexts['contextFor']> | undefined {
    const tenant = this.#options.tenants.claimed(serverName);
    return tenant === undefined ? undefined : this.#contexts.contextFor(tenant, this.#generation.listener.minTlsVersion);
  }

  #accept(socket: TLSSocket): void {
    socket.on('error', () => socket.destroy());
    const serverName = typeof socket.servername === 'string' ? socket.servername : '';
    const config = this.#options.tenants.claimed(serverName);
    const tenant = config === undefined ? undefined : this.tenant(config.id);
    if (config === undefined || tenant === undefined) {
      // Its tenant was removed between the handshake's start and its end.
      this.#refuse(socket, serverName, undefined, 'TLS_UNKNOWN_SERVER_NAME', '');
      return;
    }
    const peer = acceptPeer(
      { id: config.id, slot: config.slot, by: 'sni' },
      socket.getPeerX509Certificate(),
      { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 },
      { trustDomain: config.trustDomain, clientCas: tenant.clientCas },
      this.#options.turn.now(),
    );
    if (!peer.ok) {
      const why = peer.error.kind === 'certificate_unacceptable' ? peer.error.why : peer.error.kind;
      this.#refuse(socket, serverName, config, 'TLS_CLIENT_CERT_UNACCEPTABLE', why);
      return;
    }
    const { limits } = this.#generation;
    const session = new Session(this, peer.value, serverName);
    this.#sessions.add(session);
    tenant.connections++;
    const connection = new Http2Connection(
      socket,
      {
        role: 'server',
        maxConcurrentStreams: limits.maxConcurrentStreams,
        streamWindowBytes: limits.streamWindowBytes,
        connectionWindowBytes: limits.connectionWindowBytes,
        maxHeaderListBytes: limits.maxHeaderListBytes,
        idleTimeoutMs: limits.idleTimeoutMs,
      },
      session,
      this.#options.turn,
      tenant.slabs,
    );
    session.attach(connection);
  }

  #refuse(socket: TLSSocket, serverName: string, claimed: TenantConfig | undefined, reason: string, detail: string): void {
    const peerAddress = socket.remoteAddress ?? '';
    this.refusals.add({ reason, serverName, tenantClaim: claimed?.id ?? '', peerAddress, detail });
    socket.destroy();
  }
}
