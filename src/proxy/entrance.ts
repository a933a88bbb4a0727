/**
 * Where connections come in, and whose they are. As a rule the TLS server itself listens, and a connection is its socket's. Behind a
 * load balancer another server listens before it: it reads the header by which the load balancer says whose connection it is
 * (`proxy-header.ts`), and hands the socket, with what has come after the header, to the TLS server.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket, type Server as TlsServer } from 'node:tls';
import type { ProxyProtocolConfig } from '../config/generation.ts';
import { type AddressRange, isInRanges, parseAddressRange } from '../kernel/address-range.ts';
import { acceptedSocket } from './door.ts';
import { readProxyHeader } from './proxy-header.ts';

/** Who is at the other end. */
export interface Remote {
  readonly address: string;
  readonly port: number;
  /** The address of the load balancer that says so; undefined: the connection itself does. */
  readonly proxy: string | undefined;
}

/** What a connection is refused for before its TLS begins. */
export type EntranceRefusal =
  | 'PROXY_NOT_ALLOWED'
  | 'PROXY_HEADER_INVALID'
  | 'PROXY_HEADER_INCOMPLETE'
  | 'PROXY_HEADER_TIMEOUT';

export interface EntranceOptions {
  /** Does the handshakes. */
  readonly tls: TlsServer;
  /** Who may pass connections on, and has to say whose they are; undefined: nobody, and every connection is its own. */
  readonly proxyProtocol: ProxyProtocolConfig | undefined;
  /** How long a header may take. */
  handshakeTimeoutMs(): number;
  refused(socket: Socket, reason: EntranceRefusal, detail: string): void;
}

export class Entrance {
  /** What listens, and says so of each connection. */
  readonly server: Server;
  readonly #options: EntranceOptions;
  /** Node forgets a socket's address when it refuses its certificate, and never knew a client behind a load balancer. */
  readonly #remotes = new WeakMap<Socket, Remote>();
  #proxies: readonly AddressRange[];

  constructor(options: EntranceOptions) {
    this.#options = options;
    this.#proxies = rangesOf(options.proxyProtocol);
    this.server = options.proxyProtocol === undefined ? options.tls : createServer({ noDelay: true });
  }

  /** Other load balancers than before. Whether there are any is settled once, by who listens. */
  apply(proxyProtocol: ProxyProtocolConfig | undefined): void {
    if (proxyProtocol !== undefined) this.#proxies = rangesOf(proxyProtocol);
  }

  /** A connection has been accepted, and counted. */
  enter(socket: Socket): void {
    const remote = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0, proxy: undefined };
    this.#remotes.set(socket, remote);
    if (this.server === this.#options.tls) return;
    socket.on('error', () => socket.destroy());
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

  #readHeader(socket: Socket, proxy: Remote): void {
    let read: Buffer = Buffer.alloc(0);
    const tooLate = (): void => {
      stop();
      this.#refuse(socket, 'PROXY_HEADER_TIMEOUT', `${read.length} octets of it`);
    };
    const late = setTimeout(tooLate, this.#options.handshakeTimeoutMs());
    const closed = (): void => {
      clearTimeout(late);
      this.#options.refused(socket, 'PROXY_HEADER_INCOMPLETE', `${read.length} octets of it`);
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
      // The TLS socket begins with what its socket has not given away yet.
      if (header.length < read.length) socket.unshift(read.subarray(header.length));
      this.#options.tls.emit('connection', socket);
    };
    socket.on('readable', readable);
    socket.once('close', closed);
  }

  #refuse(socket: Socket, reason: EntranceRefusal, detail: string): void {
    this.#options.refused(socket, reason, detail);
    socket.destroy();
  }
}

function rangesOf(proxyProtocol: ProxyProtocolConfig | undefined): readonly AddressRange[] {
  // The schema refuses what is no range; if one came all the same, nobody would be in it.
  return (proxyProtocol?.from ?? []).flatMap((range) => parseAddressRange(range) ?? []);
}
