/**
 * Where connections come in, and whose they are. As a rule a connection is its socket's. Behind a load balancer the header is read first
 * by which the load balancer says whose it is (`proxy-header.ts`). A socket that has sent its hello comes to the TLS server in its turn
 * (`handshake-queue.ts`): until then it is a socket, and nothing of TLS is made for it.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket, type Server as TlsServer } from 'node:tls';
import type { ProxyProtocolConfig } from '../config/generation.ts';
import { type AddressRange, isInRanges, parseAddressRange } from '../kernel/address-range.ts';
import { acceptedSocket } from './door.ts';
import { awaitFirstRecord } from './first-record.ts';
import { HandshakeQueue } from './handshake-queue.ts';
import { readProxyHeader } from './proxy-header.ts';

/** Who is at the other end. */
export interface Remote {
  readonly address: string;
  readonly port: number;
  /** The address of the load balancer that says so; undefined: the connection itself does. */
  readonly proxy: string | undefined;
}

/** What a connection is refused for before its TLS begins, or when that takes too long. */
export type EntranceRefusal =
  | 'TLS_HANDSHAKE_TIMEOUT'
  | 'TLS_CONNECTION_LOST'
  | 'PROXY_NOT_ALLOWED'
  | 'PROXY_HEADER_INVALID'
  | 'PROXY_HEADER_INCOMPLETE'
  | 'PROXY_HEADER_TIMEOUT';

export interface EntranceOptions {
  /** Does the handshakes. */
  readonly tls: TlsServer;
  /** Who may pass connections on, and has to say whose they are; undefined: nobody, and every connection is its own. */
  readonly proxyProtocol: ProxyProtocolConfig | undefined;
  /** How long a header may take, and then a handshake with its wait for its turn. */
  handshakeTimeoutMs(): number;
  /** Of the thread's time, what the beginnings of handshakes may take while calls run. */
  handshakeShare(): number;
  /** Whether calls run. */
  isBusy(): boolean;
  refused(socket: Socket, reason: EntranceRefusal, detail: string, serverName: string): void;
}

interface Shaking {
  /** Ends it. */
  readonly deadline: NodeJS.Timeout;
  /** Nothing has come of it, it waits for its turn, or TLS has it and says what becomes of it. */
  at: 'door' | 'queue' | 'tls';
  /** As the hello has it; empty until it was read. */
  serverName: string;
}

export class Entrance {
  /** What listens, and says so of each connection. */
  readonly server: Server;
  readonly #options: EntranceOptions;
  /** Node forgets a socket's address when it refuses its certificate, and never knew a client behind a load balancer. */
  readonly #remotes = new WeakMap<Socket, Remote>();
  readonly #queue: HandshakeQueue;
  /** Those whose handshake is not over. */
  readonly #shaking = new Map<Socket, Shaking>();
  /** Of whom all is said. */
  readonly #dismissed = new WeakSet<Socket>();
  #proxies: readonly AddressRange[];

