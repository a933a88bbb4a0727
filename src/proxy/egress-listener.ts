/**
 * The pod's own door out: HTTP/2 in clear text on loopback or a Unix socket. The address that a program calls picks the tenant; it
 * presents nothing else, so nothing here decides who it is.
 */
import { unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Holding } from '../buffers/ceiling.ts';
import type { EgressAddress, EgressConfig, LimitsConfig } from '../config/generation.ts';
import type { Settings } from '../config/generation-change.ts';
import { Http2Connection } from '../http2/connection.ts';
import type { ConnectionLimits } from '../http2/limits.ts';
import type { CallServices } from './call-services.ts';
import { clientConnectionOptions } from './client-connection-options.ts';
import { ConnectionAge } from './connection-age.ts';
import { Drain, letQueueIn } from './drain.ts';
import { EgressMethods } from './egress-methods.ts';
import { type EgressResources, EgressRuntime } from './egress-runtime.ts';
import { EgressSession, type EgressSessionHost } from './egress-session.ts';
import type { Refusals } from './refusals.ts';
import type { TrailPeer } from './trail.ts';

export interface EgressListenerOptions extends EgressResources {
  readonly refusals: Refusals;
  /** What differs from the engine's defaults on every connection. */
  readonly connectionLimits?: Partial<ConnectionLimits>;
  services(): CallServices;
}

export class EgressListener implements EgressSessionHost {
  readonly methods = new EgressMethods();
  readonly #options: EgressListenerOptions;
  readonly #server: Server;
  readonly #sessions = new Set<EgressSession>();
  #runtime: EgressRuntime;
  #limits: LimitsConfig;
  #drain: Drain | undefined;
  #drained: Promise<number> | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(options: EgressListenerOptions, config: EgressConfig, limits: LimitsConfig) {
    this.#options = options;
    this.#limits = limits;
    this.#runtime = new EgressRuntime(config, limits, options, undefined);
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = limits.maxConnections;
    this.#server.on('drop', (data) => {
      const detail = `more than ${this.#limits.maxConnections} connections`;
      this.refused('CONNECTION_LIMIT', data?.remoteAddress ?? '', detail);
    });
  }

  /** Binds. TCP: several workers bind the same port, and the kernel spreads connections over them. Returns the port, if it has one. */
  async listen(): Promise<number | undefined> {
    const { address } = this.#runtime.config;
    if (address.kind === 'unix') await removeDeadSocket(address.path);
    if (this.#drain !== undefined) throw new Error('it is no longer configured');
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(optionsOf(address), () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : undefined;
  }

  get connections(): number {
    return this.#sessions.size;
  }

  get calls(): number {
    let calls = 0;
    for (const session of this.#sessions) calls += session.calls;
    return calls;
  }

  /** Calls on its connections, with what each holds. */
  holdings(): readonly Holding[] {
    return [...this.#sessions].flatMap((session) => session.holdings());
  }

  /** Its connections, with what the output of each holds. */
  sessions(): readonly Holding[] {
    return [...this.#sessions];
  }

  runtime(): EgressRuntime {
    return this.#runtime;
  }

  services(): CallServices {
    return this.#options.services();
  }

  refused(reason: string, peerAddress: string, detail: string): void {
    const { tenant, listen } = this.#runtime.config;
    this.#options.refusals.add({
      reason,
      serverName: '',
      tenantClaim: tenant,
      peerAddress,
      detail: `egress:${listen}: ${detail}`,
    });
  }

  ended(session: EgressSession): void {
    this.#sessions.delete(session);
    this.#drain?.check();
  }

  /** A new generation: the next call goes out under it; connections stay. */
  apply(config: EgressConfig, { limits }: Settings): void {
    this.#limits = limits;
    this.#server.maxConnections = limits.maxConnections;
    this.#runtime = new EgressRuntime(config, limits, this.#options, this.#runtime);
  }

  /**
   * Stops accepting, lets running calls end, and after `timeoutMs` ends what is left. Returns how many calls did not get to
   * their own end. Called again, it can only end sooner.
   */
  drain(timeoutMs: number): Promise<number> {
    this.#drain ??= new Drain(() => this.#closed && this.#sessions.size === 0);
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
    await letQueueIn(this.#server);
    this.#server.close();
    this.#closed = true;
  }

  async #leave(drain: Drain): Promise<number> {
    await this.close();
    for (const session of this.#sessions) session.drain();
    drain.check();
    await drain.over;
    const unfinished = this.calls;
    for (const session of this.#sessions) session.destroy('the drain limit has passed');
    this.#runtime.pool.destroy('the egress listener has stopped');
    return unfinished;
  }

  #accept(socket: Socket): void {
    // Until the engine listens, and for what it leaves to the socket: a socket's error must have a listener.
    socket.on('error', () => socket.destroy());
    const limits = this.#limits;
    const session = new EgressSession(this, peerOf(socket));
    this.#sessions.add(session);
    const connection = new Http2Connection(
      socket,
      clientConnectionOptions(limits, this.#options.connectionLimits),
      session,
      this.#options.turn,
      this.#runtime.slabs,
    );
    session.attach(connection, new ConnectionAge(limits, session));
  }
}

/** A Unix socket's peer has no address. */
function peerOf({ remoteAddress, remotePort }: Socket): TrailPeer {
  return { address: remoteAddress ?? '', port: remotePort ?? 0, certificate: { sha256: '' } };
}

function optionsOf(address: EgressAddress): object {
  return address.kind === 'unix'
    ? { path: address.path }
    : { host: address.host, port: address.port, reusePort: true, ipv6Only: true };
}

/** A process that was killed leaves its socket's file behind, and nobody could bind it again. One that answers is left alone. */
async function removeDeadSocket(path: string): Promise<void> {
  const dead = await new Promise<boolean>((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error) => resolve('code' in error && error.code === 'ECONNREFUSED'));
  });
  if (dead) unlinkSync(path);
}