  constructor(options: EntranceOptions) {
    this.#options = options;
    this.#proxies = rangesOf(options.proxyProtocol);
    this.server = createServer({ noDelay: true });
    this.#queue = new HandshakeQueue({
      begin: (socket) => this.#begin(socket),
      isBusy: () => options.isBusy(),
      share: () => options.handshakeShare(),
    });
  }

  /** Other load balancers than before. Whether there are any is settled once, by who listens. */
  apply(proxyProtocol: ProxyProtocolConfig | undefined): void {
    if (proxyProtocol !== undefined) this.#proxies = rangesOf(proxyProtocol);
  }

  /** A connection has been accepted, and counted. */
  enter(socket: Socket): void {
    const remote = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0, proxy: undefined };
    this.#remotes.set(socket, remote);
    socket.on('error', () => socket.destroy());
    if (this.#options.proxyProtocol === undefined) return this.#awaitHello(socket, remote.address);
    // The kernel knows no address of who has left already, as load balancers do that only see whether somebody listens.
    if (remote.address === '') this.#refuse(socket, 'PROXY_HEADER_INCOMPLETE', 'gone before it was read');
    else if (isInRanges(remote.address, this.#proxies)) this.#readHeader(socket, remote);
    else this.#refuse(socket, 'PROXY_NOT_ALLOWED', 'not among proxyProtocol.from');
  }

  /** Who is at the other end of a connection, before its handshake, in it, or after it. */
  remoteOf(socket: Socket): Remote {
    const accepted = socket instanceof TLSSocket ? acceptedSocket(socket) : socket;
    const known = accepted && this.#remotes.get(accepted);
    return known ?? { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0, proxy: undefined };
  }

  /**
   * A handshake is over, one way or the other. False when it had been dismissed: what comes of that is not to be said again.
   */
  answered(accepted: Socket): boolean {
    clearTimeout(this.#shaking.get(accepted)?.deadline);
    this.#shaking.delete(accepted);
    return !this.#dismissed.has(accepted);
  }

  /** A handshake in progress has said for whom it is. */
  named(socket: TLSSocket, serverName: string): void {
    const accepted = acceptedSocket(socket);
    const shaking = accepted && this.#shaking.get(accepted);
    if (shaking !== undefined) shaking.serverName = serverName;
  }

  /** Ends a connection of which all is said. */
  dismiss(accepted: Socket): void {
    this.#dismissed.add(accepted);
    accepted.destroy();
  }

  #awaitHello(socket: Socket, address: string): void {
    const tooLate = (): void => {
      this.#options.refused(socket, 'TLS_HANDSHAKE_TIMEOUT', detailOf(shaking), shaking.serverName);
      this.dismiss(socket);
    };
    const deadline = setTimeout(tooLate, this.#options.handshakeTimeoutMs());
    const shaking: Shaking = { deadline, at: 'door', serverName: '' };
    this.#shaking.set(socket, shaking);
    socket.once('close', () => {
      this.#queue.remove(socket, address);
      const isToBeSaid = this.answered(socket) && shaking.at !== 'tls';
      if (isToBeSaid) this.#options.refused(socket, 'TLS_CONNECTION_LOST', detailOf(shaking), '');
    });
    awaitFirstRecord(socket, () => {
      shaking.at = 'queue';
      this.#queue.add(socket, address);
    });
  }

  /** It is this one's turn, unless it has been ended and the queue is yet to hear of that. */
  #begin(socket: Socket): void {
    const shaking = this.#shaking.get(socket);
    if (socket.destroyed || shaking === undefined) return;
    shaking.at = 'tls';
    this.#options.tls.emit('connection', socket);
  }

  #readHeader(socket: Socket, proxy: Remote): void {
    let read: Buffer = Buffer.alloc(0);
    const tooLate = (): void => {
      stop();
      this.#refuse(socket, 'PROXY_HEADER_TIMEOUT', `${read.length} octets of it`);
    };
    const late = setTimeout(tooLate, this.#options.handshakeTimeoutMs());
    const closed = (): void => {
      clearTimeout(late);
      this.#options.refused(socket, 'PROXY_HEADER_INCOMPLETE', `${read.length} octets of it`, '');
    };
    const stop = (): void => {
      clearTimeout(late);
      socket.off('readable', readable);
      socket.off('close', closed);
    };
    const readable = (): void => {
      const chunk: unknown = socket.read();
      if (!Buffer.isBuffer(chunk)) return;
      read = read.length === 0 ? chunk : Buffer.concat([read, chunk]);
      const header = readProxyHeader(read);
      if (header.kind === 'incomplete') return;
      stop();
      if (header.kind === 'invalid') return this.#refuse(socket, 'PROXY_HEADER_INVALID', header.why);
      if (header.source.kind === 'client') {
        const { address, port } = header.source;
        this.#remotes.set(socket, { address, port, proxy: proxy.address });
      }
      if (header.length < read.length) socket.unshift(read.subarray(header.length));
      this.#awaitHello(socket, this.remoteOf(socket).address);
    };
    socket.on('readable', readable);
    socket.once('close', closed);
  }

  #refuse(socket: Socket, reason: EntranceRefusal, detail: string): void {
    this.#options.refused(socket, reason, detail, '');
    socket.destroy();
  }
}

function detailOf({ at }: Shaking): string {
  return at === 'door' ? 'no hello' : 'after its hello';
}

function rangesOf(proxyProtocol: ProxyProtocolConfig | undefined): readonly AddressRange[] {
  // The schema refuses what is no range; if one came all the same, nobody would be in it.
  return (proxyProtocol?.from ?? []).flatMap((range) => parseAddressRange(range) ?? []);
}
